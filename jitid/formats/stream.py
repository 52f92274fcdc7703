"""Endless rows, in the formats that need no end: the header once, then each row as it arrives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, assert_never

from jitid.formats import csv, jsonl, tsv
from jitid.formats.cell import cell
from jitid.formats.display import Display, Format

Rows = Iterable[Mapping[str, Any]]


class Stream:
    """A formatter of rows; each text continues the text before it."""

    def __init__(
        self,
        fields: tuple[str, ...],
        chosen: Format,
        chosen_fields: tuple[str, ...],
        *,
        widths: Mapping[str, int],
        colour: bool,
    ) -> None:
        """Set the format. `chosen_fields` are the only fields to show, if any; `widths` are those of a table."""
        self._fields = fields
        self._chosen = chosen
        self._chosen_fields = chosen_fields
        self._table = None
        if chosen is Format.TABLE and not chosen_fields:
            from jitid.formats.table import Growing

            self._table = Growing(fields, widths, colour)

    def header(self) -> str:
        """Return the text before the first row."""
        if self._table is not None:
            return self._table.header()
        return self._csv([]) if self._chosen is Format.CSV and not self._chosen_fields else ""

    def lines(self, rows: Rows) -> str:
        """Return more rows as text."""
        if self._chosen_fields:
            return "".join(
                ["\t".join([cell(row.get(name)) for name in self._chosen_fields]) + "\n" for row in rows]
            )
        match self._chosen:
            case Format.TABLE:
                return "" if self._table is None else self._table.lines(rows)
            case Format.TSV:
                return "".join(tsv.text(Display("", self._fields, rows)))
            case Format.JSONL | Format.JSON:
                # A single document would never end, so each row is a document.
                return "".join(jsonl.text(Display("", self._fields, rows)))
            case Format.CSV:
                return self._csv(rows).removeprefix(self._csv([]))
            case _:
                assert_never(self._chosen)

    def _csv(self, rows: Rows) -> str:
        return "".join(csv.text(Display("", self._fields, rows)))
