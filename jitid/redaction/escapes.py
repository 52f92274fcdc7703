r"""Decoding of the escapes in a text: those of terminals, HTML, URLs and string literals of programs."""

from __future__ import annotations

from collections.abc import Iterator

_LONGEST_REFERENCE = 10
_LONGEST_NUMBER = 3
_ESCAPE, _SEQUENCE = "\x1b", "\x9b"
_MARKS = f"\\%&^{_ESCAPE}{_SEQUENCE}"
"""The characters with which escapes begin."""
_NUMBERS = {"x": 2, "u": 4, "U": 8}
"""The number of digits after the letter of a numeric escape."""
_NAMED = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'"}
"""The references of XML. No other name stands for an ASCII letter or digit, except `fjlig`, two letters."""


def has_escapes(text: str) -> bool:
    """Return whether a text may contain an escape; decided by C code."""
    # Not a loop: this runs for every message.
    return "\\" in text or "%" in text or "&" in text or "^" in text or _ESCAPE in text or _SEQUENCE in text


def meant(text: str) -> str:
    """Return a text with its escapes decoded."""
    if not has_escapes(text):
        return text
    pieces: list[str] = []
    at = 0
    for start, end, character in escapes(text):
        pieces += (text[at:start], character)
        at = end
    return "".join((*pieces, text[at:]))


def escapes(text: str) -> Iterator[tuple[int, int, str]]:
    r"""Yield the start and the end of each escape, and its decoded character, which may be empty.

    Decoded are `\n`, `\x41`, `\u0041`, `%41` and `&#65;`, also if their mark is escaped once more. Empty are line
    breaks, named references except those of XML, color sequences of terminals (ECMA-48, section 5.4), and a single
    backslash.
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
    """Return the decoded character of an escape and its end; the mark itself if it does not begin an escape."""
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
        # The notation of `cat -v`.
        return _ESCAPE, after + 1
    return mark, after


def _backslash(text: str, at: int) -> tuple[str, int]:
    kind = text[at : at + 1]
    if kind == "e" or text.startswith("033", at):
        # Each of these is an escape character only before `[`; otherwise it is a letter or digits after a backslash.
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
    """Return the decoded character of a reference (HTML, section 13.5), and its end; None for any other text."""
    if name.startswith(("#x", "#X")):
        return _character(name[2:], 16, end)
    if name.startswith("#"):
        return _character(name[1:], 10, end)
    return (_NAMED.get(name, ""), end) if name.isascii() and name.isalnum() else None


def _character(digits: str, base: int, end: int) -> tuple[str, int] | None:
    """Return the character with that number, and the end of its escape; None if the digits are not a number."""
    if not (digits.isascii() and digits.isalnum()):
        return None
    try:
        number = int(digits, base)
    except ValueError:
        return None
    return (chr(number) if number < 0x110000 else "", end)


def _sequence_end(text: str, at: int) -> int:
    """Return the end of a terminal sequence; `at` is the position after its escape character."""
    if text.startswith("[", at):
        return _parameters_end(text, at + 1)
    # A sequence that selects a character set has one more character; the others do not matter here.
    return at + 2 if text.startswith(("(", ")"), at) else at


def _parameters_end(text: str, at: int) -> int:
    end = next((end for end in range(at, len(text)) if not " " <= text[end] <= "?"), len(text))
    return end + ("@" <= text[end : end + 1] <= "~")
