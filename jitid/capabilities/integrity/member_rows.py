"""Rows of credentials in the order of the events that issued or ended them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from jitid.capabilities.integrity.by_event import EventRows
from jitid.capabilities.integrity.store import RowStore
from jitid.errors import IntegrityError
from jitid.values.ids import credential_id

if TYPE_CHECKING:
    from jitid.ledger.view import View

_MANY = 10
"""Number of rows from which one query for all is cheaper than reading each row."""
_ISSUED_BY = itemgetter(3)


class EndedRow(NamedTuple):
    """An ended credential, with the columns about its end."""

    event: int
    """The event that ended it."""
    jti: bytes
    ended_at: int
    ended_as: str
    honoured_until: int | None
    """The expiry of a signed credential that ended early: until then verifiers may accept it."""
    mistimed: int
    """1 if it did not expire at its expiry, or was superseded without a successor."""
    recorded: int
    """1 if the record of an agent counts it."""


class MemberRows:
    """Rows in the order of their events."""

    def __init__(
        self,
        rows: Iterator[tuple[Any, ...]],
        verb: str,
        event: Callable[[tuple[Any, ...]], int],
        through: int,
    ) -> None:
        """Keep the query. `event` returns the event of a row; rows of events up to `through` may be gone."""
        self._rows = EventRows(iter(rows), event, through)
        self._verb = verb
        self._through = through

    def take(self, seq: int, count: int) -> list[tuple[Any, ...]]:
        """Return the next `count` rows, those of event `seq`. Raise IntegrityError if there are fewer."""
        rows = self._rows.take(seq, count)
        if len(rows) != count and seq > self._through:
            raise IntegrityError(mismatch_message(seq, self._verb))
        return rows

    def compare_rows(self) -> None:
        """Raise IntegrityError if rows are left that no event accounts for."""
        row = self._rows.next()
        if row is not None:
            raise IntegrityError(
                f"the ledger has a credential {credential_id(row[1])} that no event says was {self._verb}"
            )


class IssuedRows(MemberRows):
    """The rows of issued credentials. Many rows of one event may be skipped, if they were compared as a whole."""

    def __init__(self, snapshot: View, without: str, through: int) -> None:
        """Start the query; `without` names a table of identities that are gone."""
        super().__init__(RowStore(snapshot).issued_members(without), "issued", _ISSUED_BY, through)
        self._snapshot = snapshot
        self._without = without
        self._next = RowStore(snapshot).first_credential()
        """The lowest number that the next row can have; None if rows are not in the order of their numbers."""
        self._passed = False
        """Whether rows were skipped that the open query would still return."""

    def first_of(self, seq: int, count: int) -> int | None:
        """Return the number of the first row of an event, if the event has many rows and none may be gone."""
        return self._next if count >= _MANY and seq > self._through else None

    def skip(self, count: int) -> None:
        """Skip the next `count` rows; their numbers have no gap."""
        assert self._next is not None
        self._next += count
        self._passed = True

    def take(self, seq: int, count: int) -> list[tuple[Any, ...]]:
        """Return the next `count` rows, those of event `seq`. Raise IntegrityError if there are fewer."""
        self._catch_up()
        rows = super().take(seq, count)
        if rows and self._next is not None:
            self._next = rows[-1][0] + 1
        return rows

    def compare_rows(self) -> None:
        """Raise IntegrityError if rows are left that no event accounts for."""
        self._catch_up()
        super().compare_rows()

    def _catch_up(self) -> None:
        if self._passed and self._next is not None:
            rows = RowStore(self._snapshot).issued_members(self._without, self._next - 1)
            self._rows = EventRows(rows, _ISSUED_BY, self._through)
            self._passed = False


def mismatch_message(seq: int, verb: str) -> str:
    """Return the message about an event that does not agree with its credentials."""
    return f"the credentials that event {seq} {verb} are not in the ledger as it says"
