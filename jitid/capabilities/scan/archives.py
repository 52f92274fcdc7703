"""Search of compressed data within limits: gzip streams and the members of zip files."""

from __future__ import annotations

import errno
import io
import os
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, BinaryIO

from jitid.capabilities.scan.hits import Item, hole_after, is_sparse
from jitid.search.find import AFTER
from jitid.search.strings import is_wide

if TYPE_CHECKING:
    import zipfile

    from jitid.capabilities.scan.hits import Searcher

GZIP = b"\x1f\x8b"
ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_BEGINNING = 64

DEEPEST = 2
"""Maximum nesting of archives that are opened."""
FREE = 1 << 28
"""Bytes of output that any archive may have, however small it is."""
MOST_RATIO = 200
"""Maximum bytes of output per compressed byte, beyond `FREE`."""
MOST_OUT = 1 << 36
MOST_MEMBERS = 100_000
_MOST_DIRECTORY = 1 << 24
"""Maximum bytes of a zip file's directory."""
_MOST_HELD = 1 << 26
"""Maximum bytes of a zip file inside another archive: it is held in memory."""
_PIECE = 1 << 16
_EMPTY = 2
"""Bytes of an empty file when it is deflated."""
_METHODS = (0, 8)
"""Stored and deflated (APPNOTE 6.3.10, section 4.4.5): other methods may take any amount of memory."""

OTHERS = (
    b"BZh",
    b"\xfd7zXZ\0",
    b"\x28\xb5\x2f\xfd",
    b"7z\xbc\xaf\x27\x1c",
    b"Rar!\x1a\x07",
    b"\x04\x22\x4d\x18",
    b"\x1f\x9d",
)
"""First bytes of the files of bzip2, xz, zstd, 7-Zip, RAR, lz4 and compress."""

BOMB = "archives that are too large when unpacked"
DAMAGED = "archives that are damaged"
DEEP = "archives nested more than two deep"
LOCKED = "members of archives that are encrypted, or compressed in an unknown format"
MANY = "archives with too many members"
OTHER = "compressed files other than gzip and zip"
UNSEEKABLE = "zip files on standard input"

Read = Callable[[int], bytes]
"""A function that reads at most the given number of bytes; it returns no bytes at the end."""


def is_archive(beginning: bytes) -> bool:
    """Return whether data with this beginning is an archive that jitid opens."""
    return beginning.startswith((GZIP, *ZIP))


def is_other(beginning: bytes) -> bool:
    """Return whether data with this beginning is compressed in a format that jitid does not open."""
    return beginning.startswith(OTHERS)


def is_special(beginning: bytes) -> bool:
    """Return whether data with this beginning is compressed or UTF-16."""
    return is_archive(beginning) or is_other(beginning) or is_wide(beginning)


def search(searcher: Searcher, descriptor: int, item: Item, beginning: bytes) -> Iterator[None]:
    """Search an archive whose beginning was read already; report skipped parts to the tally.

    Strings between its members, or in damaged or leftover parts, are found as in any other file.
    """
    searcher.note()
    try:
        yield from _opened(searcher, descriptor, item, beginning)
        yield from raw_bytes(searcher, descriptor, item)
    finally:
        searcher.unnote()


def _opened(searcher: Searcher, descriptor: int, item: Item, beginning: bytes) -> Iterator[None]:
    allowance = _Allowance(searcher, item)
    if beginning.startswith(GZIP):
        read = _Behind(beginning, lambda size: os.read(descriptor, size))
        yield from _gzip(searcher, read.read, item, allowance, 1)
        return
    try:
        os.lseek(descriptor, 0, os.SEEK_SET)
    except OSError:
        searcher.tally.miss(UNSEEKABLE, item.place)
        return
    with _Bounded(io.FileIO(descriptor, closefd=False)) as file:
        yield from _zip(searcher, file, item, allowance, 1)


def raw_bytes(searcher: Searcher, descriptor: int, item: Item) -> Iterator[None]:
    """Search the raw bytes of an archive, which may hold uncompressed members.

    Strings that were found in the members are not kept again.
    """
    try:
        os.lseek(descriptor, 0, os.SEEK_SET)
    except OSError:
        return
    searcher.leave_noted()
    searcher.begin(item)
    # The archive is one file or object, which was already counted if any part of it could be opened.
    searcher.tally.items -= 1
    try:
        hole = hole_after if is_sparse(descriptor) else None
        while True:
            count = 0 if hole is None else hole(descriptor)
            searcher.skip(count)
            searcher.tally.bytes -= count
            count = os.readv(descriptor, [searcher.room()])
            if not count:
                return
            searcher.filled(count)
            searcher.tally.bytes -= count
            yield
    finally:
        searcher.end()


class _Bounded(io.BufferedReader):
    """A file that refuses to read more bytes at once than an archive's directory may have."""

    def read(self, size: int | None = -1, /) -> bytes:
        """Return the bytes that were read. Raises ValueError if `size` is too large."""
        if size is not None and size > _MOST_DIRECTORY:
            raise ValueError("the directory is too large")
        return super().read(size)


class _Allowance:
    """The remaining output that one archive may have, with all archives inside it."""

    def __init__(self, searcher: Searcher, item: Item) -> None:
        self._searcher = searcher
        self._item = item
        self._in = self._out = 0
        self.spent = False

    def read(self, count: int) -> None:
        """Count bytes that were read from the archive."""
        self._in += count

    def take(self, count: int) -> bool:
        """Count bytes of output. Return False, and report it once, if they exceed the limit."""
        self._out += count
        if self._out > min(max(FREE, MOST_RATIO * self._in), MOST_OUT) and not self.spent:
            self.spent = True
            self.miss(BOMB)
        return not self.spent

    def miss(self, reason: str, inside: str | None = None) -> None:
        """Report that a part of the archive was not searched."""
        location = self._item.place if inside is None else f"{self._item.place} ({inside})"
        self._searcher.tally.miss(reason, location)


class _Behind:
    """A reader for bytes that were read already, followed by the rest."""

    def __init__(self, beginning: bytes, read: Read) -> None:
        self._beginning = beginning
        self._read = read

    def read(self, size: int) -> bytes:
        piece, self._beginning = self._beginning[:size], self._beginning[size:]
        return piece or self._read(size)


def _text(searcher: Searcher, read: Read, item: Item, allowance: _Allowance, depth: int) -> Iterator[None]:
    """Search the decompressed contents: a text, or another archive."""
    beginning = b""
    try:
        while len(beginning) < _BEGINNING and (piece := read(_PIECE)):
            beginning += piece
    except _damage():
        # Search the part before the damage.
        if beginning:
            searcher.begin(item)
            searcher.feed(beginning)
            searcher.end()
        raise
    if searcher.may_be_alone(len(beginning), beginning):
        while len(beginning) <= AFTER and (piece := read(_PIECE)):
            beginning += piece
        searcher.alone(item, beginning)
    behind = _Behind(beginning, read)
    if is_archive(beginning):
        if depth >= DEEPEST:
            allowance.miss(DEEP, item.inside)
        elif beginning.startswith(GZIP):
            yield from _gzip(searcher, behind.read, item, allowance, depth + 1)
        else:
            buffer = io.BytesIO()
            while (piece := behind.read(_PIECE)) and buffer.tell() <= _MOST_HELD:
                buffer.write(piece)
                yield
            if buffer.tell() > _MOST_HELD:
                allowance.miss(BOMB, item.inside)
            else:
                buffer.seek(0)
                yield from _zip(searcher, buffer, item, allowance, depth + 1)
        return
    if is_other(beginning):
        searcher.tally.skip(OTHER)
    searcher.begin(item)
    try:
        while piece := behind.read(_PIECE):
            searcher.feed(piece)
            yield
    finally:
        searcher.end()


def _gzip(searcher: Searcher, read: Read, item: Item, allowance: _Allowance, depth: int) -> Iterator[None]:
    """Search a gzip file, which may have several members (RFC 1952, section 2.2)."""
    # The output of an outer archive does not count as input: it must not raise the limit.
    stream = _Gzip(read, allowance, counts=depth == 1)
    try:
        yield from _text(searcher, stream.read, item, allowance, depth)
    except (zlib.error, EOFError):
        allowance.miss(DAMAGED, item.inside)


class _Gzip:
    """A gzip file that is decompressed piece by piece."""

    def __init__(self, read: Read, allowance: _Allowance, *, counts: bool) -> None:
        self._source = read
        self._counts = counts
        self._allowance = allowance
        self._inflate = zlib.decompressobj(16 + zlib.MAX_WBITS)
        self._left = b""
        self._begun = False

    def read(self, size: int) -> bytes:
        """Return some bytes of output; no bytes at the end, or when the limit is exceeded.

        Raises zlib.error or EOFError if the file is damaged.
        """
        while True:
            if self._allowance.spent:
                return b""
            if not self._left:
                self._left = self._source(_PIECE)
                if self._counts:
                    self._allowance.read(len(self._left))
                if not self._left:
                    if self._begun:
                        raise EOFError
                    return b""
            if not self._begun:
                # Some writers add zeros between members and after the last one.
                self._left = self._left.lstrip(b"\0")
                if not self._left:
                    continue
                self._begun = True
            piece = self._inflate.decompress(self._left, size)
            self._left = self._inflate.unconsumed_tail
            if self._inflate.eof:
                self._left = self._inflate.unused_data
                self._inflate = zlib.decompressobj(16 + zlib.MAX_WBITS)
                self._begun = False
            if piece:
                return piece if self._allowance.take(len(piece)) else b""


def _zip(searcher: Searcher, file: BinaryIO, item: Item, allowance: _Allowance, depth: int) -> Iterator[None]:
    import zipfile  # slow to load

    try:
        members, size = _directory(file)
        if members > MOST_MEMBERS or size > _MOST_DIRECTORY:
            allowance.miss(MANY, item.inside)
            return
        if depth == 1:
            # Members may overlap: together they have no more bytes than the file.
            allowance.read(file.seek(0, os.SEEK_END))
        with zipfile.ZipFile(file) as archive:
            if len(archive.filelist) > MOST_MEMBERS:
                # The end record stated a smaller number.
                allowance.miss(MANY, item.inside)
                return
            if len(archive.filelist) < members:
                # A truncated directory hides the other members.
                allowance.miss(DAMAGED, item.inside)
            for info in archive.filelist:
                if info.filename.endswith("/") and max(info.file_size, info.compress_size) <= _EMPTY:
                    continue
                yield from _member(searcher, archive, info, item, allowance, depth)
                if allowance.spent:
                    return
    except _damage():
        allowance.miss(DAMAGED, item.inside)
    except OSError as error:
        # The directory places a member before the beginning of the file.
        if error.errno != errno.EINVAL:
            raise
        allowance.miss(DAMAGED, item.inside)


def _member(
    searcher: Searcher,
    archive: zipfile.ZipFile,
    info: zipfile.ZipInfo,
    item: Item,
    allowance: _Allowance,
    depth: int,
) -> Iterator[None]:
    inside = info.filename if item.inside is None else f"{item.inside}/{info.filename}"
    if info.compress_type not in _METHODS:
        allowance.miss(LOCKED, inside)
        return
    try:
        # zipfile would stop at the size that the directory states, without reading the rest or checking its CRC.
        info.file_size = MOST_OUT
        opened = archive.open(info)
    except (RuntimeError, NotImplementedError):
        allowance.miss(LOCKED, inside)
        return
    except _damage():
        # The other members may be intact.
        allowance.miss(DAMAGED, inside)
        return

    def read(size: int) -> bytes:
        piece = opened.read(size)
        return piece if allowance.take(len(piece)) else b""

    with opened:
        try:
            yield from _text(searcher, read, item._replace(inside=inside), allowance, depth)
        except _damage():
            allowance.miss(DAMAGED, inside)


def _damage() -> tuple[type[Exception], ...]:
    """Return the errors that the standard library raises for files that are damaged or not zip files."""
    import zipfile

    return (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        IndexError,
        ValueError,
        struct.error,
        NotImplementedError,
        OverflowError,
    )


def _directory(file: BinaryIO) -> tuple[int, int]:
    """Return the number of members and the size of the directory that a zip file states; 0 without an end record.

    APPNOTE 6.3.10, sections 4.3.14 to 4.3.16: the record is at the end, before a comment of up to 64 KiB.
    """
    end = file.seek(0, os.SEEK_END)
    start = max(0, end - (1 << 16) - 22 - 20)
    file.seek(start)
    tail = file.read(end - start)
    file.seek(0)
    offset = tail.rfind(b"PK\x05\x06")
    if offset < 0 or len(tail) < offset + 22:
        return 0, 0
    members, size = struct.unpack_from("<HI", tail, offset + 10)
    locator = tail[max(0, offset - 20) : offset]
    if locator.startswith(b"PK\x06\x07"):
        file.seek(struct.unpack_from("<Q", locator, 8)[0])
        record = file.read(56)
        file.seek(0)
        if record.startswith(b"PK\x06\x06") and len(record) == 56:
            members, size = struct.unpack_from("<QQ", record, 32)
    return members, size
