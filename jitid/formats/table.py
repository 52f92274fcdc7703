"""Tables for a terminal, drawn by Rich."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from jitid.formats import output
from jitid.formats.cell import cell
from jitid.formats.view import View
from jitid.text import safe

_GAP = 2
_LEGIBLE = 8
# Ids, times, thumbprints: folded, they can neither be compared nor copied.
_WHOLE = re.compile(r"j(?:id|ti)_[0-9a-v]{26}|\d{4}-\d\d-\d\dT[\d:.]{8,15}Z|[\w-]{43}", re.ASCII)


def text(view: View, colour: bool) -> Iterator[str]:
    """Draw the rows under a header, or the fields of a single row below each other; nothing is cut off.

    Rows too wide for the terminal are drawn as single ones are, with a blank line between them: columns of a
    few characters each could not be read.
    """
    width = terminal_width()
    if view.one:
        for row in view.rows:
            yield _drawn(_fields(view.fields, row), width, colour)
        return
    rows = [[_shown(row.get(field)) for field in view.fields] for row in view.rows]
    least = [
        max(map(_least_width, [field, *(row[at] for row in rows)])) for at, field in enumerate(view.fields)
    ]
    if sum(least) + _GAP * (len(least) - 1) > width:
        between = ""
        for shown in rows:
            yield between + _drawn(
                _fields(view.fields, dict(zip(view.fields, shown, strict=True))), width, colour
            )
            between = "\n"
        return
    table = _table(header=True)
    for field, room in zip(view.fields, least, strict=True):
        table.add_column(Text(field), overflow="fold", min_width=room)
    for shown in rows:
        table.add_row(*map(Text, shown))
    yield _drawn(table, width, colour)


def terminal_width() -> int:
    """Return how many columns there are to draw in."""
    try:
        return max(int(os.environ.get("COLUMNS", "")), 20)
    except ValueError:
        pass
    try:
        return max(os.get_terminal_size(output.DATA).columns, 20)
    except OSError:
        # Asked for with `--format table` where there is no terminal: wide enough to keep rows on one line.
        return 200


def _table(*, header: bool) -> Table:
    # No box: columns of plain words survive a copy, a serial line and a terminal without Unicode.
    return Table(box=None, pad_edge=False, show_header=header, header_style="bold")


def _fields(fields: tuple[str, ...], row: Mapping[str, Any]) -> Table:
    table = _table(header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for field in fields:
        for name, value in _leaves(field, row.get(field)):
            table.add_row(Text(name), Text(_shown(value)))
    return table


def _leaves(name: str, value: object) -> Iterator[tuple[str, object]]:
    """Yield a value, or what it holds by names with dots, as `jq` has them."""
    if isinstance(value, Mapping) and value:
        for inner, each in value.items():
            yield from _leaves(f"{name}.{safe(str(inner))}", each)
    else:
        yield name, value


def _drawn(table: Table, width: int, colour: bool) -> str:
    drawn = io.StringIO()
    console = Console(
        file=drawn,
        width=width,
        force_terminal=colour,
        color_system="standard" if colour else None,
        no_color=not colour,
        legacy_windows=False,
        highlight=False,
        markup=False,
        emoji=False,
    )
    console.print(table)
    # Rich pads each line to the width of the table.
    return "".join(line.rstrip() + "\n" for line in drawn.getvalue().splitlines())


def _shown(value: object) -> str:
    # `cell` leaves no escape sequence, and `Text`, which it goes into, takes no markup.
    return cell(value) or "-"


def _least_width(shown: str) -> int:
    """Return how much room a value needs to be read: an id or a time all of its own, other words a little."""
    return len(shown) if _WHOLE.fullmatch(shown) else min(len(shown), _LEGIBLE)
