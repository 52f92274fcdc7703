"""Parser for delegators in CSV (RFC 4180) with a header; a cell may have several values."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from jitid.capabilities.directory.roster import roster_entry
from jitid.capabilities.directory.roster.roster_entry import (
    KEEP,
    Keep,
    Roster,
    StatedDelegator,
    at,
    misplaced,
)
from jitid.errors import UsageError
from jitid.model import directory
from jitid.values.text import quote

POLICY_ALONE = "(policy)"
"""An entitlements cell for "the policy alone decides"; no scope has such characters."""
NO_SCOPE = "(none)"
"""An entitlements cell for "may hand out no scope"; a blank cell means the same."""

_KNOWN = (
    "name",
    "entitlements",
    "sensitivity",
    "groups",
    "manager",
    "aliases",
    "external_id",
    "active",
    "disabled",
    "state",
)
_IGNORED = frozenset({"added_at", "disabled_at", "imported"})
"""Columns that `delegator list` also prints, and that the ledger determines itself."""
_WHETHER = ("active", "disabled", "state")
_YES = frozenset({"true", "yes", "1"})
_NO = frozenset({"false", "no", "0"})
# jitid's own CSV output puts an apostrophe before a value that a spreadsheet would run as a formula.
_MARKED = re.compile(r"(^|;)'([ \"]*)(?=[=+\-@\uff1d\uff0b\uff0d\uff20])")


def read(lines: Iterable[str]) -> Roster:
    """Return the delegators that the lines of a CSV file state; the first line is the header.

    Commas separate cells, or semicolons if the header has no comma. Semicolons separate the values in a cell, and for
    scopes blanks too. Raises UsageError with the line of an invalid value.
    """
    rows = _rows(iter(lines))
    header_row = next(rows, None)
    if header_row is None:
        raise UsageError("the file is empty; nothing was changed", "the first line must name the columns")
    columns = _header(*header_row)
    people = []
    for line_number, cells in rows:
        location = f"line {line_number}"
        if not any(cells):
            continue
        if len(cells) != len(header_row[1]):
            raise misplaced(
                location,
                f"expected {len(header_row[1])} cells, like the header, found {len(cells)}",
                "put a cell with a comma in quotes",
            )
        with at(location):
            people.append(_stated(location, {name: cells[index] for name, index in columns.items()}))
    return Roster(tuple(people))


def joined(values: Iterable[str]) -> str:
    """Return several values as one cell, separated by semicolons; a value with a semicolon is quoted."""
    return ";".join(
        [
            '"' + value.replace('"', '""') + '"' if ";" in value or value[:1] == '"' else value
            for value in values
        ]
    )


def _rows(lines: Iterator[str]) -> Iterator[tuple[int, list[str]]]:
    """Yield each record: the number of its first line, and its cells without blanks around them."""
    header_line = next(lines, None)
    if header_line is None:
        return
    delimiter = ";" if ";" in header_line and "," not in header_line else ","
    reader = csv.reader(_with_first_line(header_line, lines), delimiter=delimiter, strict=True)
    line_number = 1
    try:
        for cells in reader:
            yield (
                line_number,
                [_without_formula_guard(cell.strip()) for cell in cells],
            )
            line_number = reader.line_num + 1
    except csv.Error as error:
        raise misplaced(
            f"line {line_number}",
            f"invalid quotes ({str(error).rstrip('.')})",
            "double each quote inside a cell, and put the cell in quotes",
        ) from error


def _without_formula_guard(cell: str) -> str:
    """Return a cell without the quote that keeps a spreadsheet from reading a value as a formula."""
    return _MARKED.sub(r"\1\2", cell) if "'" in cell else cell


def _with_first_line(header_line: str, lines: Iterator[str]) -> Iterator[str]:
    yield header_line
    yield from lines


def _header(line_number: int, cells: list[str]) -> Mapping[str, int]:
    """Return the index of each column by its name. Raises UsageError."""
    names = [cell.lower() for cell in cells]
    columns = {name: index for index, name in enumerate(names) if name not in _IGNORED}
    hint = f"known columns: {', '.join(_KNOWN)}"
    for name in columns:
        if name not in _KNOWN:
            raise misplaced(f"line {line_number}", f"unknown column {quote(name)}", hint)
    if len(set(names)) < len(names):
        duplicate = next(name for name in names if names.count(name) > 1)
        raise misplaced(f"line {line_number}", f"the column {quote(duplicate)} occurs twice", hint)
    if "name" not in columns:
        raise misplaced(f"line {line_number}", "the column `name` is missing", hint)
    state_columns = [name for name in _WHETHER if name in columns]
    if len(state_columns) > 1:
        raise misplaced(
            f"line {line_number}",
            f"the columns {' and '.join(state_columns)} exclude each other",
            "use one of them",
        )
    return columns


def _stated(location: str, cells: Mapping[str, str]) -> StatedDelegator:
    def value_of(name: str, read_cell: Callable[[str], Any]) -> Any:  # noqa: ANN401 - the type depends on the column
        return read_cell(cells[name]) if name in cells else KEEP

    return StatedDelegator(
        location,
        directory.check_person(cells["name"]),
        entitlements=value_of("entitlements", _entitlements),
        sensitivity=value_of("sensitivity", roster_entry.check_sensitivity),
        groups=value_of("groups", _groups),
        manager=value_of("manager", _manager),
        aliases=value_of("aliases", lambda cell: roster_entry.aliases(_values(cell))),
        disabled=_disabled(cells),
        external=_external(cells),
    )


def _disabled(cells: Mapping[str, str]) -> bool | Keep:
    name = next((name for name in _WHETHER if name in cells), None)
    if name is None:
        return KEEP
    text = cells[name].lower()
    if name == "state":
        if text not in ("enabled", "disabled"):
            raise UsageError(f"{quote(text)} is not a state", "write enabled or disabled")
        return text == "disabled"
    # A mark in the column `disabled` means yes, so a blank cell there means no. A blank cell of `active` is ambiguous.
    if name == "disabled" and not text:
        return False
    if text not in _YES | _NO:
        raise UsageError(
            f"{quote(text)} in the column `{name}` is neither true nor false", "write true or false"
        )
    return (text in _YES) == (name == "disabled")


def _external(cells: Mapping[str, str]) -> str | Keep:
    text = cells.get("external_id", "")
    return directory.check_external(text) if text else KEEP


def _manager(cell: str) -> str | None:
    return directory.check_person(cell) if cell else None


@lru_cache(4096)
def _entitlements(cell: str) -> tuple[str, ...] | None:
    if cell == POLICY_ALONE:
        return None
    if cell == NO_SCOPE:
        return ()
    return roster_entry.entitlements(tuple([scope for value in _values(cell) for scope in value.split()]))


@lru_cache(4096)
def _groups(cell: str) -> tuple[str, ...]:
    return roster_entry.groups(_values(cell))


def _values(cell: str) -> tuple[str, ...]:
    """Return the values in a cell; the inverse of `joined`."""
    if '"' in cell:
        try:
            parts = next(csv.reader([cell], delimiter=";", strict=True))
        except csv.Error:
            # `joined` did not write this cell: its quotes are part of the values.
            parts = cell.split(";")
    else:
        parts = cell.split(";")
    return tuple([part.strip() for part in parts if part.strip()])
