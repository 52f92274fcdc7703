"""How a ledger itself is: what no snapshot tells, since a damaged one may not even open."""

from __future__ import annotations

from typing import NamedTuple, Protocol


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
    free: int
    """Bytes that its file system has left for this user."""
    credentials: int
    tasks: int
    events: int


class ClockReading(NamedTuple):
    """The clock, and the mark that the ledger's last event left."""

    now: int
    mark: int
    jump: int
    """By how many seconds the clock has jumped since the mark; 0 for none that matters."""


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
