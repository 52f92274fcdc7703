"""How tokens of ours look: what tells one from other text, without a ledger and without a key."""

from __future__ import annotations

from binascii import crc32

OPAQUE_PREFIX = "jitid_"
SIGNED_MARK = "eyJqdGkiOiJqdGlf"
"""How the payload of each of our signed tokens begins: `{"jti":"jti_` in base64url."""
MAX_TOKEN = 16384
"""The longest token that is looked at, in bytes; a longer one is refused before anything is decoded."""
DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
RANDOM_LENGTH = 32
_CHECKSUM_LENGTH = 6
_LENGTH = len(OPAQUE_PREFIX) + RANDOM_LENGTH + _CHECKSUM_LENGTH


def is_opaque(text: str) -> bool:
    """Say whether the text has the shape and the checksum of an opaque token: a typo is found offline."""
    if len(text) != _LENGTH or not text.startswith(OPAQUE_PREFIX):
        return False
    digits = text[len(OPAQUE_PREFIX) :]
    if digits.strip(DIGITS):
        return False
    return checksum(digits[:RANDOM_LENGTH].encode("ascii")) == digits[RANDOM_LENGTH:]


def holds_token(text: str) -> bool:
    """Say whether a token of ours stands somewhere in a text: an opaque one, or the payload of a signed one."""
    at = text.find(OPAQUE_PREFIX)
    while at >= 0:
        if is_opaque(text[at : at + _LENGTH]):
            return True
        at = text.find(OPAQUE_PREFIX, at + 1)
    return SIGNED_MARK in text


def checksum(digits: bytes) -> str:
    """Return the last characters of an opaque token, by those after its prefix."""
    # CRC-32 in base62, the most significant digit first; 62**6 > 2**32, so that all of it fits.
    rest, sixth = divmod(crc32(digits), 62)
    rest, fifth = divmod(rest, 62)
    rest, fourth = divmod(rest, 62)
    rest, third = divmod(rest, 62)
    first, second = divmod(rest, 62)
    table = DIGITS
    return f"{table[first]}{table[second]}{table[third]}{table[fourth]}{table[fifth]}{table[sixth]}"
