"""Search for jitid's strings and their places, in items of any size, with one reused buffer.

A source yields these items: texts with a place.
"""

from __future__ import annotations

import errno
import os
import stat
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from hashlib import sha256
from typing import Any, Protocol, TypeVar

from jitid.crypto.private_key import SEED
from jitid.search.find import AFTER as LONGEST_ALONE
from jitid.search.find import Finds, SecretSearch, mark
from jitid.search.hidden import AFTER, BEFORE, HiddenSearch
from jitid.search.strings import PEM, is_wide
from jitid.values.record import Record

MOST_NAMED = 100
"""Maximum number of unexamined items that are named for each reason; the others are counted."""
MOST_REPOSITORIES = 3
"""Maximum number of repositories without a searched history that are named; the others are counted."""
_PACKED = ("items", "bytes", "passed", "missed", "named", "histories", "repositories")


class Item(Record):
    """A text that is searched: a file, a member of an archive, or a version of a file."""

    place: str
    """The displayed path; bytes that are not UTF-8 become surrogates (PEP 383)."""
    revision: str | None = None
    """The commit that has it."""
    inside: str | None = None
    """The member of the archive at that place."""


class ScanTally:
    """Counts of items that were searched, skipped or missed."""

    __slots__ = ("bytes", "histories", "items", "missed", "named", "passed", "repositories")

    def __init__(self) -> None:
        self.items = 0
        self.bytes = 0
        self.passed: dict[str, int] = {}
        """Number of items that were skipped on purpose, by reason."""
        self.missed: dict[str, int] = {}
        """Number of items that were not searched, or not completely, by reason."""
        self.named: dict[str, list[str]] = {}
        """The first places of missed items, by reason."""
        self.histories = 0
        """Number of repositories whose files were searched, but not their history."""
        self.repositories: list[str] = []
        """The first of these repositories."""

    def meet(self, repository: str) -> None:
        """Count a repository of which only the files are searched."""
        self.histories += 1
        if len(self.repositories) < MOST_REPOSITORIES:
            self.repositories.append(repository)

    def skip(self, reason: str, count: int = 1) -> None:
        """Count items that are skipped on purpose."""
        self.passed[reason] = self.passed.get(reason, 0) + count

    def miss(self, reason: str, location: str) -> None:
        """Count an item that could not be searched, or not completely."""
        self.missed[reason] = self.missed.get(reason, 0) + 1
        locations = self.named.setdefault(reason, [])
        if len(locations) < MOST_NAMED:
            locations.append(location)

    def add(self, other: ScanTally) -> None:
        """Add the counts of another tally."""
        self.items += other.items
        self.bytes += other.bytes
        for mine, its in ((self.passed, other.passed), (self.missed, other.missed)):
            for reason, count in its.items():
                mine[reason] = mine.get(reason, 0) + count
        for reason, their_locations in other.named.items():
            locations = self.named.setdefault(reason, [])
            locations.extend(their_locations[: MOST_NAMED - len(locations)])
        self.histories += other.histories
        self.repositories.extend(other.repositories[: MOST_REPOSITORIES - len(self.repositories)])

    def pack(self) -> tuple[object, ...]:
        """Return it as plain values, for another process."""
        return tuple(getattr(self, name) for name in _PACKED)

    @classmethod
    def unpack(cls, values: tuple[object, ...]) -> ScanTally:
        """Return the tally that `pack` packed."""
        tally = cls()
        for name, value in zip(_PACKED, values, strict=True):
            setattr(tally, name, value)
        return tally


class Origin(Record):
    """The origin of a string in a history, in addition to its first place."""

    time: int | None
    """Author time of the commit that added it, according to the commit, in seconds since the epoch."""
    in_head: bool | None
    """Whether the commit that is checked out still has it there; None if unknown."""
    others: int
    """Number of other paths of that commit that have the same text."""
    versions: int
    """Number of versions of the file that have it."""


def is_sparse(descriptor: int) -> bool:
    """Return whether the descriptor is a regular file with holes. Raises OSError."""
    status = os.fstat(descriptor)
    return stat.S_ISREG(status.st_mode) and status.st_blocks * 512 < status.st_size


def hole_after(descriptor: int) -> int:
    """Move to the next data of the file, and return the number of bytes skipped. Raises OSError."""
    start = os.lseek(descriptor, 0, os.SEEK_CUR)
    try:
        return os.lseek(descriptor, start, os.SEEK_DATA) - start
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        # Only a hole is left up to the end. The end may have moved to an earlier position meanwhile.
        return max(os.lseek(descriptor, 0, os.SEEK_END) - start, 0)


CHUNK = 1 << 19
"""Bytes that are searched at once: they fit into the cache of one processor."""
UNCOUNTED = 0
"""The line of a string in a part of an item whose earlier lines were not counted."""
MOST_PLACES = 100
"""Maximum number of places kept for one string; the others are only counted."""
MOST_VERSIONS = 20_000
"""The same limit in a history, where most places are versions of one file."""
_MOST_STRINGS = 100_000
_MOST_HITS = 200_000
_MOST_TEXT = 1 << 24
"""Limit for characters of tokens held at a time; the two before it limit distinct strings and places."""

KINDS = frozenset({"opaque", "signed", "foreign", "cut", "prints", "keys", "locked", "secrets"})
"""Kinds of strings that a scan looks for: secrets, and evidence of one. Ids are left out: each log has them."""

_Any = TypeVar("_Any")

_SEQUENCE = b"0\x82"
_BARE = b"0"
"""First byte of keys and certificates that are not written as text (DER, X.690), and of a few texts."""
ENCODING_SHOWN = 2 << 16
"""Bytes from the beginning of a text that show its encoding."""


class AgentContext(Record):
    """The facts that a coding agent recorded about a place of a string."""

    client: str
    """The agent, such as `claude-code`."""
    session: str | None = None
    """The id of the session, according to the file."""
    written_at: int | None = None
    """The time of the record, according to the file, in seconds since the epoch."""
    tool: str | None = None
    """The tool whose input or output has the string."""
    command: str | None = None
    """The command line of that tool, without secrets."""


class Hit(Record):
    """One place of one string."""

    mark: bytes
    """The hash that represents the string (`find.mark`)."""
    sort: str
    """The name of its map in `Finds`."""
    place: str
    """The displayed path; bytes that are not UTF-8 become surrogates."""
    line: int | None
    """Counted from 1; `UNCOUNTED` until the source locates it."""
    revision: str | None
    """The commit that has the string there."""
    offset: int
    """Byte offset of the string in the text; in UTF-16, without its NULs."""
    inside: str | None
    """The member of the archive at that place that contains the string."""
    origin: Origin | None = None
    """Details of a place in a history."""
    context: AgentContext | None = None
    """Details of a place in the files of an agent."""


class Batch(Record):
    """The results since the batch before."""

    hits: list[Hit]
    """The first places of each string."""
    finds: Finds
    """The strings, and the number of times that each was found."""
    tally: ScanTally
    """The amount that was searched for them."""

    def pack(self) -> tuple[Any, ...]:
        """Return it as plain values, for another process."""
        return [tuple(hit) for hit in self.hits], self.finds.pack(), self.tally.pack()

    @classmethod
    def unpack(cls, values: tuple[Any, ...]) -> Batch:
        """Return the batch that `pack` packed."""
        hits, finds, tally = values
        return cls([Hit(*hit) for hit in hits], Finds.unpack(finds), ScanTally.unpack(tally))


class Searcher:
    """A search of items that keeps its results until the caller takes them.

    A long item comes in pieces: `begin`, `feed` for each piece, then `end`. A caller that reads into the buffer itself
    uses `room` and `filled` instead of `feed`. `whole` searches many short items in one buffer together.
    """

    def __init__(
        self,
        kinds: frozenset[str] = KINDS,
        secret_search: SecretSearch | None = None,
        most_places: int | None = None,
    ) -> None:
        """Search for strings of the kinds `kinds`; `secret_search` finds adopted secrets.

        `most_places` replaces `MOST_PLACES` and `MOST_VERSIONS`.
        """
        self._kinds = kinds
        self._most_places = most_places or MOST_PLACES
        self._most_versions = most_places or MOST_VERSIONS
        self._strings = HiddenSearch(kinds, secret_search)
        self.tally = ScanTally()
        self._hits: list[Hit] = []
        self._finds = Finds()
        self._places: dict[bytes, int] = {}
        """The number of places kept for each string."""
        self._window = bytearray(BEFORE + CHUNK + AFTER)
        self._item = Item("")
        self._size = self._first = 0
        """The length of the text in the window, and the position from which it is still to search."""
        self._offset = 0
        """The offset of the window in the item."""
        self._line = 1
        """The line of the item in which the window begins."""
        self._counts_lines = True
        """Whether the window begins in a known line."""
        self._wide: bool | None = None
        """Whether the item is UTF-16: then its NULs are left out. None until that is known."""
        self._noted: set[bytes] | None = None
        """The strings of an archive, while its members are searched."""
        self._left: AbstractSet[bytes] = frozenset()
        """The strings that are not kept."""

    def note(self) -> None:
        """Remember which strings are found from now on."""
        self._noted = set()

    def leave_noted(self) -> None:
        """Keep no more places of the strings that were found since `note`."""
        self._left, self._noted = self._noted or frozenset(), None

    def unnote(self) -> None:
        """Keep all strings again."""
        self._left, self._noted = frozenset(), None

    def begin(self, item: Item) -> None:
        """Begin with an item that comes in pieces."""
        self._item = item
        self._size = self._first = self._offset = 0
        self._line = 1
        self._counts_lines = True
        self._wide = None
        self.tally.items += 1

    def begin_part(self, item: Item, start: int) -> int:
        """Begin with a later part of an item. Return the offset from which to read it, which is before `start`.

        The line of its strings is `UNCOUNTED`. The first part counts the item.
        """
        self.begin(item)
        self.tally.items -= 1
        self._counts_lines = False
        # The offsets of UTF-16 leave out NULs, so such an item has no parts.
        self._wide = False
        self._offset = max(0, start - BEFORE)
        self._first = start - self._offset
        return self._offset

    def end_part(self, stop: int) -> None:
        """Search the rest of a part, which ends at `stop`; the item was read up to `AFTER` bytes beyond that."""
        self._search(max(self._first, min(self._size, stop - self._offset)))
        self._size = self._first = 0

    def room(self) -> memoryview:
        """Return the free part of the buffer, never empty, for the next piece of the item."""
        if self._size == len(self._window):
            self._advance()
        return memoryview(self._window)[self._size :]

    def filled(self, count: int) -> None:
        """Accept `count` bytes that the caller read into the room."""
        self.tally.bytes += count
        end = self._size + count
        if self._wide is None:
            self._wide = is_wide(self._window[self._size : min(end, self._size + ENCODING_SHOWN)])
        self._size = self._narrow(self._size, end) if self._wide else end

    def feed(self, piece: bytes | bytearray | memoryview) -> None:
        """Accept the next piece of the item, of any size."""
        view = memoryview(piece)
        while view:
            room = self.room()
            count = min(len(room), len(view))
            room[:count] = view[:count]
            self.filled(count)
            view = view[count:]

    def skip(self, count: int) -> None:
        """Accept `count` bytes that are known to be NUL, such as a hole of a file."""
        if count <= len(self._window):
            self.feed(bytes(count))
            return
        # No string of jitid continues after a NUL.
        self._search(self._size)
        self._forget(self._size)
        self._offset += count
        self.tally.bytes += count

    def end(self) -> None:
        """Search the rest of the item."""
        self._search(self._size)
        self._size = self._first = 0

    def whole(
        self,
        window: bytearray,
        size: int,
        starts: Sequence[int],
        items: Sequence[_Any],
        item_of: Callable[[_Any], Item],
    ) -> None:
        """Search consecutive items in `window[:size]`, each from its start to the start of the next one.

        At least a NUL or a line break separates two items. Most contain no string: `item_of` makes an item from its
        value only where a string is found.
        """
        if size < len(window):
            # Earlier bytes after the last item are not part of it.
            window[size] = 0
        self.tally.items += len(items)
        self.tally.bytes += size
        strings = self._strings.found(window, 0, size, self._finds, end=size, borders=starts)
        for reason, offset in self._missed():
            self._miss(reason, item_of(items[max(0, bisect_right(starts, offset) - 1)]))
        if not strings:
            return
        last_index, position, line = -1, 0, 1
        for offset, kind, key in strings:
            index = bisect_right(starts, offset) - 1
            if index < 0:
                continue
            if index != last_index:
                last_index, position, line = index, starts[index], 1
            line += window.count(b"\n", position, offset)
            position = offset
            self._keep(item_of(items[index]), offset - starts[index], line, kind, key)

    @staticmethod
    def may_be_alone(size: int, beginning: bytes) -> bool:
        """Return whether an item with this size and beginning may be only a key or a certificate."""
        return size == SEED or (beginning.startswith(_BARE) and size <= LONGEST_ALONE)

    def alone(self, item: Item, content: bytes) -> None:
        """Check whether an item is only a key in a keyring's format, or a key or certificate in DER (X.690)."""
        if not self._kinds & PEM or len(content) > LONGEST_ALONE:
            return
        from jitid.crypto.private_key import bare_key, of_seed

        strings: list[tuple[str, bytes]] = []
        if len(content) == SEED:
            strings += [("keys", public) for public in of_seed(content)]
        elif (key := bare_key(content)) is not None:
            strings.append(("keys" if key.proved else "locked", key.public))
        elif content.startswith(_SEQUENCE):
            strings.append(("prints", sha256(content).digest()))
        for kind, raw in strings:
            if kind in self._kinds:
                self._keep(item, 0, None, kind, raw)

    @property
    def full(self) -> bool:
        """Return whether the results should be taken before the search continues."""
        finds = self._finds
        return len(self._hits) >= _MOST_HITS or len(finds) >= _MOST_STRINGS or finds.text_size() >= _MOST_TEXT

    def take(self) -> Batch:
        """Return the results since the last call."""
        batch = Batch(self._hits, self._finds, self.tally)
        self._hits, self._finds, self.tally = [], Finds(), ScanTally()
        self._places = {}
        return batch

    def _advance(self) -> None:
        """Search the full window except its end, and move that end to the front.

        A string in the end may be complete only with the next piece.
        """
        last = self._size - AFTER
        self._search(last)
        self._first = last
        self._forget(last - BEFORE)

    def _forget(self, count: int) -> None:
        """Drop the first `count` bytes of the window."""
        window = self._window
        if self._counts_lines:
            self._line += window.count(b"\n", 0, count)
        self._offset += count
        remaining = self._size - count
        view = memoryview(window)
        view[:remaining] = view[count : self._size]
        self._size = remaining
        self._first = max(0, self._first - count)

    def _search(self, last: int) -> None:
        """Search for strings that begin before `last`."""
        window = self._window
        if self._size < len(window):
            # A match must not continue into earlier bytes after the text.
            padding = min(LONGEST_ALONE, len(window) - self._size)
            window[self._size : self._size + padding] = bytes(padding)
        position, line = 0, self._line if self._counts_lines else UNCOUNTED
        strings = self._strings.found(window, self._first, last, self._finds, end=self._size)
        for reason, _ in self._missed():
            self._miss(reason, self._item)
        for offset, kind, key in strings:
            if self._counts_lines:
                line += window.count(b"\n", position, offset)
                position = offset
            self._keep(self._item, self._offset + offset, line, kind, key)

    def _missed(self) -> list[tuple[str, int]]:
        missed, self._strings.missed = self._strings.missed, []
        return missed

    def _miss(self, reason: str, item: Item) -> None:
        self.tally.miss(reason, item.place if item.inside is None else f"{item.place} ({item.inside})")

    def _narrow(self, start: int, end: int) -> int:
        plain = bytes(memoryview(self._window)[start:end]).translate(None, b"\0")
        self._window[start : start + len(plain)] = plain
        return start + len(plain)

    def _keep(self, item: Item, offset: int, line: int | None, kind: str, key: bytes | str) -> None:
        raw = mark(kind, key)
        if self._noted is not None and len(self._noted) < _MOST_HITS:
            self._noted.add(raw)
        if raw in self._left:
            return
        counts: dict[Any, int] = getattr(self._finds, kind)
        counts[key] = counts.get(key, 0) + 1
        kept_count = self._places.get(raw, 0)
        if kept_count < (self._most_places if item.revision is None else self._most_versions):
            self._places[raw] = kept_count + 1
            self._hits.append(Hit(raw, kind, item.place, line, item.revision, offset, item.inside))


class Source(Protocol):
    """A source of items for a searcher; several processes may share it."""

    locates: bool
    """Whether only `located`, called with all hits that count, returns their places."""
    unit: str
    """The word for an item."""
    listing: str
    """The command that lists all hits."""
    root: str
    """A sentence that names the folder to which the paths of items are relative."""
    processes: int | None
    """Number of processes that should search; None for one per processor, up to a maximum."""

    def prepare(self, processes: int) -> None:
        """Prepare the data that the processes share, before they are forked. Raises UsageError.

        If a process cannot be forked, it is called again for one process.
        """

    def search(self, searcher: Searcher) -> Iterator[None]:
        """Search a share of the items; yield now and then, so that the caller can take results.

        Each process calls it once, and each item is searched by one process. An item that cannot be read is counted in
        the searcher's tally and raises no error.
        """
        ...

    def conceal(self, secret_search: SecretSearch | None) -> None:
        """Take the search for adopted secrets: no detail of a place may contain them."""

    def located(self, hits: list[Hit]) -> list[Hit]:
        """Return the hits with their final places, each place of a string once. Raises StorageError.

        A source that does not locate hits last gets the hits of each batch, and may add details.
        """
        ...

    def close(self) -> None:
        """Close the files and sockets of the search."""
