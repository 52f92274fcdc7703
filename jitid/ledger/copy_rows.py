"""The rows of a ledger for a copy to another database: read in key order, written in batches, compared at the end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from hashlib import sha256
from itertools import islice
from types import TracebackType
from typing import Any, Protocol, Self

from jitid.errors import IntegrityError, JitidError
from jitid.ledger.contract import Seal
from jitid.ledger.transaction import Transaction
from jitid.ledger.view import View
from jitid.model.chain import Chain
from jitid.model.event import Head
from jitid.model.ledger_rows import Names
from jitid.values.record import Record

OWN = frozenset({"setting", "chain", "clock_mark", "schema_version"})
"""Tables that are not copied row by row: each database has its own, and the target writes the copied parts itself."""

_AT_ONCE = 20_000
"""Rows per commit. After an interruption, at most this number of rows is read again."""


class CopiedTable(Record):
    """A table to copy, with its columns and its primary key."""

    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]

    def query(self, *, after: bool) -> str:
        """Return the query for the rows in key order; with `after`, only for rows after the key that is bound."""
        order = ", ".join(f'"{name}"' for name in self.key)
        marks = ", ".join(["?"] * len(self.key))
        where = f" WHERE ({order}) > ({marks})" if after else ""
        return f"SELECT {self._list()} FROM {self.name}{where} ORDER BY {order}"

    @property
    def last(self) -> str:
        """The query for the key of the last row."""
        order = ", ".join(f'"{name}"' for name in self.key)
        falling = ", ".join(f'"{name}" DESC' for name in self.key)
        return f"SELECT {order} FROM {self.name} ORDER BY {falling} LIMIT 1"

    @property
    def into(self) -> str:
        """The table and the columns of an INSERT."""
        return f"{self.name} ({self._list()})"

    def _list(self) -> str:
        return ", ".join(f'"{name}"' for name in self.columns)


class CopyStore(Protocol):
    """A database with a ledger's tables."""

    def tables(self) -> dict[str, CopiedTable]:
        """Return the tables that are copied row by row; each follows the tables that its rows refer to."""

    def rows(self, table: CopiedTable, after: Sequence[Any] | None) -> Iterator[tuple[Any, ...]]:
        """Yield rows in key order: all rows, or only rows after the key `after`."""


class Stage(Enum):
    """The progress of a copy that was interrupted."""

    NEW = "new"
    """There was no copy, or a copy of another state of the ledger."""
    PARTIAL = "partial"
    COMPLETE = "complete"
    """Only publishing is left."""


class CopySource(CopyStore, Protocol):
    """The ledger that is copied. No other process writes to it during the `with` block."""

    kind: str
    """`sqlite` or `postgresql`."""
    names: Names

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    @property
    def snapshot(self) -> View:
        """The view that is copied."""

    def head_now(self) -> Head:
        """Return the current audit head. It differs from the snapshot's if another process has written."""

    def seal(self, seal: Seal, by: str) -> None:
        """Seal the ledger, so that only its copy is live; durable when this returns.

        The caller must have checked with `head_now` that no other process has written.
        """


class CopyTarget(CopyStore, Protocol):
    """The place that a ledger is copied to. Before it is published, jitid does not use it as a ledger.

    Leaving its `with` block without publishing keeps the copied rows for the next attempt.
    """

    kind: str
    place: str
    """The path or address in the ledger's record of the copy, without any password."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def begin(self, names: Names, mark: str, chains: Sequence[Chain], now: int) -> Stage:
        """Begin a copy, or continue a copy with the same `mark`.

        Raises:
            UsageError: the place has other content already.
            BusyError: another process is copying to that place.
            ClockError: the target's clock is behind `now`, so that expired credentials would be valid again there.

        """

    def last(self, table: CopiedTable) -> Sequence[Any] | None:
        """Return the key of the last row that was copied."""

    def load(self, table: CopiedTable, rows: Sequence[Sequence[Any]]) -> None:
        """Insert rows, all or none."""

    def index(self) -> None:
        """Build the indexes of the tables."""

    def open(self, by: str) -> Transaction:
        """Close all audit chains, open those of the next epoch, and return a transaction that appends to them."""

    def complete(self) -> None:
        """Commit the transaction of `open`; durable when this returns. Only publishing is left then."""

    def publish(self) -> None:
        """Make the complete copy a ledger, in one step."""


class Copied(Record):
    """A copied table."""

    table: str
    rows: int
    digest: str
    """The SHA-256 digest of its rows."""


def shared(source: CopyStore, target: CopyStore) -> list[tuple[CopiedTable, CopiedTable]]:
    """Return the tables of source and target in pairs. Raises IntegrityError if the two have different tables."""
    source_tables, target_tables = source.tables(), target.tables()
    if source_tables.keys() != target_tables.keys() or any(
        (set(table.columns), table.key) != (set(target_tables[name].columns), target_tables[name].key)
        for name, table in source_tables.items()
    ):
        raise IntegrityError(
            "the two ledgers do not have the same tables", "compare their schemas, with: jitid doctor"
        )
    # Both read the columns in the same order.
    return [
        (table, target_tables[name]._replace(columns=table.columns)) for name, table in source_tables.items()
    ]


def carry(
    source: CopyStore, target: CopyTarget, pairs: Sequence[tuple[CopiedTable, CopiedTable]]
) -> Iterator[tuple[str, int]]:
    """Copy the rows that the target lacks; yield the name of the table and the number of rows after each batch."""
    for table, target_table in pairs:
        rows = source.rows(table, target.last(target_table))
        while chunk := list(islice(rows, _AT_ONCE)):
            target.load(target_table, chunk)
            yield table.name, len(chunk)


def compare(
    source: CopyStore, target: CopyStore, pairs: Sequence[tuple[CopiedTable, CopiedTable]]
) -> Iterator[Copied]:
    """Compare the tables; yield each with the number and the digest of its rows.

    Raises IntegrityError if the rows of a table differ.
    """
    for table, target_table in pairs:
        count, digest = _digest(source.rows(table, None))
        if (count, digest) != _digest(target.rows(target_table, None)):
            raise IntegrityError(
                f"the rows of the table {table.name} differ in the copy; the copy was not completed",
                "delete the incomplete copy, and repeat the command",
            )
        yield Copied(table.name, count, digest)


def _digest(rows: Iterator[tuple[Any, ...]]) -> tuple[int, str]:
    count, digest = 0, sha256()
    while chunk := list(islice(rows, _AT_ONCE)):
        count += len(chunk)
        # In Python's notation, numbers, texts, bytes and NULL differ from each other.
        digest.update("\n".join(map(repr, map(tuple, chunk))).encode() + b"\n")
    return count, digest.hexdigest()


def in_order(tables: Mapping[str, CopiedTable], references: Mapping[str, set[str]]) -> dict[str, CopiedTable]:
    """Return the tables sorted so that each follows the tables that it refers to."""
    ordered: dict[str, CopiedTable] = {}
    while len(ordered) < len(tables):
        ready = [
            name
            for name in sorted(tables)
            if name not in ordered and references.get(name, set()) <= ordered.keys() | {name}
        ]
        if not ready:
            raise JitidError("the tables of the ledger refer to each other in a circle")
        ordered |= {name: tables[name] for name in ready}
    return ordered
