"""A ledger as one caller writes to it: every event says who that is, and what else is to be told of them."""

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
    """The same ledger, acting for somebody; closing it leaves the ledger open, which others use."""

    def __init__(self, ledger: Ledger, by: str, facts: Mapping[str, Any]) -> None:
        self._ledger = ledger
        self._by = by
        self._facts = facts
        self.check: Callable[[Transaction], None] | None = None
        """Is asked at the beginning of each transaction until one is committed. It raises what stops the change."""

    @property
    def names(self) -> Names:
        """What the first use fixed."""
        return self._ledger.names

    def foresees(self, *, quick: Callable[[], bool]) -> bool:
        """Return whether to plan in a snapshot before taking the write lock."""
        return self._ledger.foresees(quick=quick)

    def condition(self) -> Condition:
        """Return what tells how the ledger itself is; asking changes nothing."""
        return self._ledger.condition()

    def read(self, *, by_mark: bool = False) -> AbstractContextManager[View]:
        """Open a consistent view."""
        return self._ledger.read(by_mark=by_mark)

    def glance(self) -> AbstractContextManager[View]:
        """Open a view for a few questions."""
        return self._ledger.glance()

    def write(
        self,
        *,
        accept_clock: bool = False,
        facts: Mapping[str, Any] = MappingProxyType({}),
        by: str | None = None,
        told: Mapping[str, Any] = MappingProxyType({}),
        shared: bool = False,
    ) -> AbstractContextManager[Transaction]:
        """Open a transaction, by whom this acts for unless another is named."""
        opened = self._ledger.write(
            accept_clock=accept_clock,
            facts=facts,
            by=by or self._by,
            told={**self._facts, **told},
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
        # What follows belongs to what was done: it may have ended what its caller came with.
        self.check = None

    def acting(self, by: str, facts: Mapping[str, Any]) -> Ledger:
        """Return the ledger as somebody else writes to it."""
        return ActingLedger(self._ledger, by, facts)

    def close(self) -> None:
        """Do nothing."""
