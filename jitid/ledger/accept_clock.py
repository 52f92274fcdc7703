"""A ledger as an operation uses it that accepts the clock: its looks change nothing, its first write accepts."""

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
    """The same ledger for one operation, or for all of one command.

    An operation looks before it writes, and a dry run only looks. So the clock is accepted by the transaction that
    writes. Until then every look judges by the time mark: what expired by it is recorded as expired before the mark
    is lowered, so a look shows what lives after that.
    """

    def __init__(self, ledger: Ledger, *, owns: bool = False) -> None:
        """Args: `owns` tells whether closing it closes the ledger; else others go on to use that."""
        self._ledger = ledger
        self._owns = owns

    @property
    def names(self) -> Names:
        """What the first use fixed."""
        return self._ledger.names

    def foresees(self, *, quick: Callable[[], bool]) -> bool:  # noqa: ARG002 - of the ledger's protocol
        """Return False: the time of a look is not that of the transaction which accepts the clock."""
        return False

    def condition(self) -> Condition:
        """Return what tells how the ledger itself is; asking changes nothing."""
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
        told: Mapping[str, Any] = MappingProxyType({}),
        shared: bool = False,
    ) -> AbstractContextManager[Transaction]:
        """Open a transaction that accepts the clock."""
        return self._ledger.write(accept_clock=True, facts=facts, by=by, told=told, shared=shared)

    def acting(self, by: str, facts: Mapping[str, Any]) -> Ledger:
        """Return the same ledger, whose events name another caller and state these facts."""
        from jitid.ledger.attribution import ActingLedger

        return ActingLedger(self, by, facts)

    def close(self) -> None:
        """Close the ledger if it is owned."""
        if self._owns:
            self._ledger.close()
