"""How much an agent may have, and how fast it may make the ledger write."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from jitid.errors import JitidError

RESERVE = 10
"""So many seconds' worth of writes may come at once, after as long a rest."""


class CallPace:
    """Gives turns at a rate: `rate` a second on the average, and at most `RESERVE` seconds' worth of them at once."""

    def __init__(self, rate: int, clock: Callable[[], float]) -> None:
        """`clock` tells seconds, and never goes back."""
        self._rate = rate
        self._clock = clock
        self._most = float(rate * RESERVE)
        self._left = self._most
        self._at = clock()

    def take(self) -> float:
        """Take a turn and return 0; if there is none, return in how many seconds there will be one."""
        now = self._clock()
        self._left = min(self._most, self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left < 1:
            return (1 - self._left) / self._rate
        self._left -= 1
        return 0.0


class LimitError(JitidError):
    """The agent asks for more than it may, or faster; trying again later helps."""

    code = "limit"
    retryable = True

    def __init__(self, message: str, hint: str, seconds: float) -> None:
        super().__init__(message, hint)
        self.seconds = seconds
        """In how many it helps."""


class AgentLimits(NamedTuple):
    """How much an agent may have from one server."""

    most: int
    """How many identities may be out at once."""
    rate: int
    """How many times a second the ledger is written to, on the average."""
    keep: bool
    """What is out at the end lives on."""
