"""Watching a command: signals are passed on, what is due is done, and past its last moment it is ended."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

from jitid.capabilities.run.child import Child
from jitid.errors import ExitStatus

_OWN = frozenset(
    getattr(signal, f"SIG{name}")
    for name in (
        "KILL",
        "STOP",
        "CHLD",
        "SEGV",
        "BUS",
        "FPE",
        "ILL",
        "TRAP",
        "SYS",
        "PIPE",
        "TSTP",
        "TTIN",
        "TTOU",
    )
    if hasattr(signal, f"SIG{name}")
)
"""What is about this process itself, or stops it as a job; everything else is passed on."""

_TYPED = frozenset({signal.SIGINT, signal.SIGQUIT, signal.SIGWINCH})
"""What a terminal sends to everything in the foreground, the command included."""

_BY_KERNEL = 0x80
"""`si_code` of a signal that the kernel made (SI_KERNEL): for a key, a timer that rings, a line that is hung up."""

_LONGEST = 60.0
"""Seconds between two looks at the clock: it may be set, and a machine may have slept."""

_SOONEST = 0.001
"""A timer of no time at all would never ring."""

_LOOK = 0.1
"""The same where the system cannot wait for a signal with a limit of time."""


class Clock:
    """The seconds since the epoch as the ledger counts them, which go on whatever is done to the machine's clock."""

    def __init__(self, now: float) -> None:
        self.set(now)

    def set(self, now: float) -> None:
        """Begin again with the time that the ledger has just told."""
        self._start = now
        self._wall = time.time()
        self._up = _uptime()

    def __call__(self) -> float:
        """Return the time: set ahead, the machine's clock counts; set back, it does not."""
        return self._start + max(time.time() - self._wall, _uptime() - self._up)


def _uptime() -> float:
    # What was slept counts too.
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class Signals:
    """Signals kept back from the moment that this is made, to be taken one by one."""

    def __init__(self) -> None:
        # What this process was told to ignore (`nohup`), the command ignores as well.
        passed_on = {
            number
            for number in signal.valid_signals() - _OWN
            if signal.getsignal(number) is not signal.SIG_IGN
        }
        # Without a handler of its own the end of a child might be forgotten while it is kept back.
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._awaited = {*passed_on, signal.SIGCHLD, signal.SIGALRM}
        self.before = signal.pthread_sigmask(signal.SIG_BLOCK, self._awaited)
        """The signal mask that this process had."""

    def next(self, seconds: float) -> int | None:
        """Wait for a signal at most so long; return it if it is to be passed on."""
        if not hasattr(signal, "sigwaitinfo"):
            return self._poll(seconds)
        # Not sigtimedwait: continued after its time was over, Python 3.11 to 3.13 return what happens to be in memory.
        signal.setitimer(signal.ITIMER_REAL, max(seconds, _SOONEST))
        info = signal.sigwaitinfo(self._awaited)
        signal.setitimer(signal.ITIMER_REAL, 0)
        if signal.SIGALRM in signal.sigpending():
            # It rang just now; left waiting, it would end somebody else's waiting, as for the ledger's lock.
            signal.sigwait({signal.SIGALRM})
        number = info.si_signo
        if number == signal.SIGCHLD or (
            info.si_code == _BY_KERNEL and (number in _TYPED or number == signal.SIGALRM)
        ):
            return None
        return number

    def _poll(self, seconds: float) -> int | None:
        until = time.monotonic() + seconds
        while True:
            waiting = signal.sigpending() & self._awaited
            if waiting:
                number = signal.sigwait(waiting)
                return None if number == signal.SIGCHLD or _typed(number) else number
            if time.monotonic() >= until:
                return None
            time.sleep(min(_LOOK, max(until - time.monotonic(), 0)))


def _typed(number: int) -> bool:
    """Guess whether a signal came from a key at the terminal, which reaches the command by itself."""
    try:
        return number in (signal.SIGINT, signal.SIGQUIT) and os.tcgetpgrp(0) == os.getpgrp()
    except OSError:
        return False


def watch(
    child: Child,
    signals: Signals,
    clock: Callable[[], float],
    *,
    until: float,
    grace: float,
    due: Callable[[float], float],
    tell: Callable[[str], None],
) -> int:
    """Watch a command to its end and return its status.

    Args:
        child: the command.
        signals: what is passed on to it.
        clock: tells the seconds since the epoch.
        until: when it has to end; then it gets a TERM, and after `grace` seconds a KILL, and its status is TIMED_OUT.
        grace: as said.
        due: does what is due at a time, and returns when there is something to do again.
        tell: takes a sentence for whoever looks.

    """
    told = False

    def send(number: int) -> None:
        nonlocal told
        if not child.send(number) and not told:
            told = True
            tell("the command has become another user's, and cannot be signalled from here")

    next_due = due(clock())
    kill_at: float | None = None
    while True:
        status = child.ended()
        if status is not None:
            return status if kill_at is None else ExitStatus.TIMED_OUT
        now = clock()
        if kill_at is None and now >= until:
            kill_at = now + grace
            send(signal.SIGTERM)
            # One that was stopped would not hear it.
            send(signal.SIGCONT)
        elif kill_at is not None and now >= kill_at:
            send(signal.SIGKILL)
            kill_at = now + _LONGEST
        elif kill_at is None and now >= next_due:
            next_due = due(now)
        next_at = min(until, next_due) if kill_at is None else kill_at
        number = signals.next(min(next_at - clock(), _LONGEST))
        if number is not None:
            send(number)
