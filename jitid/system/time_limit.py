"""The time that one command has for all that it waits for: servers, other writers, targets, retries.

It is a state of the process, as an alarm is: a command is one process, and what it waits for is spread over threads.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

TAKING_BACK = 30.0
"""Seconds for taking back what the command has made, whatever is left of its time then."""

OVER = "the command's time is over (--timeout)"
"""The beginning of an error's message where the command's own time limit is the cause."""

MORE = "repeat the command, or give it more --timeout"
"""Its hint."""

_EARLY = 0.05
"""Seconds by which a timer may be early."""

_end: float | None = None
_least = 0.0
_paused: float | None = None
"""Since when the time stands still."""
_called: list[Callable[[], None]] = []
_rung = False
"""Whether the timer has rung, and what is to be called then was not called yet."""


def bound(seconds: float) -> None:
    """Let no wait of this process go on for longer than so many seconds from now."""
    global _end, _least
    _end, _least = _now() + seconds, 0.0


def take_back() -> None:
    """Bound the process anew, by `TAKING_BACK`: what it has made is to be taken back, since nobody was given it.

    A credential that stays alive because the command's time is over would be one that no caller holds.
    """
    global _end, _least
    if _end is not None:
        _end, _least = _now() + TAKING_BACK, TAKING_BACK


def lift() -> None:
    """Bound each wait by its own limit alone, as at the start."""
    global _end, _least
    _end, _least = None, 0.0
    _called.clear()


def left(most: float) -> float:
    """Return for how many seconds to wait: `most`, or what is left of the command's time if that is less."""
    return most if _end is None else min(most, max(0.0, _end - _now()))


def usual(timeout: float) -> float:
    """Return for how many seconds to wait for a ledger or an authority, where `timeout` is the setting of that name."""
    return left(max(timeout, _least))


def is_over() -> bool:
    """Tell whether the command has a bound, and it has passed."""
    return _end is not None and _now() >= _end


class Pause:
    """A block that takes none of the command's time: the caller types, reads or fills a pipe meanwhile.

    Waits for servers, other writers and targets in other threads keep the time that they were given.
    """

    # Not by `contextlib`: that needs modules which a short command does without.
    __slots__ = ("_outermost",)

    def __enter__(self) -> None:
        global _paused
        # One that is in another, perhaps of another thread, ends with that.
        self._outermost = _end is not None and _paused is None
        if self._outermost:
            _paused = monotonic()

    def __exit__(self, *_: object) -> None:
        global _end, _paused, _rung
        if not self._outermost or _paused is None:
            return
        # Moved before it runs on: the timer's thread must not see one without the other.
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
    """Call something when the command's time is over, from another thread: it ends a wait that has no limit itself."""
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
    # Before the look: a pause that ends in between winds the timer up again, and twice is once.
    _rung = True
    if _paused is not None:
        return
    _rung = False
    end = _end
    if end is None:
        return
    if _now() < end - _EARLY:
        # It was bound anew, or paused.
        _wait(end)
        return
    # What is begun after the end, to take something back, has an end of its own.
    calls = _called[:]
    _called.clear()
    for call in calls:
        call()
