"""The report for a terminal, drawn by Rich: figures, bars if there is room, and the most severe findings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from rich.bar import Bar
from rich.cells import cell_len
from rich.console import RenderableType
from rich.text import Text

from jitid.capabilities.report import report_document as document
from jitid.capabilities.report import sprawl_report as sprawl
from jitid.capabilities.report.report_figures import Figures
from jitid.capabilities.report.sprawl_report import Report
from jitid.capabilities.sweep.finding import Severity
from jitid.formats.cell import cell, count, counted, duration, percent
from jitid.formats.table import GAP, Column, drawn, record, ruled, terminal_width
from jitid.model.survey import Day, Spread
from jitid.values.times import format_time

_LINE = 100
"""The maximum number of columns: in a wider report, a figure is too far from its name."""
_BARS_FROM = 50
"""The minimum number of columns for bars; a narrower report has figures only."""
_LONGEST_NAME = 40
_LEGIBLE = 8
"""The minimum number of columns for a name: below it, bars are dropped first, and then figures go below the name."""
_BAR = 24

_STYLES = {
    Severity.CRITICAL: "bold red",
    Severity.HIGH: "red",
    Severity.MEDIUM: "yellow",
    Severity.LOW: "",
    Severity.INFO: "dim",
}

FigureTexts = Iterable[tuple[str, str]]


def text(report: Report, colour: bool, host: str | None = None) -> Iterator[str]:
    """Yield the report in sections, each under its heading; `host` is the machine that makes it."""
    page = _ReportPage(min(terminal_width(), _LINE), colour)
    yield page.title(f"Identity report of {format_time(report.at)}")
    yield page.figures([*([] if host is None else [("host", host)]), *_totals(report)])
    yield page.heading("Leaked secrets")
    yield from _leaks(report, page)
    yield page.heading("Agents per person")
    yield page.figures(_people(report))
    yield page.heading("Lifetimes")
    yield page.figures(_lifetimes(report))
    for name, breakdown in report.survey.live_by.items():
        yield page.heading(f"Live credentials by {name.replace('_', ' ')}")
        parts = [*breakdown.top, *([breakdown.others] if breakdown.others.live else [])]
        yield page.bars([(part.name, part.live) for part in parts], breakdown.live)
    yield page.heading("Directory")
    yield from _directory(report, page)
    yield page.heading(f"Last {counted(len(report.survey.trend), 'day')} (UTC)")
    yield from _left_out(report, page)
    yield page.trend(report)
    yield page.heading("Most severe findings")
    yield from _offenders(report, page)


def _totals(report: Report) -> FigureTexts:
    figures = Figures(report)
    counted, shown = figures.counted, figures.shown
    for name, key in (("issued", "issued"), ("live", "live")):
        identities = counted(f"identities_{key}", "identity", "identities")
        yield name, f"{counted(f'credentials_{key}', 'credential')} of {identities}"
    agents = f"{counted('agents_live', 'agent')} ({shown('agents_live_registered')} registered)"
    yield "held by", f"{agents} for {counted('delegators_live', 'delegator')}"
    overdue = f"{shown('tasks.overdue')} overdue, {shown('tasks.ended')} ended"
    yield "tasks", f"{shown('tasks.open')} open, {overdue}"
    if report.pruned_before is not None:
        yield (
            "pruned",
            f"credentials that ended before {format_time(report.pruned_before)}: {sprawl.ROWS_LEFT}",
        )
    if report.leaks_before is not None:
        yield "pruned", f"leaks before {format_time(report.leaks_before)}: {sprawl.LEAKS_LEFT}"
    if report.never_used is None:
        yield "no use on record", document.NOTHING_ALIVE
        return
    never = (
        f"{shown('identities_never_used_ratio')} of the live identities ({shown('identities_never_used')})"
    )
    unknown = document.use_unknown(report)
    yield "no use on record", never if unknown is None else f"{never}; {unknown}"
    yield "counted as use", sprawl.COUNTED_AS_USE
    scope_note = document.over_scoped(report)
    if scope_note is not None:
        yield "over-scoped", scope_note


def _directory(report: Report, page: _ReportPage) -> Iterator[str]:
    counts = report.directory
    if counts is None:
        yield page.paragraph(f"{document.NO_DIRECTORY_THEN}; {sprawl.RECORDED_NOW}")
        return
    figures = Figures(report)
    shown = figures.shown
    overdue = f"{shown('directory_agents.overdue')} overdue for review, {shown('directory_agents.suspended')} suspended"
    if report.excess is not None:
        more = shown("directory_agents_over_privileged")
        overdue += f"; {more} allowed more than their owners may delegate"
    disabled = f"{shown('directory_delegators.disabled')} of them disabled"
    ownerless = figures.counted("directory_agents_ownerless", "agent")
    yield page.figures(
        (
            ("delegators", f"{count(counts.delegators)}, {disabled}"),
            ("agents", f"{count(counts.agents)} registered; {overdue}"),
            ("owners", f"{shown('directory_owners')}; {ownerless} without an owner who may delegate"),
        )
    )


def _people(report: Report) -> FigureTexts:
    figures = Figures(report)
    if report.per_person is None:
        yield "mean", document.no_identities(report)
    else:
        persons = figures.counted("people", "person", "people")
        yield "mean", f"{figures.shown('identities_per_person_mean')} live identities ({persons})"
        highest = report.survey.people.highest_delegator
        yield "highest", f"{figures.shown('identities_per_person_highest')} {highest}"
    yield "published", f"{sprawl.AGENTS_PER_PERSON.value} ({sprawl.AGENTS_PER_PERSON.source})"


def _lifetimes(report: Report) -> FigureTexts:
    retirement = report.survey.retirement
    yield "granted", _spread(report.survey.lifetimes)
    figures = Figures(report)
    share = figures.shown("credentials_standing_ratio")
    standing = f"{share} above the limit of their sensitivity ({count(report.standing)})"
    yield "standing", document.NOTHING_ALIVE if report.standing_share is None else standing
    yield "after a task's end", _spread(retirement.delays)
    tasks = (
        f"{count(retirement.at_once)} of {counted(retirement.delays.number, 'task')} had no live credentials"
    )
    yield "at the end", f"{tasks}; {figures.shown('tasks_ended_with_live')} still have some"


def _leaks(report: Report, page: _ReportPage) -> Iterator[str]:
    leaks = report.survey.leaks
    by_ledger, by_verifiers = report.valid_after_five_days, report.accepted_after_five_days
    published = sprawl.VALID_AFTER_FIVE_DAYS
    yield page.figures((("valid after five days", document.NO_OLD_LEAK),) if by_ledger is None else ())
    measured = [
        (name, value)
        for name, value in (("here, by the ledger", by_ledger), ("here, by verifiers", by_verifiers))
        if value is not None
    ]
    yield page.bars(
        [*measured, (f"published ({published.source})", published.value)],
        100,
        format_value=lambda value: percent(value / 100),
    )
    # The first figures show both exposures: a verifier may accept a secret that the ledger refuses.
    yield page.figures(
        (
            ("exposure, ledger", _spread(leaks.exposure)),
            ("exposure, verifiers", _spread(leaks.exposure_verifiers)),
        )
    )
    yield page.figures(_leak_counts(report))
    yield page.paragraph(sprawl.JUDGED_TWICE)


def _leak_counts(report: Report) -> FigureTexts:
    figures = Figures(report)
    shown = figures.shown

    def closed(name: str) -> str:
        return f", {shown(name)} of them closed" if figures[name] else ""

    aged = f"{shown('leaked_secrets_aged')} of them valid then and reported at least five days ago"
    yield "reported", f"{figures.counted('leaked_secrets', 'secret')}, {aged}"
    oldest = "exposure_oldest_valid_seconds"
    since = "" if figures[oldest] is None else f", the oldest for {shown(oldest)}"
    yield "still valid", shown("leaked_secrets_valid") + closed("leaked_secrets_valid_closed") + since
    ended = f"{shown('leaked_secrets_living_on')} of the ended ones, by a successor or a delegated credential"
    yield "identity still live", ended + closed("leaked_secrets_living_on_closed")
    young = f"{shown('leaked_secrets_young.dead')} ended, {shown('leaked_secrets_young.valid')} valid"
    yield "under five days", young
    before = f"{shown('leaked_secrets_dead_before_report')} before the report"
    yield (
        "refused by the ledger",
        f"{before}, {shown('leaked_secrets_proved_dead')} proved with all descendants",
    )
    yield "accepted elsewhere", document.accepted(report)


def _spread(spread: Spread) -> str:
    if not spread.number:
        return "nothing to measure"
    return f"p50 {duration(spread.p50)}, p95 {duration(spread.p95)}, longest {duration(spread.longest)}"


def _offenders(report: Report, page: _ReportPage) -> Iterator[str]:
    if report.offenders is None:
        yield page.paragraph(document.NO_OFFENDERS_THEN)
    elif not report.offenders:
        yield page.paragraph(document.NOTHING_FOUND)
    for finding in report.offenders or ():
        head = Text(finding.severity.value, style=_STYLES[finding.severity])
        head.append(
            f" {finding.rule} {cell(finding.subject)}: {cell(finding.summary)}", style="not bold default"
        )
        yield page.paragraph(head)
        if finding.remedy is not None:
            # The command is on one line, so that it can be copied; the terminal may fold it.
            yield f"  {cell(finding.remedy)}\n"
    for missed in report.missed:
        yield page.paragraph(f"not examined: {cell(missed)}")


def busy(report: Report) -> tuple[Day, ...]:
    """Return the days of the trend from the first day with any figure; at least the last day."""
    days = report.survey.trend
    for position, day in enumerate(days):
        if any(day[1:]):
            return days[position:]
    return days[-1:]


def _left_out(report: Report, page: _ReportPage) -> Iterator[str]:
    omitted = len(report.survey.trend) - len(busy(report))
    if omitted:
        omitted_days = "the first day is" if omitted == 1 else f"the first {omitted} days are"
        yield page.paragraph(f"{omitted_days} omitted: no live credentials and no events")


class _ReportPage:
    """The page that all sections are drawn on: its width, and whether it has colour."""

    def __init__(self, width: int, colour: bool) -> None:
        self._width = width
        self._colour = colour
        self._gap = GAP if width >= _BARS_FROM else 1

    def title(self, words: str) -> str:
        return self._drawn(Text(words, style="bold"))

    def heading(self, words: str) -> str:
        return "\n" + self.title(words)

    def paragraph(self, words: str | Text) -> str:
        return self._drawn(words if isinstance(words, Text) else Text(words))

    def figures(self, pairs: FigureTexts) -> str:
        return record(pairs, self._width, self._colour, style="dim")

    def bars(
        self, parts: list[tuple[str, float]], whole: float, format_value: Callable[[float], str] | None = None
    ) -> str:
        if not parts:
            return self.paragraph(document.NOTHING_ALIVE)
        names = [cell(name) for name, _ in parts]
        figures = [
            (format_value(value),)
            if format_value
            else (count(int(value)), percent(value / whole if whole else None))
            for _, value in parts
        ]
        right = [Column(max(map(len, column)), right=True) for column in zip(*figures, strict=True)]
        left_width = self._width - sum(column.width + self._gap for column in right)
        wide = left_width - _BAR - self._gap >= _LEGIBLE
        longest = max(map(cell_len, names))
        room = min(longest, _LONGEST_NAME, self._width // 2, left_width - (_BAR + self._gap if wide else 0))
        if room < min(longest, _LEGIBLE):
            return self.figures(zip(names, map("  ".join, figures), strict=True))
        bar = [Column(_BAR)] if wide else []
        rows = (
            (Text(name), *self._bar(whole, value, wide=wide), *map(Text, shown_figures))
            for name, (_, value), shown_figures in zip(names, parts, figures, strict=True)
        )
        return self._ruled([Column(room), *bar, *right], rows)

    def trend(self, report: Report) -> str:
        days = busy(report)
        dates = [format_time(day.start)[:10] for day in days]
        counts = [[count(value) for value in (day.live, day.issued, day.ended, day.leaks)] for day in days]
        columns = [Column(len(dates[0]), "day")] + [
            Column(max(map(len, column)), column[0], right=True)
            for column in zip(("live", "issued", "ended", "leaks"), *counts, strict=True)
        ]
        left_width = self._width - sum(column.width + self._gap for column in columns) + self._gap
        if left_width < 0:
            names = [column.name for column in columns]
            days_apart = (
                zip(names, (date, *day_counts), strict=True)
                for date, day_counts in zip(dates, counts, strict=True)
            )
            return "\n".join(map(self.figures, days_apart))
        wide = left_width >= _BAR + self._gap
        columns[1:1] = [Column(_BAR)] if wide else []
        highest = max((day.live for day in days), default=0)
        rows = (
            (Text(date), *self._bar(max(highest, 1), day.live, wide=wide), *map(Text, day_counts))
            for date, day, day_counts in zip(dates, days, counts, strict=True)
        )
        return self._ruled(columns, rows, header="dim")

    def _bar(self, whole: float, value: float, *, wide: bool) -> tuple[RenderableType, ...]:
        return (Bar(whole, 0, value, width=_BAR, color="cyan"),) if wide else ()

    def _ruled(
        self, columns: list[Column], rows: Iterable[Iterable[RenderableType]], header: str | None = None
    ) -> str:
        return ruled(columns, rows, self._colour, header=header, gap=self._gap)

    def _drawn(self, content: Text) -> str:
        return drawn(content, self._width, self._colour)
