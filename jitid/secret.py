"""Secrets: a type that prints as stars, the fingerprint that is kept instead, and opaque tokens."""

from __future__ import annotations

import hashlib
from binascii import crc32
from collections.abc import Callable, Mapping
from typing import NoReturn

OPAQUE_PREFIX = "jitid_"
SIGNED_MARK = "eyJqdGkiOiJqdGlf"
"""How the payload of each of our signed tokens begins: `{"jti":"jti_` in base64url."""
MAX_TOKEN = 16384
"""The longest token that is looked at, in bytes; a longer one is refused before anything is decoded."""
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_RANDOM_LENGTH = 32
_CHECKSUM_LENGTH = 6
_LENGTH = len(OPAQUE_PREFIX) + _RANDOM_LENGTH + _CHECKSUM_LENGTH

# 248 is the largest multiple of 62 in a byte. The eight values above are thrown away, for without that the
# first eight digits would come up more often than the others.
_BYTE_TO_DIGIT = (_DIGITS * 5)[:256].encode()
_BIASED = bytes(range(248, 256))
DRAW = 40
"""How many random bytes a token mostly takes: one in thirty-two is thrown away, and a second draw is rare."""


class Secret:
    """What a holder must keep to themselves, in named parts; shown as stars, and never copied.

    It cannot be pickled, copied, hashed, serialised or compared: compare fingerprints.
    """

    __slots__ = ("_parts",)

    def __init__(self, parts: Mapping[str, str]) -> None:
        self._parts = dict(parts)
        if not self._parts or not all(self._parts.values()):
            raise ValueError("a secret has at least one part, and none is empty")

    @classmethod
    def single(cls, text: str) -> Secret:
        """Return a secret of one part, named `token`."""
        if not text:
            raise ValueError("a secret is not empty")
        # Made a thousand at a time: without the copy and the checks that several parts need.
        secret = cls.__new__(cls)
        secret._parts = {"token": text}  # noqa: SLF001 - its own class
        return secret

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of the parts, in their order."""
        return tuple(self._parts)

    def reveal(self, part: str = "token") -> str:
        """Return the text of a part; the one way out. Raise KeyError for a part that it does not have."""
        return self._parts[part]

    def fingerprints(self) -> dict[str, bytes]:
        """Return the fingerprint of each part by name."""
        return {name: fingerprint(text) for name, text in self._parts.items()}

    def __repr__(self) -> str:
        return "Secret('****')"

    __str__ = __repr__

    def __format__(self, specification: str) -> str:
        return "Secret('****')"

    def __eq__(self, other: object) -> NoReturn:
        # False for two equal secrets would be as wrong as a comparison whose time tells how much was right.
        raise TypeError("secrets are not compared: compare their fingerprints")

    __hash__ = None  # type: ignore[assignment]

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a secret is not pickled or copied")


def fingerprint(text: str) -> bytes:
    """Return the 32 bytes by which a secret text is known: SHA-256 of its UTF-8 bytes.

    Give it the canonical text of the token; lone surrogates, which no token has, are hashed as they stand.
    """
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def new_opaque(random: Callable[[int], bytes]) -> str:
    """Return a new opaque token: `jitid_`, 32 random base62 characters (190 bits), 6 of checksum.

    `random` gives as many random bytes as it is asked for (`os.urandom`). All tokens are equally likely.
    """
    digits = random(DRAW).translate(_BYTE_TO_DIGIT, _BIASED)
    while len(digits) < _RANDOM_LENGTH:
        digits += random(DRAW).translate(_BYTE_TO_DIGIT, _BIASED)
    digits = digits[:_RANDOM_LENGTH]
    return f"{OPAQUE_PREFIX}{digits.decode('ascii')}{_checksum(digits)}"


def is_opaque(text: str) -> bool:
    """Say whether the text has the shape and the checksum of an opaque token: a typo is found offline."""
    if len(text) != _LENGTH or not text.startswith(OPAQUE_PREFIX):
        return False
    digits = text[len(OPAQUE_PREFIX) :]
    if digits.strip(_DIGITS):
        return False
    return _checksum(digits[:_RANDOM_LENGTH].encode("ascii")) == digits[_RANDOM_LENGTH:]


def holds_token(text: str) -> bool:
    """Say whether a token of ours stands somewhere in a text: an opaque one, or the payload of a signed one."""
    at = text.find(OPAQUE_PREFIX)
    while at >= 0:
        if is_opaque(text[at : at + _LENGTH]):
            return True
        at = text.find(OPAQUE_PREFIX, at + 1)
    return SIGNED_MARK in text


def _checksum(digits: bytes) -> str:
    # CRC-32 in base62, the most significant digit first; 62**6 > 2**32, so that all of it fits.
    rest, sixth = divmod(crc32(digits), 62)
    rest, fifth = divmod(rest, 62)
    rest, fourth = divmod(rest, 62)
    rest, third = divmod(rest, 62)
    first, second = divmod(rest, 62)
    table = _DIGITS
    return f"{table[first]}{table[second]}{table[third]}{table[fourth]}{table[fifth]}{table[sixth]}"
