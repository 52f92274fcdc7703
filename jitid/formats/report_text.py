"""The report for eyes at a terminal, drawn by Rich: figures, bars where there is room, and what to end first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from rich.bar import Bar
from rich.table import Table
from rich.text import Text

from jitid.formats.cell import cell
from jitid.formats.figures import count, counted, duration, mean, percent
from jitid.formats.report_document import NO_OFFENDERS_THEN, NO_OLD_LEAK, NOTHING_FOUND
from jitid.formats.table import drawn, terminal_width
from jitid.ledger.survey import Day, Spread
from jitid.lifetime import format_time
from jitid.report import (
    AGENTS_PER_PERSON,
    COUNTED_AS_USE,
    JUDGED_BY_LEDGER,
    VALID_AFTER_FIVE_DAYS,
    Report,
)
from jitid.sweep.finding import Severity

_LINE = 100
"""Beyond so many columns a figure stands too far from its name."""
_BARS_FROM = 50
"""With fewer columns there are figures only."""
_LONGEST_NAME = 40
_BAR = 24

_STYLES = {
    Severity.CRITICAL: "bold red",
    Severity.HIGH: "red",
    Severity.MEDIUM: "yellow",
    Severity.LOW: "",
    Severity.INFO: "dim",
}

Figures = Iterable[tuple[str, str]]


def text(report: Report, colour: bool) -> Iterator[str]:
    """Yield the report in sections, each under its heading."""
    page = _Page(min(terminal_width(), _LINE), colour)
    yield page.title(f"Identity report of {format_time(report.at)}")
    yield page.figures(_totals(report))
    yield page.heading("Leaked secrets")
    yield from _leaks(report, page)
    yield page.heading("Agents to a person")
    people = report.survey.people
    yield page.figures(
        (
            (
                "mean",
                f"{mean(report.per_person)} live identities ({counted(people.people, 'person', 'people')})",
            ),
            (
                "highest",
                count(people.highest) + ("" if people.highest is None else f" {people.highest_delegator}"),
            ),
            ("published", f"{AGENTS_PER_PERSON.value} ({AGENTS_PER_PERSON.source})"),
        )
    )
    yield page.heading("Lifetimes")
    yield page.figures(_lifetimes(report))
    for name, found in report.survey.live_by.items():
        yield page.heading(f"Live credentials by {name.replace('_', ' ')}")
        parts = [*found.top, *([found.others] if found.others.live else [])]
        yield page.bars([(part.name, part.live) for part in parts], found.live)
    yield page.heading(f"Last {counted(len(report.survey.trend), 'day')} of UTC")
    yield page.trend(report)
    yield page.heading("To end first")
    yield from _offenders(report, page)


def _totals(report: Report) -> Figures:
    totals = report.survey.totals
    yield (
        "issued",
        f"{counted(totals.issued, 'credential')} of {counted(totals.identities, 'identity', 'identities')}",
    )
    live = counted(totals.live_identities, "identity", "identities")
    yield "alive", f"{counted(totals.live, 'credential')} of {live}"
    yield "of", f"{counted(totals.agents, 'agent')} for {counted(totals.delegators, 'delegator')}"
    overdue = f"{count(totals.tasks_overdue)} overdue, {count(totals.tasks_ended)} ended"
    yield "tasks", f"{count(totals.tasks_open)} open, {overdue}"
    never = f"{percent(report.never_used)} of the live identities ({count(report.survey.use.never)})"
    yield "never used", f"{never}; counted as use: {COUNTED_AS_USE}"


def _lifetimes(report: Report) -> Figures:
    retirement = report.survey.retirement
    yield "granted", _spread(report.survey.lifetimes)
    yield (
        "standing",
        f"{percent(report.standing_share)} over their sensitivity's limit ({count(report.standing)})",
    )
    yield "after a task's end", _spread(retirement.delays)
    tasks = f"{count(retirement.at_once)} of {counted(retirement.delays.number, 'task')} had nothing alive"
    yield "at the end", f"{tasks}; {count(retirement.still_live)} still have"


def _leaks(report: Report, page: _Page) -> Iterator[str]:
    leaks = report.survey.leaks
    own = report.valid_after_five_days
    published = VALID_AFTER_FIVE_DAYS
    yield page.figures((("valid after five days", NO_OLD_LEAK),) if own is None else ())
    both = [] if own is None else [("here", own)]
    yield page.bars(
        [*both, (f"published ({published.source})", published.value)],
        100,
        shown=lambda value: percent(value / 100),
    )
    aged = f"{count(leaks.aged)} of them worked then and were reported at least five days ago"
    shown = [
        ("reported", f"{counted(leaks.secrets, 'secret')}, {aged}"),
        ("still valid", count(leaks.valid) + _closed(leaks.valid_closed) + _since(leaks.oldest_valid)),
        (
            "identity lives on",
            f"{count(leaks.living_on)} of the dead, by a successor or what was delegated"
            + _closed(leaks.living_on_closed),
        ),
        ("younger", f"{count(leaks.young_dead)} dead, {count(leaks.young_valid)} valid"),
        ("exposure", _spread(leaks.exposure)),
        ("dead", f"{count(leaks.dead_before)} before the report, {count(leaks.proved)} proved"),
    ]
    yield page.figures(shown)
    yield page.paragraph(f"{JUDGED_BY_LEDGER}; so it is with {counted(leaks.offline, 'secret')}")


def _closed(number: int) -> str:
    return f", {count(number)} of them closed" if number else ""


def _since(seconds: int | None) -> str:
    return "" if seconds is None else f", the oldest for {duration(seconds)}"


def _spread(spread: Spread) -> str:
    if not spread.number:
        return "nothing to measure"
    return f"p50 {duration(spread.p50)}, p95 {duration(spread.p95)}, longest {duration(spread.longest)}"


def _offenders(report: Report, page: _Page) -> Iterator[str]:
    if report.offenders is None:
        yield page.paragraph(NO_OFFENDERS_THEN)
    elif not report.offenders:
        yield page.paragraph(NOTHING_FOUND)
    for finding in report.offenders or ():
        head = Text(finding.severity.value, style=_STYLES[finding.severity])
        head.append(
            f" {finding.rule} {cell(finding.subject)}: {cell(finding.summary)}", style="not bold default"
        )
        yield page.paragraph(head)
        if finding.remedy is not None:
            # Whole, so that it can be copied: the terminal may fold it.
            yield f"  {cell(finding.remedy)}\n"
    for missed in report.missed:
        yield page.paragraph(f"not examined: {cell(missed)}")


def busy(report: Report) -> tuple[Day, ...]:
    """Return the days of the trend from the first one on that has something to tell; the last one at least."""
    days = report.survey.trend
    for position, day in enumerate(days):
        if any(day[1:]):
            return days[position:]
    return days[-1:]


class _Page:
    """What the sections have in common: how wide they are, and whether in colour."""

    def __init__(self, width: int, colour: bool) -> None:
        self._width = width
        self._colour = colour

    def title(self, words: str) -> str:
        return self._drawn(Text(words, style="bold"))

    def heading(self, words: str) -> str:
        return "\n" + self.title(words)

    def paragraph(self, words: str | Text) -> str:
        return self._drawn(words if isinstance(words, Text) else Text(words))

    def figures(self, pairs: Figures) -> str:
        table = self._grid()
        table.add_column(style="dim")
        table.add_column(overflow="fold")
        for name, value in pairs:
            table.add_row(Text(name), Text(cell(value)))
        return self._drawn(table) if table.row_count else ""

    def bars(
        self, parts: list[tuple[str, float]], whole: float, shown: Callable[[float], str] | None = None
    ) -> str:
        if not parts:
            return self.paragraph("nothing is alive")
        table = self._grid()
        wide = self._width >= _BARS_FROM
        table.add_column(overflow="fold", max_width=min(_LONGEST_NAME, self._width // 2))
        if wide:
            table.add_column(width=_BAR, no_wrap=True)
        table.add_column(justify="right", no_wrap=True)
        table.add_column(justify="right", no_wrap=True)
        for name, value in parts:
            bar = [Bar(whole, 0, value, width=_BAR, color="cyan")] if wide else []
            figures = (
                (shown(value), "")
                if shown
                else (count(int(value)), percent(value / whole if whole else None))
            )
            table.add_row(Text(cell(name)), *bar, *map(Text, figures))
        return self._drawn(table)

    def trend(self, report: Report) -> str:
        days = busy(report)
        table = self._grid(header=True)
        most = max((day.live for day in days), default=0)
        wide = self._width >= _BARS_FROM + 10
        table.add_column("day", no_wrap=True)
        if wide:
            table.add_column("", width=_BAR, no_wrap=True)
        for name in ("live", "issued", "ended", "leaks"):
            table.add_column(name, justify="right", overflow="fold")
        for day in days:
            bar = [Bar(max(most, 1), 0, day.live, width=_BAR, color="cyan")] if wide else []
            figures = (day.live, day.issued, day.ended, day.leaks)
            table.add_row(Text(format_time(day.start)[:10]), *bar, *(Text(count(each)) for each in figures))
        return self._drawn(table)

    def _grid(self, *, header: bool = False) -> Table:
        return Table(
            box=None,
            pad_edge=False,
            show_header=header,
            header_style="dim",
            padding=(0, 2 if self._width >= _BARS_FROM else 1, 0, 0),
        )

    def _drawn(self, shown: Table | Text) -> str:
        return drawn(shown, self._width, self._colour)
