"""The text form of each kind of secret, which its user reads."""

from __future__ import annotations

import json

import pytest

from jitid.issuers.issuer import files_of, text_of
from jitid.values.secret import Secret

NOON = 1_763_985_600
CERTIFICATE = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n"
KEY = "-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n"
LINE = "ssh-ed25519-cert-v01@openssh.com AAAA jti_0"


@pytest.mark.parametrize("kind", ["jwt", "opaque", "jwt-svid", "exec:vaulty"])
def test_a_token_stands_alone_on_a_line(kind: str) -> None:
    """The shell expression $(…) gives only the token."""
    assert text_of(kind, Secret.single("abc"), NOON) == "abc\n"


def test_an_x509_svid_is_certificate_and_key_in_one_file() -> None:
    """`openssl s_server -cert` and Python's `load_cert_chain` read it. It has no key if the caller supplied the key."""
    assert text_of("x509-svid", Secret({"certificate": CERTIFICATE, "key": KEY}), NOON) == CERTIFICATE + KEY
    assert text_of("x509-svid", Secret({"certificate": CERTIFICATE}), NOON) == CERTIFICATE


def test_an_ssh_certificate_is_a_file_beside_its_key() -> None:
    """ssh(1) finds it with -i KEY. A certificate for a caller's key is the only file."""
    secret = Secret({"key": KEY, "certificate": LINE})
    assert text_of("ssh-cert", secret, NOON) == f"{KEY}{LINE}\n"
    assert files_of("ssh-cert", secret, NOON, "/k") == {"/k-cert.pub": f"{LINE}\n", "/k": KEY}
    assert files_of("ssh-cert", Secret({"certificate": LINE}), NOON, "/k") == {"/k": f"{LINE}\n"}


def test_a_database_role_is_a_url() -> None:
    """The URL is accepted by psql."""
    url = "postgresql://u:p@db.example/app"
    assert (
        text_of("postgres-role", Secret({"username": "u", "password": "p", "url": url}), NOON) == f"{url}\n"
    )


def test_a_cloud_session_is_what_credential_process_prints() -> None:
    """Version 1, with its expiration, on one line."""
    secret = Secret({"access_key_id": "ASIA", "secret_access_key": "s", "session_token": "t"})
    (line,) = text_of("aws-sts", secret, NOON).splitlines()
    assert json.loads(line) == {
        "Version": 1,
        "AccessKeyId": "ASIA",
        "SecretAccessKey": "s",
        "SessionToken": "t",
        "Expiration": "2025-11-24T12:00:00Z",
    }


@pytest.mark.parametrize("kind", ["openbao-lease", "exec:vaulty"])
def test_what_has_parts_of_its_own_is_one_json_object(kind: str) -> None:
    """The object is in ASCII, so that no part of it can control a terminal."""
    parts = {"user": "ä\x1b[2J", "pass": "p\nq"}
    text = text_of(kind, Secret(parts), NOON)
    assert text.isascii() and text.count("\n") == 1 and json.loads(text) == parts
