"""The DER of the certificates that jitid issues (RFC 5280, section 4.1; SPIFFE X509-SVID, section 4).

`cryptography.x509` would write the same bytes; the tests compare the two. It costs `jitid issue --kind x509-svid`
another third of its time, and each certificate of many 1.7 times as much.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from jitid.crypto.der import (
    BITS,
    INTEGER,
    OCTETS,
    SEQUENCE,
    SET,
    UTF8,
    IssuerFields,
    integer,
    oid,
    subject_key_id,
    time,
    tlv,
    to_pem,
)

TOLERANCE = 60
"""Seconds that a certificate is valid before its issue, because a verifier's clock may be slow."""

VERSION_3 = tlv(0xA0, integer(2))
SIGNATURE = tlv(SEQUENCE, oid("1.2.840.10045.4.3.2"))  # ecdsa-with-SHA256
_TRUE = b"\x01\x01\xff"
_P256 = tlv(SEQUENCE, oid("1.2.840.10045.2.1"), oid("1.2.840.10045.3.1.7"))
_SUBJECT_KEY = "2.5.29.14"
_ALTERNATIVE_NAME = oid("2.5.29.17")
_DNS, _URI = 0x82, 0x86


def _extension(name: str, value: bytes, *, critical: bool) -> bytes:
    return tlv(SEQUENCE, oid(name), _TRUE if critical else b"", tlv(OCTETS, value))


_USAGE = (
    # Basic constraints: an empty list means that the holder is not an authority.
    _extension("2.5.29.19", tlv(SEQUENCE), critical=True),
    # Key usage: digitalSignature, the first bit, alone.
    _extension("2.5.29.15", tlv(BITS, b"\x07\x80"), critical=True),
    # Extended key usage: serverAuth and clientAuth.
    _extension(
        "2.5.29.37", tlv(SEQUENCE, oid("1.3.6.1.5.5.7.3.1"), oid("1.3.6.1.5.5.7.3.2")), critical=False
    ),
)
"""The extensions that limit the use of the key."""

# Values of fixed length have a fixed prefix, which is encoded once.
_JTI = 30
_POINT = 65
_SCALAR = 32
_SUBJECT = tlv(SEQUENCE, tlv(SET, tlv(SEQUENCE, oid("2.5.4.3"), tlv(UTF8, bytes(_JTI)))))[:-_JTI]
"""The common name is the jti, so that logs with the subject alone can be joined with the ledger."""
_KEY = tlv(SEQUENCE, _P256, tlv(BITS, b"\0", bytes(_POINT)))[:-_POINT]
_BETWEEN = tlv(0xA1, tlv(BITS, b"\0", bytes(_POINT)))[:-_POINT]
_PRIVATE = tlv(
    SEQUENCE,
    tlv(INTEGER, b"\0"),
    _P256,
    tlv(
        OCTETS,
        tlv(SEQUENCE, tlv(INTEGER, b"\1"), tlv(OCTETS, bytes(_SCALAR)), _BETWEEN + bytes(_POINT)),
    ),
)[: -_POINT - len(_BETWEEN) - _SCALAR]


class CertificateForm(NamedTuple):
    """The parts that all certificates of one issue share, in DER."""

    issued: bytes
    """The algorithm of the signature, the issuer and the validity."""
    extensions: bytes
    """The use of the key, and the identifier of the authority's key."""
    dns_names: bytes

    def to_be_signed(self, serial: int, jti: str, key: bytes, uri: str) -> bytes:
        """Return the part of a certificate that the authority signs; `key` is a SubjectPublicKeyInfo in DER."""
        names = tlv(SEQUENCE, tlv(_URI, uri.encode()), self.dns_names)
        alternative = tlv(SEQUENCE, _ALTERNATIVE_NAME, tlv(OCTETS, names))
        # RFC 5280, section 4.2.1.2: the certificate of an end entity SHOULD identify its key, too.
        key_id = _extension(_SUBJECT_KEY, tlv(OCTETS, subject_key_id(key)), critical=False)
        return tlv(
            SEQUENCE,
            VERSION_3,
            integer(serial),
            self.issued,
            _SUBJECT + jti.encode(),
            key,
            tlv(0xA3, tlv(SEQUENCE, self.extensions, key_id, alternative)),
        )


def form(
    authority: IssuerFields, issued_at: int, expires_at: int, dns_names: Iterable[str]
) -> CertificateForm:
    """Return the shared parts of certificates of an authority; times are seconds since the epoch."""
    return CertificateForm(
        SIGNATURE + authority.name + _validity(issued_at, expires_at),
        _extensions(authority.key_id),
        b"".join([tlv(_DNS, name.encode()) for name in dns_names]),
    )


def certificate(signed: bytes, signature: bytes) -> bytes:
    """Return a certificate from its signed part and the authority's signature in DER."""
    return tlv(SEQUENCE, signed, SIGNATURE, tlv(BITS, b"\0", signature))


@lru_cache(maxsize=4)
def _extensions(authority_key_id: bytes) -> bytes:
    key_id = _extension("2.5.29.35", tlv(SEQUENCE, tlv(0x80, authority_key_id)), critical=False)
    return b"".join((*_USAGE, key_id))


@lru_cache(maxsize=16)
def _validity(issued_at: int, expires_at: int) -> bytes:
    # A certificate includes its last second (RFC 5280, section 4.1.2.5); an expiry does not.
    return tlv(SEQUENCE, time(issued_at - TOLERANCE), time(expires_at - 1))


def public_info(point: bytes) -> bytes:
    """Return the SubjectPublicKeyInfo of an uncompressed point of P-256 (RFC 5480, section 2)."""
    return _KEY + point


def private_pem(scalar: int, point: bytes) -> str:
    """Return a private key of P-256 as text (RFC 5958; RFC 5915)."""
    return to_pem(_PRIVATE + scalar.to_bytes(_SCALAR, "big") + _BETWEEN + point, "PRIVATE KEY")
