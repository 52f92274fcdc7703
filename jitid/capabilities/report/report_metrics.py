"""The report as single figures, each with a name, labels and a unit: for spreadsheets, and for Prometheus."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from jitid.capabilities.report.report_document import rounded
from jitid.capabilities.report.sprawl_report import (
    AGENTS_PER_PERSON,
    VALID_AFTER_FIVE_DAYS,
    PublishedFigure,
    Report,
)
from jitid.capabilities.sweep.finding import Finding
from jitid.formats import prometheus
from jitid.model.survey import Breakdown, DirectoryCounts, Leaks, Spread, Totals
from jitid.values.times import format_time

FIELDS = ("metric", "labels", "value")
_NAMED = ("task", "agent", "delegator")


class Sample(NamedTuple):
    """A value of a metric, with its labels."""

    labels: Mapping[str, str]
    value: float | None
    """None if there is nothing to measure."""


class Metric(NamedTuple):
    """A figure, or several figures of one kind."""

    name: str
    """With the unit at its end, unless it is a count."""
    told: str
    """Its description, in a few words."""
    samples: tuple[Sample, ...]


def exposition(report: Report) -> Iterator[str]:
    """Yield the present figures as gauges of Prometheus; figures without a value are left out."""
    for metric in _metrics(report):
        samples = [(labels, value) for labels, value in metric.samples if value is not None]
        yield from prometheus.family(f"jitid_{metric.name}", f"{metric.told}.", samples)


def rows(report: Report) -> Iterator[Mapping[str, Any]]:
    """Yield every figure of the report, the days of the trend too."""
    for metric in (*_metrics(report), *_once(report)):
        for sample in metric.samples:
            yield {"metric": metric.name, "labels": sample.labels, "value": sample.value}


def _metrics(report: Report) -> Iterator[Metric]:
    # Tasks, agents and delegators are not labels here. Their values do not recur, so that each would leave a stale
    # series; and a collector may not be permitted to know names.
    survey = report.survey
    yield _one("report_timestamp_seconds", "The time that the report is about", report.at)
    yield _one("report_complete", "Whether all was examined for what to end first", int(not report.missed))
    yield from _totals(survey.totals)
    for name, breakdown in survey.live_by.items():
        if name not in _NAMED:
            yield _top(name, breakdown)
    yield from _people(report)
    yield from _lifetimes(report)
    yield from _use(report)
    if report.directory is not None:
        yield from _directory(report.directory)
    yield from _leaks(survey.leaks)
    yield from _after_five_days(report)


def _totals(totals: Totals) -> Iterator[Metric]:
    yield _one("credentials_issued", "Credentials that were ever issued", totals.issued)
    yield _one("identities_issued", "Identities that were ever made", totals.identities)
    yield _one("credentials_live", "Credentials that are alive", totals.live)
    yield _one("identities_live", "Identities that hold a live credential", totals.live_identities)
    states = {"open": totals.tasks_open, "overdue": totals.tasks_overdue, "ended": totals.tasks_ended}
    yield Metric("tasks", "Tasks by state", tuple(Sample({"state": name}, n) for name, n in states.items()))
    yield _one("delegators_live", "Root delegators of whom something is alive", totals.delegators)
    yield _one("agents_live", "Agents of whom something is alive", totals.agents)
    yield _one(
        "agents_live_registered", "Registered agents of whom something is alive", totals.agents_registered
    )


def _people(report: Report) -> Iterator[Metric]:
    people = report.survey.people
    yield _one("people", "Persons of whom something is alive", people.people)
    yield _one(
        "identities_per_person_mean", "Live identities to a person on average", rounded(report.per_person)
    )
    yield _one("identities_per_person_highest", "Live identities of the person with most", people.highest)
    yield _published("identities_per_person_published", "Agents to a person", AGENTS_PER_PERSON)


def _lifetimes(report: Report) -> Iterator[Metric]:
    survey = report.survey
    yield from _spread("lifetime", "Granted lifetime of the live credentials", survey.lifetimes)
    by_limit = tuple(
        Sample({"sensitivity": counts.sensitivity}, counts.standing) for counts in survey.sensitive
    )
    yield Metric(
        "credentials_standing", "Live credentials with a lifetime over their sensitivity's limit", by_limit
    )
    yield _one(
        "credentials_standing_ratio",
        "Share of the live credentials with a lifetime over their sensitivity's limit",
        rounded(report.standing_share),
    )
    yield from _spread(
        "task_end_to_death", "Time from a task's end to its last death", survey.retirement.delays
    )
    yield _one(
        "tasks_ended_with_live", "Tasks that are over and have something alive", survey.retirement.still_live
    )


def _use(report: Report) -> Iterator[Metric]:
    use = report.survey.use
    yield _one("identities_authorized", "Live identities that were allowed something", use.authorized)
    yield _one(
        "identities_never_used",
        "Live identities neither renewed nor delegated from nor allowed anything",
        use.never,
    )
    yield _one(
        "identities_never_used_ratio",
        "Share of the live identities neither renewed nor delegated from nor allowed anything",
        rounded(report.never_used),
    )
    yield _one(
        "identities_use_unknown",
        "Live identities without use on record for whose audiences no use is reported",
        use.unknown,
    )
    yield _one(
        "identities_use_unknown_ratio",
        "Share of the live identities of which it is not known whether they are used",
        rounded(report.use_unknown),
    )
    if report.excess is not None:
        yield _one(
            "credentials_over_scoped",
            "Live credentials with scopes that nothing uses, as far as use is reported",
            report.excess.over_scoped,
        )
        yield _one(
            "credentials_over_scoped_ratio",
            "Share of the live credentials with scopes that nothing uses, as far as use is reported",
            rounded(report.over_scoped),
        )
        yield _one(
            "directory_agents_over_privileged",
            "Registered agents whose record allows more than their owner may hand out",
            report.excess.over_privileged,
        )


def _leaks(leaks: Leaks) -> Iterator[Metric]:
    yield _one("leaked_secrets", "Secrets that were reported leaked", leaks.secrets)
    yield _one("leaked_secrets_valid", "Leaked secrets that still work", leaks.valid)
    yield _one(
        "leaked_secrets_valid_closed",
        "Leaked secrets that still work, and of which every report was closed",
        leaks.valid_closed,
    )
    yield _one(
        "leaked_secrets_living_on",
        "Leaked secrets that are dead, while their identity lives on",
        leaks.living_on,
    )
    yield _one(
        "leaked_secrets_living_on_closed",
        "Dead leaked secrets with a living identity of which every report was closed",
        leaks.living_on_closed,
    )
    yield _one(
        "leaked_secrets_honoured_offline",
        "Leaked secrets that are dead, signed and not expired: honoured where nobody asks the ledger",
        leaks.offline,
    )
    yield _one(
        "leaked_secrets_proved_dead",
        "Leaked secrets of which it is proved that the ledger refuses them with all that was made with them",
        leaks.proved,
    )
    yield _one(
        "leaked_secrets_accepted_by_verifiers",
        "Leaked secrets that the ledger refuses with all below, and that a verifier may accept",
        leaks.accepted,
    )
    yield _one(
        "leaked_secrets_target_unconfirmed",
        "Leaked secrets that the ledger refuses with all below, and whose end a target has not confirmed",
        leaks.unsettled,
    )
    yield _one(
        "leaked_secrets_dead_before_report", "Leaked secrets dead before the report", leaks.dead_before
    )
    yield from _spread(
        "exposure", "Time from the report of a leak to the death in the ledger", leaks.exposure
    )
    yield from _spread(
        "exposure_verifiers",
        "Time from the report of a leak until no verifier accepts the secret or what was made with it",
        leaks.exposure_verifiers,
    )
    yield _one(
        "exposure_oldest_valid_seconds", "How long the oldest leak that works is known", leaks.oldest_valid
    )
    yield _one(
        "leaked_secrets_aged", "Leaked secrets reported at least five days ago, that worked then", leaks.aged
    )
    yield _one(
        "leaked_secrets_aged_valid",
        "Leaked secrets reported at least five days ago, that worked then and five days later",
        leaks.aged_valid,
    )


def _after_five_days(report: Report) -> Iterator[Metric]:
    leaks = report.survey.leaks
    valid_percent = report.valid_after_five_days
    yield _one(
        "leaked_percent_valid",
        "Percentage of leaked secrets that worked five days later, of those that worked when they were reported",
        rounded(valid_percent),
    )
    yield _one(
        "leaked_percent_accepted_by_verifiers",
        "Percentage of leaked secrets that the ledger or another verifier may have accepted five days later",
        rounded(report.accepted_after_five_days),
    )
    description = "Published percentage of leaked secrets valid after five days"
    yield _published("leaked_percent_valid_published", description, VALID_AFTER_FIVE_DAYS)
    young = {"dead": leaks.young_dead, "valid": leaks.young_valid}
    samples = tuple(Sample({"state": name}, n) for name, n in young.items())
    yield Metric("leaked_secrets_young", "Leaked secrets reported less than five days ago", samples)


def _directory(counts: DirectoryCounts) -> Iterator[Metric]:
    people = {"known": counts.delegators - counts.disabled, "disabled": counts.disabled}
    yield Metric(
        "directory_delegators",
        "Delegators that the directory has",
        tuple(Sample({"state": name}, n) for name, n in people.items()),
    )
    agents = {
        "registered": counts.agents - counts.overdue - counts.suspended,
        "overdue": counts.overdue,
        "suspended": counts.suspended,
    }
    yield Metric(
        "directory_agents",
        "Agents that are registered",
        tuple(Sample({"state": name}, n) for name, n in agents.items()),
    )
    yield _one("directory_owners", "Delegators who own a registered agent", counts.owners)
    yield _one(
        "directory_agents_ownerless",
        "Registered agents whose owner was disabled or is not in the directory",
        counts.ownerless,
    )


def _once(report: Report) -> Iterator[Metric]:
    """Yield the figures without a time series: names, days, the worst findings, and parts that were not examined."""
    for name, breakdown in report.survey.live_by.items():
        if name in _NAMED:
            yield _top(name, breakdown)
        description = f"Live credentials of every other {name.replace('_', ' ')}"
        yield _one(f"credentials_live_by_{name}_others", description, breakdown.others.live)
    yield Metric(
        "not_examined",
        "What could not be examined",
        tuple(Sample({"why": reason}, 1) for reason in report.missed),
    )
    yield from _trend(report)
    if report.offenders is not None:
        yield Metric(
            "offender_credentials",
            "Live credentials of each of the gravest findings",
            _offenders(report.offenders),
        )


def _offenders(findings: Iterable[Finding]) -> tuple[Sample, ...]:
    return tuple(
        Sample(
            {
                "rule": finding.rule,
                "severity": finding.severity.value,
                "subject": finding.subject,
                **({} if finding.remedy is None else {"remedy": finding.remedy}),
            },
            finding.credentials,
        )
        for finding in findings
    )


def _top(name: str, breakdown: Breakdown) -> Metric:
    top = tuple(Sample({name: part.name}, part.live) for part in breakdown.top)
    return Metric(
        f"credentials_live_by_{name}", f"Live credentials of each {name.replace('_', ' ')} that has most", top
    )


def _trend(report: Report) -> Iterator[Metric]:
    days = report.survey.trend
    dated = [({"day": format_time(day.start)[:10]}, day) for day in days]
    yield Metric("day_issued", "Issued on a day", tuple(Sample(label, day.issued) for label, day in dated))
    yield Metric("day_ended", "Ended on a day", tuple(Sample(label, day.ended) for label, day in dated))
    yield Metric(
        "day_live", "Alive at the end of a day", tuple(Sample(label, day.live) for label, day in dated)
    )
    yield Metric(
        "day_leaks", "Leaks reported on a day", tuple(Sample(label, day.leaks) for label, day in dated)
    )


def _one(name: str, description: str, value: float | None) -> Metric:
    return Metric(name, description, (Sample({}, value),))


def _published(name: str, description: str, figure: PublishedFigure) -> Metric:
    return Metric(name, f"{description}, as published", (Sample({"source": figure.source}, figure.value),))


def _spread(name: str, description: str, spread: Spread) -> Iterator[Metric]:
    yield _one(f"{name}_p50_seconds", f"{description}, the median", spread.p50)
    yield _one(f"{name}_p95_seconds", f"{description}, the 95th percentile", spread.p95)
    yield _one(f"{name}_longest_seconds", f"{description}, the longest", spread.longest)
