"""The objects of a git repository, read from `git cat-file`: each is searched once, in several processes."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from subprocess import Popen

from jitid.capabilities.scan import archives
from jitid.capabilities.scan.git_repository import Repository
from jitid.capabilities.scan.history import (
    DAMAGED,
    MISSING,
    Appearance,
    ObjectListing,
    ObjectSelection,
    ObjectShare,
    list_objects,
    locate,
)
from jitid.capabilities.scan.hits import CHUNK, Hit, Item, Origin, ScanTally, Searcher
from jitid.errors import StorageError
from jitid.search.find import SecretSearch

_LONG = CHUNK // 4
"""Maximum bytes of an object that is searched together with others."""
_LONGEST_HEADER = 256
_BEGINNING = 64
"""Bytes at the beginning of an object that show its encoding."""
_MOST_ENDS = 1_000
"""Maximum number of damaged objects that may end git in one share; after each, git is started again."""
_PIPE = 1 << 20
_POINTER = b"version https://git-lfs.github.com/spec/"
_LONGEST_POINTER = 1_024
"""Size in bytes that a Git LFS pointer stays below; it replaces a file that is stored elsewhere (git-lfs spec.md)."""

ELSEWHERE = "files that Git LFS keeps elsewhere"


class Blobs:
    """The objects of a repository, as a source of items for `Searcher`."""

    locates = True
    unit = "object"
    listing = "jitid scan --git PATH --format tsv"
    root = "The top of the repository."
    processes: int | None = None

    def __init__(self, repository: Repository, selection: ObjectSelection) -> None:
        """Keep the selection; `prepare` lists the objects."""
        self._repository = repository
        self._selection = selection
        self._listing: ObjectListing | None = None
        self._turns = -1
        self.tally = ScanTally()
        """Gaps that the listing found, such as missing objects."""

    @property
    def size(self) -> int:
        """The number of bytes to search."""
        return 0 if self._listing is None else self._listing.size

    def prepare(self, processes: int) -> None:
        """List the objects. Raises StorageError if the list cannot be written to a temporary file."""
        del processes  # any number of processes can take turns at the shares
        self.close()
        self.tally = ScanTally()
        try:
            self._listing = list_objects(self._repository, self._selection, self.tally)
        except OSError as error:
            reason = (error.strerror or "error").lower()
            raise StorageError(
                f"the objects of the repository cannot be listed in a temporary file: {reason}"
            ) from error
        self._turns, turn = os.pipe()
        # A process takes a share by reading its byte from the pipe. Any pipe can hold all of these bytes.
        os.write(turn, bytes(range(len(self._listing.shares))))
        os.close(turn)

    def close(self) -> None:
        """Close the list of objects."""
        if self._listing is not None:
            self._listing.close()
            os.close(self._turns)
            self._listing = None

    def search(self, searcher: Searcher) -> Iterator[None]:
        """Search shares until none is left, as `Source` requires."""
        assert self._listing is not None
        while turn := os.read(self._turns, 1):
            if turn[0] == 0:
                # Share 0 always exists, even without objects: only its process adds the gaps of the listing.
                searcher.tally.add(self.tally)
            yield from BlobReading(self._repository, self._listing.shares[turn[0]], searcher).all()

    def conceal(self, secret_search: SecretSearch | None) -> None:
        """Do nothing: places have no details with other text."""

    def located(self, hits: list[Hit]) -> list[Hit]:
        """Return hits with path, line and commit; among versions of one file with the same string, the oldest."""
        assert self._listing is not None
        oids = frozenset(hit.revision for hit in hits if hit.revision is not None)
        appearances = locate(self._repository, self._selection, self._listing, oids) if oids else {}
        grouped: dict[tuple[bytes, str, str | None, str | None], list[tuple[Appearance, Hit]]] = {}
        for hit in hits:
            appearance = appearances[hit.revision or ""]
            # Each commit has one message.
            message = None if appearance.is_text else appearance.commit
            grouped.setdefault((hit.mark, appearance.place, hit.inside, message), []).append(
                (appearance, hit)
            )
        return [_oldest(versions) for versions in grouped.values()]


def _oldest(versions: Sequence[tuple[Appearance, Hit]]) -> Hit:
    appearance, hit = min(versions, key=lambda version: version[0].order)
    heads = {version.in_head for version, _ in versions}
    in_head = True if True in heads else appearance.in_head
    origin = Origin(appearance.time, in_head, appearance.others, len({hit.revision for _, hit in versions}))
    line = hit.line if appearance.is_text else None
    return hit._replace(place=appearance.place, line=line, revision=appearance.commit, origin=origin)


class BlobReading:
    """One share of a repository's objects. If git ends too early, another git process reads the rest."""

    def __init__(self, repository: Repository, share: ObjectShare, searcher: Searcher) -> None:
        self._repository = repository
        self._ids = share.ids.fileno()
        self._count = share.number
        self._step = repository.width + 1
        self._searcher = searcher
        self._done = 0
        """The number of objects that were answered."""
        self._window = bytearray(2 * CHUNK)
        self._size = 0
        self._starts: list[int] = []
        self._numbers: list[int] = []
        """The numbers of the objects that the window holds completely; `_starts` has their positions."""
        self._bytes = 0
        """The size of these objects in bytes."""

    def all(self) -> Iterator[None]:
        """Search all objects of the share, and yield now and then."""
        ends, retried = 0, -1
        while self._done < self._count:
            os.lseek(self._ids, self._done * self._step, os.SEEK_SET)
            with (
                open(self._ids, "rb", closefd=False) as ids,
                self._repository.running(
                    "cat-file", "--batch=%(objecttype) %(objectsize)", "--buffer", stdin=ids
                ) as process,
            ):
                yield from self._answers(process)
                status = process.wait() if self._done < self._count else 0
            if self._done == self._count:
                return
            ends += 1
            # A signal ended git, perhaps for lack of memory. The object may be fine: try it once more.
            if status < 0 and retried != self._done:
                retried = self._done
                continue
            self._searcher.tally.miss(DAMAGED, self._id(self._done))
            self._done += 1
            if ends >= _MOST_ENDS:
                for index in range(self._done, self._count):
                    self._searcher.tally.miss(DAMAGED, self._id(index))
                return

    def _answers(self, process: Popen[bytes]) -> Iterator[None]:
        """Search the answers of one git process until all are read or it ends."""
        assert process.stdout is not None
        pipe = process.stdout.fileno()
        with suppress(OSError, AttributeError):
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE)
        self._size = 0
        self._forget()
        while self._done < self._count:
            has_more = self._fill(pipe)
            parsed_end = yield from self._parse(pipe)
            if parsed_end < 0:
                return
            remaining = self._size - parsed_end
            self._window[:remaining] = self._window[parsed_end : self._size]
            self._size = remaining
            if not has_more and self._done < self._count:
                return

    def _fill(self, pipe: int) -> bool:
        """Read until the window is full; return whether there may be more."""
        view = memoryview(self._window)
        while self._size < len(view):
            count = os.readv(pipe, [view[self._size :]])
            if not count:
                return False
            self._size += count
        return True

    def _parse(self, pipe: int) -> Generator[None, None, int]:
        """Search the objects that the window holds completely.

        Return their end, or -1 if git ended within an object.
        """
        window, view = self._window, memoryview(self._window)
        offset = 0
        while self._done < self._count:
            eol = window.find(b"\n", offset, min(self._size, offset + _LONGEST_HEADER))
            if eol < 0:
                break
            _, *fields = window[offset:eol].split(b" ")
            if not fields or fields[-1] == b"missing":
                self._searcher.tally.miss(MISSING, self._id(self._done))
                self._done += 1
                offset = eol + 1
                continue
            begin, length = eol + 1, int(fields[0])
            # git writes a line break after each object.
            end = begin + length + 1
            if length <= _LONG:
                if end > self._size:
                    break
                if length < _LONGEST_POINTER and window.startswith(_POINTER, begin):
                    self._searcher.tally.skip(ELSEWHERE)
                beginning = bytes(window[begin : min(end - 1, begin + _BEGINNING)])
                if Searcher.may_be_alone(length, beginning):
                    self._searcher.alone(self._item(self._done), bytes(window[begin : end - 1]))
                if not archives.is_special(beginning):
                    self._starts.append(begin)
                    self._numbers.append(self._done)
                    self._bytes += length
                    self._done += 1
                    offset = end
                    continue
            self._search(offset)
            yield
            prefix = view[begin : min(end, self._size)]
            if not (yield from self._alone(pipe, prefix, length)):
                return -1
            self._done += 1
            offset = begin + len(prefix)
        self._search(offset)
        yield
        return offset

    def _search(self, end: int) -> None:
        """Search the objects that the window holds completely, up to `end`."""
        if self._numbers:
            behind = self._window[end : end + 1]
            self._searcher.whole(self._window, end, self._starts, self._numbers, self._item)
            self._window[end : end + 1] = behind
            # Headers and line breaks between objects are not counted.
            self._searcher.tally.bytes += self._bytes - end
        self._forget()

    def _forget(self) -> None:
        self._starts.clear()
        self._numbers.clear()
        self._bytes = 0

    def _alone(self, pipe: int, prefix: memoryview, length: int) -> Generator[None, None, bool]:
        """Search an object that is long, compressed or not plain text; return whether git sent all of it.

        The window holds its beginning. If that is the whole object, the line break after it is included.
        """
        item = self._item(self._done)
        beginning = bytes(prefix[: min(length, _BEGINNING)])
        if archives.is_archive(beginning):
            with tempfile.TemporaryFile() as file:
                file.write(prefix)
                for piece in _pieces(pipe, length + 1 - len(prefix)):
                    file.write(piece)
                    yield
                file.flush()
                if file.tell() <= length:
                    return False
                os.ftruncate(file.fileno(), length)
                os.lseek(file.fileno(), len(beginning), os.SEEK_SET)
                yield from archives.search(self._searcher, file.fileno(), item, beginning)
            return True
        searcher = self._searcher
        if archives.is_other(beginning):
            searcher.tally.skip(archives.OTHER)
        searcher.begin(item)
        searcher.feed(prefix)
        # The line break after the object was counted.
        searcher.tally.bytes -= 1
        remaining = length + 1 - len(prefix)
        while remaining:
            count = os.readv(pipe, [searcher.room()[:remaining]])
            if not count:
                break
            searcher.filled(count)
            remaining -= count
            yield
        searcher.end()
        return not remaining

    def _item(self, index: int) -> Item:
        oid = self._id(index)
        return Item(f"(object {oid})", oid)

    def _id(self, index: int) -> str:
        return os.pread(self._ids, self._step - 1, index * self._step).decode("ascii", "replace")


def _pieces(pipe: int, remaining: int) -> Iterator[bytes]:
    """Yield the contents of a pipe, at most `remaining` bytes."""
    while remaining:
        piece = os.read(pipe, min(remaining, _PIPE))
        if not piece:
            return
        remaining -= len(piece)
        yield piece
