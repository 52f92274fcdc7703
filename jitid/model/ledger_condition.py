"""The condition of a ledger itself. Snapshots cannot report it: a damaged ledger may not even open."""

from __future__ import annotations

from typing import NamedTuple, Protocol

LAST_EVENT = "the ledger's last event"


class Schema(NamedTuple):
    """The schema version of a ledger."""

    version: int
    known: int
    """The newest version that this jitid knows."""
    differences: list[str]
    """Missing and unexpected parts of the schema, compared with the version."""


class Size(NamedTuple):
    """The size of a ledger and the space left for it."""

    file: int
    """Bytes of the database, without its write-ahead log."""
    log: int
    free: int | None
    """Bytes that the file system has left for this user; None if unknown."""
    credentials: int
    tasks: int
    events: int


class ClockReading(NamedTuple):
    """The clock, compared with the time mark of the ledger's last event."""

    now: int
    mark: int
    jump: int
    """The seconds that the clock has jumped since the mark; 0 if the difference does not matter."""
    marked_by: str = LAST_EVENT
    """The source of the mark. A database uses its own clock alone."""

    @property
    def refuses(self) -> bool:
        """Whether the ledger refuses to write while the clock is far behind the mark."""
        return self.marked_by == LAST_EVENT


class ConditionRemark(NamedTuple):
    """A remark about the storage of a ledger."""

    text: str
    repair: str | None
    """The remedy; None if all is in order."""


class Condition(Protocol):
    """Checks of a ledger itself; none of them changes it."""

    def damage(self) -> list[str]:
        """Return the damage, limited to a few examples. Raises DamagedError if the check itself is impossible."""

    def reindexing(self) -> str | None:
        """Return the command that repairs damage if only indexes disagree with their tables; None otherwise."""

    def schema(self) -> Schema:
        """Return the schema version. Raises IntegrityError if this is not a ledger."""

    def size(self) -> Size:
        """Return the size."""

    def clock(self) -> ClockReading:
        """Return the clock and its time mark."""

    def remarks(self) -> list[ConditionRemark]:
        """Return remarks about the server that keeps the ledger; an empty list without a server."""
