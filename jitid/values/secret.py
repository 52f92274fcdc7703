"""Secrets: a type that prints as stars, the fingerprint that is stored instead, and opaque tokens."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import NoReturn

from jitid.redaction.token_format import DIGITS, OPAQUE_PREFIX, RANDOM_LENGTH, checksum

# 248 is the largest multiple of 62 in a byte. The eight values from it on are discarded: with them, the first eight
# digits would be more frequent than the others.
_BYTE_TO_DIGIT = (DIGITS * 5)[:256].encode()
_BIASED = bytes(range(248, 256))
DRAW = 40
"""The number of random bytes that usually suffice for a token: one in 32 is discarded, and a second draw is rare."""


class Secret:
    """A secret in named parts; shown as stars, and never copied.

    It cannot be pickled, copied, hashed, serialised or compared: compare fingerprints.
    """

    __slots__ = ("_parts",)

    def __init__(self, parts: Mapping[str, str]) -> None:
        self._parts = dict(parts)
        if not self._parts or not all(self._parts.values()):
            raise ValueError("a secret must have at least one part, and no empty part")

    @classmethod
    def single(cls, text: str) -> Secret:
        """Return a secret of one part, named `token`."""
        if not text:
            raise ValueError("a secret must not be empty")
        # A batch makes a thousand of these: avoid the copy and the checks that several parts need.
        secret = cls.__new__(cls)
        secret._parts = {"token": text}  # noqa: SLF001 - its own class
        return secret

    @classmethod
    def placeholder(cls) -> Secret:
        """Return a placeholder without parts for a secret that a target has yet to make."""
        secret = cls.__new__(cls)
        secret._parts = {}  # noqa: SLF001 - its own class
        return secret

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of the parts, in their order."""
        return tuple(self._parts)

    def reveal(self, part: str = "token") -> str:
        """Return the text of a part; there is no other access. Raise KeyError for an unknown part."""
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
        # A false "not equal" would be as wrong as a comparison that leaks the number of matching characters by its
        # duration.
        raise TypeError("secrets cannot be compared: compare their fingerprints")

    __hash__ = None  # type: ignore[assignment]

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a secret cannot be pickled or copied")


def fingerprint(text: str) -> bytes:
    """Return the 32-byte fingerprint of a secret text: SHA-256 of its UTF-8 bytes.

    The text must be the canonical text of the token. Lone surrogates, which no token has, are hashed unchanged.
    """
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def new_opaque(random: Callable[[int], bytes]) -> str:
    """Return a new opaque token: `jitid_`, 32 random base62 characters (190 bits), 6 of checksum.

    `random` returns the given number of random bytes (`os.urandom`). All tokens are equally likely.
    """
    digits = random(DRAW).translate(_BYTE_TO_DIGIT, _BIASED)
    while len(digits) < RANDOM_LENGTH:
        digits += random(DRAW).translate(_BYTE_TO_DIGIT, _BIASED)
    digits = digits[:RANDOM_LENGTH]
    return f"{OPAQUE_PREFIX}{digits.decode('ascii')}{checksum(digits)}"
