"""What a verb hands over to be shown, and the formats it can be shown in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from typing import Any, NamedTuple, assert_never

from jitid.errors import UsageError
from jitid.formats import output


class Format(Enum):
    """How data is written; the values are what `--format` takes."""

    TABLE = "table"
    TSV = "tsv"
    JSON = "json"
    JSONL = "jsonl"
    CSV = "csv"


class View(NamedTuple):
    """The result of a verb as data: named fields in rows, which every format can show.

    Values are text, integers, booleans, None, or sequences and mappings of these. Times are already RFC 3339
    text, except where a standard wants integers.
    """

    schema: str
    """The name and version of the JSON document, such as `jitid.list/1`."""
    fields: tuple[str, ...]
    """The names of the columns, in order; a stable interface."""
    rows: Iterable[Mapping[str, Any]]
    one: bool = False
    """There is exactly one row, and it is the answer itself, not a list with one item."""
    document: Mapping[str, Any] | None = None
    """What JSON says instead, when it can say more than the rows do; the schema is added."""


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
    if field is not None:
        text = _field(view, field)
    else:
        text = _text(
            view, chosen or (Format.TABLE if terminal else Format.TSV), terminal if colour is None else colour
        )
    piece: list[str] = []
    size = 0
    for part in text:
        piece.append(part)
        size += len(part)
        if size >= _PIECE:
            output.write("".join(piece))
            piece.clear()
            size = 0
    if piece:
        output.write("".join(piece))


def no_such_field(field: str, fields: tuple[str, ...]) -> UsageError:
    """Return the error for a field that a view does not have."""
    from jitid.text import quote

    return UsageError(f"there is no field {quote(field)} here", f"the fields are: {', '.join(fields)}")


def _text(view: View, chosen: Format, colour: bool) -> Iterator[str]:
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
        from jitid.text import quote

        raise UsageError(
            f"there is no field {quote(field)} here", f"the fields are: {', '.join(view.fields)}"
        )
    from jitid.formats.cell import cell

    return (cell(row.get(field)) + "\n" for row in view.rows)
