"""Questions to a ledger, in SQL that SQLite and PostgreSQL both take."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from jitid.ledger.dialect import dialect_of
from jitid.ledger.events import SqlAuditLog
from jitid.ledger.sqlite.failure import FAULTS, translated
from jitid.model.ledger_rows import (
    Names,
)

Found = TypeVar("Found")

_REMEMBERED = frozenset({"entry", "shared"})
"""What a view remembers; a view of PostgreSQL remembers more, by the version of the ledger."""


class View(SqlAuditLog):
    """One consistent view of the ledger, at one time. Stores ask it; it knows none of them."""

    def __init__(self, db: Any, names: Names, now: int) -> None:
        super().__init__(db, names)
        self._now = now
        self._memory: dict[tuple[str, Any], Any] = {}
        """What stores have asked for in this view, by its kind and key."""
        self.sealed_as: tuple[str | None] | None = None
        """The ledger's seal as it is stored, if the view was opened by reading it; its absence is known too."""
        self.changed_at: int | None = None
        """`View.changed_at`."""
        self.marked_at: int | None = None
        """The time mark, if the ledger keeps one and the view was opened by reading it."""

    def once(
        self, kind: str, key: Any, ask: Callable[[], Found], keep: Callable[[Found], bool] | None = None
    ) -> Found:
        """Return what `ask` returns, or what it returned before where the view remembers things of that kind.

        `kind` and `key` say what is asked for. What `keep` refuses is asked for each time.
        """
        if kind not in _REMEMBERED:
            return ask()
        found: Found | None = self._memory.get((kind, key))
        if found is None:
            found = ask()
            if keep is None or keep(found):
                self._memory[kind, key] = found
        return found

    def forget(self, kind: str) -> None:
        """Forget what is remembered of a kind, since the transaction changes it."""
        self._memory = {known: found for known, found in self._memory.items() if known[0] != kind}

    def alone(self) -> None:
        """Say that an answer counts on it that no writer beside this one changes anything: a view has no writer."""

    def afresh(self) -> View:
        """Return the same view, which has remembered nothing."""
        return self

    @property
    def now(self) -> int:
        """The later of the clock and the ledger's time mark, in seconds since the epoch."""
        return self._now

    def settings(self) -> dict[str, str]:
        """Return what the ledger says of itself: `Names.of` reads it."""
        return dict(self.db.execute("SELECT name, value FROM setting", {}).fetchall())

    def setting(self, name: str) -> str | None:
        """Return what the ledger's table of settings says under a name."""
        row = self.db.execute("SELECT value FROM setting WHERE name = :name", {"name": name}).fetchone()
        return None if row is None else str(row[0])

    def time_mark(self) -> int | None:
        """Return the time mark in seconds since the epoch; None if the ledger keeps no mark."""
        return self.marked_at

    def ask(self, question: str, values: Mapping[str, Any]) -> Iterator[Any]:
        """Yield the rows that answer a question in portable SQL, which has its values by `:name`; `:now` is there.

        Raises:
            DamagedError: the ledger cannot tell.
            StorageError: it is busy or out of reach.

        """
        try:
            yield from self.db.execute(question, {"now": self._now, **values})
        except FAULTS as error:
            raise translated(error) from error

    def fill(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Put rows into a temporary table, however many there are. Raises as `ask`."""
        try:
            dialect_of(self.db).insert(self.db, table, columns, rows)
        except FAULTS as error:
            raise translated(error) from error
