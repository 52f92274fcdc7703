"""An authority as it serves one caller: it looks whether they may ask, and remembers whom it refused.

It looks before anything is done, and once more in the transaction that does it: until that had the ledger for itself,
others may have ended what the caller came with, or changed what the operation is about.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from jitid.authority import guard
from jitid.errors import JitidError, RefusedError

if TYPE_CHECKING:
    from jitid.authority.read_counts import ReadTally
    from jitid.ledger.attribution import ActingLedger
    from jitid.ledger.transaction import Transaction
    from jitid.model.caller import Caller
    from jitid.operation.authority import Authority
    from jitid.operation.base import Operation, Result


class ServingAuthority:
    """Performs for a caller what their roles allow."""

    def __init__(self, within: Authority, ledger: ActingLedger, caller: Caller, tally: ReadTally) -> None:
        """Args are what performs on the caller's behalf, and the ledger as the caller writes to it."""
        self._within = within
        self._ledger = ledger
        self._caller = caller
        self._tally = tally

    def perform(self, operation: Operation[Result]) -> Result:
        """Perform an operation and return its answer, or raise a `JitidError` that says why not.

        Raises:
            RefusedError: the caller may not ask for it.

        """
        try:
            answer = self._perform(operation)
        except RefusedError as refusal:
            self._record(refusal, type(operation).__name__)
            raise
        if guard.reads(operation):
            self._tally.read(self._caller, type(operation).__name__)
        if self._tally.due:
            with suppress(JitidError):
                self._tally.tell(self._ledger)
        return answer

    def must_serve(self, kind: type[Operation[Any]]) -> None:
        """Refuse a caller that may not ask for such an operation at all, before its request is looked at.

        Raises:
            RefusedError: it has no role for it, and what is its own plays no part in it.

        """
        try:
            guard.must_have_duty(self._caller, kind)
        except RefusedError as refusal:
            self._record(refusal, kind.__name__)
            raise

    def _perform(self, operation: Operation[Result]) -> Result:
        allowed = guard.allowed(self._ledger.read, self._caller, operation)

        def check(transaction: Transaction) -> None:
            guard.must_still_be(transaction, self._caller, operation, allowed)

        self._ledger.check = check
        try:
            return self._within.perform(allowed)
        finally:
            self._ledger.check = None

    def close(self) -> None:
        """Release nothing: the authority serves others too."""

    def _record(self, refusal: RefusedError, name: str) -> None:
        if self._tally.denied(self._caller, name):
            try:
                with self._ledger.write() as transaction:
                    transaction.append("denial", {"operation": name, "reason": refusal.message})
            except JitidError:
                # Refused it is, whatever becomes of the record, which is made up for as soon as counts can be told.
                self._tally.unrecorded(self._caller, name)
