"""Search of a source by several processes, with results in batches.

A busy process gives pieces of work to a process without work.
"""

from __future__ import annotations

import fcntl
import marshal
import mmap
import os
import select
import socket
import struct
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from jitid.capabilities.scan import helper_process
from jitid.capabilities.scan.hits import KINDS, Batch, Searcher, Source
from jitid.errors import StorageError
from jitid.search.find import SecretSearch


def readable(descriptors: Iterable[int], patience: float | None) -> list[int]:
    """Return the descriptors that can be read, or are at their end; wait for one up to `patience` seconds.

    None waits without a limit. Descriptors may have any number: `select` fails from 1,024 on.
    """
    waiting = select.poll()
    for descriptor in descriptors:
        waiting.register(descriptor, select.POLLIN)
    ready = waiting.poll(None if patience is None else patience * 1000)
    return [descriptor for descriptor, _ in ready]


# Messages between the processes have no common type.
# ruff: noqa: ANN401

_LENGTH = struct.Struct("=Q")
_OFTEN = 0.1
"""Seconds after which a helper process reports its progress, also without results."""


class Search:
    """A search that starts when it is entered, so that the caller can do other work meanwhile."""

    def __init__(
        self,
        source: Source,
        kinds: frozenset[str] = KINDS,
        processes: int | None = None,
        secret_search: SecretSearch | None = None,
    ) -> None:
        """Search `source` for strings of the kinds `kinds`, in `processes` processes.

        `secret_search` finds adopted secrets. By default there is one process per processor, up to a maximum.
        """
        self._source = source
        self._kinds = kinds
        self._secret_search = secret_search
        self._processes = helper_process.usual_number() if processes is None else processes
        self._parent = os.getpid()
        self._helpers: dict[int, int] = {}
        """The helper processes, by the descriptor of their messages."""

    def __enter__(self) -> Self:
        """Start the helper processes. Raises UsageError."""
        self._source.prepare(self._processes)
        try:
            for _ in range(1, self._processes):
                self._start()
        except OSError:
            # The system may refuse more processes: then this process searches alone.
            self.close()
            self._source.prepare(1)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop the helpers that still search."""
        for descriptor, pid in self._helpers.items():
            helper_process.stop(pid, descriptor)
        self._helpers.clear()

    def batches(self) -> Iterator[Batch]:
        """Search together with the helpers, and yield the results; some batches only report progress.

        Raises:
            StorageError: a helper was killed from outside.

        """
        searcher = Searcher(self._kinds, self._secret_search)
        reported_at = time.monotonic()
        for _ in self._source.search(searcher):
            now = time.monotonic()
            if searcher.full or now - reported_at >= _OFTEN:
                reported_at = now
                yield searcher.take()
                yield from self._received_batches(0)
        yield searcher.take()
        while self._helpers:
            yield from self._received_batches(None)

    def _received_batches(self, patience: float | None) -> Iterator[Batch]:
        """Yield the batches that helpers have sent; wait for one up to `patience` seconds."""
        if not self._helpers:
            return
        for descriptor in readable(self._helpers, patience):
            message = _received(descriptor)
            if message is not None:
                yield Batch.unpack(message)
                continue
            os.waitpid(self._helpers.pop(descriptor), 0)
            os.close(descriptor)

    def _start(self) -> None:
        pid, descriptor = helper_process.start(self._help)
        self._helpers[descriptor] = pid

    def _help(self, pipe: int) -> None:
        for descriptor in self._helpers:
            os.close(descriptor)
        self._search(pipe)

    def _search(self, pipe: int) -> None:
        searcher = Searcher(self._kinds, self._secret_search)
        reported_at = time.monotonic()
        for _ in self._source.search(searcher):
            if os.getppid() != self._parent:
                # The parent was killed: no process reads the results.
                return
            now = time.monotonic()
            if searcher.full or now - reported_at >= _OFTEN:
                reported_at = now
                _send(pipe, searcher.take().pack())
        _send(pipe, searcher.take().pack())
        _send(pipe, None)


def _send(descriptor: int, value: Any) -> None:
    message = memoryview(marshal.dumps(value))
    message = memoryview(_LENGTH.pack(len(message)) + bytes(message))
    while message:
        message = message[os.write(descriptor, message) :]


def _received(descriptor: int) -> Any:
    """Return the value that a helper sent. Raises StorageError if the helper was killed."""
    (length,) = _LENGTH.unpack(_read(descriptor, _LENGTH.size))
    return marshal.loads(_read(descriptor, length))  # noqa: S302 - from a child of this process


def _read(descriptor: int, size: int) -> bytes:
    pieces = []
    while size:
        piece = os.read(descriptor, size)
        if not piece:
            raise StorageError("a process that searched a part of the files was killed", "scan again")
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


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
        """Give half of the work to a process that has none, if there is one. The caller is busy with a piece."""
        work = self.work
        if self._processes < 2 or not work or not self._waiting[0]:
            return
        fcntl.lockf(self._lock, fcntl.LOCK_EX)
        try:
            if not self._waiting[0]:
                return
            # The first folders in the list are the highest in the tree, with the most work below them.
            count = min((len(work) + 1) // 2, MOST_TOGETHER)
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
