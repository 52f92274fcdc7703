"""The fingerprint by which a key is known: SHA-256 of its public half as certificates have it (SubjectPublicKeyInfo).

That is RFC 5280, section 4.1.2.7. The keys that we make have one length each, so that nothing need be encoded.
"""

from __future__ import annotations

from hashlib import sha256

from jitid import sshwire

_ED25519 = bytes.fromhex("302a300506032b6570032100")  # RFC 8410, section 4
_P256 = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200")  # RFC 5480, section 2


def public_print(algorithm: str, public: bytes) -> bytes:
    """Return the fingerprint of a public key of `EdDSA` (32 bytes) or `ES256` (an uncompressed point of 65)."""
    return sha256((_ED25519 if algorithm == "EdDSA" else _P256) + public).digest()


def ssh_print(key: sshwire.PublicKey) -> bytes | None:
    """Return the fingerprint of an SSH key; None for one whose private half never leaves its device.

    Raises ValueError for what is no key.
    """
    if key.type == sshwire.ED25519:
        return public_print("EdDSA", key.fields[4:])
    if key.type.startswith("sk-"):
        return None
    # Only callers bring such keys.
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_ssh_public_key

    try:
        loaded = load_ssh_public_key(sshwire.line(key.type, key.blob).encode())
    except UnsupportedAlgorithm:
        raise ValueError("no key of a known sort") from None
    return sha256(loaded.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()
