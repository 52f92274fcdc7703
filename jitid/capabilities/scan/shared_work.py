"""Work that several processes share: whoever has some gives of it to whoever has none left."""

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
"""So many pieces of work are given at once."""

_LONGEST = 1 << 16
"""Bytes of one message; longer work stays with whoever has it."""
_PATIENCE = 0.05
"""Seconds that whoever waits is silent."""


class Sharing:
    """Pieces of work in a list of each process; what is given away goes through a socket that all of them hold.

    A process that waits is counted in memory that all of them see; when all wait, nothing is left to do. A piece is
    what `marshal` takes.
    """

    def __init__(self, processes: int) -> None:
        """Make what is shared, before the processes part."""
        self._processes = processes
        self._owner = os.getpid()
        self.work: list[Any] = []
        """What this process has still to do; what stands in it before they part is the first one's."""
        if processes < 2:
            return
        self._giving, self._taking = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._giving.setblocking(False)
        self._taking.setblocking(False)
        self._waiting = mmap.mmap(-1, 1)
        self._lock = os.memfd_create("jitid")

    def close(self) -> None:
        """Close what this process holds of it."""
        if self._processes > 1:
            self._giving.close()
            self._taking.close()
            self._waiting.close()
            os.close(self._lock)
        self._processes = 0

    def pieces(self) -> Iterator[Any]:
        """Yield each piece that this process is to do, the last one first; None now and then while it waits."""
        work = self.work
        if os.getpid() != self._owner:
            work.clear()
        while True:
            while work:
                yield work.pop()
            if self._processes < 2:
                return
            for came in self._wait():
                if came is None:
                    yield None
                elif not came:
                    return
                else:
                    work.extend(came)

    def share(self) -> None:
        """Give some of the work to a process that has none, if there is one."""
        work = self.work
        if self._processes < 2 or len(work) < 2 or not self._waiting[0]:
            return
        fcntl.lockf(self._lock, fcntl.LOCK_EX)
        try:
            if not self._waiting[0]:
                return
            # What was found first stands highest in the tree, and has most below it.
            count = min(len(work) // 2, MOST_TOGETHER)
            text = marshal.dumps(work[:count])
            if len(text) > _LONGEST:
                count, text = 1, marshal.dumps(work[:1])
            if len(text) <= _LONGEST:
                with suppress(BlockingIOError):
                    self._giving.send(text)
                    self._waiting[0] -= 1
                    del work[:count]
        finally:
            fcntl.lockf(self._lock, fcntl.LOCK_UN)

    def _wait(self) -> Iterator[list[Any] | None]:
        """Yield None while there is no work, and then some; nothing of it when all is done."""
        fcntl.lockf(self._lock, fcntl.LOCK_EX)
        try:
            self._waiting[0] += 1
            if self._waiting[0] == self._processes:
                # Everybody waits, and nothing is on its way: all is done.
                for _ in range(self._processes):
                    self._giving.send(marshal.dumps([]))
        finally:
            fcntl.lockf(self._lock, fcntl.LOCK_UN)
        while True:
            if readable([self._taking.fileno()], _PATIENCE):
                # Somebody else may have been faster.
                with suppress(BlockingIOError):
                    yield marshal.loads(self._taking.recv(_LONGEST + 1))  # noqa: S302 - from a process of ours
                    return
            yield None
