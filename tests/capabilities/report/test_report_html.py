"""The page of a report, compared with a recording: elements, attributes, words and their order."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jitid.capabilities.report import report_html
from jitid.capabilities.report.sprawl_report import Excess, Report
from jitid.formats.page import PageOrigin
from jitid.model.survey import Day, DirectoryCounts
from tests.capabilities.report.made import HOSTILE, hostile, lifeless, lively, ownerless, small
from tests.page_events import events

RECORDED = Path(__file__).parent / "pages"


def _leaky(report: Report) -> Report:
    """Return the report of systems with one leak of each kind, a directory, and pruned rows."""
    leaks = report.survey.leaks
    counts: dict[str, Any] = {name: 1 for name, value in leaks._asdict().items() if isinstance(value, int)}
    survey = ownerless(report).survey._replace(
        live_by=lifeless(report).survey.live_by, leaks=leaks._replace(**counts)
    )
    return report._replace(
        survey=survey,
        directory=DirectoryCounts(9, disabled=2, agents=8, overdue=3, suspended=1, owners=4, ownerless=1),
        excess=Excess(over_scoped=1, unknown="whether 1 of 2 live credentials is used", over_privileged=2),
        pruned_before=1,
        leaks_before=2,
    )


def _past(report: Report) -> Report:
    return lifeless(report)._replace(past=True, offenders=None, directory=None, excess=None)


REPORTS: dict[str, Callable[[Report], Report]] = {
    "lively": lambda report: report,
    "hostile": hostile,
    "past": _past,
    "empty": lifeless,
    "leaky": _leaky,
}
ORIGINS = {
    "lively": PageOrigin("ops-1.example.com", "/home/ops/.local/share/jitid"),
    "hostile": PageOrigin(HOSTILE[0], HOSTILE[1]),
}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """Return a report of a busy ledger."""
    return lively(tmp_path_factory.mktemp("report") / "ledger")


@pytest.mark.parametrize("name", REPORTS)
def test_the_page_is_as_it_was_recorded(report: Report, name: str) -> None:
    """The layout of the template may change, but the test must notice a change of its content."""
    page = "".join(report_html.text(small(REPORTS[name](report)), ORIGINS.get(name)))
    assert events(page) == (RECORDED / f"{name}.txt").read_text(encoding="utf-8")


def _trend(report: Report, *days: Day, issued: int | None = None) -> list[str]:
    """Return the lines of the section about the last days, of a ledger that issued a number of credentials."""
    totals = report.survey.totals
    totals = totals._replace(issued=sum(day.issued for day in days) if issued is None else issued)
    survey = report.survey._replace(trend=days, totals=totals)
    lines = events("".join(report_html.text(report._replace(survey=survey)))).splitlines()
    starts = [number for number, line in enumerate(lines) if line.startswith("   h2 ")]
    start = next(number for number in starts if "id='trend'" in lines[number])
    return lines[start : starts[starts.index(start) + 1]]


EMPTY = Day(0, issued=0, ended=0, live=0, leaks=0)
BUSY = Day(86_400, issued=47, ended=4, live=43, leaks=2)


def test_one_day_of_data_is_shown_in_words_and_figures(report: Report) -> None:
    """A single column as wide as the plot, or at its edge, shows no trend."""
    shown = _trend(report, EMPTY, BUSY)
    assert "   p 'One day of data so far: 1970-01-02. Charts begin with the second day.'" in shown
    assert [line.strip() for line in shown if line.startswith("     dd")][::2] == [
        "dd '43'",
        "dd '47'",
        "dd '4'",
        "dd class='bad' '2'",
    ]
    assert not [line for line in shown if "svg" in line or "details" in line]


def test_a_report_of_one_day_names_the_option_for_more(report: Report) -> None:
    shown = _trend(report, BUSY, issued=900)
    assert "   h2 id='trend' 'The last day'" in shown
    assert "   p 'One day of data: 1970-01-02. For charts, choose more days with --days.'" in shown
    assert not [line for line in shown if "svg" in line]


def test_days_without_data_are_shown_in_words(report: Report) -> None:
    assert "   p 'No data in these 2 days.'" in _trend(report, EMPTY, EMPTY)
    assert "   p 'No data in this day.'" in _trend(report, EMPTY)


def test_two_days_or_an_older_ledger_have_charts(report: Report) -> None:
    """Days without activity are data, if the ledger has issued before them."""
    for shown in (_trend(report, EMPTY, BUSY, BUSY), _trend(report, EMPTY, BUSY, issued=900)):
        assert len([line for line in shown if line.strip().startswith("svg class='plot'")]) == 4
        assert not [line for line in shown if "One day" in line]


def test_a_series_of_zeros_has_no_chart(report: Report) -> None:
    calm = BUSY._replace(leaks=0)
    shown = _trend(report, calm, calm)
    assert len([line for line in shown if line.strip().startswith("svg class='plot'")]) == 3
    start = shown.index("     h3 'Leaked secrets reported'")
    assert shown[start + 1 : start + 3] == [
        "     p class='figure' '0'",
        "     p class='small soft' 'in 2 days'",
    ]


def test_without_a_figure_the_largest_text_is_a_dash(report: Report) -> None:
    """A sentence is only the caption."""
    shown = events("".join(report_html.text(lifeless(report)))).splitlines()
    large = [number for number, line in enumerate(shown) if " p class='big" in line]
    assert [shown[number].split("'", 2)[2] for number in large] == [" '\N{EN DASH}'"] * 2
    assert [shown[number + 1].strip() for number in large] == [
        "p class='small soft' 'no leaked secret that was valid at its report is five days old yet'",
        "p class='small soft' 'no live credentials'",
    ]


def test_the_figures_of_a_page_are_short(report: Report) -> None:
    for change in REPORTS.values():
        text = "".join(report_html.text(change(report)))
        found = re.findall(r'<p class="(?:big|figure)[^>]*>([^<]*)', text)
        assert len(found) >= 6
        assert [each for each in found if len(each) > 12] == []


def test_adopted_secrets_are_not_in_the_median(report: Report) -> None:
    """They have no granted lifetime, but they are live."""
    totals = report.survey.totals
    adopted = report._replace(survey=report.survey._replace(totals=totals._replace(live=totals.live + 1)))
    assert "median without adopted secrets; 95th" in "".join(report_html.text(adopted))
    assert "adopted" not in "".join(report_html.text(report)).partition("Granted lifetime")[2]
