"""The report as one JSON document; every duration in seconds, every share between 0 and 1 unless it is a percentage."""

from __future__ import annotations

from typing import Any

from jitid.capabilities.report import sprawl_report as sprawl
from jitid.capabilities.report.report_figures import Figures
from jitid.capabilities.report.sprawl_report import Report
from jitid.capabilities.sweep.finding import Finding
from jitid.model.credential import LEEWAY
from jitid.model.survey import Breakdown, Day, Spread
from jitid.values.times import format_time

NO_OLD_LEAK = "no leaked secret that was valid at its report is five days old yet"
NO_OFFENDERS_THEN = "findings are available only for the present; a report about the past omits them"

NO_DIRECTORY_THEN = "the directory is counted only for the present; a report about the past omits it"

NOTHING_FOUND = "no finding is above `info`; `jitid sweep` lists all findings"
NOTHING_ALIVE = "no live credentials"


def no_identities(report: Report) -> str:
    """Return why no person has an identity: there are no live identities, or systems have all of them."""
    figures = Figures(report)
    live = figures["identities_live"]
    if not live:
        return NOTHING_ALIVE
    owners = "1 belongs to a system" if live == 1 else f"{figures.shown('identities_live')} belong to systems"
    return f"no person has a live identity; {owners}"


def accepted(report: Report) -> str:
    """Return in words how many leaked secrets the ledger refuses while a verifier may accept them."""
    figures = Figures(report)
    secrets = figures.counted("leaked_secrets_accepted_by_verifiers", "secret")
    text = f"verifiers may accept {secrets} that the ledger refuses"
    unconfirmed = "leaked_secrets_target_unconfirmed"
    if not figures[unconfirmed]:
        return text
    verb = "has" if figures[unconfirmed] == 1 else "have"
    return (
        f"{text}; {figures.shown(unconfirmed)} of them {verb} a target that has not confirmed the revocation"
    )


def use_unknown(report: Report) -> str | None:
    """Return in words how many seemingly unused identities may be used after all; None if there are none."""
    figures = Figures(report)
    if not figures["identities_use_unknown"]:
        return None
    unknown = figures.shown("identities_use_unknown")
    return f"{unknown} of them may be in use: no use was reported for their audiences since their issue"


def over_scoped(report: Report) -> str | None:
    """Return in words how many live credentials hold unused scopes; None for the past, or without live credentials."""
    if report.excess is None or report.over_scoped is None:
        return None
    figures = Figures(report)
    count = figures["credentials_over_scoped"]
    verb = "holds" if count == 1 else "hold"
    text = (
        f"{figures.shown('credentials_over_scoped_ratio')} of the live credentials "
        f"({figures.shown('credentials_over_scoped')}) {verb} unused scopes"
    )
    if report.excess.unknown is None:
        return text
    # A credential of unknown use must not count as free of excess.
    return f"{text if count else 'none found'}; unknown: {report.excess.unknown}"


def document(report: Report, host: str | None = None) -> dict[str, Any]:
    """Return the members of the document, without its schema; `host` is the machine that makes it."""
    survey, figures = report.survey, Figures(report)
    return {
        "at": format_time(report.at),
        "past": report.past,
        **_pruned("pruned", report.pruned_before, sprawl.ROWS_LEFT),
        **_pruned("leaks_pruned", report.leaks_before, sprawl.LEAKS_LEFT),
        "ledger": report.ledger,
        "host": host,
        "totals": survey.totals._asdict(),
        "live_by": {name: _breakdown(breakdown) for name, breakdown in survey.live_by.items()},
        "identities_per_person": {
            "people": figures["people"],
            "identities": survey.people.identities,
            **figures.members("mean=identities_per_person_mean highest=identities_per_person_highest"),
            "highest_delegator": survey.people.highest_delegator,
            "published": sprawl.AGENTS_PER_PERSON._asdict(),
        },
        "lifetimes": {
            **_spread(survey.lifetimes),
            "bands": [{"up_to_seconds": band.up_to, "live": band.live} for band in survey.bands],
        },
        "standing": {
            "live": report.standing,
            "share": figures["credentials_standing_ratio"],
            "by_sensitivity": [
                {**counts._asdict(), "limit_seconds": report.limits[counts.sensitivity]}
                for counts in survey.sensitive
            ],
        },
        "task_end_to_death": {
            **_spread(survey.retirement.delays),
            "at_once": survey.retirement.at_once,
            "still_live": figures["tasks_ended_with_live"],
        },
        "use": {
            **survey.use._asdict(),
            **figures.members(
                "never_share=identities_never_used_ratio unknown_share=identities_use_unknown_ratio "
                "over_scoped=credentials_over_scoped over_scoped_share=credentials_over_scoped_ratio"
            ),
            "over_scoped_unknown": None if report.excess is None else report.excess.unknown,
            "counted": sprawl.COUNTED_AS_USE,
        },
        "directory": None
        if report.directory is None or report.excess is None
        else {
            **report.directory._asdict(),
            "over_privileged": figures["directory_agents_over_privileged"],
        },
        "leaks": _leaks(report, figures),
        "trend": [_day(day) for day in survey.trend],
        **_offenders(report),
    }


def _pruned(rows: str, before: int | None, note: str) -> dict[str, str]:
    return {} if before is None else {f"{rows}_before": format_time(before), f"{rows}_note": note}


def _breakdown(breakdown: Breakdown) -> dict[str, Any]:
    return {
        "names": breakdown.names,
        "top": [part._asdict() for part in breakdown.top],
        "others": breakdown.others.live,
    }


def _spread(spread: Spread) -> dict[str, Any]:
    return {
        "count": spread.number,
        "p50_seconds": spread.p50,
        "p95_seconds": spread.p95,
        "longest_seconds": spread.longest,
    }


def _day(day: Day) -> dict[str, Any]:
    counts = day._asdict()
    return {"day": format_time(counts.pop("start"))[:10], **counts}


def _leaks(report: Report, figures: Figures) -> dict[str, Any]:
    leaks = report.survey.leaks
    return {
        **figures.members(
            "secrets=leaked_secrets still_valid=leaked_secrets_valid "
            "still_valid_closed=leaked_secrets_valid_closed identity_lives_on=leaked_secrets_living_on "
            "identity_lives_on_closed=leaked_secrets_living_on_closed "
            "honoured_offline=leaked_secrets_honoured_offline "
            "accepted_by_verifiers=leaked_secrets_accepted_by_verifiers "
            "target_unconfirmed=leaked_secrets_target_unconfirmed proved_dead=leaked_secrets_proved_dead "
            "dead_before_report=leaked_secrets_dead_before_report"
        ),
        "exposure": _spread(leaks.exposure),
        "exposure_verifiers": _spread(leaks.exposure_verifiers),
        "oldest_valid_seconds": figures["exposure_oldest_valid_seconds"],
        "after_five_days": {
            **figures.members(
                "secrets=leaked_secrets_aged valid=leaked_secrets_aged_valid percent=leaked_percent_valid"
            ),
            **({"note": NO_OLD_LEAK} if report.valid_after_five_days is None else {}),
            "secrets_verifiers": leaks.aged_known,
            "accepted": leaks.aged_accepted,
            "percent_verifiers": figures["leaked_percent_accepted_by_verifiers"],
            "published": {
                "percent": sprawl.VALID_AFTER_FIVE_DAYS.value,
                "source": sprawl.VALID_AFTER_FIVE_DAYS.source,
            },
        },
        "younger": {state: figures[f"leaked_secrets_young.{state}"] for state in ("dead", "valid")},
        "leeway_seconds": LEEWAY,
        "judged": sprawl.JUDGED_TWICE,
    }


def _offenders(report: Report) -> dict[str, Any]:
    if report.offenders is None:
        directory_note = f"{NO_DIRECTORY_THEN}; {sprawl.RECORDED_NOW}"
        return {"offenders": None, "offenders_note": NO_OFFENDERS_THEN, "directory_note": directory_note}
    return {"offenders": [_offender(finding) for finding in report.offenders], "not_examined": report.missed}


def _offender(finding: Finding) -> dict[str, Any]:
    return {
        "rule": finding.rule,
        "severity": finding.severity.value,
        "subject": finding.subject,
        "summary": finding.summary,
        "since": None if finding.since is None else format_time(finding.since),
        "credentials": finding.credentials,
        "remedy": finding.remedy,
    }
