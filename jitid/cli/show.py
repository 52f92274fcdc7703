"""Output of a view in the chosen format."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import assert_never

from jitid.formats.display import Display, Format, check_field, value_of
from jitid.system import output


def show(
    view: Display,
    output_format: Format | None = None,
    chosen: tuple[str, ...] = (),
    colour: bool | None = None,
) -> None:
    """Write `view` to standard output.

    `chosen` names the only fields to show: one line a row, with tabs between several values. Without a format, the
    output is a table on a terminal, and tab-separated values without a header elsewhere. On a terminal, `none` stands
    for no rows. `colour` is True (always), False (never) or None (on a terminal). Raises UsageError for a field that
    the view does not have, and OutputError.
    """
    terminal = output.is_terminal()
    if terminal and not view.one and output_format in (None, Format.TABLE, Format.TSV):
        rows = iter(view.rows)
        first_row = next(rows, None)
        if first_row is None:
            # The output of a script's field stays empty.
            output.print_message("none") if chosen or output_format is Format.TSV else output.write("none\n")
            return
        view = view._replace(rows=chain((first_row,), rows))
    output.write_pieces(
        pieces(
            view,
            output_format or (Format.TABLE if terminal else Format.TSV),
            chosen,
            colour=terminal if colour is None else colour,
        )
    )


def pieces(view: Display, output_format: Format, chosen: tuple[str, ...], *, colour: bool) -> Iterator[str]:
    """Return `view` as pieces of text, row by row. Raises the same errors as `show`."""
    return _chosen(view, chosen) if chosen else _text(view, output_format, colour)


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


def _chosen(view: Display, chosen: tuple[str, ...]) -> Iterator[str]:
    for field in chosen:
        check_field(field, view.fields)
    from jitid.formats.cell import cell

    return ("\t".join([cell(value_of(row, field)) for field in chosen]) + "\n" for row in view.rows)
