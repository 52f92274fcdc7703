"""A consistent view of the ledger and of its audit log: the part of reading that all capabilities share."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypeVar

from jitid.errors import IntegrityError
from jitid.ledger.select import dialect_of
from jitid.ledger.sqlite.lock import FAULTS, translated, translating
from jitid.model.chain import Chain, head_of, opening, settled
from jitid.model.event import Event, Head
from jitid.model.ledger_rows import Names

Found = TypeVar("Found")

_REMEMBERED = frozenset({"entry", "shared", "login"})
"""The kinds of answers that a view caches; a PostgreSQL view caches more of them, by the version of the ledger."""


class View:
    """A consistent view of the ledger at one time. The stores of the capabilities query it; it imports none of them."""

    def __init__(self, db: Any, names: Names, now: int) -> None:
        self.db = db
        self.names = names
        """The ledger's UUID, issuer names and trust domain in this view."""
        self.now = now
        """The later of the clock and the ledger's time mark, in seconds since the epoch."""
        self._memory: dict[tuple[str, Any], Any] = {}
        """The cached answers, by kind and key."""
        self.sealed_as: tuple[str | None] | None = None
        """The stored seal, if the view has read it; None inside the tuple means that the ledger is not sealed."""
        self.changed_at: int | None = None
        """The number of the last audit event that changed a delegator, agent, share, key or name, if that was read."""
        self.marked_at: int | None = None
        """The time mark in seconds since the epoch, if the ledger keeps one and the view was opened by reading it."""

    def _one(self, sql: str, **values: Any) -> Any:
        return self.db.execute(sql, values).fetchone()

    def _stream(self, sql: str, **values: Any) -> Iterator[Any]:
        """Return the rows of a query, which may be more than fit into memory."""
        return dialect_of(self.db).stream(self.db, sql, values)

    def event(self, seq: int) -> Event | None:
        """Return one audit event."""
        row = self._one("SELECT seq, body, hash FROM audit_event WHERE seq = :seq", seq=seq)
        return None if row is None else Event(*row)

    def document(self, seq: int | None) -> dict[str, Any]:
        """Return the members of one audit event; empty without a number, or if the ledger lacks the event."""
        event = None if seq is None else self.event(seq)
        return {} if event is None else event.document()

    def events(self, after: int, *, newest_first: bool = False) -> Iterator[Event]:
        """Yield the audit events after number `after`, in ascending or descending order."""
        order = "DESC" if newest_first else "ASC"
        rows: Iterator[Event] = self._stream(
            f"SELECT seq, body, hash FROM audit_event WHERE seq > :after ORDER BY seq {order}",
            after=after,
        )
        return rows

    def head(self) -> Head:
        """Return the last link of the only audit chain, or the head over several chains."""
        return head_of(self.chains())

    def chains(self) -> list[Chain]:
        """Return the audit chains in the order of their ids. Raises IntegrityError if their rows are invalid."""
        rows = self.db.execute(
            "SELECT id, epoch, start, stride, length, hash, closed_at FROM chain ORDER BY id"
        ).fetchall()
        chains: list[Chain] = []
        try:
            for row in rows:
                chains.append(self._chain(row, chains))
        except (TypeError, ValueError) as error:
            raise IntegrityError(
                "a row of the ledger's audit chains is invalid", "restore it from a backup"
            ) from error
        latest = max([chain.epoch for chain in chains], default=0)
        if not chains or any(chain.closed != (chain.epoch < latest) for chain in chains):
            raise IntegrityError(
                "the ledger's open audit chains do not belong to its latest epoch", "restore it from a backup"
            )
        return chains

    def _chain(self, row: Any, earlier: list[Chain]) -> Chain:
        chain_id, epoch, start, stride, length, hash_, closed_at = row
        if length is None and stride == 1:
            if hash_ is not None:
                raise ValueError(chain_id)
            length, hash_ = 0, None
            last_event = self._one("SELECT seq, hash FROM audit_event ORDER BY seq DESC LIMIT 1")
            if last_event is not None and last_event[0] >= start:
                length, hash_ = last_event[0] - start + 1, last_event[1]
        numbers = (chain_id, epoch, start, stride, length)
        if not all(type(value) is int for value in numbers) or stride < 1 or not isinstance(length, int):
            raise ValueError(chain_id)
        chain = Chain(chain_id, epoch, start, stride, length, hash_ or b"", closed_at is not None)
        if not length and hash_ is None:
            ends = [former.end for former in earlier if former.epoch < epoch]
            chain = chain._replace(hash=opening(self.names.uuid, chain, ends))
        if not isinstance(chain.hash, bytes):
            raise TypeError(chain_id)
        return chain

    def settled(self) -> int:
        """Return the number up to which no event is missing; later numbers may still have gaps."""
        return settled(self.chains())

    def once(
        self, kind: str, key: Any, load: Callable[[], Found], keep: Callable[[Found], bool] | None = None
    ) -> Found:
        """Return the result of `load`, cached by `kind` and `key` if the view caches that kind.

        A result that `keep` rejects is not cached. None is not cached either.
        """
        if kind not in _REMEMBERED:
            return load()
        answer: Found | None = self._memory.get((kind, key))
        if answer is None:
            answer = load()
            if keep is None or keep(answer):
                self._memory[kind, key] = answer
        return answer

    def forget(self, kind: str) -> None:
        """Drop the cached answers of a kind; a transaction calls it before it changes them."""
        self._memory = {key: answer for key, answer in self._memory.items() if key[0] != kind}

    def alone(self) -> None:
        """Declare that an answer is valid only if no other transaction writes; a view without a writer ignores it."""

    def afresh(self) -> View:
        """Return a view that has cached nothing: this one, unless the ledger caches across views."""
        return self

    def settings(self) -> dict[str, str]:
        """Return all settings of the ledger; `Names.of` reads them."""
        return dict(self.db.execute("SELECT name, value FROM setting", {}).fetchall())

    def setting(self, name: str) -> str | None:
        """Return a setting of the ledger by its name."""
        row = self.db.execute("SELECT value FROM setting WHERE name = :name", {"name": name}).fetchone()
        return None if row is None else str(row[0])

    def query(self, sql: str, values: Mapping[str, Any]) -> Iterator[Any]:
        """Yield the rows of a query in portable SQL with parameters `:name`; `:now` is set.

        Raises:
            DamagedError: the ledger is damaged.
            StorageError: it is busy or cannot be reached.

        """
        try:
            # `yield from` would close the cursor of an unfinished query, which fails after the connection was closed.
            for row in self.db.execute(sql, {"now": self.now, **values}):  # noqa: UP028
                yield row
        except FAULTS as error:
            raise translated(error) from error

    def run(self, sql: str, values: Mapping[str, Any] = MappingProxyType({})) -> None:
        """Run a statement as `query` does, and ignore its rows."""
        deque(self.query(sql, values), maxlen=0)

    def fill(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Insert any number of rows into a temporary table. Raises the errors of `query`."""
        with translating():
            dialect_of(self.db).insert(self.db, table, columns, rows)


class Store:
    """A group of queries of one capability, over a view."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._db = view.db
        self._now = view.now

    def _one(self, sql: str, **values: Any) -> Any:
        return self._db.execute(sql, values).fetchone()

    def _stream(self, sql: str, **values: Any) -> Iterator[Any]:
        """Return the rows of a query, which may be more than fit into memory."""
        return dialect_of(self._db).stream(self._db, sql, values)


def by_event(db: Any, prefix: str = "") -> str:
    """Return the columns that sort rows by their events; `prefix` names the table: `c.`."""
    # With a single chain, the order of events is the order of the rows' own numbers, in which they are stored.
    (chain_count,) = db.execute("SELECT count(*) FROM chain").fetchone()
    return f"{prefix}id" if chain_count == 1 else f"{prefix}event, {prefix}id"


def spared(without: str, identity: str = "c.identity") -> str:
    """Return the condition that an identity is not in the table `without`; without a table, it always holds."""
    if not without:
        return "1 = 1"
    return f"NOT EXISTS (SELECT 1 FROM {without} w WHERE w.identity = {identity})"
