"""A ledger for one caller: each event names the caller and has further facts about the caller."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jitid.ledger.contract import Ledger
    from jitid.ledger.transaction import Transaction
    from jitid.ledger.view import View
    from jitid.model.ledger_condition import Condition
    from jitid.model.ledger_rows import Names


class ActingLedger:
    """The same ledger for one caller. Closing it leaves the underlying ledger open, which others use."""

    def __init__(self, ledger: Ledger, by: str, facts: Mapping[str, Any]) -> None:
        self._ledger = ledger
        self._by = by
        self._facts = facts
        self.check: Callable[[Transaction], None] | None = None
        """The check at the beginning of each transaction until one is committed.

        It raises an error to stop the change.
        """

    @property
    def names(self) -> Names:
        """The ledger's UUID, issuer names and trust domain."""
        return self._ledger.names

    def foresees(self, *, quick: Callable[[], bool]) -> bool:
        """Return whether to plan in a snapshot before taking the write lock."""
        return self._ledger.foresees(quick=quick)

    def condition(self) -> Condition:
        """Return the object that reports the state of the ledger itself. It changes nothing."""
        return self._ledger.condition()

    def read(self, *, by_mark: bool = False) -> AbstractContextManager[View]:
        """Open a consistent view."""
        return self._ledger.read(by_mark=by_mark)

    def glance(self) -> AbstractContextManager[View]:
        """Open a view for a few lookups."""
        return self._ledger.glance()

    def write(
        self,
        *,
        accept_clock: bool = False,
        facts: Mapping[str, Any] = MappingProxyType({}),
        by: str | None = None,
        members: Mapping[str, Any] = MappingProxyType({}),
        shared: bool = False,
    ) -> AbstractContextManager[Transaction]:
        """Open a transaction for this caller, or for `by` if it is given."""
        opened = self._ledger.write(
            accept_clock=accept_clock,
            facts=facts,
            by=by or self._by,
            members={**self._facts, **members},
            shared=shared,
        )
        return opened if self.check is None else self._checked(opened, self.check)

    @contextmanager
    def _checked(
        self, opened: AbstractContextManager[Transaction], check: Callable[[Transaction], None]
    ) -> Iterator[Transaction]:
        with opened as transaction:
            check(transaction)
            yield transaction
        # Later transactions belong to the same operation, which may have ended the caller's own credential.
        self.check = None

    def acting(self, by: str, facts: Mapping[str, Any]) -> Ledger:
        """Return the ledger for another caller."""
        return ActingLedger(self._ledger, by, facts)

    def close(self) -> None:
        """Do nothing."""
