"""Rows of a sweep's result, and descriptions of its rules, for the output formats.

First come the findings that the sweep has ended. Then follow, for each rule, its findings and its coverage, and last
the summary. There may be a million rows: a format must not keep them all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypedDict, final

from jitid.capabilities.sweep.finding import Severity
from jitid.model import credential
from jitid.values.times import format_time, parse_time

FindingState = Literal["open", "known", "ended"]
"""`known`: the baseline contains it; `ended`: this sweep has ended it."""

STATES: tuple[FindingState, ...] = ("open", "known", "ended")


@final
class FindingRow(TypedDict):
    """One finding; times are RFC 3339 text."""

    state: FindingState
    rule: str
    severity: str
    subject: str
    since: str | None
    credentials: int
    """Number of credentials that it is about."""
    summary: str
    remedy: str | None
    """The command that fixes it."""
    evidence: Mapping[str, Any]
    fingerprint: str
    """Sixteen hexadecimal digits, the same from sweep to sweep."""
    sweep: str | None
    """The sweep that ended it, a UUID."""
    event: int | None
    """The audit event that names the ended credentials."""
    ended_at: str | None
    ended_credentials: int | None
    """Number of credentials that the event ended: for all of its findings, with all descendants."""
    proof: str | None
    """The evidence that the credentials have ended."""
    offline_until: str | None
    """The latest expiry of the ended credentials that are signed."""


def accepted_until(row: FindingRow) -> str | None:
    """Return the time from which no offline verifier accepts the ended credentials; None if none is signed."""
    expiry = row["offline_until"]
    return None if expiry is None else format_time(credential.accepted_until(parse_time(expiry)))


class Examined(TypedDict):
    """The coverage of one rule: the examined part, and the missed parts."""

    rule: str
    examined: str
    complete: bool
    missed: Sequence[str]
    """Parts that could not be examined, with reasons."""
    unknown: str | None
    """Facts that the ledger does not have: the rule is then neither clean nor incomplete."""


def covered(examined: Examined) -> str:
    """Return the description of the examined part, followed by the unknown facts."""
    unknown = examined["unknown"]
    return examined["examined"] if unknown is None else f"{examined['examined']}; not known: {unknown}"


@final
class CoverageRow(TypedDict):
    """The end of a rule's findings."""

    coverage: Examined


class Summary(TypedDict):
    """A summary of the whole result."""

    sweep: str
    at: str
    """The time of the sweep, RFC 3339."""
    live: int
    """Number of live credentials."""
    open: int
    known: int
    ended: int
    ended_credentials: int
    """Number of credentials that the sweep ended, with all their descendants."""
    worst: str | None
    """The highest severity among the open findings."""
    complete: bool


@final
class SummaryRow(TypedDict):
    """The last row."""

    summary: Summary


SweptRow = FindingRow | CoverageRow | SummaryRow
SweptRows = Iterable[SweptRow]


class RuleInfo(NamedTuple):
    """The description of a rule for users."""

    name: str
    severity: Severity
    owasp: tuple[str, ...]
    """Numbers of the OWASP Non-Human Identities Top 10 (2025), such as `NHI1:2025`."""
    title: str
    """The problem that it finds, in a few words."""
    reports: str
    """The findings that it reports, in a sentence without a period."""
    spares: str
    """The nearest cases that it does not report, in a sentence without a period."""
    examines: str
    """The objects that it examines."""


class Wording(NamedTuple):
    """The texts of a command that reports findings."""

    verb: str
    """The command, which is also the word for one run."""
    title: str
    """The title of the page."""
    listing: str
    """The command that lists all findings of a rule, with `{rule}` in it."""
    broken: str
    """The message for rows that break off."""
    base: str
    """The name in SARIF for the base of the subjects' addresses."""
    about: str
    """A description of that base, in a sentence."""


SWEEP = Wording(
    "sweep",
    "What should not be alive",
    "jitid sweep --rule {rule} --format tsv",
    "the sweep broke off: this is not all",
    "JITID-LEDGER",
    "The names and ids of the ledger, which are no files.",
)
SCAN = Wording(
    "scan",
    "Secrets of ours that were found",
    "jitid scan PATH --format tsv",
    "the scan broke off: this is not all",
    "SCANROOT",
    "The folder that the scan was run in.",
)

Command = Callable[[str], str]
"""A function that adds the flags of the current ledger to a jitid command."""


def unchanged(command: str) -> str:
    """Return the command unchanged, for callers that need no flags."""
    return command
