"""The fields of a verb's output: their names, their order, and the form of each value."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any

from jitid.values.times import format_duration, format_time

if TYPE_CHECKING:
    from jitid.formats.display import Display

# Values of every kind of record are shown.
# ruff: noqa: ANN401

_TIMES = ("_at", "_until", "_since", "_before")
_TIME_NAMES = ("at", "until", "deadline")
_MISSING: Any = object()


class Columns:
    """The fields of the rows that a verb shows.

    A row is shown from a record: each field has the value of the attribute with its name, in the record or in a record
    inside it; of a mapping, the item with its name, or None. A time, by its name or the end of its name, is shown as
    RFC 3339 text. A verb adds only the values that it computes.
    """

    __slots__ = ("_durations", "_paths", "brief", "fields", "more", "named", "schema", "single", "spare")

    def __init__(
        self,
        schema: str,
        fields: str,
        *,
        brief: str = "",
        spare: str = "",
        more: str = "",
        durations: str = "",
        single: bool = False,
    ) -> None:
        """Names are separated by blanks; `task=task.name` names a field and the path of its value in the record.

        If a part of its path has no value, the field is empty. `durations`: fields whose seconds are shown as `1h30m`.
        `single`: the only row is the answer itself, and not a list with one item.
        """
        self.schema = schema
        """The name and version of the JSON document, such as `jitid.list/1`."""
        names = [name.partition("=") for name in fields.split()]
        self._paths = {name: path for name, _, path in names if path}
        self.fields = tuple([name for name, _, _ in names])
        """The names of the columns, in order; a stable interface. Append new ones: scripts number them."""
        self.brief = tuple(brief.split()) or self.fields
        """The columns of a table on a terminal of 80 columns."""
        self.spare = tuple(spare.split())
        """Brief columns that a table omits, the first one first, where it would otherwise break names."""
        self.more = tuple(more.split())
        """Fields that are shown by name, or in brief, only."""
        self._durations = durations.split()
        self.named = (*self.fields, *self.more)
        """All names that `--field` accepts."""
        self.single = single

    def row(
        self, record: Any, computed: Mapping[str, Any] | None = None, names: tuple[str, ...] = ()
    ) -> dict[str, Any]:
        """Return a record as a row with some fields, or with all; `computed` replaces or adds values."""
        computed = computed or {}
        row = {}
        for name in names or self.named:
            value = computed[name] if name in computed else self._value(record, name)
            # Most values: the call would take longer than the rest.
            if value is not None and type(value) is not str:
                value = format_duration(value) if name in self._durations else shown(name, value)
            row[name] = value
        return row

    def _value(self, record: Any, name: str) -> Any:
        if isinstance(record, Mapping):
            return record.get(name)
        if name in self._paths:
            for part in self._paths[name].split("."):
                record = None if record is None else getattr(record, part)
            return record
        return _value(record, name)

    def display(
        self,
        records: Iterable[Any],
        compute: Callable[[Any], Mapping[str, Any]] | None = None,
        *,
        columns: tuple[str, ...] = (),
        document: Mapping[str, Any] | None = None,
    ) -> Display:
        """Return records for display in some columns, or in all. `compute` returns the computed values of a record."""
        # `issue` declares views, and shows a token without them.
        from jitid.formats.display import Display

        names = columns or self.fields
        rows = (self.row(record, compute(record) if compute else None, names) for record in records)
        spare = () if names == self.fields else self.spare
        return Display(self.schema, names, rows, self.single, document, spare)


def shown(name: str, value: Any) -> Any:
    """Return the form in which the value of a field is shown."""
    if isinstance(value, Enum):
        return value.value
    if type(value) is int and (name.endswith(_TIMES) or name in _TIME_NAMES):
        return format_time(value)
    return value


def _value(record: Any, name: str) -> Any:
    value = getattr(record, name, _MISSING)
    if value is not _MISSING:
        return value
    for part in record:
        if hasattr(part, "_fields"):
            value = getattr(part, name, _MISSING)
            if value is not _MISSING:
                return value
    raise AttributeError(f"{type(record).__name__} has no {name}, and the verb does not compute it")
