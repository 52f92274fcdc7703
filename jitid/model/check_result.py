"""A check of an installation or a ledger, and what it found."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from enum import Enum
from typing import NamedTuple, TypeVar

from jitid.errors import ExitStatus, JitidError

Subject = TypeVar("Subject")


class Status(Enum):
    """How a check ended."""

    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"


class Check(NamedTuple):
    """What one check saw."""

    name: str
    status: Status
    detail: str
    repair: str | None = None
    """The command that repairs it, or what else to do."""
    code: str | None = None
    """The code of the error that a failure is, and below its exit status."""
    exit_status: ExitStatus = ExitStatus.OK


class UnexaminedError(Exception):
    """A check cannot run; the message says because of what."""


Named = Sequence[tuple[str, Callable[[Subject], Iterable[Check]]]]
"""Checks by their names."""


def ok(name: str, detail: str) -> Check:
    """Return what a check says that found nothing wrong."""
    return Check(name, Status.OK, detail)


def warning(name: str, detail: str, repair: str | None = None) -> Check:
    """Return what a check says that found something to look at, which keeps nobody from working."""
    return Check(name, Status.WARNING, detail, repair)


def failure(name: str, error: JitidError) -> Check:
    """Return what a check says that found an error."""
    detail = error.message.removesuffix("; nothing was changed")
    return Check(name, Status.FAILURE, detail, error.hint, error.code, error.exit_status)


def unexamined(name: str, why: str) -> Check:
    """Return what is said of a check that could not run: that is never a good sign, nor a second failure."""
    return warning(name, f"not examined: {why}")
