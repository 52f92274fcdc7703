"""A ledger for one request: all reads use the same view, which is opened once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jitid.ledger.contract import Ledger
    from jitid.ledger.transaction import Transaction
    from jitid.ledger.view import View
    from jitid.model.ledger_condition import Condition
    from jitid.model.ledger_rows import Names


class OneViewLedger:
    """The same ledger; a read leaves its view open for the next read, and a write or `close` closes the view.

    Authenticating the caller and answering the request are separate reads. If the ledger is another process, opening
    and closing a view costs as much as a read. No write happens inside a read: no ledger supports that.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._opened: AbstractContextManager[View] | None = None
        self._snapshot: View | None = None

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
        """Return the open view, or open it."""
        return _SharedRead(self, by_mark=by_mark)

    def glance(self) -> AbstractContextManager[View]:
        """Return the open view, or open it."""
        return _SharedRead(self, by_mark=False)

    def write(
        self,
        *,
        accept_clock: bool = False,
        facts: Mapping[str, Any] = MappingProxyType({}),
        by: str | None = None,
        members: Mapping[str, Any] = MappingProxyType({}),
        shared: bool = False,
    ) -> AbstractContextManager[Transaction]:
        """Close the view and open a transaction."""
        self.close()
        return self._ledger.write(
            accept_clock=accept_clock, facts=facts, by=by, members=members, shared=shared
        )

    def acting(self, by: str, facts: Mapping[str, Any]) -> Ledger:
        """Return the ledger for a caller, with the same view."""
        from jitid.ledger.attribution import ActingLedger

        return ActingLedger(self, by, facts)

    def close(self) -> None:
        """Close the view; the ledger stays open."""
        opened, self._opened, self._snapshot = self._opened, None, None
        if opened is not None:
            opened.__exit__(None, None, None)

    def look(self, *, by_mark: bool) -> View:
        """Return the view; if it is not open yet, open it as `read` of the ledger does."""
        if self._snapshot is None:
            opened = self._ledger.read(by_mark=True) if by_mark else self._ledger.glance()
            self._snapshot = opened.__enter__()
            self._opened = opened
        return self._snapshot

    def fail(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        """Close the view after an error in it; the ledger may raise a translated error instead."""
        opened, self._opened, self._snapshot = self._opened, None, None
        if opened is not None:
            opened.__exit__(kind, error, trace)


class _SharedRead:
    """A read; only an error closes the view."""

    def __init__(self, ledger: OneViewLedger, *, by_mark: bool) -> None:
        self._ledger = ledger
        self._by_mark = by_mark

    def __enter__(self) -> View:
        return self._ledger.look(by_mark=self._by_mark)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None and error is not None:
            self._ledger.fail(kind, error, trace)
