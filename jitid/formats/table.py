"""Tables for a terminal, drawn by Rich."""

from __future__ import annotations

import io
import os
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from jitid.formats.cell import cell, folded
from jitid.formats.display import Display
from jitid.values.record import Record
from jitid.values.text import safe

GAP = 2
"""Number of blanks between two columns."""
_LEGIBLE = 8
_NAMES = 2
"""Number of columns that name a row."""
_LONGEST_WORD = 48
"""A longer word, such as an address, may be broken."""
_WIDEST = 24
_NARROWEST = 20
_PART = 200
"""Number of rows that are drawn at once."""
_STANDARD_OUTPUT = 1
"""The descriptor of the terminal that limits the width of a table."""

# Ids, times, thumbprints, hashes, names of settings: folded, they can neither be compared nor copied.
_WHOLE = re.compile(
    r"[a-z]{2,4}_[0-9a-v]{26}|\d{4}-\d\d-\d\dT[\d:.]{8,15}Z|[\w-]{43}|[0-9a-f]{64}|[a-z]{1,12}_[a-z]{1,12}",
    re.ASCII,
)


class Column(Record):
    """The layout of one column."""

    width: int
    name: str = ""
    style: str = ""
    right: bool = False
    """Whether its values are aligned to the right, like figures."""


def text(view: Display, colour: bool) -> Iterator[str]:
    """Draw the rows under a header, or the fields of a single row below each other; all text is shown in full.

    Rows too wide for the terminal are drawn like single rows, with a blank line between them: columns of a
    few characters each could not be read.
    """
    width = terminal_width()
    if view.one:
        for row in view.rows:
            yield record([(field, row.get(field)) for field in view.fields], width, colour)
        return
    rows = [[_shown(row.get(field)) for field in view.fields] for row in view.rows]
    columns = list(map(_Needs.of, zip(view.fields, *rows, strict=True)))
    widths = _widths(columns, view.spare, width)
    if widths is None:
        separator = ""
        for cells in rows:
            yield separator + record(zip(view.fields, cells, strict=True), width, colour)
            separator = "\n"
        return
    kept = [index for index, column in enumerate(columns) if column.name in widths]
    named_columns = [Column(width, name) for name, width in widths.items()]
    # In parts: a terminal or a pager shows the first rows while the others are drawn.
    for start in range(0, max(len(rows), 1), _PART):
        part = ([Text(cells[index]) for index in kept] for cells in rows[start : start + _PART])
        yield ruled(named_columns, part, colour, header=None if start else "bold")


class _Needs(Record):
    """The widths that a column needs."""

    name: str
    natural: int
    """No value is folded."""
    whole: int
    """No word is broken, except an address."""
    least: int

    @staticmethod
    def of(values: Sequence[str]) -> _Needs:
        """Return the needs of a column; the first value is its name."""
        whole = max(_least_width(value, _LONGEST_WORD) for value in values)
        return _Needs(values[0], max(map(cell_len, values)), whole, max(map(_least_width, values)))


def _widths(columns: Sequence[_Needs], spare: Sequence[str], width: int) -> dict[str, int] | None:
    """Return the widths of columns by their names; None if they do not fit.

    The first columns name a row: before their words are broken, those of the others are, and spare columns go.
    """
    tries = [(len(columns), 0), *((_NAMES, omitted) for omitted in range(len(spare) + 1)), (0, 0)]
    for whole, omitted in tries:
        kept = [column for column in columns if column.name not in spare[:omitted]]
        natural = [column.natural for column in kept]
        least = [column.whole if index < whole else column.least for index, column in enumerate(kept)]
        names = [max(low, cell_len(column.name)) for low, column in zip(least, kept, strict=True)]
        room = width - GAP * (len(kept) - 1)
        if (found := fitted(natural, names, room) or fitted(natural, least, room)) is not None:
            return {column.name: each for column, each in zip(kept, found, strict=True)}
    return None


def fitted(natural: Sequence[int], least: Sequence[int], room: int) -> list[int] | None:
    """Return widths that fit into the room: the widest shrink first, none below its minimum; None if they do not fit.

    Rich would choose the widths itself, and cut off the rest.
    """
    if sum(least) > room:
        return None

    def at_most(cap: int) -> list[int]:
        return [max(low, min(preferred, cap)) for preferred, low in zip(natural, least, strict=True)]

    cap = bisect_right(range(room + 1), room, key=lambda cap: sum(at_most(cap))) - 1
    widths = at_most(cap)
    spare = room - sum(widths)
    for index, preferred in enumerate(natural):
        if spare and widths[index] == cap < preferred:
            widths[index] += 1
            spare -= 1
    return widths


class Growing:
    """A table of rows that arrive one after another; later rows keep the column widths."""

    def __init__(self, fields: tuple[str, ...], widths: Mapping[str, int], colour: bool) -> None:
        """Set the fields. `widths` has the columns with values of constant width; the others share the rest."""
        self._fields = fields
        self._colour = colour
        self._width = terminal_width()
        others = len(fields) - len(widths)
        room_left = self._width - sum(widths.values()) - GAP * (len(fields) - 1)
        share = min(room_left // others, _WIDEST) if others else room_left
        self._widths = None if share < _LEGIBLE else {field: widths.get(field, share) for field in fields}
        self._between = ""

    def header(self) -> str:
        """Draw the header; empty if the rows are too wide for the terminal."""
        return "" if self._widths is None else self._rows([], header=True)

    def lines(self, rows: Iterable[Mapping[str, Any]]) -> str:
        """Draw more rows; rows that are too wide are drawn like single rows, with a blank line between them."""
        if self._widths is not None:
            return self._rows(rows, header=False)
        lines = ""
        for row in rows:
            lines += self._between + record(
                [(field, row.get(field)) for field in self._fields], self._width, self._colour
            )
            self._between = "\n"
        return lines

    def _rows(self, rows: Iterable[Mapping[str, Any]], *, header: bool) -> str:
        assert self._widths is not None
        return ruled(
            [Column(width, field) for field, width in self._widths.items()],
            ((Text(_shown(row.get(field))) for field in self._fields) for row in rows),
            self._colour,
            header="bold" if header else None,
        )


def terminal_width() -> int:
    """Return the number of columns for drawing."""
    columns_text = os.environ.get("COLUMNS", "")
    if columns_text.isascii() and columns_text.isdigit() and int(columns_text[:6]):
        return min(max(int(columns_text[:6]), _NARROWEST), 10_000)
    try:
        # A terminal that does not know its size reports 0.
        return max(os.get_terminal_size(_STANDARD_OUTPUT).columns or 80, _NARROWEST)
    except OSError:
        # `--format table` without a terminal: wide enough to keep rows on one line.
        return 200


def ruled(
    columns: Sequence[Column],
    rows: Iterable[Iterable[RenderableType]],
    colour: bool,
    *,
    header: str | None = None,
    gap: int = GAP,
) -> str:
    """Draw rows in columns of exactly these widths, in which text is folded; `header` is the style of the names."""
    # No box: columns of plain words survive a copy, a serial line and a terminal without Unicode.
    table = Table(
        box=None,
        pad_edge=False,
        padding=(0, gap, 0, 0),
        show_header=header is not None,
        header_style=header or "",
    )
    for column in columns:
        table.add_column(
            Text(column.name),
            style=column.style,
            justify="right" if column.right else "left",
            overflow="fold",
            width=max(column.width, 1),
        )
    for row in rows:
        table.add_row(*row)
    # The exact width of its columns: with less room Rich would narrow them.
    return drawn(table, sum(max(column.width, 1) + gap for column in columns), colour)


def record(fields: Iterable[tuple[str, object]], width: int, colour: bool, style: str = "bold") -> str:
    """Draw fields below each other, with their names in a style; a value too wide for its line is beneath its name."""
    leaves = [
        (leaf, _shown(value)) for field, field_value in fields for leaf, value in _leaves(field, field_value)
    ]
    names = max((cell_len(name) for name, _ in leaves), default=0)
    lines = ""
    narrow: list[tuple[str, str]] = []
    for name, value_text in leaves:
        if names + GAP + _least_width(value_text) <= width:
            narrow.append((name, value_text))
            continue
        lines += _side_by_side(narrow, names, width, colour, style) + _beneath(
            name, value_text, width, colour, style
        )
        narrow.clear()
    return lines + _side_by_side(narrow, names, width, colour, style)


def _side_by_side(leaves: list[tuple[str, str]], names: int, width: int, colour: bool, style: str) -> str:
    if not leaves:
        return ""
    columns = (Column(names, style=style), Column(width - names - GAP))
    return ruled(columns, [map(Text, leaf) for leaf in leaves], colour)


def _beneath(name: str, value_text: str, width: int, colour: bool, style: str) -> str:
    head = drawn(Text(name, style=style, overflow="fold"), width, colour)
    return head + "".join(f"{' ' * GAP}{line}\n" for line in folded(value_text, width - GAP))


def _leaves(name: str, value: object) -> Iterator[tuple[str, object]]:
    """Yield a value, or the values within it by dotted names, as in `jq`."""
    if isinstance(value, Mapping) and value:
        for key, inner_value in value.items():
            yield from _leaves(f"{name}.{safe(str(key))}", inner_value)
    else:
        yield name, value


def drawn(renderable: RenderableType, width: int, colour: bool) -> str:
    """Return Rich's drawing without the blanks at the ends of its lines."""
    file = io.StringIO()
    console = Console(
        file=file,
        width=width,
        # Without a height, Rich would use eighty columns on a terminal of the type dumb, regardless of the width.
        height=25,
        force_terminal=colour,
        color_system="standard" if colour else None,
        no_color=not colour,
        legacy_windows=False,
        highlight=False,
        markup=False,
        emoji=False,
    )
    console.print(renderable)
    # Rich pads each line to the width of the table.
    return "".join(line.rstrip() + "\n" for line in file.getvalue().splitlines())


def _shown(value: object) -> str:
    # `cell` removes escape sequences, and `Text` interprets no markup.
    return cell(value) or "-"


def _least_width(value_text: str, legible: int = _LEGIBLE) -> int:
    """Return the width that a value needs: that of a whole id or time, or of at most `legible` cells of a word."""
    words = value_text.split() or [""]
    return max(
        cell_len(word) if _WHOLE.fullmatch(word.strip("(),")) else min(cell_len(word), legible)
        for word in words
    )
