"""How a ledger itself is: what no snapshot tells, since a damaged one may not even open."""

from __future__ import annotations

from typing import NamedTuple, Protocol

LAST_EVENT = "the ledger's last event"


class Schema(NamedTuple):
    """Which schema a ledger has."""

    version: int
    known: int
    """The newest that this jitid knows."""
    differences: list[str]
    """What is not there as the version has it, and what should not be there."""


class Size(NamedTuple):
    """How large a ledger is, and how much more fits."""

    file: int
    """Bytes of the database, without its write-ahead log."""
    log: int
    free: int | None
    """Bytes that its file system has left for this user; None where nobody tells."""
    credentials: int
    tasks: int
    events: int


class ClockReading(NamedTuple):
    """The clock, and the mark that the ledger's last event left."""

    now: int
    mark: int
    jump: int
    """By how many seconds the clock has jumped since the mark; 0 for none that matters."""
    marked_by: str = LAST_EVENT
    """What has left the mark; a database has its own clock, by which alone is judged."""

    @property
    def refuses(self) -> bool:
        """Whether nothing is written while the clock is far behind the mark."""
        return self.marked_by == LAST_EVENT


class ConditionRemark(NamedTuple):
    """Something to be said of what keeps a ledger."""

    text: str
    repair: str | None
    """What to do about it; None for what is in order."""


class Condition(Protocol):
    """Asked of a ledger about itself; asking changes nothing."""

    def damage(self) -> list[str]:
        """Return what is damaged, at most a few of it. Raises DamagedError where not even that can be told."""

    def reindexing(self) -> str | None:
        """Return the command that repairs damage if indexes alone disagree with their tables; None otherwise."""

    def schema(self) -> Schema:
        """Return which schema it has. Raises IntegrityError for what is no ledger."""

    def size(self) -> Size:
        """Return its size."""

    def clock(self) -> ClockReading:
        """Return how the clock and its time mark stand."""

    def remarks(self) -> list[ConditionRemark]:
        """Return what is to be said of a server that keeps it; nothing where there is none."""
