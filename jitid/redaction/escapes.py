r"""Texts as they are meant: escapes in them read, as terminals, HTML, URLs and programs' strings have them."""

from __future__ import annotations

from collections.abc import Iterator

_LONGEST_REFERENCE = 10
_LONGEST_NUMBER = 3
_ESCAPE, _SEQUENCE = "\x1b", "\x9b"
_MARKS = f"\\%&^{_ESCAPE}{_SEQUENCE}"
"""What escapes begin with."""
_NUMBERS = {"x": 2, "u": 4, "U": 8}
"""How many digits stand behind the letter of an escape that tells a character by its number."""
_NAMED = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'"}
"""The references of XML. No other name is that of a letter or a digit, but for two letters in one."""


def has_escapes(text: str) -> bool:
    """Say whether there may be an escape in a text, decided by C code."""
    # Not as a loop: every message is looked at.
    return "\\" in text or "%" in text or "&" in text or "^" in text or _ESCAPE in text or _SEQUENCE in text


def meant(text: str) -> str:
    """Return a text with what its escapes stand for in their places."""
    if not has_escapes(text):
        return text
    pieces: list[str] = []
    at = 0
    for start, end, character in escapes(text):
        pieces += (text[at:start], character)
        at = end
    return "".join((*pieces, text[at:]))


def escapes(text: str) -> Iterator[tuple[int, int, str]]:
    r"""Yield where each escape begins and ends, and the character that it stands for: none or one.

    Read are `\n`, `\x41`, `\u0041`, `%41` and `&#65;`, also where their mark is escaped once more. Line breaks, what
    references name, and what tells a terminal its colours (ECMA-48, section 5.4) leave nothing, nor does a backslash.
    """
    end = 0
    for start, mark in enumerate(text):
        if mark not in _MARKS or start < end:
            continue
        character, end = _read(text, start)
        if character == _ESCAPE:
            character, end = "", _sequence_end(text, end)
        elif character == _SEQUENCE:
            character, end = "", _parameters_end(text, end)
        yield start, end, character


def _read(text: str, at: int) -> tuple[str, int]:
    """Return what an escape stands for, and where it ends; its mark where it is none."""
    mark, after = text[at], at + 1
    if mark == "\\":
        return _backslash(text, after)
    if mark == "%":
        while text.startswith("25", after):
            after += 2
        return _number(text[after : after + 2], after + 2, digits=2) or (mark, after)
    if mark == "&":
        while text.startswith("amp;", after):
            after += 4
        end = text.find(";", after, after + _LONGEST_REFERENCE)
        return (end > after and _reference(text[after:end], end + 1)) or (mark, after)
    if mark == "^" and text.startswith("[", after):
        # As `cat -v` shows it.
        return _ESCAPE, after + 1
    return mark, after


def _backslash(text: str, at: int) -> tuple[str, int]:
    kind = text[at : at + 1]
    if kind == "e" or text.startswith("033", at):
        # Neither is more than a letter, or a digit, unless a sequence follows.
        end = at + (1 if kind == "e" else _LONGEST_NUMBER)
        return (_ESCAPE, end) if text.startswith("[", end) else ("", at)
    digits = _NUMBERS.get(kind)
    if digits is None:
        return "", at + (kind in ("n", "r", "t"))
    end = at + 1 + digits
    return _number(text[at + 1 : end], end, digits=digits) or ("", end)


def _number(text: str, end: int, *, digits: int) -> tuple[str, int] | None:
    return _character(text, 16, end) if len(text) == digits else None


def _reference(name: str, end: int) -> tuple[str, int] | None:
    """Return what a reference (HTML, section 13.5) stands for; None where there is none."""
    if name.startswith(("#x", "#X")):
        return _character(name[2:], 16, end)
    if name.startswith("#"):
        return _character(name[1:], 10, end)
    return (_NAMED.get(name, ""), end) if name.isascii() and name.isalnum() else None


def _character(digits: str, base: int, end: int) -> tuple[str, int] | None:
    """Return the character of that number, and where its escape ends; None where it is no number."""
    if not (digits.isascii() and digits.isalnum()):
        return None
    try:
        number = int(digits, base)
    except ValueError:
        return None
    return (chr(number) if number < 0x110000 else "", end)


def _sequence_end(text: str, at: int) -> int:
    """Return where a sequence ends whose escape character ends there."""
    if text.startswith("[", at):
        return _parameters_end(text, at + 1)
    # What chooses a set of characters has one more; what else there is, is no more than a letter.
    return at + 2 if text.startswith(("(", ")"), at) else at


def _parameters_end(text: str, at: int) -> int:
    end = next((end for end in range(at, len(text)) if not " " <= text[end] <= "?"), len(text))
    return end + ("@" <= text[end : end + 1] <= "~")
