"""The helper processes of a search: their number, their start and their end."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

MOST_PROCESSES = 4


def usual_number() -> int:
    """Return the number of processes that share a search: one for each processor, at most `MOST_PROCESSES`.

    It is 1 if the system lacks the functions for it.
    """
    if not hasattr(os, "memfd_create") or not hasattr(os, "sched_getaffinity"):
        return 1
    return min(len(os.sched_getaffinity(0)), MOST_PROCESSES)


def start(work: Callable[[int], None]) -> tuple[int, int]:
    """Start a process that only does some work, and return its id and the pipe that it writes to.

    `work` gets the end of the pipe to write to. Raises OSError if the system allows no more processes.
    """
    reader, writer = os.pipe()
    try:
        pid = os.fork()
    except OSError:
        os.close(reader)
        os.close(writer)
        raise
    if pid == 0:
        try:
            for signal_number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(signal_number, signal.SIG_DFL)
            work(writer)
        finally:
            # Even after an error, the helper must not continue with the parent's work.
            os._exit(0)
    os.close(writer)
    return pid, reader


def stop(pid: int, pipe: int) -> None:
    """Kill a process that still works, and close its pipe."""
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    os.close(pipe)
