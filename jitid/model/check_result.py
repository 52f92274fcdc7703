"""A check of an installation or a ledger, and its result."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from enum import Enum
from typing import NamedTuple, TypeVar

from jitid.errors import ExitStatus, JitidError

Subject = TypeVar("Subject")


class Status(Enum):
    """The outcome of a check."""

    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"


class Check(NamedTuple):
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
