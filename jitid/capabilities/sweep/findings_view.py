"""Rows of a sweep's result, and descriptions of its rules, for the output formats.

First come the findings that the sweep has ended. Then follow, for each rule, its findings and its coverage, and last
the summary. There may be a million rows: a format must not keep them all.

They can be grouped by rule and state, for formats that show the first rows and count the rest. `RecordConverter` makes
them, with totals for the end of the command.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, TypedDict, final

from jitid.capabilities.sweep.finding import SEVERITIES, Coverage, Finding, Remedied, Severity, Swept, Unfixed
from jitid.capabilities.sweep.rules import rule_of
from jitid.model import credential
from jitid.values.record import Record
from jitid.values.text import number_of
from jitid.values.times import format_time, optional_time, parse_time

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
    return examined["examined"] if unknown is None else f"{examined['examined']}; unknown: {unknown}"


@final
class CoverageRow(TypedDict):
    """The end of a rule's findings."""

    coverage: Examined


class Summary(TypedDict):
    """A summary of the whole result."""

    sweep: str
    at: str
    """The time of the sweep, RFC 3339."""
    host: str | None
    """The name of the machine on which the command ran."""
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
    live: str
    """The place of the counted live credentials, as a caption."""
    with_states: bool = True
    """Whether findings may be in the baseline, or may have been ended."""


SWEEP = Wording(
    "sweep",
    "Credentials that should not be live",
    "jitid sweep --rule {rule} --format tsv",
    "the sweep was interrupted: these results are incomplete",
    "JITID-LEDGER",
    "Names and ids in the ledger, not files.",
    "in the ledger",
)
SCAN = Wording(
    "scan",
    "jitid secrets found by the scan",
    "jitid scan PATH --format tsv",
    "the scan was interrupted: these results are incomplete",
    "SCANROOT",
    "The folder in which the scan ran.",
    "among the found secrets",
    with_states=False,
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
        self.severities: Counter[str] = Counter()
        """The number of findings of each severity, without those in the baseline."""
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
        self.severities[severity.value] += 1
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


def new_run() -> str:
    """Return the name of a new run of `sweep` or `scan`: a UUID that has the time."""
    from uuid import UUID

    from jitid.values.ids import new_uuid7

    return str(UUID(bytes=new_uuid7(time.time_ns() // 1_000_000, os.urandom(10))))


class RecordConverter:
    """Converter from the results of a sweep to records, with totals for the end of the command."""

    def __init__(
        self,
        fail_on: Severity,
        remedy_of: Callable[[Finding], str | None],
        *,
        host: str | None = None,
        sweep: str | None = None,
        known: Container[Finding] = (),
        since: int | None = None,
        only: str | None = None,
        keep: Callable[[Finding], None] | None = None,
    ) -> None:
        """Call `keep` with every remaining finding, known or not.

        Leave out findings from before `since`, and all but the finding with the fingerprint `only`.
        """
        self._remedy_of = remedy_of
        self._host = host
        self._sweep = sweep or new_run()
        self._fail_on = fail_on
        self._known = known
        self._since = since
        self._only = only
        self._keep = keep
        self.counts: Counter[str] = Counter()
        """Number of findings of each state, and of each severity among the open ones."""
        self.ended = 0
        """Number of credentials that --fix has ended."""
        self.accepted = 0
        """Number of ended credentials that a verifier still accepts."""
        self.failed = False
        """Whether an open finding has at least the severity at which the sweep fails."""
        self.complete: dict[str, bool] = {}
        """For each examined rule, whether its coverage is complete."""
        self._unfixed: Counter[tuple[str, str]] = Counter()
        """Number of findings that --fix could not end, by rule and reason."""
        self.swept: Swept | None = None
        """The last result."""

    def records(
        self, remedied: Iterable[Remedied | Unfixed], results: Iterable[Finding | Coverage | Swept]
    ) -> Iterator[SweptRow]:
        """Yield the records of a sweep in order: ended findings, open findings with coverage, the summary."""
        for outcome in remedied:
            if isinstance(outcome, Unfixed):
                self._unfixed[outcome.rule, outcome.why] += outcome.findings
                continue
            self.ended += outcome.credentials
            self.accepted += outcome.accepted or 0
            for finding in outcome.findings:
                self.counts["ended"] += 1
                yield self._ended(finding, outcome)
        for result in results:
            match result:
                case Finding():
                    if self._is_selected(result):
                        yield self._open(result)
                case Coverage():
                    missed = [*result.missed, *self._unfixed_reasons(result.rule)]
                    self.complete[result.rule] = not missed
                    yield {
                        "coverage": {
                            "rule": result.rule,
                            "examined": result.examined,
                            "complete": not missed,
                            "missed": missed,
                            "unknown": result.unknown,
                        }
                    }
                case Swept():
                    self.swept = result
                    yield {"summary": self._summary(result)}

    @property
    def found(self) -> int:
        """Number of findings: open, known and ended ones."""
        return sum(self.counts[state] for state in STATES)

    def _is_selected(self, finding: Finding) -> bool:
        late = self._since is None or finding.since is None or finding.since >= self._since
        return late and self._only in (None, finding.fingerprint)

    @property
    def incomplete(self) -> bool:
        """Whether a part was not examined."""
        return not all(self.complete.values())

    def _unfixed_reasons(self, rule: str) -> Iterator[str]:
        """Yield the reasons why --fix could not fix findings of a rule."""
        for (unfixed_rule, reason), count in self._unfixed.items():
            if unfixed_rule == rule:
                findings = number_of(count, "finding") if count else "the findings"
                yield f"--fix could not fix {findings}: {reason}"

    def _ended(self, finding: Finding, remedied: Remedied) -> FindingRow:
        row = self._row(finding, "ended")
        row["remedy"] = None
        row["sweep"] = self._sweep
        row["event"] = remedied.event
        row["ended_at"] = optional_time(remedied.at)
        row["proof"] = _proof(remedied)
        row["ended_credentials"] = remedied.credentials
        row["offline_until"] = optional_time(remedied.offline_until)
        return row

    def _open(self, finding: Finding) -> FindingRow:
        if self._keep is not None:
            self._keep(finding)
        is_known = finding in self._known
        self.counts["known" if is_known else "open"] += 1
        if not is_known:
            self.counts[finding.severity] += 1
            self.failed = self.failed or finding.severity.rank >= self._fail_on.rank
        return self._row(finding, "known" if is_known else "open")

    def _row(self, finding: Finding, state: FindingState) -> FindingRow:
        return {
            "state": state,
            "severity": finding.severity.value,
            "rule": finding.rule,
            "subject": finding.subject,
            "since": optional_time(finding.since),
            "credentials": finding.credentials,
            "summary": finding.summary,
            "remedy": self._remedy_of(finding),
            "event": None,
            "ended_at": None,
            "ended_credentials": None,
            "sweep": None,
            "proof": None,
            "offline_until": None,
            "fingerprint": finding.fingerprint,
            "evidence": {name: _formatted(name, value) for name, value in finding.evidence.items()},
        }

    def _summary(self, swept: Swept) -> Summary:
        worst = max(
            (severity for severity in SEVERITIES if self.counts[severity]),
            key=lambda severity: severity.rank,
            default=None,
        )
        return {
            "sweep": self._sweep,
            "at": format_time(swept.at),
            "host": self._host,
            "live": swept.live,
            "open": self.counts["open"],
            "known": self.counts["known"],
            "ended": self.counts["ended"],
            "ended_credentials": self.ended,
            "worst": None if worst is None else worst.value,
            "complete": not self.incomplete,
        }


def remedy(finding: Finding, most: int) -> str | None:
    """Return the command that ends a finding. Above `most` credentials, it has --max."""
    if finding.remedy is None:
        return None
    # Without --max and without a terminal, the command would be refused.
    return f"{finding.remedy} --max {finding.revokes}" if finding.revokes > most else finding.remedy


def _proof(outcome: Remedied) -> str:
    if rule_of(outcome.rule).closes:
        return "they had already ended; the ledger now records it"
    ended = f"event {outcome.event} ended {number_of(outcome.credentials, 'credential')}"
    if outcome.accepted is None:
        return f"{ended}; whether a verifier accepts some could not be checked"
    if outcome.accepted:
        return f"{ended}; verifiers still accept {outcome.accepted}"
    return f"{ended}; verifiers that query this ledger accept none"


def _formatted(name: str, value: object) -> object:
    if isinstance(value, int) and name.endswith(("_at", "_until")):
        return optional_time(value)
    return value
