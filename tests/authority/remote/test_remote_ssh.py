"""SSH certificates of a remote authority: made there, delivered here, and revoked for hosts."""

from __future__ import annotations

import subprocess
from pathlib import Path

from jitid.crypto import openssh
from tests.real import Shell, need


def test_certificates_come_from_there_and_hosts_hear_of_their_end(client: Shell, tmp_path: Path) -> None:
    key, authorities, revoked = tmp_path / "deploy", tmp_path / "ca.pub", tmp_path / "krl"
    client.good("issue", "--task", "T1", "--kind", "ssh-cert", "--out", str(key))
    certificate = tmp_path / "deploy-cert.pub"
    parsed = openssh.parse_certificate(certificate.read_text())
    # The agent is not registered: its caller chose the name, and no host may grant a login by it.
    assert parsed.principals == (client.good("inspect", str(certificate), "--field", "id").strip(),)
    client.good("keys", "ssh", "--out", str(authorities))
    assert openssh.parse_public(authorities.read_text()).blob == parsed.authority
    assert client.good("inspect", str(certificate), "--field", "jti").strip() == parsed.key_id
    client.good("retire", "T1")
    client.good("keys", "krl", "--out", str(revoked))
    looked = subprocess.run(
        [need("ssh-keygen"), "-Q", "-f", str(revoked), str(certificate)], capture_output=True, text=True
    )
    assert looked.stdout.strip().endswith("REVOKED")


def test_a_key_made_here_is_certified_there(client: Shell, tmp_path: Path) -> None:
    key = tmp_path / "own"
    subprocess.run([need("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    line = ("issue", "--task", "T1", "--kind", "ssh-cert", "--public-key", f"{key}.pub")
    certificate = client.good(*line)
    own = openssh.parse_public((tmp_path / "own.pub").read_text())
    assert openssh.parse_certificate(certificate).key == own
    weak = tmp_path / "weak"
    subprocess.run(
        [need("ssh-keygen"), "-q", "-t", "rsa", "-b", "2048", "-N", "", "-f", str(weak)], check=True
    )
    refused = client.run(*line[:-1], f"{weak}.pub")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "too weak" in refused.stderr
