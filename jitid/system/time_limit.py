"""The time limit of one command for all its waits: servers, other writers, targets, retries.

It is state of the process, like an alarm: a command is one process, and several of its threads wait.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

TAKING_BACK = 30.0
"""Seconds to revoke the credentials that the command has made, even after its own time limit."""

EXPIRED = "the command's time limit has expired (--timeout)"
"""The beginning of an error message if the command's own time limit is the cause."""

MORE = "repeat the command, or use a longer --timeout"
"""The hint of that error."""

_EARLY = 0.05
"""Seconds by which a timer may be early."""

_end: float | None = None
_least = 0.0
_paused: float | None = None
"""The time at which the limit was paused; None if it is not paused."""
_called: list[Callable[[], None]] = []
_rung = False
"""Whether the timer has fired in a pause, so that its calls are still due."""


def bound(seconds: float) -> None:
    """Limit all waits of this process to `seconds` from now."""
    global _end, _least
    _end, _least = _now() + seconds, 0.0


def take_back() -> None:
    """Extend the limit to `TAKING_BACK` seconds from now, to revoke credentials that no caller has received.

    Otherwise a credential could stay live after the command's time limit, although no caller holds it.
    """
    global _end, _least
    if _end is not None:
        _end, _least = _now() + TAKING_BACK, TAKING_BACK


def lift() -> None:
    """Remove the limit: each wait has only its own limit, as at the start."""
    global _end, _least
    _end, _least = None, 0.0
    _called.clear()


def left(max_seconds: float) -> float:
    """Return the seconds to wait: `max_seconds`, or the rest of the command's time if that is less."""
    return max_seconds if _end is None else min(max_seconds, max(0.0, _end - _now()))


def usual(timeout: float) -> float:
    """Return the seconds to wait for a ledger or an authority; `timeout` is the setting of that name."""
    return left(max(timeout, _least))


def has_expired() -> bool:
    """Return whether the command has a time limit and the limit has passed."""
    return _end is not None and _now() >= _end


class Pause:
    """A block that does not count toward the command's time: the caller types, reads or fills a pipe meanwhile.

    Waits for servers, other writers and targets in other threads keep their limits.
    """

    # Without `contextlib`, which loads modules that a short command does not need.
    __slots__ = ("_outermost",)

    def __enter__(self) -> None:
        global _paused
        # A pause inside another one, perhaps of another thread, has no effect: the outermost pause counts.
        self._outermost = _end is not None and _paused is None
        if self._outermost:
            _paused = monotonic()

    def __exit__(self, *_: object) -> None:
        global _end, _paused, _rung
        if not self._outermost or _paused is None:
            return
        # The limit is moved before the pause ends: the timer's thread must not see only one of the two changes.
        if _end is not None:
            _end += monotonic() - _paused
        _paused = None
        if _rung:
            _rung = False
            if _end is not None:
                _wait(_end)


def _now() -> float:
    return monotonic() if _paused is None else _paused


def at_end(call: Callable[[], None]) -> None:
    """Call a function in another thread when the command's time has passed. It ends a wait without a limit."""
    if _end is None:
        return
    _called.append(call)
    if len(_called) == 1:
        _wait(_end)


def _wait(end: float) -> None:
    from threading import Timer

    timer = Timer(max(0.0, end - _now()), _ring)
    timer.daemon = True
    timer.start()


def _ring() -> None:
    global _rung
    # Set before `_paused` is read: a pause that ends in between restarts the timer, and a second timer does no harm.
    _rung = True
    if _paused is not None:
        return
    _rung = False
    end = _end
    if end is None:
        return
    if _now() < end - _EARLY:
        # The limit was changed, or paused.
        _wait(end)
        return
    # Calls that are added after the end, during a revocation, get a timer with the new limit.
    calls = _called[:]
    _called.clear()
    for call in calls:
        call()
