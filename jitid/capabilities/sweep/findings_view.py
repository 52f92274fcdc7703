"""Rows of a sweep's result, and descriptions of its rules, for the output formats.

First come the findings that the sweep has ended. Then follow, for each rule, its findings and its coverage, and last
the summary. There may be a million rows: a format must not keep them all.

They can be grouped by rule and state, for formats that show the first rows and count the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, TypedDict, final

from jitid.capabilities.sweep.finding import Severity
from jitid.model import credential
from jitid.values.record import Record
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


class RuleInfo(Record):
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


class Wording(Record):
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


class FindingGroup:
    """The findings of one rule: the first ones, and their number."""

    def __init__(self, rule: str, limit: int, *, ended: bool, wording: Wording = SWEEP) -> None:
        self._wording = wording
        self.rule = rule
        self.ended = ended
        """Whether the sweep has ended these findings."""
        self.shown: list[FindingRow] = []
        """The first findings, without those in the baseline."""
        self.count = 0
        """Number of findings, without those in the baseline."""
        self.known = 0
        self.credentials = 0
        self._events: dict[int, None] = {}
        """The audit events that name the ended credentials, only the first few."""
        self._sweep = ""
        self._event: int | None = None
        self.worst = Severity.INFO
        """The highest severity of the findings that are not in the baseline."""
        self._most = limit

    def add(self, row: FindingRow) -> None:
        """Count another finding."""
        if row["state"] == "known":
            self.known += 1
            return
        self.count += 1
        if row["state"] != "ended":
            self.credentials += row["credentials"]
        elif row["event"] != self._event:
            # One event may have ended the credentials of many findings.
            self._event = row["event"]
            self.credentials += row["ended_credentials"] or 0
        severity = Severity(row["severity"])
        if severity.rank > self.worst.rank:
            self.worst = severity
        if row["event"] is not None and len(self._events) < self._most:
            self._events[row["event"]] = None
        self._sweep = row["sweep"] or ""
        if len(self.shown) < self._most:
            self.shown.append(row)

    @property
    def left(self) -> int:
        """Number of findings that are not shown."""
        return self.count - len(self.shown)

    @property
    def listing(self) -> str:
        """The command that lists all these findings."""
        if not self.ended:
            return self._wording.listing.format(rule=self.rule)
        if len(self._events) == 1:
            return f"jitid audit log --members --event {next(iter(self._events))}"
        return f"jitid audit log --members --sweep {self._sweep or 'ID'}"


class Closing(Record):
    """The coverage of the rules, and the summary, which is missing if the rows broke off."""

    coverage: list[Examined]
    summary: Summary | None


def grouped(rows: SweptRows, limit: int, wording: Wording = SWEEP) -> Iterator[FindingGroup | Closing]:
    """Yield each group with its first `limit` findings when the next one begins, and the closing at the end."""
    coverage: list[Examined] = []
    summary: Summary | None = None
    group: FindingGroup | None = None
    for row in rows:
        if group is not None and not _belongs(row, group):
            yield group
            group = None
        if "state" in row:
            if group is None:
                group = FindingGroup(row["rule"], limit, ended=row["state"] == "ended", wording=wording)
            group.add(row)
        elif "coverage" in row:
            coverage.append(row["coverage"])
        else:
            summary = row["summary"]
    if group is not None:
        yield group
    yield Closing(coverage, summary)


def _belongs(row: SweptRow, group: FindingGroup) -> bool:
    return "state" in row and row["rule"] == group.rule and (row["state"] == "ended") == group.ended
