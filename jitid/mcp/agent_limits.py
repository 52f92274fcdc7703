"""Limits of an agent: its number of identities, and its rate of writes to the ledger."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from jitid.errors import JitidError

RESERVE = 10
"""Maximum burst, in seconds of the allowed rate, after a pause of the same length."""


class CallPace:
    """A rate limit: `rate` calls per second on average, and at most those of `RESERVE` seconds at once."""

    def __init__(self, rate: int, clock: Callable[[], float]) -> None:
        """`clock` returns seconds, and never goes back."""
        self._rate = rate
        self._clock = clock
        self._most = float(rate * RESERVE)
        self._left = self._most
        self._at = clock()

    def take(self) -> float:
        """Count a call and return 0; beyond the limit, return the seconds until the next call is allowed."""
        now = self._clock()
        self._left = min(self._most, self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left < 1:
            return (1 - self._left) / self._rate
        self._left -= 1
        return 0.0


class LimitError(JitidError):
    """A request of the agent beyond its limits; a retry may succeed later."""

    code = "limit"
    retryable = True

    def __init__(self, message: str, hint: str, seconds: float) -> None:
        super().__init__(message, hint)
        self.seconds = seconds
        """Seconds until a retry may succeed."""


class AgentLimits(NamedTuple):
    """The limits of an agent at one server."""

    most: int
    """Maximum number of identities that are handed out at once."""
    rate: int
    """Average number of writes to the ledger per second."""
    keep: bool
    """Whether the identities stay valid when the server ends."""
