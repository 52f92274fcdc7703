"""Search of files: many small files together in one buffer, long files separately."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

from jitid.capabilities.scan import archives
from jitid.capabilities.scan.hits import Searcher
from jitid.capabilities.scan.item import Item, hole_after, is_sparse
from jitid.crypto.private_key import SEED
from jitid.redaction.token_format import MAX_TOKEN
from jitid.search.strings import is_wide

_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_WINDOW = 1 << 20
"""Bytes of small files that are searched together."""
_ROOM = 1 << 17
"""Bytes that must be free in the buffer before a file is read into it."""
_BEGINNING = 64
"""Bytes at the beginning of a text that show its encoding."""
_SMALL = MAX_TOKEN
"""Maximum bytes of a file that is only a key or certificate."""
_FIRST = frozenset(
    magic[0] for magic in (archives.GZIP, *archives.ZIP, *archives.OTHERS, b"\xff\xfe", b"\xfe\xff")
)
"""First bytes of files that may be compressed or UTF-16."""
_BARE = b"0"[0]
STDIN = "-"
SPECIAL = "FIFOs, sockets and devices"


def why(error: OSError) -> str:
    """Return the reason why a file could not be read, in a few words."""
    return (error.strerror or "it cannot be read").lower()


class FileReading:
    """A reader that collects files in one buffer, which is searched when it is full."""

    def __init__(self, searcher: Searcher) -> None:
        self.searcher = searcher
        self._window = bytearray(_WINDOW + 1)
        self._view = memoryview(self._window)
        self._end = 0
        self._starts: list[int] = []
        self._items: list[tuple[str, str]] = []

    def flush(self) -> None:
        """Search the files that were read."""
        if self._items:
            self.searcher.whole(self._window, self._end, self._starts, self._items, _item)
            # The NUL after each file was counted.
            self.searcher.tally.bytes -= len(self._items)
        self._end = 0
        self._starts.clear()
        self._items.clear()

    def root(self, path: str) -> Iterator[None]:
        """Search a file that the caller named, of any type."""
        location = "stdin" if path == STDIN else path
        descriptor = -1
        try:
            # Opening a FIFO waits until another process opens it for writing.
            descriptor = 0 if path == STDIN else os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            beginning = b""
            while len(beginning) <= _SMALL and (piece := os.read(descriptor, _ROOM)):
                beginning += piece
            if Searcher.may_be_alone(len(beginning), beginning):
                self.searcher.alone(Item(location), beginning)
            yield from self._long(descriptor, Item(location), beginning)
        except OSError as error:
            self.searcher.tally.miss(why(error), location)
        finally:
            if descriptor > 0:
                os.close(descriptor)

    def files(self, folder: int, prefix: str, names: list[str]) -> Iterator[None]:
        """Search files of a folder."""
        window, view = self._window, self._view
        for name in names:
            if _WINDOW - self._end < _ROOM:
                self.flush()
                yield
            start = self._end
            descriptor = -1
            try:
                descriptor = os.open(name, _FILE, dir_fd=folder)
                count = os.readv(descriptor, [view[start:_WINDOW]])
                # The usual case first: plain text, according to its beginning.
                usual = window[start] not in _FIRST and window.find(b"\0", start, start + _BEGINNING) < 0
                if count < _WINDOW - start and (
                    usual or not _is_special(bytes(view[start : start + min(count, _BEGINNING)]))
                ):
                    if count <= _SMALL and (count == SEED or window[start] == _BARE):
                        self.searcher.alone(Item(prefix + name), bytes(view[start : start + count]))
                    self._starts.append(start)
                    self._items.append((prefix, name))
                    window[start + count] = 0
                    self._end = start + count + 1
                    continue
                # Another process may have replaced the file after the folder was listed.
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    self.searcher.tally.skip(SPECIAL)
                    continue
                yield from self._long(descriptor, Item(prefix + name), bytes(view[start : start + count]))
            except OSError as error:
                self.searcher.tally.miss(why(error), prefix + name)
            finally:
                if descriptor >= 0:
                    os.close(descriptor)

    def _long(self, descriptor: int, item: Item, beginning: bytes) -> Iterator[None]:
        """Search a file that is long, compressed or not plain text; its `beginning` was read already."""
        if archives.is_archive(beginning):
            yield from archives.search(self.searcher, descriptor, item, beginning)
            return
        searcher = self.searcher
        if archives.is_other(beginning):
            searcher.tally.skip(archives.OTHER)
        searcher.begin(item)
        try:
            searcher.feed(beginning)
            hole = hole_after if is_sparse(descriptor) else None
            while True:
                if hole is not None:
                    searcher.skip(hole(descriptor))
                count = os.readv(descriptor, [searcher.room()])
                if not count:
                    return
                searcher.filled(count)
                yield
        finally:
            searcher.end()


def _item(names: tuple[str, str]) -> Item:
    return Item("".join(names))


def _is_special(beginning: bytes) -> bool:
    """Return whether a file with this beginning is compressed or UTF-16."""
    return archives.is_archive(beginning) or archives.is_other(beginning) or is_wide(beginning)
