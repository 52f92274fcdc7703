"""Ledgers for one purpose: one request's view, events with their caller, an accepted clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import Unpack

    from jitid.ledger.contract import Ledger, WriteOptions
    from jitid.ledger.transaction import Transaction
    from jitid.ledger.view import View
    from jitid.model.ledger_condition import Condition
    from jitid.model.ledger_rows import Names


class _WrappedLedger:
    """A ledger by means of another one, which has its names and its state."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

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


class OneViewLedger(_WrappedLedger):
    """The same ledger; a read leaves its view open for the next read, and a write or `close` closes the view.

    Authenticating the caller and answering the request are separate reads. If the ledger is another process, opening
    and closing a view costs as much as a read. No write happens inside a read: no ledger supports that.
    """

    def __init__(self, ledger: Ledger) -> None:
        super().__init__(ledger)
        self._opened: AbstractContextManager[View] | None = None
        self._snapshot: View | None = None

    def read(self, *, by_mark: bool = False) -> AbstractContextManager[View]:
        """Return the open view, or open it."""
        return _SharedRead(self, by_mark=by_mark)

    def glance(self) -> AbstractContextManager[View]:
        """Return the open view, or open it."""
        return _SharedRead(self, by_mark=False)

    def write(self, **options: Unpack[WriteOptions]) -> AbstractContextManager[Transaction]:
        """Close the view and open a transaction."""
        self.close()
        return self._ledger.write(**options)

    def acting(self, by: str, facts: Mapping[str, Any]) -> Ledger:
        """Return the ledger for a caller, with the same view."""
        return ActingLedger(self, by, facts)

    def close(self) -> None:
        """Close the view; the ledger stays open."""
        self.leave(None, None, None)

    def look(self, *, by_mark: bool) -> View:
        """Return the view; if it is not open yet, open it as `read` of the ledger does."""
        if self._snapshot is None:
            opened = self._ledger.read(by_mark=True) if by_mark else self._ledger.glance()
            self._snapshot = opened.__enter__()
            self._opened = opened
        return self._snapshot

    def leave(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the view, perhaps after an error in it; the ledger may raise a translated error instead."""
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
        if error is not None:
            self._ledger.leave(kind, error, trace)


class AcceptingLedger(_WrappedLedger):
    """The same ledger for one operation, or for a whole command.

    An operation reads before it writes, and a dry run only reads. So the transaction that writes accepts the clock.
    Until then each view judges by the time mark. Credentials that have expired by the mark are recorded as expired
    before the mark is lowered, so a view shows the credentials that are live afterwards.
    """

    def __init__(self, ledger: Ledger, *, owns: bool = False) -> None:
        """Args: `owns` makes `close` close the underlying ledger; without it, others continue to use that ledger."""
        super().__init__(ledger)
        self._owns = owns

    def foresees(self, *, quick: Callable[[], bool]) -> bool:  # noqa: ARG002 - of the ledger's protocol
        """Return False: a view's time differs from the time of the transaction that accepts the clock."""
        return False

    def read(self, *, by_mark: bool = True) -> AbstractContextManager[View]:  # noqa: ARG002 - always by the mark
        """Open a consistent view that judges by the time mark."""
        return self._ledger.read(by_mark=True)

    def glance(self) -> AbstractContextManager[View]:
        """Open a consistent view that judges by the time mark."""
        return self._ledger.read(by_mark=True)

    def write(self, **options: Unpack[WriteOptions]) -> AbstractContextManager[Transaction]:
        """Open a transaction that accepts the clock."""
        options["accept_clock"] = True
        return self._ledger.write(**options)

    def acting(self, by: str, facts: Mapping[str, Any]) -> Ledger:
        """Return the same ledger for the caller `by`; its events also get the members `facts`."""
        return ActingLedger(self, by, facts)

    def close(self) -> None:
        """Close the ledger if it is owned."""
        if self._owns:
            self._ledger.close()


class ActingLedger(_WrappedLedger):
    """The same ledger for one caller. Closing it leaves the underlying ledger open, which others use."""

    def __init__(self, ledger: Ledger, by: str, facts: Mapping[str, Any]) -> None:
        super().__init__(ledger)
        self._by = by
        self._facts = facts
        self.check: Callable[[Transaction], None] | None = None
        """The check at the beginning of each transaction until one is committed.

        It raises an error to stop the change.
        """

    def read(self, *, by_mark: bool = False) -> AbstractContextManager[View]:
        """Open a consistent view."""
        return self._ledger.read(by_mark=by_mark)

    def glance(self) -> AbstractContextManager[View]:
        """Open a view for a few lookups."""
        return self._ledger.glance()

    def write(self, **options: Unpack[WriteOptions]) -> AbstractContextManager[Transaction]:
        """Open a transaction for this caller, or for `by` if it is given."""
        options["by"] = options.get("by") or self._by
        options["members"] = {**self._facts, **options.get("members", {})}
        opened = self._ledger.write(**options)
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
