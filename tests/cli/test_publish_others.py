"""Files that `jitid publish` writes for users who read no tokens: openssl, verifiers of SVIDs, and SSH hosts."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.real import Shell, module, need

URL = "https://tokens.example"


def published(shell: Shell) -> dict[str, str]:
    """Publish to the folder `out`, and return the state of each file."""
    rows = json.loads(shell.good("publish", "out", "--format", "json"))["items"]
    return {row["file"]: row["state"] for row in rows}


def changed(states: dict[str, str]) -> set[str]:
    """Return the files that were written, except status lists, which may be due."""
    return {name for name, state in states.items() if state == "written" and not name.startswith("status/")}


def openssl(folder: Path, certificate: Path) -> subprocess.CompletedProcess[str]:
    """Verify a certificate with only the published files."""
    x509 = folder / "x509"
    line = ["verify", "-crl_check", "-CAfile", x509 / "roots.pem", "-CRLfile", x509 / "crl.pem", certificate]
    return subprocess.run([need("openssl"), *map(str, line)], capture_output=True, text=True)


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Return a shell whose ledger publishes."""
    shell = Shell(tmp_path)
    shell.environment |= {"JITID_ISSUER": URL, "JITID_PUBLISH_URL": URL}
    shell.good("-q", "issue", "--task", "T0", "--delegator", "alice")
    return shell


def test_certificates_are_verified_by_what_was_published(shell: Shell, tmp_path: Path) -> None:
    assert not [name for name in published(shell) if name.startswith(("x509/", "spiffe/", "ssh/"))]
    issue = ("-q", "issue", "--delegator", "alice", "--kind", "x509-svid")
    shell.good(*issue, "--task", "T1", "--out", "first.pem")
    shell.good(*issue, "--task", "T2", "--out", "second.pem")
    states = published(shell)
    (crl,) = [name for name in states if name.endswith(".crl")]
    assert changed(states) == {crl, "x509/crl.pem", "x509/roots.pem", "spiffe/bundle.json"}
    bundle = json.loads((tmp_path / "out/spiffe/bundle.json").read_text())
    assert [key["use"] for key in bundle["keys"]] == ["x509-svid"]
    for name in ("first.pem", "second.pem"):
        done = openssl(tmp_path / "out", tmp_path / name)
        assert done.returncode == 0, done.stderr
    # They are generated in each run, but stay unwritten while their statements stay the same.
    assert not changed(published(shell))
    shell.good("retire", "T1")
    assert changed(published(shell)) == {crl, "x509/crl.pem"}
    refused = openssl(tmp_path / "out", tmp_path / "first.pem")
    assert refused.returncode != 0
    assert "revoked" in refused.stderr + refused.stdout
    assert openssl(tmp_path / "out", tmp_path / "second.pem").returncode == 0
    told = subprocess.run(
        [need("openssl"), "crl", "-inform", "DER", "-in", str(tmp_path / "out" / crl), "-noout", "-text"],
        capture_output=True,
        text=True,
    )
    assert "Cessation Of Operation" in told.stdout


def test_a_jwt_svid_is_verified_offline_and_seen_to_end(shell: Shell, tmp_path: Path) -> None:
    """Its status list is signed with ES256, like the SVID itself; the key is in the bundle."""
    line = ("--audience", "https://cloud.example")
    (tmp_path / "svid").write_text(
        shell.good("-q", "issue", "--task", "T1", "--delegator", "alice", "--kind", "jwt-svid", *line)
    )
    assert {"spiffe/bundle.json", "spiffe/jwt-bundle.json"} <= changed(published(shell))
    shell.good("verify", "svid", "--published", "out", *line)
    assert shell.run("verify", "svid", "--published", "out").returncode == 8
    shell.good("retire", "T1")
    published(shell)
    done = shell.run("verify", "svid", "--published", "out", *line)
    assert done.returncode == 8
    assert "was revoked" in done.stderr


def test_a_library_for_jwt_svids_reads_the_bundle_of_their_keys_alone(shell: Shell, tmp_path: Path) -> None:
    """The bundle is printed or published, beside an X.509 authority; a revoked key is no longer in it."""
    spiffe, bundles = module("spiffe"), module("spiffe.bundle.jwt_bundle.jwt_bundle_set")
    parse = module("spiffe.bundle.jwt_bundle.jwt_bundle").JwtBundle.parse
    domain = spiffe.TrustDomain("jitid.local")
    issue = ("-q", "issue", "--delegator", "alice", "--task", "T1", "--kind")
    shell.good(*issue, "x509-svid", "--out", "leaf.pem")
    token = shell.good(*issue, "jwt-svid", "--audience", "https://cloud.example").strip()
    published(shell)
    place = tmp_path / "out/spiffe/jwt-bundle.json"
    printed = shell.good("keys", "bundle", "--format", "jwt")
    assert printed == place.read_text()
    held = bundles.JwtBundleSet.of([parse(domain, printed.encode())]).get_bundle_for_trust_domain(domain)
    svid = spiffe.JwtSvid.parse_and_validate(token, held, {"https://cloud.example"})
    assert svid.spiffe_id.trust_domain == domain
    joint = json.loads(shell.good("keys", "bundle"))
    alone = json.loads(printed)
    assert alone["keys"] == [key for key in joint["keys"] if key["use"] == "jwt-svid"]
    assert {name: joint[name] for name in joint if name != "keys"} == {
        name: alone[name] for name in alone if name != "keys"
    }
    (kid,) = [key["kid"] for key in alone["keys"]]
    shell.good("keys", "revoke", kid, "--yes")
    published(shell)
    assert kid not in place.read_text()
    parse(domain, place.read_bytes())


def test_an_ssh_host_has_its_files_there(shell: Shell, tmp_path: Path) -> None:
    published(shell)
    shell.good("-q", "issue", "--task", "T1", "--delegator", "alice", "--kind", "ssh-cert", "--out", "deploy")
    states = published(shell)
    assert changed(states) == {"ssh/authorities.pub", "ssh/revoked.krl"}
    assert (tmp_path / "out/ssh/authorities.pub").read_text() == shell.good("keys", "ssh")
    query = [need("ssh-keygen"), "-Q", "-f", "out/ssh/revoked.krl", "deploy-cert.pub"]
    assert subprocess.run(query, cwd=tmp_path, capture_output=True).returncode == 0
    assert not changed(published(shell))
    shell.good("retire", "T1")
    assert changed(published(shell)) == {"ssh/revoked.krl"}
    done = subprocess.run(query, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert "REVOKED" in done.stdout
