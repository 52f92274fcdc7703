"""`issue` of kinds whose secrets have several parts: printed, written, shown and refused."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.real import Shell, need
from tests.serving import serving

ISSUE = ("issue", "--task", "T1", "--delegator", "alice")


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def test_an_x509_svid_is_one_private_file(shell: Shell) -> None:
    """The file has certificate and key, in a form that openssl reads."""
    openssl = need("openssl")
    shell.good(*ISSUE, "--kind", "x509-svid", "--out", "agent.pem")
    assert (shell.home / "agent.pem").stat().st_mode & 0o777 == 0o600
    keys = [
        subprocess.run([openssl, *words], cwd=shell.home, capture_output=True, text=True, check=True).stdout
        for words in (
            ("x509", "-in", "agent.pem", "-noout", "-pubkey"),
            ("pkey", "-in", "agent.pem", "-pubout"),
        )
    ]
    assert keys[0] == keys[1]


def test_an_ssh_certificate_is_a_file_beside_its_key(shell: Shell) -> None:
    """The certificate is where ssh looks for it; ssh-keygen reads both files."""
    keygen = need("ssh-keygen")
    done = shell.run(*ISSUE, "--kind", "ssh-cert", "--out", "id", "--format", "json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["token"], told["secret"]) == (None, None)
    assert (shell.home / "id").stat().st_mode & 0o777 == 0o600
    public = subprocess.run([keygen, "-y", "-f", "id"], cwd=shell.home, capture_output=True, text=True)
    assert public.stdout.startswith("ssh-ed25519 ")
    shown = subprocess.run(
        [keygen, "-L", "-f", "id-cert.pub"], cwd=shell.home, capture_output=True, text=True
    )
    assert f'Key ID: "{told["jti"]}"' in shown.stdout


def test_a_part_is_shown_alone_and_all_of_them_by_their_names(shell: Shell) -> None:
    """A field that the kind does not have does not change the answer."""
    printed = shell.good(*ISSUE, "--kind", "x509-svid", "--field", "certificate")
    assert printed.startswith("-----BEGIN CERTIFICATE-----\n") and printed.endswith("-----\n")
    told = json.loads(shell.good(*ISSUE, "--kind", "x509-svid", "--format", "json"))
    assert (told["token"], set(told["secret"])) == (None, {"certificate", "key"})
    before = shell.good("list", "--field", "jti")
    refused = shell.run(*ISSUE, "--kind", "x509-svid", "--field", "password")
    assert refused.returncode == 2
    assert shell.good("list", "--field", "jti") == before


def test_what_it_is_made_from_is_told_as_the_policy_has_it(shell: Shell) -> None:
    """The template is printed with its target, even if the line names only the template."""
    settings = shell.home / "settings.toml"
    settings.touch(0o600)
    settings.write_text(
        'target.web.kind = "x509-svid"\ntarget.web.template.front.dns_names = ["web.example"]\n'
    )
    shell.environment["JITID_CONFIG"] = str(settings)
    shell.permit_kinds()
    told = json.loads(shell.good(*ISSUE, "--kind", "x509-svid:front", "--format", "json"))
    assert (told["kind"], told["template"]) == ("x509-svid", "web/front")
    assert shell.good("inspect", told["jti"], "--field", "template") == "web/front\n"


def test_many_have_their_parts_in_their_lines(shell: Shell) -> None:
    """Each line may request a different kind."""
    lines = '{"kind":"x509-svid"}\n{"kind":"jwt"}\n'
    first, second = map(json.loads, shell.good(*ISSUE, "--from-file", "-", stdin=lines).splitlines())
    assert set(first["secret"]) == {"certificate", "key"} and "token" not in first
    assert second["token"].startswith("eyJ") and "secret" not in second


def test_whoever_has_a_key_gets_a_certificate_alone(shell: Shell) -> None:
    """The private key never leaves the caller."""
    openssl, keygen = need("openssl"), need("ssh-keygen")
    made = [openssl, "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "k.pem"]
    subprocess.run(made, cwd=shell.home, capture_output=True, check=True)
    subprocess.run([openssl, "pkey", "-in", "k.pem", "-pubout", "-out", "p.pem"], cwd=shell.home, check=True)
    subprocess.run([keygen, "-q", "-t", "ed25519", "-N", "", "-f", "id"], cwd=shell.home, check=True)
    printed = shell.good(*ISSUE, "--kind", "x509-svid", "--public-key", "p.pem")
    assert "PRIVATE" not in printed and printed.startswith("-----BEGIN CERTIFICATE-----")
    shell.good(*ISSUE, "--kind", "ssh-cert", "--public-key", "id.pub", "--out", "id-cert.pub")
    assert (shell.home / "id-cert.pub").read_text().startswith("ssh-ed25519-cert-v01@openssh.com ")
    assert "PRIVATE" in (shell.home / "id").read_text()


@pytest.mark.deep
@pytest.mark.parametrize(
    ("kind", "text", "why"),
    [
        ("x509-svid", "-----BEGIN PRIVATE KEY-----\nAA==\n", "a private key, which jitid does not accept"),
        ("x509-svid", "", "is not a public key"),
        ("x509-svid", "A" * 20_000, "is not a public key"),
        ("x509-svid", "-----BEGIN PUBLIC KEY-----\nAA==\n-----END PUBLIC KEY-----\n", "public key"),
        ("ssh-cert", "ssh-ed25519 AAAA", "public key"),
        ("jwt", "ssh-ed25519 AAAA", "cannot use a public key"),
    ],
)
def test_a_key_that_cannot_be_certified_is_refused(shell: Shell, kind: str, text: str, why: str) -> None:
    """No credential is issued for such a key."""
    shell.good("issue", "--task", "FIRST", "--delegator", "alice")
    done = shell.run(*ISSUE, "--kind", kind, "--public-key", "-", stdin=text)
    assert (done.returncode, done.stdout) == (2, "")
    assert why in done.stderr
    assert "AAAA" not in done.stderr and "AA==" not in done.stderr
    assert shell.run("list", "--task", "T1").stdout == ""


def test_parts_come_from_an_authority_elsewhere_too(tmp_path: Path) -> None:
    """The secret comes whole, and by the names of its parts."""
    with serving(tmp_path / "authority", "--socket", str(tmp_path / "s")):
        asking = Shell(tmp_path / "asking")
        asking.home.mkdir()
        asking.environment["JITID_REMOTE"] = f"unix://{tmp_path / 's'}"
        del asking.environment["JITID_LEDGER"]
        told = json.loads(asking.good("issue", "--task", "T1", "--kind", "ssh-cert", "--format", "json"))
        assert set(told["secret"]) == {"key", "certificate"}
        script = 'head -1 "$JITID_SECRET_WEB_CERTIFICATE" "$JITID_SECRET_WEB_KEY"'
        done = asking.run(
            "run",
            "--task",
            "T2",
            "--secret",
            "web=x509-svid",
            "--",
            "sh",
            "-c",
            script,
        )
        assert done.returncode == 0, done.stderr
        assert "BEGIN CERTIFICATE" in done.stdout and "BEGIN PRIVATE KEY" in done.stdout
