"""Tables for a terminal, drawn by Rich."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from jitid.formats import output
from jitid.formats.cell import cell
from jitid.formats.view import View
from jitid.text import safe

_GAP = 2
_LEGIBLE = 8
_WIDEST = 24
_NARROWEST = 20
# Ids, times, thumbprints, hashes, names of settings: folded, they can neither be compared nor copied.
_WHOLE = re.compile(
    r"j(?:id|ti)_[0-9a-v]{26}|\d{4}-\d\d-\d\dT[\d:.]{8,15}Z|[\w-]{43}|[0-9a-f]{64}|[a-z]{1,12}_[a-z]{1,12}",
    re.ASCII,
)


def text(view: View, colour: bool) -> Iterator[str]:
    """Draw the rows under a header, or the fields of a single row below each other; nothing is cut off.

    Rows too wide for the terminal are drawn as single ones are, with a blank line between them: columns of a
    few characters each could not be read.
    """
    width = terminal_width()
    if view.one:
        for row in view.rows:
            yield _record(view.fields, row, width, colour)
        return
    rows = [[_shown(row.get(field)) for field in view.fields] for row in view.rows]
    least = [
        max(map(_least_width, [field, *(row[at] for row in rows)])) for at, field in enumerate(view.fields)
    ]
    if sum(least) + _GAP * (len(least) - 1) > width:
        between = ""
        for shown in rows:
            yield between + _record(view.fields, dict(zip(view.fields, shown, strict=True)), width, colour)
            between = "\n"
        return
    table = _table(header=True)
    for field, room in zip(view.fields, least, strict=True):
        table.add_column(Text(field), overflow="fold", min_width=room)
    for shown in rows:
        table.add_row(*map(Text, shown))
    yield drawn(table, width, colour)


class Growing:
    """A table whose rows come one after another: drawn in widths that later rows keep."""

    def __init__(self, fields: tuple[str, ...], widths: Mapping[str, int], colour: bool) -> None:
        """`widths` has the columns whose values are always as wide; the others share what is left."""
        self._fields = fields
        self._colour = colour
        self._width = terminal_width()
        others = len(fields) - len(widths)
        left = self._width - sum(widths.values()) - _GAP * (len(fields) - 1)
        share = min(left // others, _WIDEST) if others else left
        self._widths = None if share < _LEGIBLE else {field: widths.get(field, share) for field in fields}
        self._between = ""

    def header(self) -> str:
        """Draw the header; there is none where the rows are too wide for the terminal."""
        return "" if self._widths is None else self._rows([], header=True)

    def lines(self, rows: Iterable[Mapping[str, Any]]) -> str:
        """Draw more rows; those too wide are drawn as single ones are, with a blank line between them."""
        if self._widths is not None:
            return self._rows(rows, header=False)
        lines = ""
        for row in rows:
            lines += self._between + _record(self._fields, row, self._width, self._colour)
            self._between = "\n"
        return lines

    def _rows(self, rows: Iterable[Mapping[str, Any]], *, header: bool) -> str:
        assert self._widths is not None
        table = _table(header=header)
        for field, width in self._widths.items():
            table.add_column(Text(field), overflow="fold", width=width)
        for row in rows:
            table.add_row(*(Text(_shown(row.get(field))) for field in self._fields))
        return drawn(table, self._width, self._colour)


def terminal_width() -> int:
    """Return how many columns there are to draw in."""
    stated = os.environ.get("COLUMNS", "")
    if stated.isascii() and stated.isdigit() and int(stated[:6]):
        return min(max(int(stated[:6]), _NARROWEST), 10_000)
    try:
        # A terminal that was never told its size says 0.
        return max(os.get_terminal_size(output.DATA).columns or 80, _NARROWEST)
    except OSError:
        # Asked for with `--format table` where there is no terminal: wide enough to keep rows on one line.
        return 200


def _table(*, header: bool) -> Table:
    # No box: columns of plain words survive a copy, a serial line and a terminal without Unicode.
    return Table(box=None, pad_edge=False, show_header=header, header_style="bold")


def _record(fields: tuple[str, ...], row: Mapping[str, Any], width: int, colour: bool) -> str:
    """Draw the fields of a row below each other; a value that cannot be read beside its name stands beneath it."""
    leaves = [(name, _shown(value)) for field in fields for name, value in _leaves(field, row.get(field))]
    names = max(len(name) for name, _ in leaves)
    lines = ""
    beside: list[tuple[str, str]] = []
    for name, shown in leaves:
        if names + _GAP + _least_width(shown) <= width:
            beside.append((name, shown))
            continue
        lines += _beside(beside, names, width, colour) + _beneath(name, shown, width, colour)
        beside.clear()
    return lines + _beside(beside, names, width, colour)


def _beside(leaves: list[tuple[str, str]], names: int, width: int, colour: bool) -> str:
    if not leaves:
        return ""
    table = _table(header=False)
    table.add_column(style="bold", no_wrap=True, min_width=names)
    table.add_column(overflow="fold")
    for name, shown in leaves:
        table.add_row(Text(name), Text(shown))
    return drawn(table, width, colour)


def _beneath(name: str, shown: str, width: int, colour: bool) -> str:
    import textwrap

    head = f"\x1b[1m{name}\x1b[0m" if colour else name
    # A word that is still too wide is left to the terminal, which gives it back whole to whoever copies it.
    lines = textwrap.wrap(shown, width - _GAP, break_long_words=False, break_on_hyphens=False)
    return "".join(f"{line}\n" for line in (head, *(" " * _GAP + line for line in lines)))


def _leaves(name: str, value: object) -> Iterator[tuple[str, object]]:
    """Yield a value, or what it holds by names with dots, as `jq` has them."""
    if isinstance(value, Mapping) and value:
        for inner, each in value.items():
            yield from _leaves(f"{name}.{safe(str(inner))}", each)
    else:
        yield name, value


def drawn(shown: RenderableType, width: int, colour: bool) -> str:
    """Return what Rich draws, without the blanks at the ends of its lines."""
    file = io.StringIO()
    console = Console(
        file=file,
        width=width,
        force_terminal=colour,
        color_system="standard" if colour else None,
        no_color=not colour,
        legacy_windows=False,
        highlight=False,
        markup=False,
        emoji=False,
    )
    console.print(shown)
    # Rich pads each line to the width of the table.
    return "".join(line.rstrip() + "\n" for line in file.getvalue().splitlines())


def _shown(value: object) -> str:
    # `cell` leaves no escape sequence, and `Text`, which it goes into, takes no markup.
    return cell(value) or "-"


def _least_width(shown: str) -> int:
    """Return how much room a value needs to be read: an id or a time all of its own, other words a little."""
    words = shown.split() or [""]
    return max(
        len(word) if _WHOLE.fullmatch(word.strip("(),")) else min(len(word), _LEGIBLE) for word in words
    )
