"""Results of commands for display, and the formats in which they can be shown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any

from jitid.errors import UsageError
from jitid.values.record import Record


class Format(Enum):
    """The format of data; the values are the arguments of `--format`."""

    TABLE = "table"
    TSV = "tsv"
    JSON = "json"
    JSONL = "jsonl"
    CSV = "csv"


class Display(Record):
    """The result of a command as data: named fields in rows, which every format can show.

    Values are text, integers, booleans, None, or sequences and mappings of these. Times are already RFC 3339
    text, except where a standard requires integers.
    """

    schema: str
    """The name and version of the JSON document, such as `jitid.list/1`."""
    fields: tuple[str, ...]
    """The names of the columns, in order; a stable interface."""
    rows: Iterable[Mapping[str, Any]]
    one: bool = False
    """Whether the only row is the answer itself, and not a list with one item."""
    document: Mapping[str, Any] | None = None
    """The JSON document, if it can contain more than the rows; the schema is added."""
    spare: tuple[str, ...] = ()
    """Columns that a table omits, the first one first, where it would otherwise break words."""


def check_field(field: str, fields: tuple[str, ...]) -> None:
    """Raise UsageError if a view has no field of that name; `act.sub` is the member `sub` of the field `act`."""
    if field not in fields and field.partition(".")[0] not in fields:
        raise no_such_field(field, fields)


def value_of(row: Mapping[str, Any], field: str) -> Any:  # noqa: ANN401 - a value of JSON
    """Return the value of a field of a row, or of a member of it: None without that member.

    Raises:
        UsageError: the field has other members, or is not an object.

    """
    if field in row or "." not in field:
        return row.get(field)
    value: Any = row
    for done, name in enumerate(names := field.split(".")):
        if value is None:
            return None
        if not isinstance(value, Mapping) or (done and name not in value):
            members = [*value] if isinstance(value, Mapping) else []
            outer = ".".join(names[:done])
            raise no_such_field(field, tuple(f"{outer}.{member}" for member in members) or (outer,))
        value = value.get(name)
    return value


def no_such_field(field: str, fields: tuple[str, ...]) -> UsageError:
    """Return the error for a field that a view does not have."""
    from jitid.values.text import quote

    return UsageError(f"there is no field {quote(field)} here", f"the fields are: {', '.join(fields)}")
