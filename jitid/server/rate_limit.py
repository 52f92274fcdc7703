"""How fast each client may ask: a leaky bucket for each, as a meter, in bounded memory."""

from __future__ import annotations

import threading
from collections import OrderedDict
from math import ceil
from time import monotonic

_MOST_CLIENTS = 10_000


class RequestPace:
    """Counts what each client asks for, and says when it is too much."""

    def __init__(self, rate: float, burst: float, most: int = _MOST_CLIENTS) -> None:
        """`rate` is in requests a second, `burst` how many may come at once; `most` clients are remembered."""
        self._rate = rate
        self._burst = burst
        self._most = most
        # Client -> when its bucket is empty again. One that is not here has an empty bucket: it may be forgotten.
        self._empty_at: OrderedDict[str, float] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, client: str, now: float | None = None) -> int:
        """Count one request; return 0 if it is in order, and otherwise after how many seconds the next one is.

        One that is not in order does not count.
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
                # Whoever has not asked for the longest time; it has most probably an empty bucket by now.
                self._empty_at.popitem(last=False)
        return 0
