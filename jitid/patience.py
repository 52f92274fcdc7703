"""The time that one command has for all that it waits for: servers, other writers, targets, retries.

It is a state of the process, as an alarm is: a command is one process, and what it waits for is spread over threads.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

_EARLY = 0.05
"""Seconds by which a timer may be early."""

_end: float | None = None
_called: list[Callable[[], None]] = []


def bound(seconds: float) -> None:
    """Let no wait of this process go on for longer than so many seconds from now."""
    global _end
    _end = monotonic() + seconds


def lift() -> None:
    """Bound each wait by its own limit alone, as at the start."""
    global _end
    _end = None
    _called.clear()


def left(most: float) -> float:
    """Return for how many seconds to wait: `most`, or what is left of the command's time if that is less."""
    return most if _end is None else min(most, max(0.0, _end - monotonic()))


def is_over() -> bool:
    """Tell whether the command has a bound, and it has passed."""
    return _end is not None and monotonic() >= _end


def at_end(call: Callable[[], None]) -> None:
    """Call something when the command's time is over, from another thread: it ends a wait that has no limit itself."""
    if _end is None:
        return
    _called.append(call)
    if len(_called) == 1:
        from threading import Timer

        timer = Timer(left(_end), _ring)
        timer.daemon = True
        timer.start()


def _ring() -> None:
    if _end is None or monotonic() < _end - _EARLY:
        # It was lifted, or bound anew.
        return
    for call in _called:
        call()
