"""The text around a token, in words: for the error about a file that must contain only a token."""

from __future__ import annotations

from jitid.redaction.token_format import DIGITS, OPAQUE_PREFIX, is_opaque, is_ssh_certificate

_BEGINNINGS = (OPAQUE_PREFIX, "eyJ")
_CHARACTERS = frozenset(f"{DIGITS}-_.")
_QUOTES = "\"'`"
_SCHEME = "bearer"
_HEADER = "authorization:"
_DOTS = 2
"""Number of dots in a signed token."""


def surroundings(text: str) -> str | None:
    """Return a description of the text around a token, such as "quotes around the token"; None for a token alone.

    Return None also if no token is recognized. The description repeats no part of the text.
    """
    if _CHARACTERS.issuperset(text) or text.startswith("-----BEGIN") or is_ssh_certificate(text):
        return None
    joined = "".join(text.split())
    if _CHARACTERS.issuperset(joined) and _is_token(joined):
        return "line breaks within the token" if "\n" in text or "\r" in text else "blanks within the token"
    start = min((index for mark in _BEGINNINGS if (index := text.find(mark)) >= 0), default=None)
    if start is None:
        return None
    end = next((index for index in range(start, len(text)) if text[index] not in _CHARACTERS), len(text))
    if len([word for word in text.split() if word.startswith(_BEGINNINGS)]) > 1:
        return "more than one token"
    before, after = text[:start], text[end:]
    if not before and not after.strip("="):
        # Padding of base64 (RFC 7515, section 2), which the parser names.
        return None
    if after and before == after and before in _QUOTES:
        return "quotes around the token"
    if not after and (scheme := _scheme(before)) is not None:
        return f"{scheme} before the token"
    sides = " and ".join([side for side, part in (("before", before), ("after", after)) if part])
    return f"{_kind(before or after)} {sides} the token"


def _is_token(text: str) -> bool:
    return is_opaque(text) or (text.startswith("eyJ") and text.count(".") == _DOTS)


def _scheme(before: str) -> str | None:
    """Return the name of an HTTP header or an authentication scheme (RFC 6750, section 2.1); None for other text."""
    words = before.lower().split()
    if words == [_SCHEME]:
        return "a `Bearer ` prefix"
    return "an `Authorization: Bearer ` prefix" if words == [_HEADER, _SCHEME] else None


def _kind(part: str) -> str:
    character = part.strip() or part
    if len(character) == 1 and not (character.isprintable() and character.isascii()):
        visible = character.isprintable() and not character.isspace()
        kind = "a character outside of ASCII" if visible else "an invisible character"
        return f"{kind} (U+{ord(character):04X})"
    return "other text"
