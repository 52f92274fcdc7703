"""A stream that is searched while it is read, by several processes where there are processors for them."""

from __future__ import annotations

import marshal
import os
import signal
import stat
from collections.abc import Iterator
from types import TracebackType
from typing import NoReturn, Self

from jitid.commands import reading
from jitid.errors import StorageError, UsageError
from jitid.pasted import LONGEST, search_pasted
from jitid.searching import AFTER, BEFORE, Finds, search

CHUNK = 1 << 19
"""How much is searched at once: what fits into the cache of one processor."""

_WORTH_SHARING = 1 << 22
_MOST_PROCESSES = 4
_BATCH = 100_000
"""So many distinct strings are looked up together; no more of them are held at a time."""

Windows = Iterator[tuple[int, int]]
"""The parts of a text, one after the other: where each begins and ends in the window that shows it."""


class StreamSearch:
    """Searches a stream, beginning before it is asked what it found, so that other work is done meanwhile.

    Processes share a file by its offset: who moves it on by a chunk searches that chunk. What cannot be read out of
    order is left to one process, while this one does other things.
    """

    def __init__(self, path: str, what: str) -> None:
        """Args are the file, `-` for standard input, and what errors call it."""
        self._path = path
        self._what = what
        self._descriptor = -1
        self._window = bytearray(BEFORE + CHUNK + AFTER)
        self._view = memoryview(self._window)
        self._begun = 0
        """How much of the stream the window holds from the beginning."""
        self._own: Windows | None = None
        self._helpers: list[tuple[int, int]] = []
        """Process and descriptor of who searches as well."""

    def __enter__(self) -> Self:
        """Read the beginning, and let others search the rest if it is long. Raises UsageError."""
        self._descriptor = reading.opened(self._path, self._what)
        try:
            self._begin()
        except BaseException as error:
            self.close()
            if isinstance(error, OSError):
                raise self._unreadable(error) from error
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop who still searches, and close the file."""
        for pid, told in self._helpers:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            os.close(told)
        self._helpers.clear()
        if self._descriptor > 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def finds(self) -> Iterator[Finds]:
        """Search what is left, and yield what was found, in one or more batches.

        Raises:
            UsageError: the stream cannot be read.
            StorageError: a process that searched a part of it was ended from outside.

        """
        try:
            if self._begun <= LONGEST:
                yield search_pasted(bytes(self._view[: self._begun]))
                return
            if self._own is not None:
                yield from self._batches(self._own)
            while self._helpers:
                pid, told = self._helpers[-1]
                yield from _told_by(told)
                self._helpers.pop()
                os.close(told)
                os.waitpid(pid, 0)
        except OSError as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: OSError) -> UsageError:
        return reading.unreadable(self._path, self._what, error)

    def _begin(self) -> None:
        self._fill(LONGEST + 1)
        if self._begun <= LONGEST:
            return
        processors = _processors()
        if self._can_share():
            start = os.lseek(self._descriptor, -self._begun, os.SEEK_CUR)
            self._own = self._shared(start)
            for _ in range(min(processors, _MOST_PROCESSES) - 1):
                self._start_helper(self._shared(start))
        elif processors > 1 and not stat.S_ISREG(os.fstat(self._descriptor).st_mode):
            self._start_helper(self._in_order())
        else:
            self._own = self._in_order()

    def _fill(self, size: int) -> bool:
        """Read until the window holds `size` bytes; return whether the stream ended before."""
        while self._begun < size:
            count = os.readv(self._descriptor, [self._view[self._begun : size]])
            if not count:
                return True
            self._begun += count
        return False

    def _can_share(self) -> bool:
        found = os.fstat(self._descriptor)
        if not stat.S_ISREG(found.st_mode) or not hasattr(os, "preadv") or _processors() < 2:
            return False
        return found.st_size - os.lseek(self._descriptor, 0, os.SEEK_CUR) >= _WORTH_SHARING

    def _shared(self, start: int) -> Windows:
        """Yield windows of a file that other processes read as well, which begins at `start` for us."""
        window, view = self._window, self._view
        while True:
            # Moving the offset is one step: no two processes get the same place.
            own = os.lseek(self._descriptor, CHUNK, os.SEEK_CUR) - CHUNK
            at = max(start, own - BEFORE)
            size = 0
            while size < len(window) and (count := os.preadv(self._descriptor, [view[size:]], at + size)):
                size += count
            first = own - at
            if size <= first:
                return
            window[size:] = bytes(len(window) - size)
            yield first, min(first + CHUNK, size)

    def _in_order(self) -> Windows:
        """Yield windows of a stream that is read from its beginning to its end."""
        window = self._window
        first = 0
        while True:
            ended = self._fill(len(window))
            size = self._begun
            if ended:
                window[size:] = bytes(len(window) - size)
                yield first, size
                return
            last = size - AFTER
            yield first, last
            kept = window[last - BEFORE :]
            window[: len(kept)] = kept
            first, self._begun = BEFORE, len(kept)

    def _batches(self, windows: Windows) -> Iterator[Finds]:
        finds = Finds()
        for first, last in windows:
            search(self._window, first, last, finds)
            if len(finds) >= _BATCH:
                yield finds
                finds = Finds()
        yield finds

    def _start_helper(self, windows: Windows) -> None:
        told, tell = os.pipe()
        try:
            pid = os.fork()
        except OSError:
            # There may be no more processes: then this one does all of it.
            os.close(told)
            os.close(tell)
            self._own = self._own or windows
            return
        if pid == 0:
            self._help(windows, tell)
        os.close(tell)
        self._helpers.append((pid, told))

    def _help(self, windows: Windows, tell: int) -> NoReturn:
        try:
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_DFL)
            with os.fdopen(tell, "wb") as file:
                failure = 0
                try:
                    for finds in self._batches(windows):
                        marshal.dump(finds.pack(), file)
                except OSError as error:
                    failure = error.errno or -1
                marshal.dump(failure, file)
        finally:
            # Whatever happened: the parent's work is not done twice.
            os._exit(0)


def _told_by(descriptor: int) -> Iterator[Finds]:
    """Yield what a helper found. Raises OSError where it could not read, StorageError if it was ended."""
    with os.fdopen(descriptor, "rb", closefd=False) as file:
        while True:
            try:
                told = marshal.load(file)  # noqa: S302 - from a child of this process
            except (EOFError, ValueError, TypeError):
                raise StorageError("a process that searched a part of the input was ended") from None
            if isinstance(told, int):
                if told:
                    raise OSError(told, os.strerror(told))
                return
            yield Finds.unpack(told)


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
