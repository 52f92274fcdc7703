"""Counts of callers' reads and refusals, written to the audit log from time to time.

A read has no separate event: a verifier sends thousands of requests a second. A caller that is refused repeatedly must
not fill the ledger.
"""

from __future__ import annotations

import time
from collections import Counter
from threading import Lock
from typing import TYPE_CHECKING, Any

from jitid.values.record import Record

if TYPE_CHECKING:
    from jitid.ledger.contract import Ledger
    from jitid.model.access import Caller

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
