"""The command as a child process: started so that it ends with this process, signalled, and waited for."""

from __future__ import annotations

import errno
import os
import signal
import sys
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
