"""An authority that serves one caller: it checks the caller's permissions and records refusals.

It checks before the operation, and again in the transaction that performs it: another process may have revoked the
caller's credential in between, or changed the objects of the operation.

And counts of callers' reads and refusals, written to the audit log from time to time. A read has no separate event: a
verifier sends thousands of requests a second. A caller that is refused repeatedly must not fill the ledger.
"""

from __future__ import annotations

import time
from collections import Counter
from contextlib import suppress
from threading import Lock
from typing import TYPE_CHECKING, Any

from jitid.authority import guard
from jitid.errors import JitidError, RefusedError
from jitid.values.record import Record

if TYPE_CHECKING:
    from jitid.ledger.contract import Ledger
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


INTERVAL = 60
"""Seconds for which reads, and refusals after the first, are counted in one event."""
_MOST = 10_000
"""Number of different counts after which they are written early: this limits memory."""

_MOST_NAMED = 100
"""The maximum number of identities with one name that an event about their reads lists."""


class _CallerKey(Record):
    """A caller as a key of the counts. Several agents may share a name, so the identity is part of it."""

    name: str
    identity: str

    @classmethod
    def of(cls, caller: Caller) -> _CallerKey:
        return cls(caller.name, caller.identity or "")


class ReadTally:
    """Counts of one process, by caller and operation; safe for use by several threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._reads: Counter[tuple[_CallerKey, str]] = Counter()
        self._denials: Counter[tuple[_CallerKey, str]] = Counter()
        self._since = time.time()
        self._until = time.monotonic() + INTERVAL

    def read(self, caller: Caller, operation: str) -> None:
        """Count a read."""
        with self._lock:
            self._reads[_CallerKey.of(caller), operation] += 1

    def denied(self, caller: Caller, operation: str) -> bool:
        """Count a refusal; return whether it is the first since the last report, to be recorded at once."""
        key = _CallerKey.of(caller), operation
        with self._lock:
            self._denials[key] += 1
            return self._denials[key] == 1

    def unrecorded(self, caller: Caller, operation: str) -> None:
        """Count a refusal that could not be recorded at once; it is reported with the others."""
        with self._lock:
            self._count_unrecorded((_CallerKey.of(caller), operation), 1)

    def _count_unrecorded(self, key: tuple[_CallerKey, str], count: int) -> None:
        # `record` skips the first refusal of each key, since it was recorded when it happened.
        self._denials[key] += count if key in self._denials else count + 1

    @property
    def due(self) -> bool:
        """Whether the counts are due to be written."""
        return time.monotonic() >= self._until or len(self._reads) + len(self._denials) >= _MOST

    def record(self, ledger: Ledger) -> None:
        """Write the counts to the audit log, one event per caller, and reset them.

        Raises:
            StorageError: they cannot be written; they are kept and added to.

        """
        with self._lock:
            reads, denials, since = self._reads, self._denials, int(self._since)
            self._reads, self._denials = Counter(), Counter()
            self._since = time.time()
            self._until = time.monotonic() + INTERVAL
        # The first refusal of each key was recorded when it happened.
        repeated_denials = {key: count - 1 for key, count in denials.items() if count > 1}
        try:
            for caller in sorted({caller for caller, _ in repeated_denials}):
                _append(ledger, "denials", caller, [caller], repeated_denials, since)
            # One event of reads per name: thousands of agents may share a name, and each may read once a minute.
            for name in sorted({caller.name for caller, _ in reads}):
                namesakes = sorted({caller for caller, _ in reads if caller.name == name})
                _append(ledger, "reads", _CallerKey(name, ""), namesakes, reads, since)
        except BaseException:
            with self._lock:
                self._reads.update(reads)
                for key, count in repeated_denials.items():
                    self._count_unrecorded(key, count)
                self._since = since
            raise


def _append(
    ledger: Ledger,
    event: str,
    actor: _CallerKey,
    callers: list[_CallerKey],
    counts: dict[tuple[_CallerKey, str], int],
    since: int,
) -> None:
    """Write one event about the counts of some callers, and remove these counts."""
    caller_set = frozenset(callers)
    keys = [key for key in counts if key[0] in caller_set]
    sums: Counter[str] = Counter()
    for caller, operation in keys:
        sums[operation] += counts[caller, operation]
    facts: dict[str, Any] = {"counts": dict(sums), "since": since}
    if not actor.identity and (ids := [caller.identity for caller in callers if caller.identity]):
        facts["by_ids"], facts["identities"] = ids[:_MOST_NAMED], len(ids)
    with ledger.acting(actor.name, {"by_id": actor.identity or None}).write() as transaction:
        transaction.append(event, facts)
    for key in keys:
        del counts[key]
