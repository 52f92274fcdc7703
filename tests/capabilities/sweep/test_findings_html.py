"""The page of a sweep, compared with a recording: elements, attributes, words and their order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from jitid.capabilities.sweep import findings_html
from jitid.capabilities.sweep.findings_view import SCAN, SweptRow
from tests.capabilities.report.made import HOSTILE
from tests.capabilities.sweep.swept import RULES, coverage, ended, finding, many, whole
from tests.page_events import events

RECORDED = Path(__file__).parent / "pages"

MANY = [
    *[finding(subject=f"T{number}", rule="standing", state="known") for number in range(2)],
    finding(subject="low", rule="standing", severity="low", evidence={"limit_seconds": 28_800, "none": []}),
    finding(subject="high", rule="standing", remedy=None, evidence={"yes": True, "scopes": ["a", "b"]}),
    finding(subject="old", rule="clock", state="known"),
    ended(offline_until="2026-11-24T12:20:00Z"),
]
BAD = [finding(subject=name, summary=name, remedy=name, evidence={name: name}) for name in HOSTILE]
UNKNOWN: list[SweptRow] = [coverage("clock", unknown="no audience reports use")]

PAGES: dict[str, tuple[list[SweptRow], dict[str, Any]]] = {
    "every-state": (whole(MANY), {}),
    "hostile": (whole(BAD, *HOSTILE), {}),
    "nothing": (whole([]), {}),
    "broken-off": ([finding(rule="a rule without a record"), *UNKNOWN], {"wording": SCAN}),
}


@pytest.mark.parametrize("name", PAGES)
def test_the_page_is_as_it_was_recorded(name: str) -> None:
    """The layout of the template may change, but the test must notice a change of its content."""
    rows, more = PAGES[name]
    page = "".join(findings_html.text(iter(rows), RULES, **more))
    assert events(page) == (RECORDED / f"{name}.txt").read_text(encoding="utf-8")


def test_the_command_for_the_rest_names_the_ledger_that_was_swept() -> None:
    page = "".join(findings_html.text(many(1_234), RULES, lambda command: f"{command} --ledger 'a & b'"))
    listed = "jitid sweep --rule orphaned-task --format tsv --ledger 'a & b'"
    assert f"code tabindex='0' {listed!r}\n" in events(page)
