"""A consistent view of the ledger: the part of reading that all capabilities share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from jitid.ledger.dialect import dialect_of
from jitid.ledger.events import SqlAuditLog
from jitid.ledger.sqlite.failure import FAULTS, translated
from jitid.model.ledger_rows import Names

Found = TypeVar("Found")

_REMEMBERED = frozenset({"entry", "shared"})
"""The kinds of answers that a view caches; a PostgreSQL view caches more of them, by the version of the ledger."""


class View(SqlAuditLog):
    """A consistent view of the ledger at one time. The stores of the capabilities query it; it imports none of them."""

    def __init__(self, db: Any, names: Names, now: int) -> None:
        super().__init__(db, names)
        self._now = now
        self._memory: dict[tuple[str, Any], Any] = {}
        """The cached answers, by kind and key."""
        self.sealed_as: tuple[str | None] | None = None
        """The stored seal, if the view has read it; None inside the tuple means that the ledger is not sealed."""
        self.changed_at: int | None = None
        """The number of the last audit event that changed a delegator, agent, share, key or name, if that was read."""
        self.marked_at: int | None = None
        """The time mark, if the ledger keeps one and the view was opened by reading it."""

    def once(
        self, kind: str, key: Any, load: Callable[[], Found], keep: Callable[[Found], bool] | None = None
    ) -> Found:
        """Return the result of `load`, cached by `kind` and `key` if the view caches that kind.

        A result that `keep` rejects is not cached. None is not cached either.
        """
        if kind not in _REMEMBERED:
            return load()
        found: Found | None = self._memory.get((kind, key))
        if found is None:
            found = load()
            if keep is None or keep(found):
                self._memory[kind, key] = found
        return found

    def forget(self, kind: str) -> None:
        """Drop the cached answers of a kind; a transaction calls it before it changes them."""
        self._memory = {known: found for known, found in self._memory.items() if known[0] != kind}

    def alone(self) -> None:
        """Declare that an answer is valid only if no other transaction writes; a view without a writer ignores it."""

    def afresh(self) -> View:
        """Return a view that has cached nothing: this one, unless the ledger caches across views."""
        return self

    @property
    def now(self) -> int:
        """The later of the clock and the ledger's time mark, in seconds since the epoch."""
        return self._now

    def settings(self) -> dict[str, str]:
        """Return all settings of the ledger; `Names.of` reads them."""
        return dict(self.db.execute("SELECT name, value FROM setting", {}).fetchall())

    def setting(self, name: str) -> str | None:
        """Return a setting of the ledger by its name."""
        row = self.db.execute("SELECT value FROM setting WHERE name = :name", {"name": name}).fetchone()
        return None if row is None else str(row[0])

    def time_mark(self) -> int | None:
        """Return the time mark in seconds since the epoch; None if there is none or the view has not read it."""
        return self.marked_at

    def query(self, sql: str, values: Mapping[str, Any]) -> Iterator[Any]:
        """Yield the rows of a query in portable SQL with parameters `:name`; `:now` is set.

        Raises:
            DamagedError: the ledger is damaged.
            StorageError: it is busy or cannot be reached.

        """
        try:
            # `yield from` would close the cursor of an unfinished query, which fails after the connection was closed.
            for row in self.db.execute(sql, {"now": self._now, **values}):  # noqa: UP028
                yield row
        except FAULTS as error:
            raise translated(error) from error

    def fill(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Insert any number of rows into a temporary table. Raises the errors of `query`."""
        try:
            dialect_of(self.db).insert(self.db, table, columns, rows)
        except FAULTS as error:
            raise translated(error) from error
