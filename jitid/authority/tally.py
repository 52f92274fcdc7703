"""What callers read and what they were refused, counted here and told to the audit log from time to time.

A read is no event of its own: a verifier asks thousands of times a second. And whoever is refused over and over must
not fill the ledger with it.
"""

from __future__ import annotations

import time
from collections import Counter
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jitid.ledger.protocol import Ledger

INTERVAL = 60
"""Seconds for which reads, and refusals after the first, are told together."""
_MOST = 10_000
"""So many different counts are told at once, however short the time was: memory stays bounded."""


class Tally:
    """Counts of one process, by caller and operation; any thread may use it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._reads: Counter[tuple[str, str]] = Counter()
        self._denials: Counter[tuple[str, str]] = Counter()
        self._since = time.time()
        self._until = time.monotonic() + INTERVAL

    def read(self, caller: str, operation: str) -> None:
        """Count a read."""
        with self._lock:
            self._reads[caller, operation] += 1

    def denied(self, caller: str, operation: str) -> bool:
        """Count a refusal; return whether it is the first since counts were told, which is to be told at once."""
        with self._lock:
            self._denials[caller, operation] += 1
            return self._denials[caller, operation] == 1

    def unrecorded(self, caller: str, operation: str) -> None:
        """Count a refusal that could not be recorded at once, as `denied` wanted it: it is told with the others."""
        with self._lock:
            self._count_untold((caller, operation), 1)

    def _count_untold(self, key: tuple[str, str], count: int) -> None:
        # The first of those that are counted is not told: it was recorded when it happened.
        self._denials[key] += count if key in self._denials else count + 1

    @property
    def due(self) -> bool:
        """Whether it is time to tell."""
        return time.monotonic() >= self._until or len(self._reads) + len(self._denials) >= _MOST

    def tell(self, ledger: Ledger) -> None:
        """Write what was counted to the audit log, an event a caller, and count anew.

        Raises:
            StorageError: it cannot be written; what was counted is counted on.

        """
        with self._lock:
            reads, denials, since = self._reads, self._denials, int(self._since)
            self._reads, self._denials = Counter(), Counter()
            self._since = time.time()
            self._until = time.monotonic() + INTERVAL
        # The first of each was told when it happened.
        more = {key: count - 1 for key, count in denials.items() if count > 1}
        try:
            for told, counts in (("reads", reads), ("denials", more)):
                for caller in sorted({name for name, _ in counts}):
                    of_caller = {what: count for (name, what), count in counts.items() if name == caller}
                    with ledger.acting(caller, {}).write() as transaction:
                        transaction.append(told, {"counts": of_caller, "since": since})
                    for what in of_caller:
                        del counts[caller, what]
        except BaseException:
            with self._lock:
                self._reads.update(reads)
                for key, count in more.items():
                    self._count_untold(key, count)
                self._since = since
            raise
