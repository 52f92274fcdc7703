"""A transaction on the ledger: the part of writing that all capabilities share.

And the epochs of audit chains: all chains are closed, and new ones opened, when a ledger is copied.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from jitid.ledger.select import dialect_of
from jitid.ledger.view import Store, View
from jitid.model.chain import Chain, HeldChains, following
from jitid.model.event import Event, encode
from jitid.model.ledger_rows import (
    CHANGEABLE,
    CREDENTIAL_COLUMNS,
    IDENTITY_COLUMNS,
    ClosedByEvent,
    CredentialRow,
    IdentityRow,
    Names,
)
from jitid.values.record import Record

_ADDING = frozenset({"issue", "renew", "use", "denial", "assertion"})
"""The operations that do not update `changed_at`: they change no delegator, agent, share, key or name of the ledger."""

_MAKING = frozenset({"issue", "renew", "attach", "adopt"})
"""The operations that make credentials."""

_SOME = 10
"""For fewer rows, looking for columns that are NULL in all of them costs more than it saves."""


class KnownRows(Record):
    """Rows that are in the ledger and are never deleted, so that they need not be read again."""

    terms: dict[str, int]
    policies: set[str]

    def forget(self) -> None:
        """Forget all rows: some may have been inserted by a transaction that was rolled back."""
        self.terms.clear()
        self.policies.clear()


class Transaction(View):
    """A transaction on a ledger in SQL."""

    def __init__(
        self,
        db: Any,
        names: Names,
        now: int,
        by: str,
        known: KnownRows,
        members: Mapping[str, Any] = MappingProxyType({}),
        held: HeldChains | None = None,
    ) -> None:
        """Args: `by` is recorded as the caller, `known` holds rows known to exist, `members` are added to each event.

        `held` are the audit chains that the transaction appends to.
        """
        super().__init__(db, names, now)
        self._by = by
        self._members = members
        self.known = known
        self._held = held
        self.wrote = False
        """Whether an event was appended: only committed events raise the time mark."""
        self._ahead: dict[str, tuple[Callable[[list[Any]], Any], list[Any]]] = {}
        """The records that the next event writes, by the member of the event that reports them."""
        self.request: str | None = None
        """The digest of the request (`idempotency.request_digest`), for the events that create credentials."""
        self.closed: list[ClosedByEvent] = []
        """The credentials that were due and that this transaction has recorded as ended, by event."""

    def set(self, name: str, value: str) -> None:
        """Write a setting of the ledger; the caller must record it in an event."""
        self.sealed_as = None
        self.db.execute("DELETE FROM setting WHERE name = :name", {"name": name})
        self.db.execute(
            "INSERT INTO setting (name, value) VALUES (:name, :value)", {"name": name, "value": value}
        )

    def term(self, text: str) -> int:
        """Return the number of a name, which is stored once."""
        number = self.known.terms.get(text)
        if number is None:
            row = self._one("SELECT id FROM term WHERE text = :text", text=text) or self._one(
                "INSERT INTO term (text) VALUES (:text) RETURNING id", text=text
            )
            number = self.known.terms[text] = int(row[0])
        return number

    def next_row_id(self) -> int | None:
        """Return the number of the next row; None if the database numbers the rows itself."""
        return None

    def next_keys(self) -> tuple[int, int]:
        """Return the numbers of the next identity and of the next credential."""
        row = self._one(
            "SELECT coalesce((SELECT max(id) FROM identity), 0) + 1, coalesce((SELECT max(id) FROM credential), 0) + 1"
        )
        return row[0], row[1]

    def add(self, identities: Iterable[IdentityRow], credentials: Iterable[CredentialRow]) -> None:
        """Record new identities with their credentials."""
        self._insert("identity", IDENTITY_COLUMNS, list(identities))
        self._insert("credential", CREDENTIAL_COLUMNS, list(credentials))

    def _insert(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Insert rows. From `_SOME` rows on, omit columns that are NULL in all rows: each column costs time."""
        if not rows:
            return
        inserted: Iterable[Sequence[Any]] = rows
        if len(rows) >= _SOME:
            filled = [
                (column, values)
                for column, values in zip(columns, zip(*rows, strict=True), strict=True)
                if any(value is not None for value in values)
            ]
            columns = [column for column, _ in filled]
            inserted = zip(*[values for _, values in filled], strict=True)
        dialect_of(self.db).insert(self.db, table, columns, inserted)

    @property
    def held(self) -> HeldChains:
        """The audit chains that this transaction appends to: the given chains, or else all open chains."""
        if self._held is None:
            self._held = HeldChains([chain for chain in super().chains() if not chain.closed])
        return self._held

    def chains(self) -> list[Chain]:
        """Return the audit chains, including the events that this transaction has appended."""
        held_chains = {} if self._held is None else {chain.id: chain for chain in self._held.chains}
        return [held_chains.get(chain.id, chain) for chain in super().chains()]

    def open_epoch(self, count: int, *, counted: bool = False) -> None:
        """Close all audit chains and open `count` new ones; with `counted`, their rows store the length."""
        chains = open_epoch(self.db, self.names.uuid, self.chains(), count, self.now, counted=counted)
        self._held = HeldChains([chain for chain in chains if not chain.closed])

    def rename(self, names: Names) -> None:
        """Record a changed issuer with its former names; tokens issued from now on have the new issuer."""
        settings = names.settings()
        for name in CHANGEABLE:
            self.db.execute("DELETE FROM setting WHERE name = :name", {"name": name})
            if name in settings:
                self.db.execute(
                    "INSERT INTO setting VALUES (:name, :value)", {"name": name, "value": settings[name]}
                )
        self.names = names

    def begin_anew(self) -> None:
        """Give all later events higher numbers than existing ones.

        Does nothing: with a single chain they are always higher.
        """

    def alone(self) -> None:
        """Declare, before the first change, that the transaction does more than insert; SQLite ignores it."""

    def with_next(self, member: str, value: Any, record: Callable[[list[Any]], Any]) -> None:
        """Record a value with the next event: `record` writes all values of `member`, and returns its content."""
        self._ahead.setdefault(member, (record, []))[1].append(value)

    def next_seq(self) -> int:
        """Return the number of the next audit event."""
        return self.held.next_seqs(1)[0]

    def next_seqs(self, count: int) -> list[int]:
        """Return the numbers of the next `count` audit events."""
        return self.held.next_seqs(count)

    def append(self, operation: str, facts: Mapping[str, Any]) -> Event:
        """Append an audit event to the chain; if several are held, to the one with the lowest next number."""
        (event,) = self.append_each(operation, [facts])
        return event

    def append_each(self, operation: str, all_facts: Iterable[Mapping[str, Any]]) -> list[Event]:
        """Append one audit event for each element of `all_facts`, in their order."""
        events = [self._linked(operation, facts) for facts in all_facts]
        self._write(events)
        return events

    def _linked(self, operation: str, facts: Mapping[str, Any]) -> Event:
        """Return a new event, linked to a chain in memory; the caller must still write its row."""
        document = {**facts, **self._members} if self._members else facts
        if self._ahead:
            ahead, self._ahead = self._ahead, {}
            document = {**document, **{member: record(values) for member, (record, values) in ahead.items()}}
        if self.request is not None and (operation in _MAKING or "access" in facts):
            document = {**document, "request": self.request}
        self.wrote = True
        event = self.held.append(encode(operation, self.now, self._by, document))
        if operation not in _ADDING:
            self.changed_at = event.seq
        return event

    def _write(self, events: Sequence[Event]) -> None:
        dialect_of(self.db).insert(self.db, "audit_event", ("seq", "body", "hash"), events)


class Changes(Store):
    """A group of changes of one capability, in a transaction. The queries are those of the store beside it."""

    def __init__(self, transaction: Transaction) -> None:
        super().__init__(transaction)
        self._transaction = transaction


def open_epoch(
    db: Any, ledger: str, chains: list[Chain], count: int, now: int, *, counted: bool
) -> list[Chain]:
    """Close all chains and open those of the next epoch; return all chains of the ledger.

    Args:
        db: the connection, in a transaction that holds all chains.
        ledger: the UUID of the ledger.
        chains: the current chains.
        count: the number of new chains: that many writers need not wait for each other.
        now: seconds since the epoch.
        counted: whether the rows of open chains store the length; otherwise it follows from the events.

    """
    closed = [chain._replace(closed=True) for chain in chains]
    for current, chain in zip(chains, closed, strict=True):
        if not current.closed:
            db.execute(
                "UPDATE chain SET length = :length, hash = :hash, closed_at = :now WHERE id = :id",
                {"length": chain.length, "hash": chain.hash, "now": now, "id": chain.id},
            )
    new_chains = following(closed, ledger, count)
    for chain in new_chains:
        db.execute(
            """INSERT INTO chain (id, epoch, start, stride, length, hash)
               VALUES (:id, :epoch, :start, :stride, :length, :hash)""",
            {
                "id": chain.id,
                "epoch": chain.epoch,
                "start": chain.start,
                "stride": chain.stride,
                "length": 0 if counted else None,
                "hash": chain.hash if counted else None,
            },
        )
    return closed + new_chains
