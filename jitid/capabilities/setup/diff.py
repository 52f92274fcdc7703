"""The difference that a change makes, for people: jitid's own text in full, and stars for foreign values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher

from jitid.capabilities.setup import foreign_text
from jitid.capabilities.setup.entries import Form
from jitid.capabilities.setup.foreign_text import OwnText
from jitid.capabilities.setup.splice import lines_of
from jitid.redaction.token_format import masked
from jitid.values.record import Record
from jitid.values.text import safe

_CONTEXT = 3
_LONG = 300
"""Longer lines are shown only around their change."""
_AROUND = 60
_MOST_LINES = 2_000
"""Of longer parts, all lines count as replaced: the comparison would take too long."""


class Side(Record):
    """The lines of a file before or after a change, and their form for people."""

    text: str
    lines: list[str]
    shown: list[str]


def side(form: Form, text: str, own: OwnText) -> Side:
    """Return a text as a side of a difference, with stars for the values that jitid did not insert."""
    return Side(text, text_lines(text), text_lines(foreign_text.shown(form, text, own)))


_NONE = Side("", [], [])


def unified(path: str, old: Side | None, new: Side | None) -> list[str]:
    """Return the lines of a unified diff of a file; None is a missing file.

    Lines and their numbers are those of the file. With stars in them, `patch` does not accept it.
    """
    before, after = ([] if each is None else each.lines for each in (old, new))
    lines = [
        f"--- {safe(path) if old is not None else '/dev/null'}",
        f"+++ {safe(path) if new is not None else '/dev/null'}",
    ]
    start, end = _ends(before, after)
    changes = list(_changes(before[start : len(before) - end], after[start : len(after) - end], start))
    for group in _groups(changes):
        lines += _hunk(group, old or _NONE, new or _NONE)
    if old is not None and new is not None and before == after and old.text != new.text:
        lines.append("\\ the end of a line changes")
    return lines


def _ends(before: Sequence[str], after: Sequence[str]) -> tuple[int, int]:
    most = min(len(before), len(after))
    start = next((index for index in range(most) if before[index] != after[index]), most)
    end = 0
    while end < most - start and before[-1 - end] == after[-1 - end]:
        end += 1
    return start, end


def text_lines(text: str) -> list[str]:
    """Return the lines of a text without their ends."""
    return [line.removesuffix("\n").removesuffix("\r") for line in lines_of(text)]


_Change = tuple[int, int, int, int]
"""First and last line, before and after."""


def _changes(before: Sequence[str], after: Sequence[str], offset: int) -> Iterator[_Change]:
    if not before and not after:
        return
    if len(before) + len(after) > _MOST_LINES:
        yield offset, offset + len(before), offset, offset + len(after)
        return
    for tag, first, last, new_first, new_last in SequenceMatcher(
        None, before, after, autojunk=False
    ).get_opcodes():
        if tag != "equal":
            yield first + offset, last + offset, new_first + offset, new_last + offset


def _groups(changes: Sequence[_Change]) -> Iterator[list[_Change]]:
    group: list[_Change] = []
    for change in changes:
        if group and change[0] - group[-1][1] > 2 * _CONTEXT:
            yield group
            group = []
        group.append(change)
    if group:
        yield group


def _hunk(group: Sequence[_Change], old: Side, new: Side) -> Iterator[str]:
    before, after = old.shown, new.shown
    first = max(group[0][0] - _CONTEXT, 0)
    last = min(group[-1][1] + _CONTEXT, len(before))
    new_first = group[0][2] - (group[0][0] - first)
    new_last = group[-1][3] + (last - group[-1][1])
    yield f"@@ -{_range(first, last)} +{_range(new_first, new_last)} @@"
    position = first
    for start, end, new_start, new_end in group:
        yield from (f" {_shown_line(masked(line, wide=True))}" for line in before[position:start])
        removed, added = before[start:end], after[new_start:new_end]
        if len(removed) == len(added) == 1 and max(len(removed[0]), len(added[0])) > _LONG:
            yield from _long_pair(removed[0], added[0])
        else:
            yield from (f"-{_shown_line(line)}" for line in removed)
            yield from (f"+{_shown_line(line, own=True)}" for line in added)
        position = end
    yield from (f" {_shown_line(masked(line, wide=True))}" for line in before[position:last])


def _range(first: int, last: int) -> str:
    return f"{first + 1 if last > first else first},{last - first}"


def _shown_line(line: str, *, own: bool = False) -> str:
    # A tab has no effect but its width.
    text = "\t".join(map(safe, line.split("\t")))
    return text if own or len(text) <= _LONG else f"{text[:_LONG]}…"


def _long_pair(old: str, new: str) -> Iterator[str]:
    most = min(len(old), len(new))
    start = next((index for index in range(most) if old[index] != new[index]), most)
    end = 0
    while end < most - start and old[-1 - end] == new[-1 - end]:
        end += 1
    for mark, line in (("-", old), ("+", new)):
        left, right = max(start - _AROUND, 0), min(len(line) - end + _AROUND, len(line))
        yield f"{mark}{'…' if left else ''}{safe(line[left:right])}{'…' if right < len(line) else ''}"


_COLOURS = {"+": "32", "-": "31", "@": "36"}


def coloured(lines: Sequence[str]) -> Iterator[str]:
    """Yield the lines of a diff with the colours of a terminal."""
    for line in lines:
        colour = "1" if line.startswith(("+++", "---")) else _COLOURS.get(line[:1])
        yield f"\x1b[{colour}m{line}\x1b[0m" if colour else line
