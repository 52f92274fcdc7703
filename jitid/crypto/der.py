"""DER (X.690) and PEM (RFC 7468) of certificates, as far as the issue of one needs them.

`cryptography.x509` is not loaded to issue a certificate: see `x509_form`. The tests compare these bytes with the bytes
that the library writes. A certificate of a caller is parsed by the library, after `from_pem` has accepted its text:
the library accepts several spellings of one certificate.
"""

from __future__ import annotations

import binascii
from collections.abc import Iterator
from datetime import UTC, datetime
from hashlib import sha1
from typing import NamedTuple

from jitid.errors import IntegrityError

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


class IssuerFields(NamedTuple):
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
    return IntegrityError("the certificates of an authority are damaged in the ledger", "jitid audit verify")


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
