"""The page of a report, compared with a recording: elements, attributes, words and their order."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jitid.capabilities.report import report_html
from jitid.capabilities.report.sprawl_report import Excess, Report
from jitid.model.survey import DirectoryCounts
from tests.capabilities.report.made import hostile, lifeless, lively, ownerless, small
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


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """Return a report of a busy ledger."""
    return lively(tmp_path_factory.mktemp("report") / "ledger")


@pytest.mark.parametrize("name", REPORTS)
def test_the_page_is_as_it_was_recorded(report: Report, name: str) -> None:
    """The layout of the template may change, but the test must notice a change of its content."""
    page = "".join(report_html.text(small(REPORTS[name](report))))
    assert events(page) == (RECORDED / f"{name}.txt").read_text(encoding="utf-8")
