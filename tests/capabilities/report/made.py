"""Reports to write and to look at: one of a busy ledger, and one with hostile names."""

from __future__ import annotations

from pathlib import Path

from jitid.capabilities.report.sprawl_report import Report, make
from jitid.capabilities.sweep.finding import Coverage, Finding, Severity, Thresholds
from jitid.model.survey import Breakdown, Part
from jitid.values.ids import parse_id
from tests.builders import DAY, NOW, PERMIT_ALL, World, edit

HOSTILE = (
    "</title><script>alert(1)</script>",
    '"><img src="https://evil.example/x" onerror="alert(1)">',
    "</style><style>@import url(https://evil.example/x)</style>",
    "<svg onload=alert(1)><use href='https://evil.example/x#a'/></svg>",
    "]]><foreignObject><iframe src='https://evil.example/'></iframe></foreignObject>",
    "\x1b[31mred\x1b]8;;https://evil.example\x07",
    "a\u202etxt.exe\u200b",
    "[bold]x[/bold] &amp; &#60;",
    "=HYPERLINK(1)",
    "x" * 128,
)


def lively(path: Path) -> Report:
    """Return a report of a ledger in `path` with credentials, tasks and leaks of many kinds."""
    with World(path, policy=PERMIT_ALL, now=NOW - 9 * DAY) as world:
        made = []
        for hour in range(9 * 24):
            world.clock.now = NOW - 9 * DAY + hour * 3_600
            sensitivity = ("low", "moderate", "high", "critical")[hour % 4]
            one = world.issue(
                task=f"INC-{hour}",
                delegator=f"user:person-{hour % 5}@example.com",
                agent=f"agent-{hour % 13}",
                sensitivity=sensitivity,
                scopes=("repo:*",),
                kind="opaque" if hour % 3 else "jwt",
                ttl=(900, 7_200, 43_200)[hour % 3],
            )
            if hour % 2:
                world.issue(parent=one.token, agent="below", scopes=("repo:*",))
            if hour % 5 == 0:
                world.retire(f"INC-{hour}")
            if hour % 11 == 0:
                made.append((one.jti, world.clock.now))
        world.clock.now = NOW
        values = ", ".join(
            f"((SELECT id FROM credential WHERE jti = x'{parse_id(jti)[1].hex()}'), 's', {at}, {at + 60}, 1)"
            for jti, at in made
        )
        edit(path, f"INSERT INTO leak (credential, source, reported_at, added_at, event) VALUES {values}")
        with world.ledger.read() as snapshot:
            return make(snapshot, world.ledger.names, limits=Thresholds(), found=FOUND)


FOUND: tuple[Finding | Coverage, ...] = (
    Finding("standing", Severity.MEDIUM, "INC-1", "lives long", NOW - 60, 1, {}, "jitid revoke --task INC-1"),
    Finding("leaked-live", Severity.CRITICAL, "jid_x", "leaked", NOW - 60, 1, {}, "jitid revoke jid_x"),
    Finding(
        "sprawl", Severity.HIGH, "user:a", "too many", NOW - 60, 101, {}, "jitid revoke --delegator user:a"
    ),
    Finding("sprawl", Severity.HIGH, "user:b", "too many", NOW - 60, 500, {}, None),
    Finding("offline-valid", Severity.INFO, "INC-9", "still honoured", NOW - 60, 9_000, {}, None),
    Finding(
        "over-scoped",
        Severity.LOW,
        "agent-1: repo:*",
        "uses less",
        NOW - 60,
        1,
        {},
        "jitid agent suggest agent-1",
    ),
    Finding(
        "over-scoped",
        Severity.LOW,
        "agent-2: repo:*",
        "uses less",
        NOW - 60,
        1,
        {},
        "jitid agent suggest agent-2",
    ),
    Coverage("over-scoped", "scopes", (), "whether 9 of 99 live credentials are used"),
    Finding("over-privileged", Severity.MEDIUM, "bot", "allows more", None, 0, {}, "jitid agent suspend bot"),
    Coverage("over-privileged", "scopes", ()),
    Coverage("orphaned-process", "processes", ("another host has some",)),
)


def hostile(report: Report) -> Report:
    """Return the report with names that no ledger accepts, but that a damaged ledger may contain."""
    parts = tuple(Part(name, 10 - number) for number, name in enumerate(HOSTILE))
    found = Breakdown(parts, len(parts), sum(part.live for part in parts))
    offenders = tuple(
        Finding("sprawl", Severity.HIGH, name, name, None, 1, {}, f"jitid revoke --task '{name}'")
        for name in HOSTILE
    )
    survey = report.survey._replace(
        live_by=dict.fromkeys(report.survey.live_by, found),
        people=report.survey.people._replace(highest_delegator=HOSTILE[1]),
    )
    return report._replace(survey=survey, offenders=offenders, missed=HOSTILE, ledger=HOSTILE[0])


def ownerless(report: Report) -> Report:
    """Return the report as if systems held all live identities."""
    people = report.survey.people._replace(people=0, identities=0, highest=None, highest_delegator=None)
    return report._replace(survey=report.survey._replace(people=people))


def lifeless(report: Report) -> Report:
    """Return the report as if there were no live credential and no leak, and this were the first day."""
    survey = ownerless(report).survey
    nothing = {name: found._replace(top=(), names=0, live=0) for name, found in survey.live_by.items()}
    return report._replace(
        survey=survey._replace(
            totals=type(survey.totals)(*[0] * len(survey.totals)),
            live_by=nothing,
            sensitive=tuple(each._replace(live=0, standing=0) for each in survey.sensitive),
            use=type(survey.use)(*[0] * len(survey.use)),
            leaks=survey.leaks._replace(secrets=0, valid=0, aged=0, aged_valid=0),
            trend=survey.trend[-1:],
        ),
        offenders=(),
        missed=(),
    )


def small(report: Report) -> Report:
    """Return the report with two days, and with two names of each property; the others are counted as left over."""
    live_by = {name: found._replace(top=found.top[:2]) for name, found in report.survey.live_by.items()}
    survey = report.survey._replace(live_by=live_by, trend=report.survey.trend[-2:])
    return report._replace(survey=survey)
