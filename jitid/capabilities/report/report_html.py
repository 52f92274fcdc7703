"""The report as one page of HTML, complete in itself: the cards that `report.html` shows."""

from __future__ import annotations

from collections.abc import Iterator

from jitid.capabilities.report import report_document, sprawl_report
from jitid.capabilities.report.report_document import over_scoped
from jitid.capabilities.report.report_figures import Figures
from jitid.capabilities.report.sprawl_report import AGENTS_PER_PERSON, VALID_AFTER_FIVE_DAYS, Report
from jitid.formats.cell import count, counted, duration, mean, percent
from jitid.formats.page import (
    Bar,
    Bars,
    Card,
    CardTable,
    ChartColumns,
    LargeFigure,
    PageOrigin,
    page,
    sentence,
)
from jitid.model.survey import Breakdown, Day, Spread
from jitid.values.record import Record
from jitid.values.times import format_time

_TREND = {
    "live": ("Live at the end of the day", "bar"),
    "issued": ("Issued", "bar"),
    "ended": ("Ended", "other"),
    "leaks": ("Leaked secrets reported", "warn"),
}
# The order matters: properties with few values fill one row of cards, properties with many values another row.
_HEADINGS = {
    "kind": "By kind",
    "sensitivity": "By sensitivity",
    "delegator_proof": "By proof of the delegator",
    "delegator_state": "By state of the delegator",
    "agent_record": "By record of the agent",
    "task": "By task",
    "agent": "By agent",
    "delegator": "By root delegator",
}
_USE_BEFORE = "task"
"""The card about use precedes this card: like the cards before it, it has few values."""
_NOTHING = "No live credentials."
_NONE = "\N{EN DASH}"
"""The figure where there is nothing to measure."""


def text(report: Report, origin: PageOrigin | None = None) -> Iterator[str]:
    """Yield the page; `origin` is the place where it is made, if the page should have it."""
    days = len(report.survey.trend)
    return page(
        "capabilities/report/report",
        report=report,
        origin=origin,
        sections={
            "glance": "At a glance",
            "findings": "Most severe findings",
            "trend": "The last day" if days == 1 else f"The last {days} days",
            "live": "Live credentials",
            "directory": "Owners and directory",
            "lifetimes": "Lifetimes",
        },
        figures=Figures(report),
        words=report_document,
        sprawl=sprawl_report,
        leaked=_leaked(report),
        exposures=_exposures(report),
        agents=_agents_per_person(report),
        trend=_trend(report),
        composition=_composition(report),
        directory=_directory(report),
        lifetimes=(_granted(report), _standing(report), _after_the_task(report), _exposure(report)),
    )


def _leaked(report: Report) -> Bars:
    measured = (
        ("This ledger", report.valid_after_five_days),
        ("Its verifiers", report.accepted_after_five_days),
    )
    published = VALID_AFTER_FIVE_DAYS
    parts = [
        Bar(name, value, percent(value / 100), "warn" if value else "bar")
        for name, value in measured
        if value is not None
    ]
    parts.append(
        Bar(f"Published, {published.source}", published.value, percent(published.value / 100), "other")
    )
    return Bars("leaked", "Leaked secrets still valid five days after the report", parts, 100)


def _exposures(report: Report) -> CardTable:
    """Return the exposures of leaked secrets: without rows if no secret has ended."""
    leaks = report.survey.leaks
    measured = {
        "until the ledger refuses it": leaks.exposure,
        "until no verifier accepts it": leaks.exposure_verifiers,
    }
    columns = {name: spread for name, spread in measured.items() if spread.number}
    rows = [
        (name, *(duration(getattr(spread, value)) for spread in columns.values()))
        for name, value in (("Median", "p50"), ("95th percentile", "p95"), ("Longest", "longest"))
    ]
    return CardTable("Exposure of leaked secrets", ("From the report", *columns), rows if columns else ())


def _agents_per_person(report: Report) -> Bars:
    """Return the bars of live agent identities per person: in this ledger, and as published for the industry."""
    per_person, published = report.per_person, AGENTS_PER_PERSON
    parts = [Bar(f"Published, {published.source}", published.value, f"{published.value:g}", "other")]
    if per_person is not None:
        mark = "warn" if per_person > published.value else "bar"
        parts.insert(0, Bar("This ledger, mean", per_person, mean(per_person), mark))
    return Bars("people", "Live agent identities per person", parts, max(part.value for part in parts))


class Trend(Record):
    """The last days: as columns, or in words if there are too few days for columns."""

    note: str = ""
    """A sentence about the days, if they have no columns."""
    tiles: tuple[tuple[str, LargeFigure], ...] = ()
    """The figures of the only day."""
    cards: tuple[Card, ...] = ()
    days: CardTable | None = None


def _trend(report: Report) -> Trend:
    days = report.survey.trend
    with_data = _days_with_data(report)
    if not with_data:
        return Trend(f"No data in {'this day' if len(days) == 1 else f'these {len(days)} days'}.")
    if len(with_data) == 1:
        (day,) = with_data
        date = format_time(day.start)[:10]
        note = f"One day of data so far: {date}. Charts begin with the second day."
        if len(days) == 1:
            note = f"One day of data: {date}. For charts, choose more days with --days."
        return Trend(note, tuple(_on_the_only_day(day)))
    return Trend(cards=tuple(_columns(report)), days=_days(report))


def _days_with_data(report: Report) -> tuple[Day, ...]:
    """Return the days of the trend from the first that has data; all of them if the ledger is older."""
    days = report.survey.trend
    issued_before = report.survey.totals.issued > sum(day.issued for day in days)
    if issued_before or report.pruned_before is not None:
        return tuple(days)
    empty = 0
    while empty < len(days) and not any(getattr(days[empty], name) for name in _TREND):
        empty += 1
    return tuple(days[empty:])


def _on_the_only_day(day: Day) -> Iterator[tuple[str, LargeFigure]]:
    for name, (title, mark) in _TREND.items():
        value = getattr(day, name)
        caption = "at the time of the report" if name == "live" else "on this day"
        yield (
            title.removesuffix(" at the end of the day"),
            LargeFigure(count(value), caption, _warning(mark, value)),
        )


def _columns(report: Report) -> Iterator[Card]:
    days = report.survey.trend
    dates = _dates(report)
    for name, (title, mark) in _TREND.items():
        values = [getattr(day, name) for day in days]
        total, last, highest = sum(values), values[-1], max(values)
        in_days = f"in {counted(len(days), 'day')}"
        if not total:
            yield Card(title, figure=LargeFigure("0", in_days))
            continue
        if name == "live":
            figure = LargeFigure(count(last), f"at the end of the last day; highest: {count(highest)}")
        else:
            caption = f"{in_days}; {count(last)} on the last day, {count(highest)} on the highest"
            figure = LargeFigure(count(total), caption, _warning(mark, total))
        description = f"{figure.shown} {figure.caption}."
        columns = ChartColumns(name, title, description, list(zip(dates, values, strict=True)), mark)
        yield Card(title, figure=figure, columns=columns)


def _warning(mark: str, value: int) -> str:
    """Return the class of a figure whose columns have the class `mark`."""
    return "bad" if mark == "warn" and value else ""


def _days(report: Report) -> CardTable:
    figures = [[count(getattr(day, name)) for name in _TREND] for day in report.survey.trend]
    return CardTable(
        "By UTC day; the last day ends at the time of the report.",
        ("Day", "Live at its end", "Issued", "Ended", "Leaks reported"),
        [(date, *cells) for date, cells in zip(_dates(report), figures, strict=True)],
    )


def _dates(report: Report) -> list[str]:
    return [format_time(day.start)[:10] for day in report.survey.trend]


def _composition(report: Report) -> Iterator[Card]:
    """Yield a card for each property of the live credentials, and one for the use of the live identities."""
    for name, title in _HEADINGS.items():
        if name == _USE_BEFORE:
            yield _use(report)
        breakdown = report.survey.live_by[name]
        yield _breakdown(name, title, breakdown) if breakdown.live else Card(title, _NOTHING)


def _breakdown(name: str, title: str, breakdown: Breakdown) -> Card:
    bars = [Bar(part.name, part.live, _share(part.live, breakdown.live)) for part in breakdown.top]
    others = breakdown.others
    if others.live:
        bars.append(Bar(others.name, others.live, _share(others.live, breakdown.live), "other"))
    head = name.replace("_", " ").capitalize()
    return Card(
        title,
        bars=Bars(f"by-{name}", f"Live credentials {title.lower()}", bars, breakdown.live),
        table=_shares("Live credentials, and their share.", head, bars, breakdown.live),
    )


def _share(part: int, whole: int) -> str:
    return f"{count(part)} · {percent(part / whole)}"


def _shares(caption: str, head: str, bars: list[Bar], whole: int) -> CardTable:
    rows = [(bar.name, count(int(bar.value)), percent(bar.value / whole)) for bar in bars]
    return CardTable(caption, (head, "Live", "Share"), rows)


def _use(report: Report) -> Card:
    use = report.survey.use
    title = "By use of the identity"
    if not use.identities:
        return Card(title, _NOTHING)
    uses = (
        ("on record", use.identities - use.never, "bar"),
        ("none", use.never - use.unknown, "warn"),
        ("unknown", use.unknown, "other"),
    )
    bars = [Bar(name, number, _share(number, use.identities), mark) for name, number, mark in uses]
    allowed = Figures(report).counted("identities_authorized", "identity", "identities")
    note = f"{allowed} with a permission by `authorize`."
    scope_note = over_scoped(report)
    if scope_note is not None:
        note += f" {sentence(scope_note)}"
    visible = [bar for bar in bars if bar.value]
    return Card(
        title,
        note,
        bars=Bars("use", f"Live identities {title.lower()}", visible, use.identities),
        table=_shares("Live identities, and their share.", "Use", bars, use.identities),
    )


def _directory(report: Report) -> Iterator[Card]:
    """Yield the cards about the directory."""
    counts = report.directory
    if counts is None:
        return
    figures = Figures(report)
    people = [
        _bar(figures, "May delegate", "directory_delegators.known"),
        _bar(figures, "Disabled", "directory_delegators.disabled", "other"),
    ]
    yield _counted(
        "Delegators in the directory", "delegator", "", Bars("delegators", "", people, counts.delegators)
    )
    agents = [
        _bar(figures, "May be issued credentials", "directory_agents.registered"),
        _bar(figures, "Overdue for review", "directory_agents.overdue", "warn"),
        _bar(figures, "Suspended", "directory_agents.suspended", "other"),
    ]
    owners = figures.counted("directory_owners", "owner")
    ownerless = figures.counted("directory_agents_ownerless", "agent")
    note = f"{owners}; {ownerless} without an owner who may delegate."
    if report.excess is not None:
        more = figures.shown("directory_agents_over_privileged")
        note += f" Allowed more than the owner may delegate: {more}."
    yield _counted("Registered agents", "agent", note, Bars("agents", "", agents, counts.agents))


def _bar(figures: Figures, name: str, key: str, mark: str = "bar") -> Bar:
    return Bar(name, figures[key], figures.shown(key), mark)


def _counted(title: str, noun: str, note: str, bars: Bars) -> Card:
    number = int(bars.whole)
    figure = LargeFigure(count(number), noun if number == 1 else f"{noun}s")
    return Card(title, note, figure, bars._replace(title=title)) if number else Card(title, figure=figure)


def _median(spread: Spread, none: str, of: str = "") -> LargeFigure:
    """Return the median of a distribution, with its other values as the caption; or the reason why there is none."""
    if not spread.number:
        return LargeFigure(_NONE, none, "absent")
    others = f"95th percentile {duration(spread.p95)}, longest {duration(spread.longest)}"
    return LargeFigure(duration(spread.p50), f"median{of}; {others}")


def _granted(report: Report) -> Card:
    bands = report.survey.bands
    title = "Granted lifetime of live credentials"
    parts = []
    for band, lower in zip(bands, (None, *(band.up_to for band in bands)), strict=False):
        name = f"up to {duration(band.up_to)}" if band.up_to is not None else f"over {duration(lower)}"
        parts.append(Bar(name, band.live, count(band.live)))
    bars = Bars("granted", title, parts, max(report.survey.totals.live, 1))
    lifetimes = report.survey.lifetimes
    none, of = "no live credentials", ""
    if lifetimes.number < report.survey.totals.live:
        # An adopted secret has no granted lifetime.
        none, of = "adopted secrets only", " without adopted secrets"
    return Card(title, figure=_median(lifetimes, none, of), bars=bars)


def _standing(report: Report) -> Card:
    title = "Standing: above the limit of the sensitivity"
    parts, rows = [], []
    for counts in report.survey.sensitive:
        limit = duration(report.limits[counts.sensitivity])
        live, standing = count(counts.live), count(counts.standing)
        share = counts.standing / counts.live if counts.live else 0
        parts.append(Bar(f"{counts.sensitivity}, over {limit}", share, f"{standing} of {live}", "warn"))
        rows.append((counts.sensitivity, limit, live, standing))
    table = CardTable("Live credentials by sensitivity.", ("Sensitivity", "Limit", "Live", "Standing"), rows)
    live_credentials = counted(report.survey.totals.live, "live credential")
    figure = LargeFigure(count(report.standing), f"of {live_credentials}", "bad" if report.standing else "")
    return Card(title, figure=figure, bars=Bars("standing", title, parts, 1), table=table)


def _after_the_task(report: Report) -> Card:
    retirement = report.survey.retirement
    ended = retirement.delays.number
    title = "From the end of a task to the end of its last credential"
    late = ended - retirement.at_once - retirement.still_live
    parts = [
        Bar("No live credentials at the end", retirement.at_once, count(retirement.at_once)),
        Bar("Last one ended later", late, count(late), "other"),
        _bar(Figures(report), "Some still live", "tasks_ended_with_live", "warn"),
    ]
    note = f"{counted(ended, 'task')} retired or past the deadline."
    figure = _median(retirement.delays, "no task has ended")
    return Card(title, note if ended else "", figure, Bars("after", title, parts, max(ended, 1)))


def _exposure(report: Report) -> Card:
    leaks = report.survey.leaks
    title = "Leaked secrets, from the report to the end in the ledger"
    refused_after = leaks.exposure.number
    figures = Figures(report)
    shown = figures.shown
    parts = [
        _bar(figures, "Ended before the report", "leaked_secrets_dead_before_report"),
        Bar("Ended after it", refused_after, count(refused_after), "other"),
        _bar(figures, "Still valid", "leaked_secrets_valid", "warn"),
    ]
    proved = f"{shown('leaked_secrets_proved_dead')} proved refused by the ledger"
    note = f"{figures.counted('leaked_secrets', 'secret')} reported; {proved}."
    ended, closed = "leaked_secrets_living_on", "leaked_secrets_living_on_closed"
    if figures[ended]:
        closed_note = f", {shown(closed)} of them closed" if figures[closed] else ""
        note += f" Ended, but with a live identity: {shown(ended)}{closed_note}."
    oldest = "exposure_oldest_valid_seconds"
    if figures[oldest] is not None:
        note += f" The oldest valid one was reported {shown(oldest)} ago."
    figure = _median(leaks.exposure, "no leaked secret has ended after its report")
    return Card(title, note, figure, Bars("exposure", title, parts, max(leaks.secrets, 1)))
