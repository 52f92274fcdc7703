"""The objects of a git repository, searched as `git cat-file` gives them: each once, several processes taking turns."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import suppress
from subprocess import Popen
from typing import overload

from jitid.scan.git import Repository
from jitid.scan.history import MISSING, Listing, Selection, Share, list_objects
from jitid.scan.hits import CHUNK, Hit, Searcher, is_wide
from jitid.scan.provenance import Appearance, locate
from jitid.scan.source import Item, Tally

_LONG = CHUNK // 4
"""From how many bytes on an object is searched by itself."""
_LONGEST_HEADER = 256
_MOST_ENDS = 1_000
"""So often git is started again over a share of the objects, when one that is damaged has ended it."""
_PIPE = 1 << 20

DAMAGED = "objects that git cannot read"


class Blobs:
    """What a repository has, as a source of items for `Searcher`."""

    def __init__(self, repository: Repository, selection: Selection) -> None:
        """Nothing is listed before `prepare`."""
        self._repository = repository
        self._selection = selection
        self._listing: Listing | None = None
        self._turns = -1
        self.tally = Tally()
        """What is not there to be searched."""

    @property
    def size(self) -> int:
        """How many bytes there are to search."""
        return 0 if self._listing is None else self._listing.size

    def prepare(self, processes: int) -> None:
        """List the objects. Raises StorageError if git cannot."""
        del processes  # there are shares enough, and each is searched by whoever comes for it
        self._listing = list_objects(self._repository, self._selection, self.tally)
        self._turns, turn = os.pipe()
        # Whoever takes a byte out of the pipe has that share; there are less of them than any pipe holds.
        os.write(turn, bytes(range(len(self._listing.shares))))
        os.close(turn)

    def close(self) -> None:
        """Forget what was listed."""
        if self._listing is not None:
            self._listing.close()
            os.close(self._turns)
            self._listing = None

    def search(self, searcher: Searcher) -> Iterator[None]:
        """Search a part of them, as `Source` has it."""
        assert self._listing is not None
        while turn := os.read(self._turns, 1):
            yield from _Reading(self._repository, self._listing.shares[turn[0]], searcher).all()

    def located(self, hits: Sequence[Hit]) -> tuple[list[Hit], Mapping[str, Appearance]]:
        """Return hits with the path and the commit where each one's object stands, and more of that by object."""
        assert self._listing is not None
        wanted = frozenset(hit.revision for hit in hits if hit.revision is not None)
        where = locate(self._repository, self._selection, self._listing, wanted) if wanted else {}
        placed = []
        for hit in hits:
            one = where.get(hit.revision or "")
            placed.append(hit if one is None else hit._replace(place=one.place, revision=one.commit))
        return placed, where


class _Reading:
    """One share of the objects, read from one git after another, should one be ended."""

    def __init__(self, repository: Repository, share: Share, searcher: Searcher) -> None:
        self._repository = repository
        self._ids = share.ids.fileno()
        self._count = share.number
        self._step = repository.width + 1
        self._searcher = searcher
        self._done = 0
        """How many objects were answered."""
        self._window = bytearray(2 * CHUNK)
        self._size = 0

    def all(self) -> Iterator[None]:
        """Search all of them, and yield now and then."""
        ends, before = 0, -1
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
            # Somebody ended it, perhaps for want of memory, and not for the object: that has another chance.
            if status < 0 and before != self._done:
                before = self._done
                continue
            self._searcher.tally.miss(DAMAGED, self._id(self._done))
            self._done += 1
            if ends >= _MOST_ENDS:
                for number in range(self._done, self._count):
                    self._searcher.tally.miss(DAMAGED, self._id(number))
                return

    def _answers(self, process: Popen[bytes]) -> Iterator[None]:
        """Search what one git answers, until it has answered all or ends."""
        assert process.stdout is not None
        pipe = process.stdout.fileno()
        with suppress(OSError, AttributeError):
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE)
        self._size = 0
        while self._done < self._count:
            more = self._fill(pipe)
            at = yield from self._parse(pipe)
            if at < 0:
                return
            left = self._size - at
            self._window[:left] = self._window[at : self._size]
            self._size = left
            if not more and self._done < self._count:
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
        """Search what the window shows whole; return where it ends, or -1 if git ended within an object."""
        window = self._window
        items = _Items(self._id)
        at = 0
        while self._done < self._count:
            eol = window.find(b"\n", at, min(self._size, at + _LONGEST_HEADER))
            if eol < 0:
                break
            _, *rest = window[at:eol].split(b" ")
            if not rest or rest[-1] == b"missing":
                self._searcher.tally.miss(MISSING, self._id(self._done))
                self._done += 1
                at = eol + 1
                continue
            begin = eol + 1
            # With the line break behind it.
            length = int(rest[0]) + 1
            if length <= _LONG:
                end = begin + length
                if end > self._size:
                    break
                if window.find(b"\0", begin, min(end, begin + 64)) >= 0 and is_wide(window[begin:end]):
                    self._alone(memoryview(window)[begin:end])
                    window[begin:end] = bytes(length)
                else:
                    items.add(begin, self._done)
                self._done += 1
                at = end
                continue
            items.search(self._searcher, window, at)
            items = _Items(self._id)
            yield
            held = min(length, self._size - begin)
            if not (yield from self._long(pipe, memoryview(window)[begin : begin + held], length)):
                return -1
            self._done += 1
            at = begin + held
        items.search(self._searcher, window, at)
        yield
        return at

    def _alone(self, text: memoryview) -> None:
        self._searcher.begin(Item("", self._id(self._done)))
        self._searcher.feed(text)
        self._searcher.end()

    def _long(self, pipe: int, held: memoryview, length: int) -> Generator[None, None, bool]:
        """Search a long object, of which the window holds the beginning; return whether git gave all of it."""
        searcher = self._searcher
        searcher.begin(Item("", self._id(self._done)))
        searcher.feed(held)
        left = length - len(held)
        while left:
            count = os.readv(pipe, [searcher.room()[:left]])
            if not count:
                break
            searcher.filled(count)
            left -= count
            yield
        searcher.end()
        return not left

    def _id(self, number: int) -> str:
        return os.pread(self._ids, self._step - 1, number * self._step).decode("ascii", "replace")


class _Items(Sequence[tuple[str, str]]):
    """The objects that stand whole in a window; their ids are read when something was found in them."""

    def __init__(self, name: Callable[[int], str]) -> None:
        self._name = name
        self._starts: list[int] = []
        self._numbers: list[int] = []

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, index: int) -> tuple[str, str]: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[tuple[str, str]]: ...
    def __getitem__(self, index: int | slice) -> tuple[str, str] | Sequence[tuple[str, str]]:
        if isinstance(index, slice):
            return [("", self._name(number)) for number in self._numbers[index]]
        return "", self._name(self._numbers[index])

    def add(self, start: int, number: int) -> None:
        """Take the one that is the next in the window."""
        self._starts.append(start)
        self._numbers.append(number)

    def search(self, searcher: Searcher, window: bytearray, end: int) -> None:
        """Search all of them."""
        if self._numbers:
            searcher.whole(window, end, self._starts, self)
