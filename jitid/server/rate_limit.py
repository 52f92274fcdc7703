"""Rate limits: a leaky bucket as a meter for each client, in bounded memory."""

from __future__ import annotations

import threading
from collections import OrderedDict
from math import ceil
from time import monotonic

_MOST_CLIENTS = 10_000


class RequestPace:
    """A rate limit for each client."""

    def __init__(self, rate: float, burst: float, most: int = _MOST_CLIENTS) -> None:
        """`rate` is in requests per second, `burst` the maximum at once; up to `most` clients are stored."""
        self._rate = rate
        self._burst = burst
        self._most = most
        # Client -> time at which its bucket is empty. Clients that are missing here have an empty bucket.
        self._empty_at: OrderedDict[str, float] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, client: str, now: float | None = None) -> int:
        """Count one request; return 0 if it is within the limit, otherwise the seconds until the next one is.

        A request beyond the limit does not count.
        """
        now = monotonic() if now is None else now
        with self._lock:
            empty_at = max(self._empty_at.get(client, 0.0), now)
            level = (empty_at - now) * self._rate
            if level + 1 > self._burst:
                return max(1, ceil((level + 1 - self._burst) / self._rate))
            self._empty_at[client] = empty_at + 1 / self._rate
            self._empty_at.move_to_end(client)
            if len(self._empty_at) > self._most:
                # Delete the client with the oldest request: its bucket is most probably empty by now.
                self._empty_at.popitem(last=False)
        return 0
