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
    at, size = 0, len(glob)
    while at < size:
        letter = glob[at]
        if letter == "*":
            end = at
            while end < size and glob[end] == "*":
                end += 1
            before, after = at == 0 or glob[at - 1] == "/", end == size or glob[end] == "/"
            if whole and end - at > 1 and before and after:
                if end == size:
                    yield ".*"
                else:
                    yield _FOLDERS
                    end += 1
            else:
                yield _STAR
            at = end
        elif letter == "?":
            yield "[^/]"
            at += 1
        elif letter == "[":
            found = _bracket(glob, at)
            if found is None:
                yield None
                return
            piece, at = found
            yield piece
        elif letter == "\\":
            if at + 1 == size:
                yield None
                return
            yield re.escape(glob[at + 1])
            at += 2
        else:
            yield re.escape(letter)
            at += 1


def _bracket(glob: str, at: int) -> tuple[str, int] | None:
    """Return the expression for the bracket that begins at `at`, and its end; None if it is invalid."""
    at += 1
    negated = glob[at : at + 1] in ("!", "^")
    at += negated
    inside = ""
    first = True
    while True:
        letter = glob[at : at + 1]
        if not letter:
            return None
        if letter == "]" and not first:
            break
        first = False
        if letter == "[" and glob[at + 1 : at + 2] == ":":
            end = glob.find(":]", at + 2)
            name = glob[at + 2 : end] if end >= 0 else ""
            if name not in _CLASSES:
                return None
            inside += _CLASSES[name]
            at = end + 2
            continue
        low, at = _member(glob, at)
        if low is None:
            return None
        if glob[at : at + 1] == "-" and glob[at + 1 : at + 2] not in ("", "]"):
            high, at = _member(glob, at + 1)
            if high is None:
                return None
            if low <= high:
                inside += f"{re.escape(low)}-{re.escape(high)}"
            continue
        inside += re.escape(low)
    # No bracket matches a slash.
    if negated:
        return f"[^/{inside}]", at + 1
    return (f"(?!/)[{inside}]" if inside else "(?!)"), at + 1


def _member(glob: str, at: int) -> tuple[str | None, int]:
    if glob[at] == "\\":
        at += 1
    letter = glob[at : at + 1]
    return letter or None, at + 1


def is_plain(glob: str) -> bool:
    """Return whether a glob matches exactly one name."""
    return not any(each in glob for each in "*?[") and not glob.endswith("\\")


def unescaped(glob: str) -> str:
    """Return the name that a plain glob matches."""
    return re.sub(r"\\(.)", r"\1", glob, flags=re.DOTALL)
