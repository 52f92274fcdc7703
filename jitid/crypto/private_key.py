"""Private keys in a text, identified by the fingerprint of their public half; the keys themselves are not kept.

Keys are PEM (RFC 7468): PKCS#8 (RFC 5958), SEC 1 (RFC 5915), PKCS#1 (RFC 8017) and OpenSSH's own form (PROTOCOL.key);
or the 32 bytes of a keyring file.

Also public keys that callers present, and the fingerprints of keys.

A fingerprint is SHA-256 of the public key in the form of certificates (SubjectPublicKeyInfo: RFC 5280, section
4.1.2.7). The keys that jitid makes have one length for each algorithm, so a constant prefix replaces an encoder.
"""

from __future__ import annotations

import re
import warnings
from binascii import a2b_base64, b2a_base64
from hashlib import sha256
from typing import TYPE_CHECKING

from jitid.crypto import openssh
from jitid.redaction.token_format import MAX_TOKEN
from jitid.values.record import Record

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes


_ED25519 = bytes.fromhex("302a300506032b6570032100")  # RFC 8410, section 4
_PEM = "-----BEGIN PUBLIC KEY-----"
_P256 = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200")  # RFC 5480, section 2

_RSA = bytes.fromhex(
    "30820122300d06092a864886f70d01010105000382010f003082010a0282010100"
)  # RFC 4055, section 1.2
_RSA_END = bytes.fromhex("0203010001")  # the exponent


def public_print(algorithm: str, public: bytes) -> bytes:
    """Return the fingerprint of a public key in the form of `jws.verify_signature`."""
    if algorithm == "RS256":
        return sha256(_RSA + public + _RSA_END).digest()
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
        raise ValueError("not a supported key") from None
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
        raise ValueError("not a supported key") from None


UNREADABLE = bytes(32)
"""The placeholder for the fingerprint of an encrypted key whose file does not contain the public half."""

SEED = 32
"""The number of bytes of a private key in a keyring."""

_LONGEST = MAX_TOKEN
_BEGIN = re.compile(rb"-----BEGIN ((?:[A-Z0-9]{2,12} ){0,2})PRIVATE KEY-----")
_DASHES = b"-----"
_END = b"-----END "
_MORE = 4
_OPENSSH = b"OPENSSH "
_ENCRYPTED = b"ENCRYPTED"
_HEADERS = 256
"""The number of bytes at the start in which an old form states that it is encrypted (RFC 1421, section 4.6.1.1)."""
_ESCAPED = re.compile(rb"\\u00([0-9A-Fa-f]{2})")
_JOINED = re.compile(rb"[\"'`]\s*\+\s*[\"'`]")
_BREAKS = re.compile(rb"\\+[nrt]?|[^0-9A-Za-z+/=\\]+")
_SEQUENCE = 0x30
_SHORTEST = 40
# Bytes near the beginning of a binary private key: the object identifiers of Ed25519, of elliptic curves and of RSA;
# or the beginning of SEC 1.
_KEY_MARKS = (
    bytes.fromhex("06032b6570"),
    bytes.fromhex("06072a8648ce3d0201"),
    bytes.fromhex("06092a864886f70d010101"),
    bytes.fromhex("0201010420"),
)
_NEAR = 40


class FoundKey(Record):
    """A private key that was found."""

    public: bytes
    """SHA-256 of its public half (SubjectPublicKeyInfo), or `UNREADABLE`."""
    proved: bool
    """Whether the private half was read. Any public half may be written beside an encrypted private one."""


def key_at(window: bytes | bytearray, position: int) -> FoundKey | None:
    """Return the key of the PEM block at a position; None if it is not a private key, or incomplete.

    Its lines may have any length, and the line breaks of JSON, a quotation, program source or a diff.
    """
    opening = _BEGIN.match(window, position)
    if opening is None:
        return None
    start = opening.end()
    # The next key begins at the next dashes at the earliest, so no byte is read twice.
    stop = window.find(_DASHES, start, start + _LONGEST)
    if stop >= 0:
        # In a diff of a diff, further dashes precede the end mark.
        stop = window.find(_END, stop, stop + len(_END) + _MORE)
    if stop < 0:
        return None
    body = bytes(window[start:stop])
    if b"\0" in body:
        # A NUL separates two texts in the same window.
        return None
    if _ENCRYPTED in opening[1] or _ENCRYPTED in body[:_HEADERS]:
        return FoundKey(UNREADABLE, proved=False)
    try:
        raw = a2b_base64(_plain(body, bytes(window[max(0, position - 1) : position])))
        return _openssh(raw) if opening[1] == _OPENSSH else key_of(raw)
    except ValueError:
        return None


def bare_key(raw: bytes) -> FoundKey | None:
    """Return the key at the start of some bytes (DER); None if they do not look like a key."""
    looks = len(raw) >= _SHORTEST and raw[0] == _SEQUENCE and any(mark in raw[:_NEAR] for mark in _KEY_MARKS)
    return key_of(raw) if looks else None


def key_of(raw: bytes) -> FoundKey | None:
    """Return the key at the start of some bytes (DER); None for any other bytes."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_der_private_key

    from jitid.crypto.der import parts

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # `_known` makes the necessary part of the skipped check, for a thousandth of its cost.
            first = next((value for _, _, value in parts(raw)), b"")
            return _known(load_der_private_key(first, None, unsafe_skip_rsa_key_validation=True))
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None


def of_seed(seed: bytes) -> tuple[bytes, ...]:
    """Return the fingerprints of the public keys of a 32-byte private key, one for each algorithm of jitid."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519

    edwards = ed25519.Ed25519PrivateKey.from_private_bytes(seed)
    prints = [public_print("EdDSA", edwards.public_key().public_bytes_raw())]
    try:
        p256 = _known(ec.derive_private_key(int.from_bytes(seed, "big"), ec.SECP256R1()))
    except ValueError:  # not every 32 bytes are a scalar
        p256 = None
    return tuple(prints if p256 is None else [*prints, p256.public])


def _plain(body: bytes, prefix: bytes) -> bytes:
    """Return only the base64 of a body; `prefix` is the character before the first line."""
    if b"\\u00" in body:
        body = _ESCAPED.sub(lambda match: bytes.fromhex(match[1].decode("ascii")), body)
    if prefix in (b"+", b"-") and body.count(b"\n" + prefix) == body.count(b"\n"):
        # A diff puts this character before each line; a plus is also a digit of base64.
        body = body.replace(b"\n" + prefix, b"\n")
    return _BREAKS.sub(b"", _JOINED.sub(b"", body))


def _openssh(raw: bytes) -> FoundKey | None:
    """Return the key of an OpenSSH file. Raises ValueError for other data."""
    cipher, key = openssh.shown_public(raw)
    if cipher != "none":
        public = ssh_print(key)
        return None if public is None else FoundKey(public, proved=False)
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_ssh_private_key

    lines = b2a_base64(raw)
    text = b"-----BEGIN OPENSSH PRIVATE KEY-----\n" + lines + b"-----END OPENSSH PRIVATE KEY-----\n"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _known(load_ssh_private_key(text, None, unsafe_skip_rsa_key_validation=True))
    except (TypeError, UnsupportedAlgorithm):
        return None


def _known(private: PrivateKeyTypes) -> FoundKey | None:
    """Return the facts of a private key; None if its parts do not match, or for a type that jitid never certifies.

    The public half is computed again: a file may contain any public half, and its author may not have the private
    half.
    """
    from hashlib import sha256

    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    public: ec.EllipticCurvePublicKey | rsa.RSAPublicKey
    if isinstance(private, ed25519.Ed25519PrivateKey):
        return FoundKey(public_print("EdDSA", private.public_key().public_bytes_raw()), proved=True)
    if isinstance(private, ec.EllipticCurvePrivateKey):
        scalar = private.private_numbers().private_value
        public = ec.derive_private_key(scalar, private.curve).public_key()
    elif isinstance(private, rsa.RSAPrivateKey):
        numbers = private.private_numbers()
        if numbers.p * numbers.q != numbers.public_numbers.n or min(numbers.p, numbers.q) < 2:
            return None
        public = private.public_key()
    else:
        return None
    der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return FoundKey(sha256(der).digest(), proved=True)
