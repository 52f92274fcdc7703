"""Search of a stream while it is read, by several processes if there are processors for them."""

from __future__ import annotations

import marshal
import os
import stat
import struct
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from jitid.capabilities.scan import helper_process
from jitid.errors import IncompleteError, StorageError, UsageError
from jitid.search.find import Finds, SecretSearch, Shapes
from jitid.search.hidden import AFTER, BEFORE, HiddenSearch
from jitid.search.pasted import LONGEST, search_pasted
from jitid.search.strings import ALL, add
from jitid.system import time_limit
from jitid.system.read_input import opened, spared, unreadable

CHUNK = 1 << 19
"""Number of bytes that are searched at once; they fit into the cache of one processor."""

_WORTH_SHARING = 1 << 22
_BATCH = 100_000
"""Maximum number of distinct strings that are looked up together, and held in memory."""

_BATCH_TEXT = 1 << 24
"""Maximum number of characters of tokens in a batch."""

_PIPE = 1 << 20
"""The largest pipe of an ordinary user on Linux, in bytes (pipe(7))."""

_STATE = struct.Struct("=?QQ")
_KEPT = max(LONGEST + 1, BEFORE + AFTER)
_COMPRESSED = {b"\x1f\x8b": "zcat", b"BZh": "bzcat", b"\xfd7zXZ\0": "xzcat", b"\x28\xb5\x2f\xfd": "zstdcat"}
"""First bytes of compressed formats, each with the program that decompresses it."""
_OTHERS = (
    *((magic, "unzip -p") for magic in (b"PK\x03\x04", b"PK\x05\x06")),
    (b"7z\xbc\xaf\x27\x1c", "7z x -so"),
    (b"Rar!\x1a\x07", "unrar p -inul"),
    (b"\x04\x22\x4d\x18", "lz4cat"),
    (b"\x1f\x9d", "zcat"),
)
COMPRESSED = "compressed text"
UNKNOWN_FORM = f"secrets of targets in a text of more than {LONGEST >> 10} KiB"
_LONG = f"in a text of more than {LONGEST >> 10} KiB, only private keys in PEM are found"


class StreamSearch:
    """Search of a stream. It begins on entry, so that other work is done meanwhile.

    The processes take turns. A process reads a chunk in its turn, and searches it while the next process reads. It
    leaves the end of the chunk for the next turn, in shared memory.
    """

    def __init__(
        self,
        path: str,
        label: str,
        processes: int | None = None,
        *,
        command: str = "jitid trace",
        chunk: int = CHUNK,
        shapes: Callable[[], Shapes | None] | None = None,
    ) -> None:
        """Prepare the search of the file `path`, `-` for standard input; errors call it `label`.

        `processes` is the number of processes that search. `command` is the command that reads the file, for hints;
        `chunk` is the number of bytes that are searched at once. `shapes` returns the forms of adopted secrets; it is
        called only for a long text.
        """
        self._path = path
        self._label = label
        self._command = command
        self._processes = helper_process.usual_number() if processes is None else processes
        self._descriptor = -1
        self._window = bytearray(BEFORE + chunk + AFTER)
        self._shapes = shapes
        self._hidden = HiddenSearch(ALL)
        self.missed: Counter[str] = Counter()
        """Reasons why parts could not be searched, with counts. It is complete after the last batch."""
        self._short: bytes | None = None
        """The whole stream, if it is short."""
        self.caveat: str | None = None
        """Hint why the search may have missed a secret, or None."""
        self._wide = False
        """Whether the text is UTF-16. Its NULs are removed."""
        self._parent = os.getpid()
        self._left: Any = None
        """State from the previous turn: whether it was the last, the start of the next search, and text."""
        self._lock: int | None = None
        self._helpers: list[tuple[int, int]] = []
        """Process id and pipe of each helper process."""

    def __enter__(self) -> Self:
        """Read the beginning, and start helper processes if there is more. Raises UsageError."""
        self._descriptor = opened(self._path, self._label)
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
        """Kill the helper processes that still search, and close the file."""
        for pid, pipe in self._helpers:
            helper_process.stop(pid, pipe)
        self._helpers.clear()
        for descriptor in (self._descriptor, self._lock or 0):
            if descriptor > 0:
                os.close(descriptor)
        self._descriptor, self._lock = -1, None

    def finds(self, room: int | None = None) -> Iterator[Finds]:
        """Search the rest of the stream, and yield the found strings in one or more batches.

        `room` is the maximum number of characters of one request to the ledger; None means no limit.

        Raises:
            UsageError: the stream cannot be read.
            StorageError: a helper process was killed.

        """
        for batch in spared(self._found()):
            yield from (batch,) if room is None else batch.parts(room)

    def shortcoming(self) -> IncompleteError | None:
        """Return the error for a text of which a part was not searched; None if all was."""
        return incomplete(self.missed, self.caveat, self._command) if self.missed else None

    def _found(self) -> Iterator[Finds]:
        if self._short is not None:
            yield search_pasted(self._short, self.missed)
            return
        finds = Finds()
        try:
            for batch in self._all_batches():
                finds.add(batch)
                if _is_full(finds):
                    yield finds
                    finds = Finds()
        except OSError as error:
            raise self._unreadable(error) from error
        yield finds

    def _all_batches(self) -> Iterator[Finds]:
        yield from self._batches()
        while self._helpers:
            pid, pipe = self._helpers[-1]
            yield from self._helper_finds(pipe)
            self._helpers.pop()
            os.close(pipe)
            os.waitpid(pid, 0)

    def _unreadable(self, error: OSError) -> UsageError:
        return unreadable(self._path, self._label, error)

    def _begin(self) -> None:
        _widen(self._descriptor)
        with time_limit.Pause():
            size, ended = self._fill(0, LONGEST + 1)
        self.caveat = _caveat(bytes(self._window[:8]), self._command, is_short=ended)
        if self.caveat not in (None, _LONG):
            self.missed[COMPRESSED] += 1
        if ended:
            self._short = bytes(self._window[:size])
            if not size:
                self.caveat = "the text is empty: is it the right file or pipe?"
            return
        shapes = None if self._shapes is None else self._shapes()
        if shapes is not None:
            if shapes.shapes:
                self._hidden = HiddenSearch(ALL | {"secrets"}, SecretSearch(shapes.shapes, shapes.prints))
            if shapes.others:
                self.missed[UNKNOWN_FORM] += 1
        self._wide = _is_wide(self._window[:size])
        size = self._narrow(0, size)
        helpers = self._processes - 1 if self._is_long() else 0
        self._left = bytearray(_STATE.size + _KEPT)
        if helpers:
            import mmap

            self._left = mmap.mmap(-1, _STATE.size + _KEPT)
            self._lock = os.memfd_create("jitid")
        self._leave(ended, 0, 0, size)
        for _ in range(helpers):
            self._start_helper()

    def _is_long(self) -> bool:
        status = os.fstat(self._descriptor)
        return not stat.S_ISREG(status.st_mode) or status.st_size >= _WORTH_SHARING

    def _fill(self, size: int, limit: int) -> tuple[int, bool]:
        """Read until the window of `size` bytes holds `limit`. Return its new size, and whether the stream ended."""
        view = memoryview(self._window)
        while size < limit:
            count = os.readv(self._descriptor, [view[size:limit]])
            if self._parent not in (os.getpid(), os.getppid()):
                # The parent was killed: nothing needs the result, and the unread input belongs to other readers.
                os._exit(0)
            if not count:
                return size, True
            size = self._narrow(size, size + count)
        return size, False

    def _narrow(self, start: int, end: int) -> int:
        """Remove the NULs of UTF-16 from the bytes just read, and return their new end."""
        if not self._wide:
            return end
        plain = bytes(self._window[start:end]).translate(None, b"\0")
        self._window[start : start + len(plain)] = plain
        return start + len(plain)

    def _windows(self) -> Iterator[tuple[int, int, int]]:
        """Yield for each turn the start and the end of the range to search, and the end of the text."""
        window = self._window
        view = memoryview(window)
        ended = False
        while not ended:
            self._wait()
            try:
                ended, start, size = _STATE.unpack_from(self._left)
                if ended:
                    return
                view[:size] = memoryview(self._left)[_STATE.size : _STATE.size + size]
                size, ended = self._fill(size, len(window))
                end = size if ended else size - AFTER
                self._leave(ended, BEFORE, end - BEFORE, size)
            finally:
                self._pass_on()
            # Bytes of an earlier turn are not part of this text.
            view[size:] = bytes(len(window) - size)
            yield start, end, size

    def _leave(self, ended: bool, next_start: int, start: int, end: int) -> None:
        """Leave a part of the window for the next turn, which begins its search at `next_start`."""
        part = memoryview(self._window)[start : start if ended else end]
        _STATE.pack_into(self._left, 0, ended, next_start, len(part))
        memoryview(self._left)[_STATE.size : _STATE.size + len(part)] = part

    def _wait(self) -> None:
        if self._lock is not None:
            import fcntl

            # The lock belongs to the process: the kernel releases it if the process ends in its turn.
            fcntl.lockf(self._lock, fcntl.LOCK_EX)

    def _pass_on(self) -> None:
        if self._lock is not None:
            import fcntl

            fcntl.lockf(self._lock, fcntl.LOCK_UN)

    def _batches(self) -> Iterator[Finds]:
        finds = Finds()
        for search_start, search_end, size in self._windows():
            add(finds, self._hidden.found(self._window, search_start, search_end, finds, end=size))
            self.missed.update(reason for reason, _ in self._hidden.missed)
            self._hidden.missed.clear()
            if _is_full(finds):
                yield finds
                finds = Finds()
        yield finds

    def _helper_finds(self, descriptor: int) -> Iterator[Finds]:
        """Yield the strings that a helper found. Raises OSError if it could not read, StorageError if it was killed."""
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            while True:
                try:
                    message = marshal.load(file)  # noqa: S302 - from a child of this process
                except (EOFError, ValueError, TypeError):
                    raise StorageError("a process that searched a part of the input was killed") from None
                if isinstance(message, dict):
                    self.missed.update(message)
                elif isinstance(message, tuple):
                    yield Finds.unpack(message)
                elif message:
                    raise OSError(message, os.strerror(message))
                else:
                    return

    def _start_helper(self) -> None:
        # The system may allow no more processes: then fewer of them take turns.
        with suppress(OSError):
            self._helpers.append(helper_process.start(self._help))

    def _help(self, writer: int) -> None:
        with os.fdopen(writer, "wb") as file:
            failure = 0
            # The parent reports the parts that were missed before the fork.
            self.missed.clear()
            try:
                for finds in self._batches():
                    marshal.dump(finds.pack(), file)
            except OSError as error:
                failure = error.errno or -1
            marshal.dump(dict(self.missed), file)
            marshal.dump(failure, file)


def incomplete(missed: Collection[str], caveat: str | None, command: str) -> IncompleteError:
    """Return the error for a text of which parts were not searched, for these reasons."""
    hint = f"decode that part, and search the result: base64 -d FILE | {command}"
    if COMPRESSED in missed:
        hint = caveat or hint
    elif UNKNOWN_FORM in missed:
        hint = "search only the part of the text around the leak"
    return IncompleteError(f"the search is incomplete; not searched: {', '.join(sorted(missed))}", hint)


def _is_full(finds: Finds) -> bool:
    return len(finds) >= _BATCH or finds.text_size() >= _BATCH_TEXT


def _is_wide(text: bytes | bytearray) -> bool:
    """Return whether a text begins as UTF-16: with a byte order mark, or with NUL in about every other byte."""
    few, many = sorted((text[::2].count(0), text[1::2].count(0)))
    return text.startswith((b"\xff\xfe", b"\xfe\xff")) or (few * 50 < len(text) and many * 5 > len(text) * 2)


def _caveat(beginning: bytes, command: str, *, is_short: bool) -> str | None:
    for magic, program in (*_COMPRESSED.items(), *_OTHERS):
        if beginning.startswith(magic):
            return f"the text is compressed: {program} FILE | {command}"
    return None if is_short else _LONG


def _widen(descriptor: int) -> None:
    """Enlarge the buffer of a pipe beyond one write, if the system allows it: reader and writer then need not wait."""
    if stat.S_ISFIFO(os.fstat(descriptor).st_mode):
        import fcntl

        with suppress(OSError, AttributeError):
            fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, _PIPE)
