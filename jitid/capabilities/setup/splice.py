"""Changes of a text at single places: every other character stays identical."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from jitid.errors import ConfigurationError
from jitid.values.record import Record


class Splice(Record):
    """One change: at an offset, a text is replaced by another one; either may be empty."""

    offset: int
    removed: str
    inserted: str


class ClientFileError(ConfigurationError):
    """A client's file that cannot be changed as requested. Nothing was changed."""


def applied(text: str, splices: Iterable[Splice]) -> str:
    """Return a text with changes at offsets of the old text, which must not overlap."""
    pieces: list[str] = []
    position = 0
    for splice in sorted(splices, key=lambda splice: splice.offset):
        end = splice.offset + len(splice.removed)
        if splice.offset < position or text[splice.offset : end] != splice.removed:
            raise ValueError("a change does not fit the text")
        pieces += (text[position : splice.offset], splice.inserted)
        position = end
    return "".join((*pieces, text[position:]))


def reversed_splices(splices: Iterable[Splice]) -> list[Splice]:
    """Return the changes, at offsets of the new text, that restore the old text."""
    result = []
    moved = 0
    for splice in sorted(splices, key=lambda splice: splice.offset):
        result.append(Splice(splice.offset + moved, splice.inserted, splice.removed))
        moved += len(splice.inserted) - len(splice.removed)
    return result


def difference(old: str, new: str) -> list[Splice]:
    """Return the shortest single change between two texts; an empty list if they are equal."""
    if old == new:
        return []
    start = _common(old, new, len(old), len(new))
    most = min(len(old), len(new)) - start
    end = _common_end(old, new, most)
    return [Splice(start, old[start : len(old) - end], new[start : len(new) - end])]


def _common(old: str, new: str, *lengths: int) -> int:
    """Return the number of equal characters at the start, by comparisons that run in C."""
    low, high = 0, min(lengths)
    while low < high:
        middle = (low + high + 1) // 2
        if old[low:middle] == new[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _common_end(old: str, new: str, most: int) -> int:
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        if old[len(old) - middle : len(old) - low] == new[len(new) - middle : len(new) - low]:
            low = middle
        else:
            high = middle - 1
    return low


def line_of(text: str, offset: int) -> int:
    """Return the number of the line at an offset, counted from 1."""
    return text.count("\n", 0, offset) + 1


def lines_of(text: str) -> list[str]:
    """Return the lines of a text with their ends; unlike `str.splitlines`, only a newline ends one."""
    lines = text.split("\n")
    last = lines.pop()
    return [f"{line}\n" for line in lines] + ([last] if last else [])


def newline_of(text: str) -> str:
    """Return the line ending of a text; of a text with both, that of its first line."""
    end = text.find("\n")
    return "\r\n" if end > 0 and text[end - 1] == "\r" else "\n"


def terminated(text: str) -> str:
    """Return the text that must precede an appended line: a line ending, or an empty text."""
    return "" if not text or text.endswith("\n") or text == "\ufeff" else newline_of(text)


Path = Sequence[str]
