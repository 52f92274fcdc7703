"""The form of certificates, pinned: the output of `openssl` and `ssh-keygen` for fixed input, and a digest.

The nonce and the signature are random. The digest covers all other bytes, so it does not depend on a program's
version.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from jitid.crypto import openssh
from jitid.issuers.issuer import Draft, Ids, Issuer, Minted, Order
from jitid.issuers.ssh_cert import SshCertIssuer
from jitid.issuers.x509_svid import X509SvidIssuer
from jitid.keys.keyring import Signer, uncompressed
from jitid.values.ids import credential_id, identity_id
from jitid.values.times import parse_time
from tests.real import need

RECORDED = Path(__file__).parent / "certificates"
NOW = 1_795_521_600
LATE = parse_time("2050-06-01T00:00:00Z")
"""RFC 5280 writes years from 2050 on in another form."""

KEYS: Mapping[str, Any] = {
    "ed25519": Ed25519PrivateKey.from_private_bytes(b"\3" * 32).public_key(),
    "p256": ec.derive_private_key(3, ec.SECP256R1()).public_key(),
    "p384": ec.derive_private_key(3, ec.SECP384R1()).public_key(),
    "p521": ec.derive_private_key(3, ec.SECP521R1()).public_key(),
    "rsa": rsa.RSAPublicNumbers(65537, (1 << 3072) - (1 << 17) - 1).public_key(),
}
SECURITY_KEY = openssh.line(
    "sk-ssh-ed25519@openssh.com",
    openssh.strings(("sk-ssh-ed25519@openssh.com", KEYS["ed25519"].public_bytes_raw(), "ssh:")),
)


def pem(name: str) -> str:
    """Return a public key as a caller sends it."""
    form = Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
    return str(KEYS[name].public_bytes(*form).decode())


def draft(**changes: Any) -> Draft:
    """Return a draft with fixed names and times."""
    usual = Draft(
        "urn:jitid:test", "jitid.test", "user:alice", "asserted", (), "team/deployer@1", "INC-1", None, "moderate",
        0, (), ("urn:jitid:test",), None, NOW, NOW + 900, public_key=pem("ed25519"), registered=True,
    )  # fmt: skip
    return usual._replace(**changes)


def x509_issuer() -> Issuer:
    """Return an issuer with a fixed key; the key identifier in its certificate is not computed from the key."""
    key = ec.derive_private_key(7, ec.SECP256R1())
    name = x509.Name(
        [
            x509.NameAttribute(x509.NameOID.COUNTRY_NAME, "DE"),
            x509.NameAttribute(x509.NameOID.COMMON_NAME, "Root"),
        ]
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(moment(NOW))
        .not_valid_after(moment(LATE + 86_400))
        .add_extension(x509.SubjectKeyIdentifier(b"\5" * 20), critical=False)
        .sign(key, SHA256())
    )
    signer = Signer("ca", "ES256", uncompressed(key.public_key()), refuse, key)
    return X509SvidIssuer(signer, certificate.public_bytes(Encoding.DER))


def refuse(message: bytes) -> bytes:
    """Return a placeholder for a JWS signature, which a certificate does not contain."""
    raise AssertionError(message)


def ssh_issuer() -> Issuer:
    """Return an issuer with a fixed key."""
    key = Ed25519PrivateKey.from_private_bytes(b"\7" * 32)
    return SshCertIssuer(Signer("ca", "EdDSA", key.public_key().public_bytes_raw(), key.sign))


def moment(at: int) -> datetime:
    """Return a time in the form that `cryptography` expects."""
    return datetime.fromtimestamp(at, UTC)


def printed(folder: Path, text: str, *words: str) -> str:
    """Return the output of a program for a certificate."""
    (folder / "certificate").write_text(text)
    environment = {"PATH": os.environ["PATH"], "TZ": "UTC", "LC_ALL": "C"}
    program, *more = words
    return subprocess.run(
        [need(program), *more, "certificate"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout


def x509_form(folder: Path, made: Minted) -> str:
    """Return the text of an X.509 certificate, and the digest of all but its signature."""
    text = made.secret.reveal("certificate")
    signed = x509.load_pem_x509_certificate(text.encode()).tbs_certificate_bytes
    assert made.claims_hash == sha256(signed).digest()
    shown = printed(
        folder,
        text,
        "openssl",
        "x509",
        "-noout",
        "-text",
        "-certopt",
        "no_sigdump",
        "-nameopt",
        "RFC2253",
        "-in",
    )
    return f"{shown}SHA-256 of what is signed: {sha256(signed).hexdigest()}\n"


def ssh_form(folder: Path, made: Minted) -> str:
    """Return the text of an SSH certificate, and the digest of all but its nonce and its signature."""
    text = made.secret.reveal("certificate")
    parsed = openssh.parse_certificate(text)
    reader = openssh.Reader(parsed.signed)
    reader.string()
    start = reader.at
    assert len(reader.string()) == 32
    digest = sha256(parsed.signed[:start] + parsed.signed[reader.at :]).hexdigest()
    shown = printed(folder, text + "\n", "ssh-keygen", "-L", "-f")
    return f"{shown}SHA-256 of what is signed, without the nonce: {digest}\n"


TEMPLATE = {
    "principals": ["deploy", "web:restart"],
    "source_address": ["192.0.2.0/24", "2001:db8::1"],
    "force_command": "/usr/bin/systemctl restart web",
    "extensions": ["permit-pty", "permit-agent-forwarding", "no-touch-required"],
}
NAMES = {"dns_names": ["db.example", "*.db.example", "a" * 63 + ".example"]}

X509 = {
    **{f"x509-{name}": draft(public_key=pem(name)) for name in KEYS},
    "x509-names": draft(template="db", options=NAMES, agent="a" * 128, registered=False),
    "x509-late": draft(expires_at=LATE),
}
SSH = {
    **{f"ssh-{name}": draft(public_key=pem(name)) for name in KEYS},
    "ssh-security-key": draft(public_key=SECURITY_KEY),
    "ssh-template": draft(template="web", options=TEMPLATE),
    "ssh-unregistered": draft(registered=False, expires_at=LATE),
}
IDS = Ids(identity_id(b"\1" * 16), credential_id(bytes(range(0x80, 0x90))))


def form(folder: Path, name: str) -> str:
    """Return the form of the certificate of a case."""
    issuer, issue, shown = (
        (x509_issuer(), X509[name], x509_form) if name in X509 else (ssh_issuer(), SSH[name], ssh_form)
    )
    (made,) = issuer.mint([Order(issue, [IDS])])
    return shown(folder, made)


@pytest.mark.parametrize("name", [*X509, *SSH])
def test_a_certificate_has_the_recorded_form(tmp_path: Path, name: str) -> None:
    assert form(tmp_path, name) == (RECORDED / f"{name}.txt").read_text(encoding="utf-8")


def test_a_private_key_for_ssh_has_the_recorded_form() -> None:
    public = Ed25519PrivateKey.from_private_bytes(b"\3" * 32).public_key().public_bytes_raw()
    text = openssh.private_file(b"\3" * 32, public, b"1234", IDS.jti)
    assert text == (RECORDED / "ssh-private-key.txt").read_text(encoding="utf-8")
