"""Tables for a terminal, drawn by Rich."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator

from rich.console import Console
from rich.table import Table
from rich.text import Text

from jitid.formats import output
from jitid.formats.cell import cell
from jitid.formats.view import View


def text(view: View, colour: bool) -> Iterator[str]:
    """Draw the rows under a header, or the fields of a single row below each other; nothing is cut off."""
    # No box: columns of plain words survive a copy, a serial line and a terminal without Unicode.
    table = Table(box=None, pad_edge=False, show_header=not view.one, header_style="bold")
    if view.one:
        table.add_column(style="bold", no_wrap=True)
        table.add_column(overflow="fold")
        for row in view.rows:
            for field in view.fields:
                table.add_row(Text(field), _shown(row.get(field)))
    else:
        for field in view.fields:
            table.add_column(Text(field), overflow="fold")
        for row in view.rows:
            table.add_row(*(_shown(row.get(field)) for field in view.fields))
    drawn = io.StringIO()
    console = Console(
        file=drawn,
        width=_width(),
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
    yield "".join(line.rstrip() + "\n" for line in drawn.getvalue().splitlines())


def _shown(value: object) -> Text:
    # `Text` takes no markup, and `cell` leaves no escape sequence.
    return Text(cell(value) or "-")


def _width() -> int:
    try:
        return max(int(os.environ.get("COLUMNS", "")), 20)
    except ValueError:
        pass
    try:
        return max(os.get_terminal_size(output.DATA).columns, 20)
    except OSError:
        # Asked for with `--format table` where there is no terminal: wide enough to keep rows on one line.
        return 200
