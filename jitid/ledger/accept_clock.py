"""A ledger for an operation that accepts the clock: its views change nothing, its writes accept the clock."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jitid.ledger.contract import Ledger
    from jitid.ledger.transaction import Transaction
    from jitid.ledger.view import View
    from jitid.model.ledger_condition import Condition
    from jitid.model.ledger_rows import Names


class AcceptingLedger:
    """The same ledger for one operation, or for a whole command.

    An operation reads before it writes, and a dry run only reads. So the transaction that writes accepts the clock.
    Until then each view judges by the time mark. Credentials that have expired by the mark are recorded as expired
    before the mark is lowered, so a view shows the credentials that are live afterwards.
    """

    def __init__(self, ledger: Ledger, *, owns: bool = False) -> None:
        """Args: `owns` makes `close` close the underlying ledger; without it, others continue to use that ledger."""
        self._ledger = ledger
        self._owns = owns

    @property
    def names(self) -> Names:
        """The ledger's UUID, issuer names and trust domain."""
        return self._ledger.names

    def foresees(self, *, quick: Callable[[], bool]) -> bool:  # noqa: ARG002 - of the ledger's protocol
        """Return False: a view's time differs from the time of the transaction that accepts the clock."""
        return False

    def condition(self) -> Condition:
        """Return the object that reports the state of the ledger itself. It changes nothing."""
        return self._ledger.condition()

    def read(self, *, by_mark: bool = True) -> AbstractContextManager[View]:  # noqa: ARG002 - always by the mark
        """Open a consistent view that judges by the time mark."""
        return self._ledger.read(by_mark=True)

    def glance(self) -> AbstractContextManager[View]:
        """Open a consistent view that judges by the time mark."""
        return self._ledger.read(by_mark=True)

    def write(
        self,
        *,
        accept_clock: bool = True,  # noqa: ARG002 - always accepted
        facts: Mapping[str, Any] = MappingProxyType({}),
        by: str | None = None,
        members: Mapping[str, Any] = MappingProxyType({}),
        shared: bool = False,
    ) -> AbstractContextManager[Transaction]:
        """Open a transaction that accepts the clock."""
        return self._ledger.write(accept_clock=True, facts=facts, by=by, members=members, shared=shared)

    def acting(self, by: str, facts: Mapping[str, Any]) -> Ledger:
        """Return the same ledger for the caller `by`; its events also get the members `facts`."""
        from jitid.ledger.attribution import ActingLedger

        return ActingLedger(self, by, facts)

    def close(self) -> None:
        """Close the ledger if it is owned."""
        if self._owns:
            self._ledger.close()
