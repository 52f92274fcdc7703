"""SVIDs of a remote authority: made there, with keys made here or there, and revoked for verifiers."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.real import Shell, need


def _openssl(*words: str, folder: Path) -> str:
    done = subprocess.run([need("openssl"), *words], cwd=folder, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


@pytest.mark.deep
def test_certificates_come_from_there_and_verifiers_hear_of_their_end(client: Shell, tmp_path: Path) -> None:
    places = {
        name: str(tmp_path / name) for name in ("leaf.pem", "roots.pem", "list.pem", "own.key", "own.csr")
    }
    client.good("issue", "--task", "T1", "--kind", "x509-svid", "--out", places["leaf.pem"])
    client.good("keys", "bundle", "--format", "pem", "--out", places["roots.pem"])
    words = ("verify", "-crl_check", "-CAfile", "roots.pem", "-CRLfile", "list.pem", "leaf.pem")
    client.good("keys", "crl", "--out", places["list.pem"])
    assert "leaf.pem: OK" in _openssl(*words, folder=tmp_path)
    jti = client.good("inspect", places["leaf.pem"], "--field", "jti").strip()
    assert client.good("trace", places["leaf.pem"], "--field", "jti").strip() == jti
    client.good("verify", places["leaf.pem"])
    # A certificate is not a token: it can neither be renewed nor be a parent.
    for line in (("renew", "--token-file"), ("issue", "--agent", "child", "--parent-file")):
        refused = client.run(*line, places["leaf.pem"])
        assert refused.returncode in (2, 8), line
        assert refused.stdout == "", line
    client.good("retire", "T1")
    client.good("keys", "crl", "--out", places["list.pem"])
    assert "certificate revoked" in _openssl(*words, folder=tmp_path)
    assert client.run("verify", places["leaf.pem"]).returncode == 8


def test_a_key_made_here_is_certified_there(client: Shell, tmp_path: Path) -> None:
    _openssl(
        "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "own.key",
        "-out", "own.csr", "-subj", "/CN=whatever", folder=tmp_path,
    )  # fmt: skip
    made = client.good(
        "issue", "--task", "T1", "--kind", "x509-svid", "--public-key", str(tmp_path / "own.csr")
    )
    assert made.count("-----BEGIN") == 1
    (tmp_path / "leaf.pem").write_text(made)
    own, certified = (
        _openssl(*words, folder=tmp_path)
        for words in (("pkey", "-in", "own.key", "-pubout"), ("x509", "-in", "leaf.pem", "-pubkey", "-noout"))
    )
    assert own.strip()
    assert own.strip() == certified.strip()
