"""The condition of a ledger or an installation: checks and their results. A damaged ledger may not even open."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from enum import Enum
from typing import Protocol, TypeVar

from jitid.errors import ExitStatus, JitidError
from jitid.values.record import Record

LAST_EVENT = "the ledger's last event"


class Schema(Record):
    """The schema version of a ledger."""

    version: int
    known: int
    """The newest version that this jitid knows."""
    differences: list[str]
    """Missing and unexpected parts of the schema, compared with the version."""


class Size(Record):
    """The size of a ledger and the space left for it."""

    file: int
    """Bytes of the database, without its write-ahead log."""
    log: int
    free: int | None
    """Bytes that the file system has left for this user; None if unknown."""
    credentials: int
    tasks: int
    events: int


class ClockReading(Record):
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


class ConditionRemark(Record):
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


Subject = TypeVar("Subject")


class Status(Enum):
    """The outcome of a check."""

    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"


class Check(Record):
    """The result of one check."""

    name: str
    status: Status
    detail: str
    repair: str | None = None
    """The command that repairs the finding, or another action."""
    code: str | None = None
    """For a failure: the code of its error. `exit_status` is the exit status of that error."""
    exit_status: ExitStatus = ExitStatus.OK


class UnexaminedError(Exception):
    """A check that cannot run; the message gives the reason."""


Named = Sequence[tuple[str, Callable[[Subject], Iterable[Check]]]]
"""Checks with their names."""


def ok(name: str, detail: str) -> Check:
    """Return the result of a check without findings."""
    return Check(name, Status.OK, detail)


def warning(name: str, detail: str, repair: str | None = None) -> Check:
    """Return the result of a check with a finding that does not prevent work."""
    return Check(name, Status.WARNING, detail, repair)


def failure(name: str, error: JitidError) -> Check:
    """Return the result of a check that found an error."""
    detail = error.message.removesuffix("; nothing was changed")
    return Check(name, Status.FAILURE, detail, error.hint, error.code, error.exit_status)


def unexamined(name: str, reason: str) -> Check:
    """Return the result of a check that could not run: a warning, neither a success nor a second failure."""
    return warning(name, f"not examined: {reason}")
