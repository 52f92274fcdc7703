"""The command as a child process: it ends with this process, at its time limit, or by itself."""

from __future__ import annotations

import errno
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence

from jitid.errors import ExitStatus
from jitid.system.processes import _not_run

_PR_SET_PDEATHSIG = 1


class Child:
    """A process that was started here."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.killed_by: int | None = None
        """The signal that ended it."""

    def send(self, signum: int) -> bool:
        """Send it a signal; return False if the system forbids that, since the process has another user now.

        The process number stays its own until this process has waited for it.
        """
        try:
            os.kill(self.pid, signum)
        except PermissionError:
            return False
        return True

    def ended(self) -> int | None:
        """Return its exit status if it has ended (128+n: by signal n); None while it runs."""
        while True:
            # As the first process of a container, this one must also reap orphaned processes.
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return None
            if pid == self.pid:
                break
        if os.WIFSIGNALED(status):
            self.killed_by = os.WTERMSIG(status)
            return 128 + self.killed_by
        return os.WEXITSTATUS(status)


def start(
    path: str, command: Sequence[str], environ: Mapping[str, str], mask: set[int | signal.Signals]
) -> Child:
    """Start the command at `path`, with the signal mask `mask`; on Linux it is killed when this thread ends.

    Raises:
        NotRunError: the system does not execute it.

    """
    die_with_parent = _death_signal()
    own_pid = os.getpid()
    error_reader, error_writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        _become(path, command, environ, mask, error_writer, own_pid, die_with_parent)
    os.close(error_writer)
    try:
        failure = os.read(error_reader, 16)
    finally:
        os.close(error_reader)
    if failure:
        os.waitpid(pid, 0)
        raise _not_run(command[0], int(failure))
    return Child(pid)


def dies_with_parent() -> bool:
    """Return whether this system ends a child when its parent is killed."""
    return sys.platform.startswith("linux")


def _become(
    path: str,
    command: Sequence[str],
    environ: Mapping[str, str],
    mask: set[int | signal.Signals],
    error_writer: int,
    parent: int,
    die_with_parent: Callable[[], None],
) -> None:
    try:
        # Python ignores two of these signals for itself; a command expects their defaults. The handlers of this
        # process must not run in the child before the command begins.
        handled = {signum for signum in signal.valid_signals() if callable(signal.getsignal(signum))}
        for signum in {*handled, signal.SIGPIPE, signal.SIGXFSZ}:
            signal.signal(signum, signal.SIG_DFL)
        die_with_parent()
        if os.getppid() != parent:
            # The parent was killed before the line above.
            os._exit(128 + signal.SIGKILL)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        try:
            os.execve(path, list(command), environ)  # noqa: S606 - the user requested this program
        except OSError as error:
            if error.errno != errno.ENOEXEC:
                raise
            # The shell reads a script without an interpreter line, as with execvp(3).
            os.execve("/bin/sh", ["sh", path, *command[1:]], environ)  # noqa: S606 - as above
    except OSError as error:
        os.write(error_writer, str(error.errno or errno.ENOEXEC).encode())
    finally:
        os._exit(ExitStatus.CANNOT_EXECUTE)


def _death_signal() -> Callable[[], None]:
    """Return a function that has the kernel kill the calling process when its parent ends (prctl(2))."""
    if not dies_with_parent():
        return lambda: None
    import ctypes  # before the fork, and only for this

    prctl = ctypes.CDLL(None).prctl
    return lambda: prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) and None


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
"""Signals about this process itself, or that stop it as a job; all other signals are passed on."""

_TYPED = frozenset({signal.SIGINT, signal.SIGQUIT, signal.SIGWINCH})
"""Signals that a terminal sends to all processes in the foreground, the command included."""

_BY_KERNEL = 0x80
"""`si_code` of a signal from the kernel (SI_KERNEL): for a key, a timer that fires, a line that hangs up."""

_LONGEST = 60.0
"""Maximum seconds between two checks of the clock: it may be set, and a machine may have slept."""

_SOONEST = 0.001
"""Minimum seconds of a timer: a timer with zero would never fire."""

_LOOK = 0.1
"""Maximum seconds between two checks if the system cannot wait for a signal with a time limit."""


class Clock:
    """The ledger's time in seconds since the epoch; setting the machine's clock back does not stop it."""

    def __init__(self, now: float) -> None:
        self.set(now)

    def set(self, now: float) -> None:
        """Restart with the time that the ledger has just reported."""
        self._start = now
        self._wall = time.time()
        self._up = _uptime()

    def __call__(self) -> float:
        """Return the time. It follows the machine's clock if that is set ahead, but not if it is set back."""
        return self._start + max(time.time() - self._wall, _uptime() - self._up)


def _uptime() -> float:
    # The time that the machine slept counts too.
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class Signals:
    """Signals that are blocked once this object exists, and taken one by one."""

    def __init__(self) -> None:
        # The command also ignores the signals that this process ignores (`nohup`).
        passed_on = {
            signum
            for signum in signal.valid_signals() - _OWN
            if signal.getsignal(signum) is not signal.SIG_IGN
        }
        # Without a handler, the system might discard SIGCHLD while it is blocked.
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._awaited = {*passed_on, signal.SIGCHLD, signal.SIGALRM}
        self.before = signal.pthread_sigmask(signal.SIG_BLOCK, self._awaited)
        """The signal mask that this process had."""

    def next(self, seconds: float) -> int | None:
        """Wait at most `seconds` for a signal; return it if it must be passed on."""
        if not hasattr(signal, "sigwaitinfo"):
            return self._poll(seconds)
        # Not sigtimedwait: continued after its time limit, Python 3.11 to 3.13 return uninitialised memory.
        signal.setitimer(signal.ITIMER_REAL, max(seconds, _SOONEST))
        info = signal.sigwaitinfo(self._awaited)
        signal.setitimer(signal.ITIMER_REAL, 0)
        if signal.SIGALRM in signal.sigpending():
            # The timer fired just now; a pending alarm would interrupt another wait, such as for the ledger's lock.
            signal.sigwait({signal.SIGALRM})
        signum = info.si_signo
        if signum == signal.SIGCHLD or (
            info.si_code == _BY_KERNEL and (signum in _TYPED or signum == signal.SIGALRM)
        ):
            return None
        return signum

    def _poll(self, seconds: float) -> int | None:
        deadline = time.monotonic() + seconds
        while True:
            waiting = signal.sigpending() & self._awaited
            if waiting:
                signum = signal.sigwait(waiting)
                return None if signum == signal.SIGCHLD or _typed(signum) else signum
            if time.monotonic() >= deadline:
                return None
            time.sleep(min(_LOOK, max(deadline - time.monotonic(), 0)))


def _typed(signum: int) -> bool:
    """Guess whether a signal came from a key at the terminal: then the command gets it without jitid."""
    try:
        return signum in (signal.SIGINT, signal.SIGQUIT) and os.tcgetpgrp(0) == os.getpgrp()
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
    report: Callable[[str], None],
) -> int:
    """Watch a command to its end and return its status.

    Args:
        child: the command.
        signals: the signals to pass on to it.
        clock: returns the seconds since the epoch.
        until: the time limit; then the command gets a TERM, after `grace` seconds a KILL, and its status is TIMED_OUT.
        grace: the seconds between TERM and KILL.
        due: does the work that is due at a time, and returns when there is work again.
        report: reports a sentence to the user.

    """
    reported = False

    def send(signum: int) -> None:
        nonlocal reported
        if not child.send(signum) and not reported:
            reported = True
            report("cannot signal the command: it now runs as another user")

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
            # A stopped process would not receive it.
            send(signal.SIGCONT)
        elif kill_at is not None and now >= kill_at:
            send(signal.SIGKILL)
            kill_at = now + _LONGEST
        elif kill_at is None and now >= next_due:
            next_due = due(now)
        next_at = min(until, next_due) if kill_at is None else kill_at
        signum = signals.next(min(next_at - clock(), _LONGEST))
        if signum is not None:
            send(signum)
