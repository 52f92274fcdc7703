"""Output of a view in the chosen format."""

from __future__ import annotations

from collections.abc import Iterator
from typing import assert_never

from jitid.formats.display import Display, Format, no_such_field
from jitid.system import output


def show(
    view: Display, output_format: Format | None = None, field: str | None = None, colour: bool | None = None
) -> None:
    """Write `view` to standard output.

    `field` names a single field, shown alone, one value a line. Without a format, the output is a table on a terminal,
    and tab-separated values without a header elsewhere. `colour` is True (always), False (never) or None (on a
    terminal). Raises UsageError for a field that the view does not have, and OutputError.
    """
    terminal = output.is_terminal()
    output.write_pieces(
        pieces(
            view,
            output_format or (Format.TABLE if terminal else Format.TSV),
            field,
            colour=terminal if colour is None else colour,
        )
    )


def pieces(view: Display, output_format: Format, field: str | None, *, colour: bool) -> Iterator[str]:
    """Return `view` as pieces of text, row by row. Raises the same errors as `show`."""
    return _text(view, output_format, colour) if field is None else _field(view, field)


def _text(view: Display, output_format: Format, colour: bool) -> Iterator[str]:
    match output_format:
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
            assert_never(output_format)


def _field(view: Display, field: str) -> Iterator[str]:
    if field not in view.fields:
        raise no_such_field(field, view.fields)
    from jitid.formats.cell import cell

    return (cell(row.get(field)) + "\n" for row in view.rows)
