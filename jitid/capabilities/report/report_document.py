"""The report as one JSON document; every duration in seconds, every share between 0 and 1 unless it is a percentage."""

from __future__ import annotations

from typing import Any

from jitid.capabilities.report.sprawl_report import (
    AGENTS_PER_PERSON,
    COUNTED_AS_USE,
    JUDGED_TWICE,
    LEAKS_LEFT,
    RECORDED_NOW,
    ROWS_LEFT,
    VALID_AFTER_FIVE_DAYS,
    PublishedFigure,
    Report,
)
from jitid.capabilities.sweep.finding import Finding
from jitid.formats.figures import percent
from jitid.model.acceptance import LEEWAY
from jitid.model.survey import Breakdown, Day, Leaks, Spread
from jitid.values.times import format_time

NO_OLD_LEAK = "no leak that worked when it was reported is five days old yet"
NO_OFFENDERS_THEN = "offenders are found by looking at the present; a report of the past leaves them out"

NO_DIRECTORY_THEN = "what the directory has is counted for the present; a report of the past leaves it out"

NOTHING_FOUND = "nothing was found that somebody should end; `jitid sweep` tells all that it finds"
NOTHING_ALIVE = "nothing is alive"


def no_identities(report: Report) -> str:
    """Return why no person has an identity: there are no live identities, or systems have all of them."""
    live = report.survey.totals.live_identities
    if not live:
        return NOTHING_ALIVE
    owners = "1 belongs to a system" if live == 1 else f"{live:,} belong to systems"
    return f"no person has a live identity; {owners}"


def accepted(leaks: Leaks) -> str:
    """Return in words how many leaked secrets the ledger refuses while a verifier may accept them."""
    text = f"{leaks.accepted:,} that the ledger refuses may be accepted by verifiers"
    if not leaks.unsettled:
        return text
    verb = "has" if leaks.unsettled == 1 else "have"
    return f"{text}; {leaks.unsettled:,} of them {verb} a target that has not confirmed the end"


def use_unknown(report: Report) -> str | None:
    """Return in words how many seemingly unused identities may be used after all; None if there are none."""
    unknown = report.survey.use.unknown
    if not unknown:
        return None
    return f"not known of {unknown:,}: since their issue no use was reported for their audiences"


def over_scoped(report: Report) -> str | None:
    """Return in words how many live credentials hold unused scopes; None for the past, or without live credentials."""
    if report.excess is None or report.over_scoped is None:
        return None
    count = report.excess.over_scoped
    verb = "holds" if count == 1 else "hold"
    text = (
        f"{percent(report.over_scoped)} of the live credentials ({count:,}) {verb} scopes that nothing uses"
    )
    if report.excess.unknown is None:
        return text
    # A credential of unknown use must not count as free of excess.
    return f"{text if count else 'none found'}; not known: {report.excess.unknown}"


def document(report: Report) -> dict[str, Any]:
    """Return the members of the document, without its schema."""
    survey = report.survey
    people, use, retirement = survey.people, survey.use, survey.retirement
    return {
        "at": format_time(report.at),
        "past": report.past,
        **(
            {}
            if report.pruned_before is None
            else {"pruned_before": format_time(report.pruned_before), "pruned_note": ROWS_LEFT}
        ),
        **(
            {}
            if report.leaks_before is None
            else {"leaks_pruned_before": format_time(report.leaks_before), "leaks_pruned_note": LEAKS_LEFT}
        ),
        "ledger": report.ledger,
        "totals": survey.totals._asdict(),
        "live_by": {name: _breakdown(breakdown) for name, breakdown in survey.live_by.items()},
        "identities_per_person": {
            "people": people.people,
            "identities": people.identities,
            "mean": rounded(report.per_person),
            "highest": people.highest,
            "highest_delegator": people.highest_delegator,
            "published": _published(AGENTS_PER_PERSON),
        },
        "lifetimes": {
            **_spread(survey.lifetimes),
            "bands": [{"up_to_seconds": band.up_to, "live": band.live} for band in survey.bands],
        },
        "standing": {
            "live": report.standing,
            "share": rounded(report.standing_share),
            "by_sensitivity": [
                {**counts._asdict(), "limit_seconds": report.limits[counts.sensitivity]}
                for counts in survey.sensitive
            ],
        },
        "task_end_to_death": {
            **_spread(retirement.delays),
            "at_once": retirement.at_once,
            "still_live": retirement.still_live,
        },
        "use": {
            **use._asdict(),
            "never_share": rounded(report.never_used),
            "unknown_share": rounded(report.use_unknown),
            "over_scoped": None if report.excess is None else report.excess.over_scoped,
            "over_scoped_share": rounded(report.over_scoped),
            "over_scoped_unknown": None if report.excess is None else report.excess.unknown,
            "counted": COUNTED_AS_USE,
        },
        "directory": None
        if report.directory is None or report.excess is None
        else {**report.directory._asdict(), "over_privileged": report.excess.over_privileged},
        "leaks": _leaks(report),
        "trend": [_day(day) for day in survey.trend],
        "offenders": None
        if report.offenders is None
        else [_offender(finding) for finding in report.offenders],
        **(
            {
                "offenders_note": NO_OFFENDERS_THEN,
                "directory_note": f"{NO_DIRECTORY_THEN}; {RECORDED_NOW}",
            }
            if report.offenders is None
            else {"not_examined": report.missed}
        ),
    }


def rounded(value: float | None) -> float | None:
    """Return a share or a mean with six decimal places: more would be noise."""
    return None if value is None else round(value, 6)


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


def _published(figure: PublishedFigure) -> dict[str, Any]:
    return {"value": figure.value, "source": figure.source}


def _day(day: Day) -> dict[str, Any]:
    counts = day._asdict()
    return {"day": format_time(counts.pop("start"))[:10], **counts}


def _leaks(report: Report) -> dict[str, Any]:
    leaks = report.survey.leaks
    valid_percent = report.valid_after_five_days
    return {
        "secrets": leaks.secrets,
        "still_valid": leaks.valid,
        "still_valid_closed": leaks.valid_closed,
        "identity_lives_on": leaks.living_on,
        "identity_lives_on_closed": leaks.living_on_closed,
        "honoured_offline": leaks.offline,
        "accepted_by_verifiers": leaks.accepted,
        "target_unconfirmed": leaks.unsettled,
        "proved_dead": leaks.proved,
        "dead_before_report": leaks.dead_before,
        "exposure": _spread(leaks.exposure),
        "exposure_verifiers": _spread(leaks.exposure_verifiers),
        "oldest_valid_seconds": leaks.oldest_valid,
        "after_five_days": {
            "secrets": leaks.aged,
            "valid": leaks.aged_valid,
            "percent": rounded(valid_percent),
            **({"note": NO_OLD_LEAK} if valid_percent is None else {}),
            "secrets_verifiers": leaks.aged_known,
            "accepted": leaks.aged_accepted,
            "percent_verifiers": rounded(report.accepted_after_five_days),
            "published": {"percent": VALID_AFTER_FIVE_DAYS.value, "source": VALID_AFTER_FIVE_DAYS.source},
        },
        "younger": {"dead": leaks.young_dead, "valid": leaks.young_valid},
        "leeway_seconds": LEEWAY,
        "judged": JUDGED_TWICE,
    }


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
