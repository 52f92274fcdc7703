"""Items of a scan, each a text with its place, and counts of items."""

from __future__ import annotations

import errno
import os
import stat

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
