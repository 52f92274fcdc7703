"""What is scanned: a text with its place, and counts of such."""

from __future__ import annotations

from typing import NamedTuple

MOST_NAMED = 100
"""So many of those that were not examined are named, for each reason; the others are counted."""


MOST_REPOSITORIES = 3
"""So many repositories are named of which the history was not searched; the others are counted."""


_PACKED = ("items", "bytes", "passed", "missed", "named", "histories", "repositories")


class Item(NamedTuple):
    """One text that is searched: a file, a member of an archive, a version of a file."""

    place: str
    """The path as it is shown; bytes that are no UTF-8 stand in it as surrogates (PEP 383)."""
    revision: str | None = None
    """The commit that has it."""
    inside: str | None = None
    """Which member of the archive at that place it is."""


class ScanTally:
    """How much was searched, and what was not."""

    __slots__ = ("bytes", "histories", "items", "missed", "named", "passed", "repositories")

    def __init__(self) -> None:
        self.items = 0
        self.bytes = 0
        self.passed: dict[str, int] = {}
        """What is not to be searched, and was passed over: reason -> how many."""
        self.missed: dict[str, int] = {}
        """What was to be searched and was not: reason -> how many."""
        self.named: dict[str, list[str]] = {}
        """The first places of those."""
        self.histories = 0
        """How many repositories were met of which the files were searched, and the history was not."""
        self.repositories: list[str] = []
        """The first of those."""

    def meet(self, repository: str) -> None:
        """Count a repository of which only the files are searched."""
        self.histories += 1
        if len(self.repositories) < MOST_REPOSITORIES:
            self.repositories.append(repository)

    def pass_over(self, reason: str, count: int = 1) -> None:
        """Count what is not to be searched."""
        self.passed[reason] = self.passed.get(reason, 0) + count

    def miss(self, reason: str, place: str) -> None:
        """Count what could not be searched, or not completely."""
        self.missed[reason] = self.missed.get(reason, 0) + 1
        named = self.named.setdefault(reason, [])
        if len(named) < MOST_NAMED:
            named.append(place)

    def add(self, other: ScanTally) -> None:
        """Add what was searched elsewhere."""
        self.items += other.items
        self.bytes += other.bytes
        for mine, its in ((self.passed, other.passed), (self.missed, other.missed)):
            for reason, count in its.items():
                mine[reason] = mine.get(reason, 0) + count
        for reason, places in other.named.items():
            named = self.named.setdefault(reason, [])
            named.extend(places[: MOST_NAMED - len(named)])
        self.histories += other.histories
        self.repositories.extend(other.repositories[: MOST_REPOSITORIES - len(self.repositories)])

    def pack(self) -> tuple[object, ...]:
        """Return it as plain values, for another process."""
        return tuple(getattr(self, name) for name in _PACKED)

    @classmethod
    def unpack(cls, values: tuple[object, ...]) -> ScanTally:
        """Return what `pack` packed."""
        tally = cls()
        for name, value in zip(_PACKED, values, strict=True):
            setattr(tally, name, value)
        return tally


class Origin(NamedTuple):
    """Where something in a history comes from, beyond its first place."""

    time: int | None
    """When the author made the commit that brought it, says the commit, in seconds since the epoch."""
    in_head: bool | None
    """Whether what is checked out still has it there; None if that is not known."""
    others: int
    """How many other paths of that commit have the same text."""
    versions: int
    """How many versions of the file have it."""
