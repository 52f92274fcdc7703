"""The page of a sweep, compared with a recording: elements, attributes, words and their order."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from jitid.capabilities.sweep import findings_html
from jitid.capabilities.sweep.findings_view import SCAN, FindingRow, SweptRow
from jitid.formats.page import PageOrigin
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
    "every-state": (whole(MANY), {"origin": PageOrigin("ops-1.example.com", "/home/ops/.local/share/jitid")}),
    "hostile": (whole(BAD, *HOSTILE), {"origin": PageOrigin(HOSTILE[0], HOSTILE[1])}),
    "scan": (whole([finding()]), {"wording": SCAN, "origin": PageOrigin("ops-1.example.com", "")}),
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


def _lines(rows: list[FindingRow], tag: str) -> list[str]:
    """Return the lines of a page of these findings that begin with a tag."""
    lines = events("".join(findings_html.text(iter(_in_order(rows)), RULES))).splitlines()
    return [line.strip() for line in lines if line.strip().startswith(f"{tag} ")]


def _in_order(rows: list[FindingRow]) -> list[SweptRow]:
    """Return the rows of a sweep that found these; their rules need not be among the described rules."""
    return [*rows, *whole(rows)[-4:]]


def _headings(rows: list[FindingRow]) -> list[str]:
    text = "".join(findings_html.text(iter(_in_order(rows)), RULES))
    headings = re.findall(
        r'<h2 id="group-\d+"><span class="level \w+">(\w+)</span> ([\w-]+): (.*)\n?(.*)</h2>', text
    )
    return [" ".join(part for part in heading if part) for heading in headings]


def test_groups_are_in_order_of_severity_then_of_size() -> None:
    """Ended findings follow open ones, and findings that only the baseline contains are last."""
    rows = [
        ended(rule="a", severity="critical"),
        *[finding(rule="b", state="known", severity="critical") for _ in range(9)],
        finding(rule="c", severity="low"),
        finding(rule="d", severity="high"),
        *[finding(rule="e", severity="high") for _ in range(2)],
        *[finding(rule="f", severity=level) for level in ("low", "critical")],
        finding(rule="g", severity="high", state="known"),
        finding(rule="h", severity="info"),
    ]
    assert _headings(rows) == [
        "critical f 2 findings",
        "high e 2 findings",
        "high d 1 finding",
        "low c 1 finding",
        "info h 1 finding",
        "ended a 2 credentials",
        "known b 9 findings in the baseline",
        "known g 1 finding in the baseline",
    ]


def test_the_findings_of_a_group_are_in_order_of_severity() -> None:
    """Findings of the same severity stay in the order of the sweep."""
    levels = ("low", "critical", "low", "high")
    rows = [finding(subject=f"{number}-{level}", severity=level) for number, level in enumerate(levels)]
    text = "".join(findings_html.text(iter(_in_order(rows)), RULES))
    assert re.findall(r"<h3>(\S*?)(?: <span|</h3>)", text) == ["1-critical", "3-high", "0-low", "2-low"]


def test_a_long_page_has_contents_with_the_number_of_findings() -> None:
    rows = [finding(rule=rule) for rule in "abc"]
    assert _lines(rows, "nav") == []
    rows += [finding(rule="d", severity="critical") for _ in range(7)]
    assert _lines(rows, "nav") == ["nav aria-label='Contents'"]
    text = "".join(findings_html.text(iter(_in_order(rows)), RULES))
    first = '<a href="#group-1"><span class="level critical">critical</span>d</a> <span class="soft">7</span>'
    assert first in text
    targets = re.findall(r'<a href="#([^"]*)"', text)
    assert targets == ["group-1", "group-2", "group-3", "group-4", "examined"]
    assert all(f'id="{target}"' in text for target in targets)


def test_the_first_figure_is_the_number_of_open_findings_with_their_severities() -> None:
    rows = [
        finding(severity="low"),
        *[finding(severity="critical") for _ in range(2)],
        finding(state="known", severity="high"),
        ended(severity="medium"),
    ]
    text = "".join(findings_html.text(iter(whole(rows)), RULES))
    assert '<dt>Open findings</dt><dd class="bad">3</dd>\n<dd>2 critical, 1 low</dd>' in text


def test_an_expiry_that_never_comes_is_shown_as_never() -> None:
    """The ledger records the last second of the year 9999."""
    evidence = {
        "expires_at": "9999-12-31T23:59:59Z",
        "lifetime_seconds": 251_606_000_000,
        "limit_seconds": 60,
    }
    text = "".join(findings_html.text(iter(whole([finding(evidence=evidence)])), RULES))
    assert "<dt>expires at</dt> <dd>never</dd>" in text
    assert "<dt>limit</dt> <dd>1m</dd>" in text
    assert "lifetime" not in text.partition('<ul class="findings">')[2].partition("</ul>")[0]
