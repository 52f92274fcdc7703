"""The figures of a report in one table: each format takes a figure's name, its description, unit and value from it.

The same as single figures with labels: for spreadsheets, and for Prometheus.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import Enum
from functools import partial
from operator import attrgetter
from typing import Any

from jitid.capabilities.report.sprawl_report import (
    AGENTS_PER_PERSON,
    VALID_AFTER_FIVE_DAYS,
    PublishedFigure,
    Report,
)
from jitid.capabilities.sweep.finding import Finding
from jitid.formats import prometheus
from jitid.formats.cell import count, counted, duration, mean, percent
from jitid.model.survey import PROPERTIES
from jitid.values.record import Record
from jitid.values.times import format_time


class Unit(Enum):
    """The unit of a figure."""

    COUNT = "count"
    SECONDS = "seconds"
    SHARE = "share"
    """Between 0 and 1."""
    PERCENT = "percent"
    MEAN = "mean"


class Sample(Record):
    """A value of a figure, with its labels."""

    labels: Mapping[str, str]
    value: float | None
    """None if there is nothing to measure."""


class Figure(Record):
    """A figure, or several figures of one kind."""

    name: str
    """With the unit at its end, unless it is a count."""
    description: str
    """In a few words."""
    source: str | Mapping[str, str] | Callable[[Report], Iterable[Sample]]
    """The path of the value in the report; the paths by the label `state`; or a function that returns the samples."""
    unit: Unit = Unit.COUNT
    part: str = ""
    """The part of the report that a report of the past lacks, and the figure with it."""

    def samples(self, report: Report) -> Iterator[Sample]:
        """Yield the exact values; none if the report lacks that part."""
        if self.part and getattr(report, self.part) is None:
            return
        if callable(self.source):
            yield from self.source(report)
        elif isinstance(self.source, str):
            yield Sample({}, attrgetter(self.source)(report))
        else:
            for state, path in self.source.items():
                yield Sample({"state": state}, attrgetter(path)(report))

    def rounded(self, value: float | None) -> float | None:
        """Return a value for a machine: shares and means have six decimal places, since more would be noise."""
        return value if value is None or self.unit in (Unit.COUNT, Unit.SECONDS) else round(value, 6)

    def shown(self, value: Any) -> str:  # noqa: ANN401 - a value of this unit
        """Return a value for people."""
        match self.unit:
            case Unit.SECONDS:
                return duration(value)
            case Unit.SHARE:
                return percent(value)
            case Unit.PERCENT:
                return percent(None if value is None else value / 100)
            case Unit.MEAN:
                return mean(value)
            case _:
                return count(value)


def _spread(name: str, description: str, path: str) -> tuple[Figure, ...]:
    return (
        Figure(f"{name}_p50_seconds", f"{description}, the median", f"{path}.p50", Unit.SECONDS),
        Figure(f"{name}_p95_seconds", f"{description}, the 95th percentile", f"{path}.p95", Unit.SECONDS),
        Figure(f"{name}_longest_seconds", f"{description}, the longest", f"{path}.longest", Unit.SECONDS),
    )


def _counted(owner: str, *lines: str) -> Iterator[Figure]:
    """Yield the counts of a record of the report; each line has a figure's name, its attribute and its description."""
    for line in lines:
        name, attribute, *description = line.split()
        yield Figure(name, " ".join(description), f"{owner}.{attribute}")


def _published(name: str, description: str, figure: PublishedFigure) -> Figure:
    samples = (Sample({"source": figure.source}, figure.value),)
    return Figure(name, f"{description}, as published", lambda _report: samples)


def _top(name: str) -> Figure:
    def samples(report: Report) -> Iterator[Sample]:
        return (Sample({name: part.name}, part.live) for part in report.survey.live_by[name].top)

    words = name.replace("_", " ")
    return Figure(f"credentials_live_by_{name}", f"Live credentials of each top {words}", samples)


def _others(name: str) -> Figure:
    def samples(report: Report) -> tuple[Sample]:
        return (Sample({}, report.survey.live_by[name].others.live),)

    words = name.replace("_", " ")
    return Figure(f"credentials_live_by_{name}_others", f"Live credentials of any other {words}", samples)


def _standing(report: Report) -> Iterator[Sample]:
    for counts in report.survey.sensitive:
        yield Sample({"sensitivity": counts.sensitivity}, counts.standing)


def _complete(report: Report) -> tuple[Sample]:
    return (Sample({}, int(not report.missed)),)


_NAMED = ("task", "agent", "delegator")
# Tasks, agents and delegators are not labels of time series. Their values do not recur, so that each would leave a
# stale series; and a collector may not be permitted to know names.
SERIES: tuple[Figure, ...] = (
    Figure("report_timestamp_seconds", "Time of the report", "at", Unit.SECONDS),
    Figure("report_complete", "Whether the sweep for the most severe findings was complete", _complete),
    Figure("credentials_issued", "Credentials issued so far", "survey.totals.issued"),
    Figure("identities_issued", "Identities created so far", "survey.totals.identities"),
    Figure("credentials_live", "Live credentials", "survey.totals.live"),
    Figure("identities_live", "Identities that hold a live credential", "survey.totals.live_identities"),
    Figure(
        "tasks",
        "Tasks by state",
        {state: f"survey.totals.tasks_{state}" for state in ("open", "overdue", "ended")},
    ),
    Figure("delegators_live", "Root delegators with live credentials", "survey.totals.delegators"),
    Figure("agents_live", "Agents with live credentials", "survey.totals.agents"),
    Figure(
        "agents_live_registered",
        "Registered agents with live credentials",
        "survey.totals.agents_registered",
    ),
    *(_top(name) for name in PROPERTIES if name not in _NAMED),
    Figure("people", "Persons with live credentials", "survey.people.people"),
    Figure(
        "identities_per_person_mean", "Mean number of live identities per person", "per_person", Unit.MEAN
    ),
    Figure(
        "identities_per_person_highest",
        "Largest number of live identities of one person",
        "survey.people.highest",
    ),
    _published("identities_per_person_published", "Agents per person", AGENTS_PER_PERSON),
    *_spread("lifetime", "Granted lifetime of the live credentials", "survey.lifetimes"),
    Figure(
        "credentials_standing",
        "Live credentials with a lifetime above the limit of their sensitivity",
        _standing,
    ),
    Figure(
        "credentials_standing_ratio",
        "Share of the live credentials with a lifetime above the limit of their sensitivity",
        "standing_share",
        Unit.SHARE,
    ),
    *_spread(
        "task_end_to_death",
        "Time from the end of a task to the end of its last credential",
        "survey.retirement.delays",
    ),
    Figure(
        "tasks_ended_with_live",
        "Ended tasks with live credentials",
        "survey.retirement.still_live",
    ),
    Figure(
        "identities_authorized",
        "Live identities with a permission by `jitid authorize`",
        "survey.use.authorized",
    ),
    Figure(
        "identities_never_used",
        "Live identities without a renewal, a delegation, or a permission by `jitid authorize`",
        "survey.use.never",
    ),
    Figure(
        "identities_never_used_ratio",
        "Share of the live identities without a renewal, a delegation, or a permission by `jitid authorize`",
        "never_used",
        Unit.SHARE,
    ),
    Figure(
        "identities_use_unknown",
        "Live identities without use on record, with audiences that report no use",
        "survey.use.unknown",
    ),
    Figure(
        "identities_use_unknown_ratio",
        "Share of the live identities with unknown use",
        "use_unknown",
        Unit.SHARE,
    ),
    Figure(
        "credentials_over_scoped",
        "Live credentials with unused scopes, as far as use is reported",
        "excess.over_scoped",
        part="excess",
    ),
    Figure(
        "credentials_over_scoped_ratio",
        "Share of the live credentials with unused scopes, as far as use is reported",
        "over_scoped",
        Unit.SHARE,
        part="excess",
    ),
    Figure(
        "directory_agents_over_privileged",
        "Registered agents whose record allows more than their owner may delegate",
        "excess.over_privileged",
        part="excess",
    ),
    Figure(
        "directory_delegators",
        "Delegators in the directory",
        {"known": "directory.may_delegate", "disabled": "directory.disabled"},
        part="directory",
    ),
    Figure(
        "directory_agents",
        "Registered agents",
        {
            "registered": "directory.active",
            "overdue": "directory.overdue",
            "suspended": "directory.suspended",
        },
        part="directory",
    ),
    Figure(
        "directory_owners",
        "Owners of registered agents",
        "directory.owners",
        part="directory",
    ),
    Figure(
        "directory_agents_ownerless",
        "Registered agents with an owner who is disabled or not in the directory",
        "directory.ownerless",
        part="directory",
    ),
    *_counted(
        "survey.leaks",
        "leaked_secrets secrets Secrets that were reported leaked",
        "leaked_secrets_valid valid Leaked secrets that are still valid",
        "leaked_secrets_valid_closed valid_closed Leaked secrets that are still valid, with all reports closed",
        "leaked_secrets_living_on living_on Ended leaked secrets with a live identity",
        "leaked_secrets_living_on_closed living_on_closed Ended leaked secrets with a live identity, with all reports "
        "closed",
        "leaked_secrets_honoured_offline offline Leaked signed secrets that ended but have not expired: offline "
        "verifiers accept them",
        "leaked_secrets_proved_dead proved Leaked secrets that the ledger provably refuses, with all descendants",
        "leaked_secrets_accepted_by_verifiers accepted Leaked secrets that the ledger refuses, with all descendants, "
        "and that a verifier may accept",
        "leaked_secrets_target_unconfirmed unsettled Leaked secrets that the ledger refuses, with all descendants: "
        "a target has not confirmed the revocation",
        "leaked_secrets_dead_before_report dead_before Leaked secrets that ended before the report",
    ),
    *_spread("exposure", "Time from the report of a leak to its end in the ledger", "survey.leaks.exposure"),
    *_spread(
        "exposure_verifiers",
        "Time from the report of a leak until no verifier accepts the secret or its descendants",
        "survey.leaks.exposure_verifiers",
    ),
    Figure(
        "exposure_oldest_valid_seconds",
        "Time since the report of the oldest valid leak",
        "survey.leaks.oldest_valid",
        Unit.SECONDS,
    ),
    *_counted(
        "survey.leaks",
        "leaked_secrets_aged aged Leaked secrets reported at least five days ago, valid then",
        "leaked_secrets_aged_valid aged_valid Leaked secrets reported at least five days ago, valid then and five days "
        "later",
    ),
    Figure(
        "leaked_percent_valid",
        "Percentage of the leaked secrets valid at their report that were still valid five days later",
        "valid_after_five_days",
        Unit.PERCENT,
    ),
    Figure(
        "leaked_percent_accepted_by_verifiers",
        "Percentage of leaked secrets that the ledger or a verifier may have accepted five days later",
        "accepted_after_five_days",
        Unit.PERCENT,
    ),
    _published(
        "leaked_percent_valid_published",
        "Published percentage of leaked secrets valid after five days",
        VALID_AFTER_FIVE_DAYS,
    ),
    Figure(
        "leaked_secrets_young",
        "Leaked secrets reported less than five days ago",
        {"dead": "survey.leaks.young_dead", "valid": "survey.leaks.young_valid"},
    ),
)
"""The figures that a collector stores as time series."""


def _missed(report: Report) -> Iterator[Sample]:
    return (Sample({"why": reason}, 1) for reason in report.missed)


def _days(name: str, report: Report) -> Iterator[Sample]:
    return (Sample({"day": format_time(day.start)[:10]}, getattr(day, name)) for day in report.survey.trend)


def _offenders(report: Report) -> Iterator[Sample]:
    return (Sample(_labels(finding), finding.credentials) for finding in report.offenders or ())


def _labels(finding: Finding) -> dict[str, str]:
    labels = {"rule": finding.rule, "severity": finding.severity.value, "subject": finding.subject}
    return labels if finding.remedy is None else labels | {"remedy": finding.remedy}


FIGURES: tuple[Figure, ...] = (
    *SERIES,
    *(
        figure
        for name in PROPERTIES
        for figure in ((_top(name), _others(name)) if name in _NAMED else (_others(name),))
    ),
    Figure("not_examined", "Parts that could not be examined", _missed),
    Figure("day_issued", "Issued on a day", partial(_days, "issued")),
    Figure("day_ended", "Ended on a day", partial(_days, "ended")),
    Figure("day_live", "Live at the end of a day", partial(_days, "live")),
    Figure("day_leaks", "Leaks reported on a day", partial(_days, "leaks")),
    Figure(
        "offender_credentials",
        "Live credentials of each of the most severe findings",
        _offenders,
    ),
)
"""All figures: with names, days, the most severe findings, and the parts that were not examined."""
_BY_NAME = {figure.name: figure for figure in FIGURES}


class Figures:
    """The figures of one report by their names; one of several by `NAME.STATE`."""

    def __init__(self, report: Report) -> None:
        self._report = report

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401 - a value of any unit
        """Return a value for a machine."""
        figure, value = self._found(name)
        return figure.rounded(value)

    def members(self, names: str) -> dict[str, Any]:
        """Return members of an object of JSON: `MEMBER=NAME` each, separated by blanks."""
        pairs = (pair.partition("=") for pair in names.split())
        return {member: self[name] for member, _, name in pairs}

    def shown(self, name: str) -> str:
        """Return a value for people."""
        figure, value = self._found(name)
        return figure.shown(value)

    def counted(self, name: str, singular: str, plural: str | None = None) -> str:
        """Return a count for people, with its noun."""
        return counted(self._found(name)[1], singular, plural)

    def _found(self, name: str) -> tuple[Figure, Any]:
        name, _, state = name.partition(".")
        figure = _BY_NAME[name]
        for sample in figure.samples(self._report):
            if sample.labels.get("state", "") == state:
                return figure, sample.value
        return figure, None


FIELDS = ("metric", "labels", "value")


def exposition(report: Report) -> Iterator[str]:
    """Yield the present figures as gauges of Prometheus; figures without a value are left out."""
    for figure in SERIES:
        samples = (
            (labels, rounded)
            for labels, value in figure.samples(report)
            if (rounded := figure.rounded(value)) is not None
        )
        yield from prometheus.family(f"jitid_{figure.name}", f"{figure.description}.", samples)


def rows(report: Report) -> Iterator[Mapping[str, Any]]:
    """Yield every figure of the report, the days of the trend too."""
    for figure in FIGURES:
        for labels, value in figure.samples(report):
            yield {"metric": figure.name, "labels": labels, "value": figure.rounded(value)}
