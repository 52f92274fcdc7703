"""Translation of globs into regular expressions, by the rules of git's wildmatch (gitignore(5), glob(7))."""

from __future__ import annotations

import re
from collections.abc import Iterator

_CLASSES = {
    "alnum": "0-9A-Za-z",
    "alpha": "A-Za-z",
    "blank": " \\t",
    "cntrl": "\\x00-\\x1f\\x7f",
    "digit": "0-9",
    "graph": "!-~",
    "lower": "a-z",
    "print": " -~",
    "punct": "!-/:-@\\[-`{-~",
    "space": " \\t-\\r",
    "upper": "A-Z",
    "xdigit": "0-9A-Fa-f",
}


def translated(glob: str, *, whole: bool) -> str | None:
    """Return a regular expression for a glob of git's wildmatch; None if it matches no name.

    The text between two stars matches at its first occurrence and never later (an atomic group); the next star takes
    the rest. So even for a hostile glob with many stars, the time depends only on its length and that of the name.
    """
    pieces = list(_pieces(glob, whole=whole))
    if None in pieces:
        return None
    text, stars, folders = "", 0, 0
    for piece in pieces:
        if piece == _FOLDERS:
            text += ")" * (stars + folders) + "(?>" + _FOLDERS
            stars, folders = 0, 1
        elif piece == _STAR:
            text += ")" * stars + "(?>" + _STAR
            stars = 1
        else:
            text += piece or ""
    # The last groups end at the end of the name.
    return f"{text}\\Z{')' * (stars + folders)}"


_STAR = "[^/]*?"
_FOLDERS = "(?:[^/]*/)*?"
"""The expression for `**/`: any number of folders, or no folder."""


def _pieces(glob: str, *, whole: bool) -> Iterator[str | None]:
    position, size = 0, len(glob)
    while position < size:
        letter = glob[position]
        if letter == "*":
            stars_end = position
            while stars_end < size and glob[stars_end] == "*":
                stars_end += 1
            begins_part, ends_part = (
                position == 0 or glob[position - 1] == "/",
                stars_end == size or glob[stars_end] == "/",
            )
            if whole and stars_end - position > 1 and begins_part and ends_part:
                if stars_end == size:
                    yield ".*"
                else:
                    yield _FOLDERS
                    stars_end += 1
            else:
                yield _STAR
            position = stars_end
        elif letter == "?":
            yield "[^/]"
            position += 1
        elif letter == "[":
            bracket = _bracket(glob, position)
            if bracket is None:
                yield None
                return
            piece, position = bracket
            yield piece
        elif letter == "\\":
            if position + 1 == size:
                yield None
                return
            yield re.escape(glob[position + 1])
            position += 2
        else:
            yield re.escape(letter)
            position += 1


def _bracket(glob: str, position: int) -> tuple[str, int] | None:
    """Return the expression for the bracket that begins at `position`, and its end; None if it is invalid."""
    position += 1
    negated = glob[position : position + 1] in ("!", "^")
    position += negated
    inside = ""
    is_first = True
    while True:
        letter = glob[position : position + 1]
        if not letter:
            return None
        if letter == "]" and not is_first:
            break
        is_first = False
        if letter == "[" and glob[position + 1 : position + 2] == ":":
            class_end = glob.find(":]", position + 2)
            name = glob[position + 2 : class_end] if class_end >= 0 else ""
            if name not in _CLASSES:
                return None
            inside += _CLASSES[name]
            position = class_end + 2
            continue
        low, position = _member(glob, position)
        if low is None:
            return None
        if glob[position : position + 1] == "-" and glob[position + 1 : position + 2] not in ("", "]"):
            high, position = _member(glob, position + 1)
            if high is None:
                return None
            if low <= high:
                inside += f"{re.escape(low)}-{re.escape(high)}"
            continue
        inside += re.escape(low)
    # No bracket matches a slash.
    if negated:
        return f"[^/{inside}]", position + 1
    return (f"(?!/)[{inside}]" if inside else "(?!)"), position + 1


def _member(glob: str, position: int) -> tuple[str | None, int]:
    if glob[position] == "\\":
        position += 1
    letter = glob[position : position + 1]
    return letter or None, position + 1


def is_plain(glob: str) -> bool:
    """Return whether a glob matches exactly one name."""
    return not any(character in glob for character in "*?[") and not glob.endswith("\\")


def unescaped(glob: str) -> str:
    """Return the name that a plain glob matches."""
    return re.sub(r"\\(.)", r"\1", glob, flags=re.DOTALL)
