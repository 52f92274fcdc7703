"""The report as one page of HTML, complete in itself."""

from __future__ import annotations

from collections.abc import Iterator

from jitid.capabilities.report.report_document import (
    NO_OFFENDERS_THEN,
    NO_OLD_LEAK,
    NOTHING_ALIVE,
    NOTHING_FOUND,
    accepted,
    nobody,
)
from jitid.capabilities.report.report_living import composition, directory
from jitid.capabilities.report.report_style import STYLE
from jitid.capabilities.report.sprawl_report import (
    AGENTS_PER_PERSON,
    COUNTED_AS_USE,
    JUDGED_TWICE,
    LEAKS_LEFT,
    RECORDED_NOW,
    ROWS_LEFT,
    VALID_AFTER_FIVE_DAYS,
    Report,
)
from jitid.formats.figures import count, counted, duration, mean, percent
from jitid.formats.page import card, folded, page, prose, sentence, table
from jitid.formats.page import text as shown
from jitid.formats.plot import Bar, Column, bars, columns, read_out
from jitid.model.survey import Day, Leaks, Spread
from jitid.values.times import format_time

_TREND = {
    "live": ("Alive at the end of the day", "bar"),
    "issued": ("Issued", "bar"),
    "ended": ("Ended", "other"),
    "leaks": ("Leaked secrets reported", "warn"),
}


def text(report: Report) -> Iterator[str]:
    """Yield the page."""
    body = "\n".join(
        (
            _header(report),
            "<main>",
            "<h2>At a glance</h2>",
            f'<div class="two lead">{_leaked(report)}{_people(report)}</div>',
            _tiles(report),
            "<h2>To end first</h2>",
            _offenders(report),
            f"<h2>The last {counted(len(report.survey.trend), 'day')}</h2>",
            _trend(report),
            "<h2>What is alive</h2>",
            f'<div class="grid">{"".join(composition(report))}</div>',
            "<h2>Who answers for it</h2>",
            directory(report),
            "<h2>How long it lives</h2>",
            f'<div class="two">{_lifetimes(report)}{_standing(report)}',
            f"{_after_the_task(report)}{_exposure(report)}</div>",
            "</main>",
            _footer(report),
        )
    )
    yield page(f"Identity report, {format_time(report.at)}", STYLE, body)


def _header(report: Report) -> str:
    then = ' <span class="then small">a time that has passed</span>' if report.past else ""
    return (
        f'<header><h1>Identity report</h1><p class="soft">{shown(_clock(report.at))}{then}</p>'
        f'<p class="soft mono">ledger {shown(report.ledger)}</p></header>'
    )


def _clock(seconds: int) -> str:
    stamp = format_time(seconds)
    return f"{stamp[:10]}, {stamp[11:19]} UTC"


def _leaked(report: Report) -> str:
    leaks, own, published = report.survey.leaks, report.valid_after_five_days, VALID_AFTER_FIVE_DAYS
    parts = [
        Bar(name, each, percent(each / 100), "warn" if each else "bar")
        for name, each in (
            ("This ledger", own),
            ("Its verifiers", report.accepted_after_five_days),
        )
        if each is not None
    ]
    parts.append(
        Bar(f"Published, {published.source}", published.value, percent(published.value / 100), "other")
    )
    if own is None:
        big = f'<p class="big none">{shown(NO_OLD_LEAK)}</p>'
    else:
        grade = "bad" if leaks.aged_valid else "good"
        big = f'<p class="big {grade}">{shown(percent(own / 100).removesuffix(" %"))}<span class="unit"> %</span></p>'
    told = "No secret was reported leaked."
    if leaks.secrets:
        one = leaks.dead_before == 1
        before = (
            "1 was dead before it was" if one else f"{count(leaks.dead_before)} were dead before they were"
        )
        told = (
            f"{count(leaks.aged_valid)} of {counted(leaks.aged, 'secret')} that worked when reported at least five "
            f"days ago. Of those reported since then, dead already: {count(leaks.young_dead)}, still valid: "
            f"{count(leaks.young_valid)}. {before} reported, and {'is' if one else 'are'} not counted."
        )
    title = "Leaked secrets still valid five days after the report"
    return card(
        title,
        big,
        bars("leaked", title, read_out(parts), parts, 100),
        _both_exposures(leaks),
        f'<p class="small soft">{shown(told)}</p>',
    )


def _both_exposures(leaks: Leaks) -> str:
    """Return how long leaked secrets were exposed, by the ledger and by verifiers."""
    pairs = (
        ("the ledger refuses it", leaks.exposure),
        ("no verifier accepts it", leaks.exposure_verifiers),
    )
    return "".join(
        f'<p class="small">From the report until {until}:</p>{_facts(spread)}'
        for until, spread in pairs
        if spread.number
    )


def _people(report: Report) -> str:
    people, published = report.survey.people, AGENTS_PER_PERSON
    own = report.per_person
    title = "Live agent identities to a person"
    parts = [Bar(f"Published, {published.source}", published.value, f"{published.value:g}", "other")]
    if own is not None:
        parts.insert(0, Bar("This ledger, mean", own, mean(own), "warn" if own > published.value else "bar"))
    whole = max(part.value for part in parts)
    if own is None:
        told = f"{sentence(nobody(report))}."
        big = f'<p class="big none">{"no person has one" if report.survey.totals.live else NOTHING_ALIVE}</p>'
    else:
        told = (
            f"{counted(people.identities, 'identity', 'identities')} of {counted(people.people, 'person', 'people')}. "
            f"{people.highest_delegator} has most: {count(people.highest)}."
        )
        big = f'<p class="big">{shown(mean(own))}<span class="unit"> to 1</span></p>'
    return card(
        title,
        big,
        bars("people", title, read_out(parts), parts, whole),
        f'<p class="small soft">{shown(told)}</p>',
    )


def _tiles(report: Report) -> str:
    totals = report.survey.totals
    overdue = f"{count(totals.tasks_overdue)} overdue, {count(totals.tasks_ended)} ended"
    tiles = (
        ("Live credentials", count(totals.live), f"of {count(totals.issued)} ever issued"),
        ("Live identities", count(totals.live_identities), f"of {count(totals.identities)} ever made"),
        (
            "Agents",
            count(totals.agents),
            f"of whom something is alive; {count(totals.agents_registered)} registered",
        ),
        ("Root delegators", count(totals.delegators), "of whom something is alive"),
        ("Open tasks", count(totals.tasks_open), overdue),
        ("Standing", percent(report.standing_share), f"{count(report.standing)} live longer than allowed"),
        (
            "No use on record",
            percent(report.never_used),
            counted(report.survey.use.never, "live identity", "live identities")
            + (f"; not known: {count(unknown)}" if (unknown := report.survey.use.unknown) else ""),
        ),
        (
            "Leaked and valid",
            count(report.survey.leaks.valid),
            f"of {count(report.survey.leaks.secrets)} reported"
            + (f"; {count(closed)} valid and closed" if (closed := report.survey.leaks.valid_closed) else ""),
        ),
    )
    inner = [
        f"<div><dt>{shown(name)}</dt><dd>{shown(value)}</dd><dd>{shown(more)}</dd></div>"
        for name, value, more in tiles
    ]
    return f'<dl class="tiles">{"".join(inner)}</dl>'


def _offenders(report: Report) -> str:
    if report.offenders is None:
        return f'<p class="card soft">{prose(sentence(NO_OFFENDERS_THEN))}.</p>'
    missed = "".join([f'<p class="small bad missed">Not examined: {shown(why)}</p>' for why in report.missed])
    if not report.offenders:
        return f'<p class="card soft">{prose(sentence(NOTHING_FOUND))}.</p>{missed}'
    lines = []
    for each in report.offenders:
        remedy = "" if each.remedy is None else f"<code>{shown(each.remedy)}</code>"
        lines.append(
            f'<li><span class="level {each.severity.value}">{each.severity.value}</span>'
            f'<strong>{shown(each.subject)}</strong> <span class="soft">{shown(each.rule)}</span>'
            f"<p>{shown(each.summary)}</p>{remedy}</li>"
        )
    return f'<ol class="findings">{"".join(lines)}</ol>{missed}'


def _trend(report: Report) -> str:
    days = report.survey.trend
    cards = []
    for name, (title, mark) in _TREND.items():
        values = [getattr(day, name) for day in days]
        parts = [Column(_date(day), value, count(value)) for day, value in zip(days, values, strict=True)]
        whole = "" if name == "live" else f" {count(sum(values))} in all."
        told = f"{count(values[-1])} on the last day, {count(max(values))} on the highest.{whole}"
        cards.append(
            card(title, f'<p class="small soft">{shown(told)}</p>', columns(name, title, told, parts, mark))
        )
    data = table(
        "By day of UTC; the last day goes up to the time of the report.",
        ("Day", "Alive at its end", "Issued", "Ended", "Leaks reported"),
        [(_date(day), *(count(getattr(day, name)) for name in _TREND)) for day in days],
    )
    return f'<div class="two">{"".join(cards)}</div>{folded("The days as a table", data)}'


def _date(day: Day) -> str:
    return format_time(day.start)[:10]


def _lifetimes(report: Report) -> str:
    survey = report.survey
    title = "Granted lifetime of the live"
    parts = []
    for band, below in zip(survey.bands, (None, *(band.up_to for band in survey.bands)), strict=False):
        name = f"up to {duration(band.up_to)}" if band.up_to is not None else f"over {duration(below)}"
        parts.append(Bar(name, band.live, count(band.live)))
    plot = bars("lifetimes", title, read_out(parts), parts, max(survey.totals.live, 1))
    return card(title, plot, _facts(survey.lifetimes))


def _standing(report: Report) -> str:
    title = "Standing: over the limit of its sensitivity"
    parts, rows = [], []
    for each in report.survey.sensitive:
        limit = duration(report.limits[each.sensitivity])
        told = f"{count(each.standing)} of {count(each.live)}"
        share = each.standing / each.live if each.live else 0
        parts.append(Bar(f"{each.sensitivity}, over {limit}", share, told, "warn"))
        rows.append((each.sensitivity, limit, count(each.live), count(each.standing)))
    plot = bars("standing", title, read_out(parts), parts, 1)
    data = table("Live credentials by sensitivity.", ("Sensitivity", "Limit", "Live", "Standing"), rows)
    return card(title, plot, folded("As a table", data))


def _after_the_task(report: Report) -> str:
    retirement = report.survey.retirement
    ended = retirement.delays.number
    title = "From the end of a task to its last death"
    late = ended - retirement.at_once - retirement.still_live
    parts = [
        Bar("Nothing alive at the end", retirement.at_once, count(retirement.at_once)),
        Bar("Dead later", late, count(late), "other"),
        Bar("Something still alive", retirement.still_live, count(retirement.still_live), "warn"),
    ]
    told = f"{counted(ended, 'task')} retired or past the deadline."
    plot = bars("after", title, read_out(parts), parts, max(ended, 1))
    return card(title, f'<p class="small soft">{told}</p>', plot, _facts(retirement.delays))


def _exposure(report: Report) -> str:
    leaks = report.survey.leaks
    title = "Leaked secrets, from the report to the death in the ledger"
    after = leaks.exposure.number
    parts = [
        Bar("Dead before the report", leaks.dead_before, count(leaks.dead_before)),
        Bar("Dead after it", after, count(after), "other"),
        Bar("Still valid", leaks.valid, count(leaks.valid), "warn"),
    ]
    told = f"{counted(leaks.secrets, 'secret')} reported; {count(leaks.proved)} proved refused by the ledger."
    if leaks.living_on:
        closed = f", {count(leaks.living_on_closed)} of them closed" if leaks.living_on_closed else ""
        told += f" Dead, and its identity lives on: {count(leaks.living_on)}{closed}."
    if leaks.oldest_valid is not None:
        told += f" The oldest that is valid has been known for {duration(leaks.oldest_valid)}."
    plot = bars("exposure", title, read_out(parts), parts, max(leaks.secrets, 1))
    return card(title, f'<p class="small soft">{told}</p>', plot, _facts(leaks.exposure))


def _facts(spread: Spread) -> str:
    pairs = (("Median", spread.p50), ("95th percentile", spread.p95), ("Longest", spread.longest))
    inner = "".join([f"<dt>{name}</dt><dd>{shown(duration(value))}</dd>" for name, value in pairs])
    return f'<dl class="facts small">{inner}</dl>'


def _footer(report: Report) -> str:
    published = (
        f"Published figures: {VALID_AFTER_FIVE_DAYS.value} % of leaked secrets valid after five days, and "
        f"{AGENTS_PER_PERSON.value:g} agents to a person ({AGENTS_PER_PERSON.source})."
    )
    used = f"Counted as use of an identity: {COUNTED_AS_USE}."
    ranks = "Percentiles are by nearest rank, days those of UTC. A leaked secret counts once, from its first report."
    judged = f"{sentence(JUDGED_TWICE)}; {accepted(report.survey.leaks)}."
    told = [published, used, ranks, judged]
    if report.pruned_before is not None:
        told.append(f"Pruned of what had ended before {format_time(report.pruned_before)}: {ROWS_LEFT}.")
    if report.leaks_before is not None:
        told.append(f"Pruned before {format_time(report.leaks_before)}: {LEAKS_LEFT}.")
    if report.past:
        told.append(f"{sentence(RECORDED_NOW)}.")
    return "<footer>" + "".join([f'<p class="small soft">{prose(each)}</p>' for each in told]) + "</footer>"
