"""Search of a source by several processes, with results in batches."""

from __future__ import annotations

import marshal
import os
import signal
import struct
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Any, NoReturn, Self

from jitid.capabilities.scan.hits import KINDS, Batch, Searcher
from jitid.capabilities.scan.source import Source
from jitid.capabilities.scan.wait import readable
from jitid.errors import StorageError
from jitid.search.secret_shapes import SecretSearch

MOST_PROCESSES = 4
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

        `secret_search` finds adopted secrets. By default there is one process per processor, up to `MOST_PROCESSES`.
        """
        self._source = source
        self._kinds = kinds
        self._secret_search = secret_search
        self._processes = min(_processors(), MOST_PROCESSES) if processes is None else processes
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
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            os.close(descriptor)
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
        receiving, sending = os.pipe()
        try:
            pid = os.fork()
        except OSError:
            os.close(receiving)
            os.close(sending)
            raise
        if pid == 0:
            self._help(sending)
        os.close(sending)
        self._helpers[receiving] = pid

    def _help(self, pipe: int) -> NoReturn:
        try:
            for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(signum, signal.SIG_DFL)
            for descriptor in self._helpers:
                os.close(descriptor)
            self._search(pipe)
        finally:
            # Even after an error, the helper must not continue with the parent's work.
            os._exit(0)

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
            raise StorageError("a process that searched a part was ended", "scan again")
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


def _processors() -> int:
    """Return the number of processors that can share the work; 1 if the system lacks the functions for it."""
    if not hasattr(os, "memfd_create") or not hasattr(os, "sched_getaffinity"):
        return 1
    return len(os.sched_getaffinity(0))
