"""Identifiers of identities, credentials, approvals and access: UUIDv7 as text that sorts by time."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

from jitid.errors import UsageError
from jitid.values.text import quote, refuse_mark

# RFC 4648 section 7, in lower case; these are also the digits that `int(text, 32)` reads.
_DIGITS = "0123456789abcdefghijklmnopqrstuv"
_PAIRS = [high + low for high in _DIGITS for low in _DIGITS]
_LENGTH = 26  # 128 bits in groups of five, the last with two spare bits

IDENTITY = "jid_"
"""The prefix of the id of an identity."""
CREDENTIAL = "jti_"
"""The prefix of the id of a credential."""
PREFIXES = (IDENTITY, CREDENTIAL)

_FIXED_BITS = (0xF << 76) | (0b11 << 62)
_FREE_BITS = (1 << 80) - 1 ^ _FIXED_BITS
_VERSION_AND_VARIANT = (0x7 << 76) | (0b10 << 62)


def new_uuid7(now_ms: int, random: bytes) -> bytes:
    """Return the 16 bytes of a UUID of version 7 (RFC 9562 section 5.7).

    `now_ms` is the time in milliseconds since the epoch, `random` ten random bytes, of which six bits are not
    used. Raise ValueError for a time that does not fit into 48 bits, or another number of bytes.
    """
    if len(random) != 10:
        raise ValueError("a UUID of version 7 requires ten random bytes")
    if not 0 <= now_ms < 1 << 48:
        raise ValueError("the time does not fit into a UUID of version 7")
    value = (now_ms << 80) | (int.from_bytes(random) & _FREE_BITS) | _VERSION_AND_VARIANT
    return value.to_bytes(16)


def new_uuid7s(now_ms: int, random: bytes, count: int) -> list[bytes]:
    """Return consecutive UUIDs of version 7, the first of them random (RFC 9562 section 6.2, method 2).

    For `count` up to 2**61; the arguments are those of `new_uuid7`.
    """
    # The highest bit of the random part is cleared, so that counting never carries into the variant.
    first_value = int.from_bytes(new_uuid7(now_ms, random)) & ~(1 << 61)
    return [(first_value + index).to_bytes(16) for index in range(count)]


def identity_id(raw: bytes) -> str:
    """Return an identity's 16 bytes as text: `jid_` and 26 characters of base32hex (RFC 4648 section 7)."""
    return IDENTITY + _base32(raw)


def credential_id(raw: bytes) -> str:
    """Return a credential's 16 bytes as text, its `jti`: `jti_` and 26 characters of base32hex."""
    return "jti_" + _base32(raw)


def approval_id(raw: bytes) -> str:
    """Return the 16 bytes of a request for approval as text: `apr_` and 26 characters of base32hex."""
    return "apr_" + _base32(raw)


def access_id(raw: bytes) -> str:
    """Return the 16 bytes of an access credential as text: `acc_` and 26 characters of base32hex."""
    return "acc_" + _base32(raw)


def _base32(raw: bytes) -> str:
    if len(raw) != 16:
        raise ValueError("an identifier must have 16 bytes")
    bits = int.from_bytes(raw) << 2
    pairs = _PAIRS
    # The halves fit into machine words, where shifting is cheapest.
    high, low = bits >> 70, bits & 0x3FFFFFFFFFFFFFFFFF
    return (
        f"{_upper(high)}{pairs[low >> 60]}{pairs[low >> 50 & 1023]}"
        f"{pairs[low >> 40 & 1023]}{pairs[low >> 30 & 1023]}{pairs[low >> 20 & 1023]}"
        f"{pairs[low >> 10 & 1023]}{pairs[low & 1023]}"
    )


# Ids that are made together share the upper half.
@lru_cache(maxsize=16)
def _upper(high: int) -> str:
    pairs = _PAIRS
    return (
        f"{pairs[high >> 50]}{pairs[high >> 40 & 1023]}{pairs[high >> 30 & 1023]}{pairs[high >> 20 & 1023]}"
        f"{pairs[high >> 10 & 1023]}{pairs[high & 1023]}"
    )


def parse_id(text: str) -> tuple[Literal["jid", "jti"], bytes]:
    """Return the kind of an identifier and its 16 bytes.

    Each has one spelling: lower case, no padding, spare bits zero. Raise UsageError for anything else.
    """
    kind: Literal["jid", "jti"]
    if text.startswith("jid_"):
        kind = "jid"
    elif text.startswith("jti_"):
        kind = "jti"
    else:
        refuse_mark(text, "the id")
        # The text may be a token that was pasted by mistake, so it is not shown.
        raise UsageError("not an id of an identity (jid_…) or of a credential (jti_…)")
    return kind, _raw(text)


def parse_approval_id(text: str) -> bytes:
    """Return the 16 bytes of a request for approval; the id has one spelling. Raise UsageError for any other text."""
    if not text.startswith("apr_"):
        refuse_mark(text, "the id")
        raise UsageError("not an id of a request for approval (apr_…)", "see: jitid approve list")
    return _raw(text)


def parse_access_id(text: str) -> bytes:
    """Return the 16 bytes of an access credential; the id has one spelling. Raise UsageError for any other text."""
    if not text.startswith("acc_"):
        refuse_mark(text, "the id")
        raise UsageError("not an id of an access credential (acc_…)", "see: jitid access list")
    return _raw(text)


def _raw(text: str) -> bytes:
    kind, digits = text[:3], text[4:]
    # The check comes before `int`, which also reads signs, spaces, underscores, capitals and foreign digits.
    if len(digits) != _LENGTH or digits.strip(_DIGITS):
        refuse_mark(text, "the id")
        raise UsageError(f"{quote(text)} is not an id: expected {kind}_ and 26 characters of 0-9 and a-v")
    bits = int(digits, 32)
    if bits & 0b11:
        raise UsageError(f"{quote(text)} is not an id: its last character is invalid")
    return (bits >> 2).to_bytes(16)
