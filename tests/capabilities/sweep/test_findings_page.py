"""The page of a sweep in a real browser: readable on each screen and on paper, and without requests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from jitid.capabilities.sweep import findings_html
from tests.browser import Browser, browser
from tests.capabilities.report.made import HOSTILE
from tests.capabilities.sweep.swept import RULES, ended, finding, whole


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Return one browser for all these tests."""
    with browser() as found:
        yield found


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the file of a page with findings of each severity, some of them fixed, and with hostile names."""
    grave = [
        finding(severity=level, rule=rule, subject=f"{level}-{rule}")
        for rule in ("orphaned-task", "standing", "clock")
        for level in ("info", "low", "medium", "high", "critical")
    ]
    bad = [finding(subject=name, summary=name, remedy=name, evidence={name: name}) for name in HOSTILE]
    file = tmp_path_factory.mktemp("page") / "sweep.html"
    rows = whole([*grave, *bad, ended()], "row 7 is damaged")
    file.write_text("".join(findings_html.text(iter(rows), RULES)), encoding="utf-8")
    return file


def test_it_asks_for_nothing_and_breaks_no_rule(chromium: Browser, page: Path) -> None:
    chromium.show()
    chromium.open(page)
    assert chromium.requests == [page.as_uri()]
    assert chromium.complaints == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_all_text_has_contrast(chromium: Browser, page: Path, dark: bool) -> None:
    """The contrast is at least 4.5 to 1 (WCAG 2.2, 1.4.3) in both colour schemes."""
    chromium.show(dark=dark)
    chromium.open(page)
    found = chromium.contrasts()
    assert len(found) > 50
    assert [each for each in found if each[1] < 4.5] == []


def test_paper_is_light_whatever_the_scheme(chromium: Browser, page: Path) -> None:
    """A user who prints with the dark scheme does not get black pages."""
    backgrounds = []
    for dark, paper in ((True, False), (False, True), (True, True)):
        chromium.show(dark=dark, paper=paper)
        chromium.open(page)
        backgrounds.append(chromium.run("getComputedStyle(document.body).backgroundColor"))
        assert not [each for each in chromium.contrasts() if each[1] < 4.5]
    night, *printed = backgrounds
    assert night not in printed
    assert printed == ["rgb(255, 255, 255)"] * 2


@pytest.mark.parametrize("width", [320, 375, 768, 1280])
def test_nothing_runs_over_the_side(chromium: Browser, page: Path, width: int) -> None:
    chromium.show(width=width, height=800)
    chromium.open(page)
    assert chromium.run("document.scrollingElement.scrollWidth") <= width
    assert chromium.cut_off() == []


def test_ten_findings_take_a_few_screens_of_a_phone(chromium: Browser, tmp_path: Path) -> None:
    """A finding does not take a whole screen."""
    evidence = {
        "id": "jid_06h0000000000000000000000v",
        "agent": "release-planner",
        "task": "INC-4821",
        "delegator": "user:alice@example.com",
        "sensitivity": "moderate",
        "lifetime_seconds": 720_000,
        "limit_seconds": 28_800,
        "scopes": [],
        "issued_at": "2026-11-24T12:00:00Z",
        "expires_at": "2026-12-02T20:00:00Z",
    }
    rows = whole(
        [finding(subject=f"jti_06h000000000000000000000{n:02}", evidence=evidence) for n in range(10)]
    )
    file = tmp_path / "sweep.html"
    file.write_text("".join(findings_html.text(iter(rows), RULES)), encoding="utf-8")
    chromium.show(width=375, height=800)
    chromium.open(file)
    assert chromium.run("document.querySelector('.findings').getBoundingClientRect().height") < 10 * 320
