"""What every ledger answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    from jitid.ledger.transaction import Transaction
    from jitid.ledger.view import View
    from jitid.model.ledger_condition import Condition
    from jitid.model.ledger_rows import Names


class Ledger(Protocol):
    """Where everything that was issued is remembered."""

    @property
    def names(self) -> Names:
        """What the first use fixed."""

    def foresees(self, *, quick: Callable[[], bool]) -> bool:
        """Return whether to plan in a snapshot before taking the write lock, so that others wait less for the lock.

        A `quick` plan takes about a millisecond. It is made in a snapshot only if other connections write too.
        """

    def condition(self) -> Condition:
        """Return what tells how the ledger itself is; asking changes nothing."""

    def read(self, *, by_mark: bool = False) -> AbstractContextManager[View]:
        """Open a consistent view.

        With `by_mark`, the view judges by the time mark where the clock is more than a day behind it. That is for a
        ledger that no verifier asks, and for the looks of an operation that accepts the clock: what expired by the
        mark is recorded as expired before the mark is lowered.

        Raises:
            StorageError: the ledger is busy or out of reach.
            ClockError: the clock is more than a day behind the ledger's time mark, without `by_mark`. A look judges by
                the mark, and the mark does not advance while nobody writes: credentials that have expired since would
                be accepted.

        """

    def glance(self) -> AbstractContextManager[View]:
        """Open a view as `read` does, where little is asked and much of that may be known already."""

    def write(
        self,
        *,
        accept_clock: bool = False,
        facts: Mapping[str, Any] = MappingProxyType({}),
        by: str | None = None,
        told: Mapping[str, Any] = MappingProxyType({}),
        shared: bool = False,
    ) -> AbstractContextManager[Transaction]:
        """Open a transaction; leaving the block commits it durably, an exception undoes it.

        Before anything else it records the end of some that have expired or were superseded; `facts` are what else
        those events say. Every event of the transaction is by `by` (None: whoever opened the ledger) and says what
        is `told` besides. One that is `shared` only adds, with a single event, and may run beside others where the
        ledger can do that.

        Raises:
            ConflictError: it has to be done again, perhaps not shared (`retry.change` does so).
            StorageError: the ledger is busy, full, read-only or out of reach.
            ClockError: the clock has jumped by more than a day, and `accept_clock` was not given.

        """

    def acting(self, by: str, facts: Mapping[str, Any]) -> Ledger:
        """Return the same ledger as `by` writes to it: each event says these facts besides its own."""

    def close(self) -> None:
        """Release it."""


Look: TypeAlias = "Callable[[], AbstractContextManager[View]]"
"""Opens a view of a ledger."""
