"""An authority that serves one caller: it checks the caller's permissions and records refusals.

It checks before the operation, and again in the transaction that performs it: another process may have revoked the
caller's credential in between, or changed the objects of the operation.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from jitid.authority import guard
from jitid.errors import JitidError, RefusedError

if TYPE_CHECKING:
    from jitid.authority.read_counts import ReadTally
    from jitid.ledger.transaction import Transaction
    from jitid.ledger.wrapped import ActingLedger
    from jitid.model.access import Caller
    from jitid.operation.base import Authority, Operation, Result


class ServingAuthority:
    """An authority that performs operations within the roles of a caller."""

    def __init__(self, within: Authority, ledger: ActingLedger, caller: Caller, tally: ReadTally) -> None:
        """`within` performs on the caller's behalf; `ledger` attributes writes to the caller."""
        self._within = within
        self._ledger = ledger
        self._caller = caller
        self._tally = tally

    def perform(self, operation: Operation[Result]) -> Result:
        """Perform an operation and return its answer; raise a `JitidError` if it fails.

        Raises:
            RefusedError: the caller may not perform it.

        """
        try:
            answer = self._perform(operation)
        except RefusedError as refusal:
            self._record(refusal, type(operation).__name__)
            raise
        if operation.is_reading:
            self._tally.read(self._caller, type(operation).__name__)
        if self._tally.due:
            with suppress(JitidError):
                self._tally.record(self._ledger)
        return answer

    def must_serve(self, kind: type[Operation[Any]]) -> None:
        """Refuse a caller that may not request this kind of operation at all, before its request is parsed.

        Raises:
            RefusedError: the caller lacks a role for it, and it is not available for the caller's own objects.

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
        """Do nothing: the authority serves other callers too."""

    def _record(self, refusal: RefusedError, name: str) -> None:
        if self._tally.denied(self._caller, name):
            try:
                with self._ledger.write() as transaction:
                    transaction.append("denial", {"operation": name, "reason": refusal.message})
            except JitidError:
                # The refusal holds even if recording it fails. The next report of counts includes it.
                self._tally.unrecorded(self._caller, name)
