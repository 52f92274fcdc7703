"""Work that several processes share: a busy process gives pieces to a process without work."""

from __future__ import annotations

import fcntl
import marshal
import mmap
import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from jitid.capabilities.scan.wait import readable

MOST_TOGETHER = 32
"""Maximum number of pieces of work that are given at once."""

_LONGEST = 1 << 16
"""Maximum bytes of a message; a larger piece of work stays with its process."""
_PATIENCE = 0.05
"""Seconds after which a process that waits for work yields None."""


class Sharing:
    """A list of work in each process, and a socket of all processes through which they give work away.

    Processes that wait are counted in shared memory; when all wait, no work is left. A piece of work is a value that
    `marshal` accepts.
    """

    def __init__(self, processes: int) -> None:
        """Create the shared socket, counter and lock, before the processes are forked."""
        self._processes = processes
        self._owner = os.getpid()
        self.work: list[Any] = []
        """The work left for this process. The first process keeps the work that was noted before the others were
        forked.
        """
        if processes < 2:
            return
        self._giving, self._taking = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._giving.setblocking(False)
        self._taking.setblocking(False)
        self._waiting = mmap.mmap(-1, 1)
        self._lock = os.memfd_create("jitid")

    def close(self) -> None:
        """Close the shared socket, counter and lock in this process."""
        if self._processes > 1:
            self._giving.close()
            self._taking.close()
            self._waiting.close()
            os.close(self._lock)
        self._processes = 0

    def pieces(self) -> Iterator[Any]:
        """Yield each piece of work for this process, the last one first; None now and then while it waits."""
        work = self.work
        if os.getpid() != self._owner:
            work.clear()
        while True:
            while work:
                yield work.pop()
            if self._processes < 2:
                return
            for received in self._wait():
                if received is None:
                    yield None
                elif not received:
                    return
                else:
                    work.extend(received)

    def share(self) -> None:
        """Give some of the work to a process that has none, if there is one."""
        work = self.work
        if self._processes < 2 or len(work) < 2 or not self._waiting[0]:
            return
        fcntl.lockf(self._lock, fcntl.LOCK_EX)
        try:
            if not self._waiting[0]:
                return
            # The first folders in the list are the highest in the tree, with the most work below them.
            count = min(len(work) // 2, MOST_TOGETHER)
            message = marshal.dumps(work[:count])
            if len(message) > _LONGEST:
                count, message = 1, marshal.dumps(work[:1])
            if len(message) <= _LONGEST:
                with suppress(BlockingIOError):
                    self._giving.send(message)
                    self._waiting[0] -= 1
                    del work[:count]
        finally:
            fcntl.lockf(self._lock, fcntl.LOCK_UN)

    def _wait(self) -> Iterator[list[Any] | None]:
        """Yield None while there is no work, then a list of work; an empty list when all work is done."""
        fcntl.lockf(self._lock, fcntl.LOCK_EX)
        try:
            self._waiting[0] += 1
            if self._waiting[0] == self._processes:
                # All processes wait, and no message is in transit: all work is done.
                for _ in range(self._processes):
                    self._giving.send(marshal.dumps([]))
        finally:
            fcntl.lockf(self._lock, fcntl.LOCK_UN)
        while True:
            if readable([self._taking.fileno()], _PATIENCE):
                # Another process may have read the message first.
                with suppress(BlockingIOError):
                    yield marshal.loads(self._taking.recv(_LONGEST + 1))  # noqa: S302 - from a child of this process
                    return
            yield None
