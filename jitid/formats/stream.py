"""Rows without an end, in the formats that have none either: a header once, and then what comes, when it comes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, assert_never

from jitid.formats import csv, jsonl, tsv
from jitid.formats.cell import cell
from jitid.formats.display import Display, Format

Rows = Iterable[Mapping[str, Any]]


class Stream:
    """Turns rows into the text that goes on where the text before it ended."""

    def __init__(
        self,
        fields: tuple[str, ...],
        chosen: Format,
        field: str | None,
        *,
        widths: Mapping[str, int],
        colour: bool,
    ) -> None:
        """`field` names one that is shown alone; `widths` are those of a table's columns, as `Growing` takes them."""
        self._fields = fields
        self._chosen = chosen
        self._field = field
        self._table = None
        if chosen is Format.TABLE and field is None:
            from jitid.formats.table import Growing

            self._table = Growing(fields, widths, colour)

    def header(self) -> str:
        """Return what comes before the first row."""
        if self._table is not None:
            return self._table.header()
        return self._csv([]) if self._chosen is Format.CSV and self._field is None else ""

    def lines(self, rows: Rows) -> str:
        """Return more rows as text."""
        if self._field is not None:
            return "".join([cell(row.get(self._field)) + "\n" for row in rows])
        match self._chosen:
            case Format.TABLE:
                return "" if self._table is None else self._table.lines(rows)
            case Format.TSV:
                return "".join(tsv.text(Display("", self._fields, rows)))
            case Format.JSONL | Format.JSON:
                # One document would never be done: each row is one.
                return "".join(jsonl.text(Display("", self._fields, rows)))
            case Format.CSV:
                return self._csv(rows).removeprefix(self._csv([]))
            case _:
                assert_never(self._chosen)

    def _csv(self, rows: Rows) -> str:
        return "".join(csv.text(Display("", self._fields, rows)))
