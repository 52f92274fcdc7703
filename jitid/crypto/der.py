"""DER (X.690) and PEM (RFC 7468) of certificates, as far as the issue of one needs them.

`cryptography.x509` is not loaded to issue a certificate: see `x509_form`. The tests compare these bytes with the bytes
that the library writes. A certificate of a caller is parsed by the library, after `from_pem` has accepted its text:
the library accepts several spellings of one certificate.

And the certificates that jitid issues (RFC 5280, section 4.1; SPIFFE X509-SVID, section 4).

`cryptography.x509` would write the same bytes; the tests compare the two. It costs `jitid issue --kind x509-svid`
another third of its time, and each certificate of many 1.7 times as much.
"""

from __future__ import annotations

import binascii
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha1

from jitid.errors import IntegrityError
from jitid.values.record import Record

INTEGER, BITS, OCTETS, NULL, OID, UTF8, SEQUENCE, SET = 0x02, 0x03, 0x04, 0x05, 0x06, 0x0C, 0x30, 0x31
_UTC_TIME, _GENERAL_TIME = 0x17, 0x18
_LAST_UTC_YEAR = 2049
_WIDTH = 64
_MOST_BLOCKS = 8
_BLANKS = " \t\r\n"
_WITHOUT_BLANKS = dict.fromkeys(map(ord, _BLANKS))
_KEY_ID = bytes.fromhex("0603551d0e")  # 2.5.29.14, of a subject key identifier


def tlv(tag: int, *parts: bytes) -> bytes:
    """Return the encoding of a value: its tag, its length and its parts."""
    body = b"".join(parts)
    size = len(body)
    if size < 0x80:
        return bytes((tag, size)) + body
    width = (size.bit_length() + 7) // 8
    return bytes((tag, 0x80 | width)) + size.to_bytes(width, "big") + body


def integer(value: int) -> bytes:
    """Return the encoding of a non-negative integer."""
    return tlv(INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def oid(dotted: str) -> bytes:
    """Return the encoding of an object identifier."""
    first, second, *arcs = map(int, dotted.split("."))
    encoded = [bytes([first * 40 + second])]
    for arc in arcs:
        digits = [arc & 0x7F]
        while arc := arc >> 7:
            digits.append(0x80 | arc & 0x7F)
        encoded.append(bytes(reversed(digits)))
    return tlv(OID, *encoded)


def time(timestamp: int) -> bytes:
    """Return the encoding of a time in seconds since the epoch (RFC 5280, section 4.1.2.5)."""
    moment = datetime.fromtimestamp(timestamp, UTC)
    if moment.year > _LAST_UTC_YEAR:
        return tlv(_GENERAL_TIME, f"{moment:%Y%m%d%H%M%SZ}".encode())
    return tlv(_UTC_TIME, f"{moment:%y%m%d%H%M%SZ}".encode())


def parts(der: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Yield the tag, the content and the whole encoding of each value in a sequence of values.

    Raises ValueError for a truncated value.
    """
    while der:
        start, size = 2, der[1] if len(der) > 1 else 0
        if size & 0x80:
            start += size & 0x7F
            size = int.from_bytes(der[2:start], "big")
        end = start + size
        if len(der) < max(end, 2):
            raise ValueError("cut")
        yield der[0], der[start:end], der[:end]
        der = der[end:]


class IssuerFields(Record):
    """The fields of an authority's certificate that the certificates it signs depend on."""

    name: bytes
    """The subject, in DER."""
    key_id: bytes
    ends_at: int
    """The end of its validity, in seconds since the epoch."""


def authority(certificate: bytes) -> IssuerFields:
    """Return the fields of an authority's certificate in DER. Raises IntegrityError for a damaged one."""
    try:
        ((_, body, _),) = parts(certificate)
        (_, signed, _), *_ = parts(body)
        fields = [field for field in parts(signed) if field[0] != 0xA0]
        validity, subject, key, *optional_fields = fields[3:]
        _, (tag, not_after, _) = parts(validity[1])
        return IssuerFields(subject[2], _key_id(key[1], optional_fields), _seconds(tag, not_after.decode()))
    except (ValueError, IndexError):
        raise _damaged() from None


def _seconds(tag: int, text: str) -> int:
    if tag == _UTC_TIME:
        # RFC 5280, section 4.1.2.5.1.
        text = ("20" if text < "5" else "19") + text
    # `strptime` would cost start-up.
    month, day, hour, minute, second = (int(text[offset : offset + 2]) for offset in range(4, 14, 2))
    return int(datetime(int(text[:4]), month, day, hour, minute, second, tzinfo=UTC).timestamp())


def _key_id(key: bytes, optional_fields: list[tuple[int, bytes, bytes]]) -> bytes:
    for tag, content, _ in optional_fields:
        if tag == 0xA3:
            ((_, extensions, _),) = parts(content)
            for _, extension, _ in parts(extensions):
                if extension.startswith(_KEY_ID):
                    *_, (_, value, _) = parts(extension)
                    ((_, key_id, _),) = parts(value)
                    return key_id
    return _digest(key)


def subject_key_id(key: bytes) -> bytes:
    """Return the identifier of a public key, a SubjectPublicKeyInfo in DER (RFC 5280, section 4.2.1.2, method 1)."""
    ((_, content, _),) = parts(key)
    return _digest(content)


def _digest(key: bytes) -> bytes:
    # The value of the BIT STRING without its first byte, the number of unused bits.
    _, (_, bits, _) = parts(key)
    return sha1(bits[1:], usedforsecurity=False).digest()


def split(chain: bytes) -> list[bytes]:
    """Return the certificates of a chain in DER. Raises IntegrityError for a damaged one."""
    try:
        values = [(tag, whole) for tag, _, whole in parts(chain)]
    except ValueError:
        raise _damaged() from None
    if not values or any(tag != SEQUENCE for tag, _ in values):
        raise _damaged()
    return [whole for _, whole in values]


def _damaged() -> IntegrityError:
    return IntegrityError("a CA certificate in the ledger is damaged", "run: jitid audit verify")


def to_pem(der: bytes, label: str = "CERTIFICATE") -> str:
    """Return DER as PEM text."""
    body = binascii.b2a_base64(der, newline=False).decode("ascii")
    lines = [body[start : start + _WIDTH] for start in range(0, len(body), _WIDTH)]
    return "\n".join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""])


def from_pem(text: str, label: str = "CERTIFICATE") -> list[bytes]:
    """Return the DER of each PEM block of a text. Raises ValueError, without the text, if it contains anything else.

    Lines may have any length and any line ending; the base64 must be canonical.
    """
    begin, end = f"-----BEGIN {label}-----", f"-----END {label}-----"
    blocks: list[bytes] = []
    remaining = text.strip(_BLANKS)
    while remaining:
        if not remaining.startswith(begin) or len(blocks) == _MOST_BLOCKS:
            raise ValueError("not PEM")
        body, mark, remaining = remaining[len(begin) :].partition(end)
        if not mark or "-" in body:
            raise ValueError("not PEM")
        joined = body.translate(_WITHOUT_BLANKS)
        der = binascii.a2b_base64(joined.encode("ascii"), strict_mode=True)
        # Spare bits that are not zero would be a second spelling.
        if not der or binascii.b2a_base64(der, newline=False).decode("ascii") != joined:
            raise ValueError("not canonical base64")
        blocks.append(der)
        remaining = remaining.lstrip(_BLANKS)
    if not blocks:
        raise ValueError("not PEM")
    return blocks


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


class CertificateForm(Record):
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
