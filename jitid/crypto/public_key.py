"""Public keys that callers present, and the fingerprints of keys.

A fingerprint is SHA-256 of the public key in the form of certificates (SubjectPublicKeyInfo: RFC 5280, section
4.1.2.7). The keys that jitid makes have one length for each algorithm, so a constant prefix replaces an encoder.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

from jitid.crypto import openssh

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

_ED25519 = bytes.fromhex("302a300506032b6570032100")  # RFC 8410, section 4
_PEM = "-----BEGIN PUBLIC KEY-----"
_P256 = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200")  # RFC 5480, section 2


def public_print(algorithm: str, public: bytes) -> bytes:
    """Return the fingerprint of a public key of `EdDSA` (32 bytes) or `ES256` (an uncompressed point of 65)."""
    return sha256((_ED25519 if algorithm == "EdDSA" else _P256) + public).digest()


def ssh_print(key: openssh.PublicKey) -> bytes | None:
    """Return the fingerprint of an SSH key; None for a key whose private half never leaves its device.

    Raises ValueError for an invalid key.
    """
    if key.type == openssh.ED25519:
        return public_print("EdDSA", key.fields[4:])
    if key.type.startswith("sk-"):
        return None
    # Imported late: only callers present such keys.
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_ssh_public_key

    try:
        loaded = load_ssh_public_key(openssh.line(key.type, key.blob).encode())
    except UnsupportedAlgorithm:
        raise ValueError("no key of a known sort") from None
    return sha256(loaded.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()


def is_pem(text: str) -> bool:
    """Return whether a text begins like a public key in PEM (RFC 7468, section 13)."""
    return text.lstrip().startswith(_PEM)


def load(text: str) -> PublicKeyTypes:
    """Return the public key of a text: PEM (SubjectPublicKeyInfo), or a line in the form of OpenSSH.

    Raises ValueError, without the text, for any other text, and for more than one key.
    """
    # Imported late: only callers present such keys.
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization

    if not text.isascii():
        raise ValueError("not ASCII")
    try:
        if is_pem(text):
            if text.count("-----BEGIN ") > 1:
                raise ValueError("more than one key")
            return serialization.load_pem_public_key(text.encode())
        key = openssh.parse_public(text)
        return serialization.load_ssh_public_key(openssh.line(key.type, key.blob).encode())
    except UnsupportedAlgorithm:
        raise ValueError("no key of a known sort") from None
