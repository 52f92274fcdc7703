"""The state of identity sprawl at one time: the survey of a ledger, with published figures for comparison."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from heapq import nlargest
from itertools import groupby
from operator import attrgetter
from typing import Self

from jitid.capabilities.integrity.prune_store import PruneStore
from jitid.capabilities.report import store as report_store
from jitid.capabilities.sweep.finding import Coverage, Finding, Severity, Thresholds
from jitid.capabilities.sweep.rules import over_privileged, over_scoped
from jitid.errors import NotFoundError, UsageError
from jitid.ledger.view import View
from jitid.model.credential import LEEWAY_TEXT
from jitid.model.ledger_rows import Names
from jitid.model.survey import DirectoryCounts, Survey
from jitid.model.task import SENSITIVITIES
from jitid.values.record import Record
from jitid.values.times import format_time

DEFAULT_DAYS = 30
MOST_DAYS = 366
_OF_A_RULE = 3
MOST_OFFENDERS = 10

_DAY = 86_400
_OVER_SCOPED = over_scoped.RULE.name
_OVER_PRIVILEGED = over_privileged.RULE.name


class PublishedFigure(Record):
    """A figure from another publication."""

    value: float
    source: str


AGENTS_PER_PERSON = PublishedFigure(80, "NHI Mgmt Group")
"""Agents per person."""
VALID_AFTER_FIVE_DAYS = PublishedFigure(91.6, "NHI Mgmt Group")
"""The percentage of leaked secrets that still work five days after their owner was notified."""

JUDGED_TWICE = (
    "exposure by the ledger ends when the ledger refuses the leaked secret; by verifiers, when the last signed "
    f"credential of its identity or descendants has expired, plus {LEEWAY_TEXT} of leeway"
)
"""How the two figures about leaked secrets are measured."""

COUNTED_AS_USE = (
    "renewal, delegation, or permission by `authorize`; verifiers that do not query the ledger report no use"
)
"""The uses of an identity that the ledger records."""

RECORDED_NOW = (
    "in a report about the past, states of delegators and records of agents come from the present directory; changes "
    "that were undone since then are not visible"
)
"""The limits of a past report about the directory."""
ROWS_LEFT = "deleted credentials count neither as issued nor as outliving their tasks; the trend begins after that time"
"""The limits of a report about a pruned ledger."""
LEAKS_LEFT = "leaks that were closed and proved refused by then are deleted and do not count"
"""The limits of a report about a ledger with pruned leaks."""


class Excess(Record):
    """Rights beyond need or beyond the owner's rights, as a sweep finds them."""

    over_scoped: int = 0
    """The number of live credentials with unused scopes."""
    unknown: str | None = None
    """Which credentials may have unused scopes, since their use is not reported; None if there are none."""
    over_privileged: int = 0
    """The number of agent records that allow more than their owners may delegate."""


class Report(Record):
    """The report about one ledger."""

    at: int
    """The time that it is about, in seconds since the epoch."""
    past: bool
    """Whether the report is about a past time."""
    ledger: str
    """The ledger's UUID."""
    limits: Mapping[str, int]
    """The maximum lifetime in seconds by sensitivity; a credential with a longer lifetime is standing."""
    survey: Survey
    offenders: tuple[Finding, ...] | None
    """The worst findings of a sweep, the most severe first; None for the past, which no sweep can examine."""
    missed: tuple[str, ...]
    """The parts that the sweep could not examine, with reasons: then `offenders` may be incomplete."""
    directory: DirectoryCounts | None
    """The counts of the directory; None for the past, which the directory does not record."""
    excess: Excess | None
    """The excess rights; None for the past, which no sweep can examine."""
    pruned_before: int | None = None
    """Credentials that had ended before this time may be missing; None if the ledger was never pruned."""
    leaks_before: int | None = None
    """Leaks that were closed and proved refused before this time may be missing and do not count; None if none are."""

    def checked_answer(self) -> Self:
        """Return the report of an authority. Raises UsageError if it is not whole."""
        if not self.limits.keys() >= set(SENSITIVITIES):
            raise UsageError("the report lacks the limit of a sensitivity")
        return self

    @property
    def never_used(self) -> float | None:
        """The share of the live identities without use on record; None without live identities."""
        return _share(self.survey.use.never, self.survey.use.identities)

    @property
    def use_unknown(self) -> float | None:
        """The share of the live identities whose use is unknown; None without live identities."""
        return _share(self.survey.use.unknown, self.survey.use.identities)

    @property
    def over_scoped(self) -> float | None:
        """The share of the live credentials with unused scopes; None for the past or without live credentials."""
        return None if self.excess is None else _share(self.excess.over_scoped, self.survey.totals.live)

    @property
    def standing(self) -> int:
        """The number of live credentials with a longer lifetime than their sensitivity allows."""
        return sum(counts.standing for counts in self.survey.sensitive)

    @property
    def standing_share(self) -> float | None:
        """The share of the live credentials that are standing; None without live credentials."""
        return _share(self.standing, self.survey.totals.live)

    @property
    def per_person(self) -> float | None:
        """The mean number of live identities per person; None if no person has any."""
        return _share(self.survey.people.identities, self.survey.people.people)

    @property
    def valid_after_five_days(self) -> float | None:
        """The percentage of leaked secrets that worked five days after the report; None if no leak is old enough."""
        share = _share(self.survey.leaks.aged_valid, self.survey.leaks.aged)
        return None if share is None else 100 * share

    @property
    def accepted_after_five_days(self) -> float | None:
        """The same for verifiers: they may have accepted the secret, or a credential made with it, five days later."""
        share = _share(self.survey.leaks.aged_accepted, self.survey.leaks.aged_known)
        return None if share is None else 100 * share


def make(
    snapshot: View,
    names: Names,
    *,
    at: int | None = None,
    days: int = DEFAULT_DAYS,
    limits: Thresholds,
    found: Iterable[Finding | Coverage] = (),
) -> Report:
    """Report the present, or a past time as far as the ledger has records of it.

    Args:
        snapshot: one consistent view of the ledger.
        names: the names of the ledger.
        at: the time to report, in seconds since the epoch; None for now.
        days: the number of days of UTC in the trend, including the day of `at`.
        limits: the limits of the sweep; a lifetime above the limit of its sensitivity is standing.
        found: the present findings of a sweep; not read in a report of the past.

    Raises:
        NotFoundError: credentials that were live at `at` may have been pruned since.
        UsageError: `at` is in the future, or before the ledger's first event; too few or too many days.

    """
    if not 1 <= days <= MOST_DAYS:
        raise UsageError(f"--days must be from 1 to {MOST_DAYS}")
    now = snapshot.now
    if at is not None:
        _check_time(snapshot, at, now)
    time = now if at is None else at
    trend_start = (time // _DAY - days + 1) * _DAY
    pruned = PruneStore(snapshot).last()
    pruned_before = None if pruned is None else pruned.before
    leaks_before = None if pruned is None else pruned.leaks or None
    if pruned_before is not None:
        if time < pruned_before:
            raise NotFoundError(
                f"the ledger no longer has all credentials of {format_time(time)}: credentials that ended before "
                f"{format_time(pruned_before)} were pruned",
                "use a later --at, or a backup from before the pruning",
            )
        # The day of the pruning is left out, unless it is the only day.
        trend_start = max(trend_start, min(-(-pruned_before // _DAY), time // _DAY) * _DAY)
    standing = {sensitivity: limits.max_lifetime(sensitivity) for sensitivity in SENSITIVITIES}
    survey = report_store.survey(snapshot, at, trend_start, standing)
    past = Report(time, True, names.uuid, standing, survey, None, (), None, None, pruned_before, leaks_before)
    if time < now:
        return past
    seen = _Seen()
    offenders = most_severe(seen.findings(found))
    directory = report_store.count_directory(snapshot)
    return past._replace(
        past=False, offenders=offenders, missed=tuple(seen.missed), directory=directory, excess=seen.excess
    )


def most_severe(findings: Iterable[Finding], limit: int = MOST_OFFENDERS) -> tuple[Finding, ...]:
    """Return the worst findings: by severity, then by the number of live credentials, then the oldest first.

    Findings that are for information only are left out; of each rule there are at most three. The findings of a rule
    must be adjacent, as a sweep yields them.
    """

    def weight(finding: Finding) -> tuple[int, int, int]:
        return finding.severity.rank, finding.credentials, -(finding.since or 0)

    # A limit for each rule: one cause with a hundred findings must not hide the others.
    top: list[Finding] = []
    for _, alike in groupby(findings, attrgetter("rule")):
        top += nlargest(
            _OF_A_RULE, (finding for finding in alike if finding.severity is not Severity.INFO), key=weight
        )
    return tuple(nlargest(limit, top, key=weight))


class _Seen:
    """Facts that are collected while the findings of a sweep are read."""

    def __init__(self) -> None:
        self.missed: list[str] = []
        """The parts that were not examined, with reasons."""
        self.excess = Excess()

    def findings(self, results: Iterable[Finding | Coverage]) -> Iterator[Finding]:
        """Yield the findings alone, and note the rest."""
        for result in results:
            if isinstance(result, Finding):
                self._count(result)
                yield result
            else:
                self.missed += [f"{result.rule}: {reason}" for reason in result.missed]
                if result.rule == _OVER_SCOPED:
                    self.excess = self.excess._replace(unknown=result.unknown)

    def _count(self, finding: Finding) -> None:
        excess = self.excess
        if finding.rule == _OVER_SCOPED:
            self.excess = excess._replace(over_scoped=excess.over_scoped + finding.credentials)
        elif finding.rule == _OVER_PRIVILEGED:
            self.excess = excess._replace(over_privileged=excess.over_privileged + 1)


def _check_time(snapshot: View, time: int, now: int) -> None:
    if time > now:
        raise UsageError(
            f"{format_time(time)} is in the future: the time of the ledger is {format_time(now)}",
            "omit --at to report the present",
        )
    first_event = snapshot.event(1)
    if first_event is None or time < (begun := int(first_event.document()["at"])):
        begins = "" if first_event is None else f": it begins at {format_time(begun)}"
        raise UsageError(f"the ledger has no records of {format_time(time)}{begins}")


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
