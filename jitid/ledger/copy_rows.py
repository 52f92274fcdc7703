"""A ledger's rows on their way to another database: in the order of their keys, in pieces, and compared at the end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from hashlib import sha256
from itertools import islice
from types import TracebackType
from typing import Any, NamedTuple, Protocol, Self

from jitid.errors import IntegrityError, JitidError
from jitid.ledger.seal import Seal
from jitid.ledger.transaction import Transaction
from jitid.ledger.view import View
from jitid.model.chain import Chain
from jitid.model.event import Head
from jitid.model.ledger_rows import Names

OWN = frozenset({"setting", "chain", "clock_mark", "schema_version"})
"""Tables that each database has its own way with; what is copied of them, the target writes itself."""

_AT_ONCE = 20_000
"""Rows that are committed together: so many are read again at most after a copy was broken off."""


class CopiedTable(NamedTuple):
    """A table as it is read and written here."""

    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]

    def query(self, *, after: bool) -> str:
        """Return the query for its rows in the order of their key; `after` one that follows those that are bound."""
        order = ", ".join(f'"{name}"' for name in self.key)
        marks = ", ".join(["?"] * len(self.key))
        where = f" WHERE ({order}) > ({marks})" if after else ""
        return f"SELECT {self._list()} FROM {self.name}{where} ORDER BY {order}"

    @property
    def last(self) -> str:
        """The query for the key of its last row."""
        order = ", ".join(f'"{name}"' for name in self.key)
        falling = ", ".join(f'"{name}" DESC' for name in self.key)
        return f"SELECT {order} FROM {self.name} ORDER BY {falling} LIMIT 1"

    @property
    def into(self) -> str:
        """What an insertion names."""
        return f"{self.name} ({self._list()})"

    def _list(self) -> str:
        return ", ".join(f'"{name}"' for name in self.columns)


class CopyStore(Protocol):
    """A database with a ledger's tables."""

    def tables(self) -> dict[str, CopiedTable]:
        """Return the tables that are copied row by row, each after those that its rows refer to."""

    def rows(self, table: CopiedTable, after: Sequence[Any] | None) -> Iterator[tuple[Any, ...]]:
        """Yield rows in the order of their key: all, or those that follow a key."""


class Stage(Enum):
    """How far a copy had come when it was broken off."""

    NEW = "new"
    """There was none, or one of another state of the ledger."""
    PARTIAL = "partial"
    COMPLETE = "complete"
    """All that is left is to publish it."""


class CopySource(CopyStore, Protocol):
    """The ledger that is copied. From the beginning of its `with` block to the end nobody else writes to it."""

    kind: str
    """`sqlite` or `postgresql`."""
    names: Names

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    @property
    def snapshot(self) -> View:
        """What is copied."""

    def head_now(self) -> Head:
        """Return the audit head as it is by now: another than the snapshot's, if somebody has written after all."""

    def seal(self, seal: Seal, by: str) -> None:
        """Seal the ledger, so that its copy alone is live; durable when this returns. Nobody has written meanwhile."""


class CopyTarget(CopyStore, Protocol):
    """Where a ledger is copied to; until it is published, nobody takes it for one.

    Leaving its `with` block without having published it leaves what was copied for the next attempt.
    """

    kind: str
    place: str
    """What it is called in what the ledger says of its copy: a path or an address, without any password."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def begin(self, names: Names, mark: str, chains: Sequence[Chain], now: int) -> Stage:
        """Begin a copy, or go on with one of the same `mark`.

        Raises:
            UsageError: there is something there that is no copy.
            BusyError: somebody else is copying to that place.
            ClockError: its clock is behind `now`, so that what is dead would live again there.

        """

    def last(self, table: CopiedTable) -> Sequence[Any] | None:
        """Return the key of the last row that is there."""

    def load(self, table: CopiedTable, rows: Sequence[Sequence[Any]]) -> None:
        """Put rows there, all of them or none."""

    def index(self) -> None:
        """Complete what the tables have besides their rows."""

    def open(self, by: str) -> Transaction:
        """Close all audit chains, open those that the ledger goes on with, and return what appends to them."""

    def complete(self) -> None:
        """Commit what `open` began, so that all that is left is to publish it; durable when this returns."""

    def publish(self) -> None:
        """Make what is complete a ledger at once."""


class Copied(NamedTuple):
    """A table that was copied."""

    table: str
    rows: int
    digest: str
    """SHA-256 over its rows."""


def shared(source: CopyStore, target: CopyStore) -> list[tuple[CopiedTable, CopiedTable]]:
    """Return the tables of both. Raises IntegrityError where they do not have the same."""
    ours, theirs = source.tables(), target.tables()
    if ours.keys() != theirs.keys() or any(
        (set(table.columns), table.key) != (set(theirs[name].columns), theirs[name].key)
        for name, table in ours.items()
    ):
        raise IntegrityError(
            "the two ledgers do not have the same tables", "see what jitid doctor says of their schemas"
        )
    # The columns of one stand in the order of the other's.
    return [(table, theirs[name]._replace(columns=table.columns)) for name, table in ours.items()]


def carry(
    source: CopyStore, target: CopyTarget, pairs: Sequence[tuple[CopiedTable, CopiedTable]]
) -> Iterator[tuple[str, int]]:
    """Copy what is not there yet; yield the name of a table with the number of rows that have come."""
    for ours, theirs in pairs:
        rows = source.rows(ours, target.last(theirs))
        while chunk := list(islice(rows, _AT_ONCE)):
            target.load(theirs, chunk)
            yield ours.name, len(chunk)


def compare(
    source: CopyStore, target: CopyStore, pairs: Sequence[tuple[CopiedTable, CopiedTable]]
) -> Iterator[Copied]:
    """Yield each table with the number and the digest of its rows, after comparing them.

    Raises:
        IntegrityError: something did not arrive as it is.

    """
    for ours, theirs in pairs:
        count, digest = _digest(source.rows(ours, None))
        if (count, digest) != _digest(target.rows(theirs, None)):
            raise IntegrityError(
                f"the rows of the table {ours.name} did not arrive as they are; the copy was not completed",
                "take away what was copied, and repeat the command",
            )
        yield Copied(ours.name, count, digest)


def _digest(rows: Iterator[tuple[Any, ...]]) -> tuple[int, str]:
    count, digest = 0, sha256()
    while chunk := list(islice(rows, _AT_ONCE)):
        count += len(chunk)
        # As Python writes them: numbers, texts, bytes and nothing cannot be taken for each other.
        digest.update("\n".join(map(repr, map(tuple, chunk))).encode() + b"\n")
    return count, digest.hexdigest()


def in_order(tables: Mapping[str, CopiedTable], references: Mapping[str, set[str]]) -> dict[str, CopiedTable]:
    """Return tables in an order in which each stands after those that it refers to."""
    done: dict[str, CopiedTable] = {}
    while len(done) < len(tables):
        free = [
            name
            for name in sorted(tables)
            if name not in done and references.get(name, set()) <= done.keys() | {name}
        ]
        if not free:
            raise JitidError("the tables of the ledger refer to each other in a circle")
        done |= {name: tables[name] for name in free}
    return done
