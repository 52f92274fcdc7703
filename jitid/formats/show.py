"""Writes a view in the format that was chosen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import assert_never

from jitid.formats import output
from jitid.formats.view import Format, View, no_such_field

# A list of a million rows is written as it is read, in pieces of this many characters.
_PIECE = 1 << 16


def show(
    view: View, chosen: Format | None = None, field: str | None = None, colour: bool | None = None
) -> None:
    """Write `view` to standard output.

    `field` names a single field, shown alone, one value a line. Without a format it is a table on a terminal,
    and tab-separated values without a header elsewhere. `colour` is True (always), False (never) or None
    (on a terminal). Raises UsageError for a field that the view does not have, and OutputError.
    """
    terminal = output.is_terminal()
    shape = chosen or (Format.TABLE if terminal else Format.TSV)
    piece: list[str] = []
    size = 0
    for part in text(view, shape, field, colour=terminal if colour is None else colour):
        piece.append(part)
        size += len(part)
        if size >= _PIECE:
            output.write("".join(piece))
            piece.clear()
            size = 0
    if piece:
        output.write("".join(piece))


def text(view: View, chosen: Format, field: str | None = None, *, colour: bool = False) -> Iterator[str]:
    """Yield what `show` writes, for whoever writes it elsewhere."""
    if field is not None:
        return _field(view, field)
    match chosen:
        case Format.TABLE:
            from jitid.formats import table

            return table.text(view, colour)
        case Format.TSV:
            from jitid.formats import tsv

            return tsv.text(view)
        case Format.JSON:
            from jitid.formats import json

            return json.text(view)
        case Format.JSONL:
            from jitid.formats import jsonl

            return jsonl.text(view)
        case Format.CSV:
            from jitid.formats import csv

            return csv.text(view)
        case _:
            assert_never(chosen)


def _field(view: View, field: str) -> Iterator[str]:
    if field not in view.fields:
        raise no_such_field(field, view.fields)
    from jitid.formats.cell import cell

    return (cell(row.get(field)) + "\n" for row in view.rows)
