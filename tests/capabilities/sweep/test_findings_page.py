"""The page of a sweep in a real browser: readable on each screen and on paper, and without requests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from jitid.capabilities.sweep import findings_html
from jitid.values.text import safe
from tests.browser import Browser, browser
from tests.capabilities.report.made import HOSTILE
from tests.capabilities.sweep.swept import RULES, ended, finding, whole
from tests.page_events import SCRIPT


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


# Copy buttons

_STATUS = "document.querySelector('[role=status]').textContent"
_BUTTON = "document.querySelectorAll('.command button')[{}]"
_CODE = "document.querySelectorAll('.command code')[{}].textContent"
# The clipboard of the test gets the text; that of the machine is shared with other tests.
_CLIPBOARD = """
Object.defineProperty(navigator, "clipboard", {value: {writeText: async text => { window.copied = text; }}})
"""
_UNTIL_ANNOUNCED = f"""
new Promise(done => {{ const look = () => {_STATUS} ? done(1) : setTimeout(look, 10); look(); }})
"""


def test_without_scripts_there_is_no_button_and_the_same_text(chromium: Browser, page: Path) -> None:
    """The script adds the buttons, so that no reader sees a button that does nothing."""
    chromium.show()
    chromium.open(page)
    buttons = chromium.run("document.querySelectorAll('button').length")
    assert buttons == chromium.run("document.querySelectorAll('.command').length") > 10
    chromium.run("document.querySelectorAll('button, [role=status]').forEach(each => each.remove())")
    text = chromium.run("document.body.innerText")
    chromium.scripts(run=False)
    try:
        chromium.open(page)
        assert chromium.run("document.querySelectorAll('button, [role=status]').length") == 0
        assert chromium.run("document.body.innerText") == text
    finally:
        chromium.scripts(run=True)


def test_each_button_has_a_name_and_the_command_as_its_description(chromium: Browser, page: Path) -> None:
    chromium.show()
    chromium.open(page)
    buttons = [(name, command) for role, name, command in chromium.accessible() if role == "button"]
    assert buttons
    assert {name for name, _ in buttons} == {"Copy command"}
    assert "jitid revoke --task T1" in {command for _, command in buttons}


def test_a_button_copies_its_command_by_key_and_announces_it(chromium: Browser, page: Path) -> None:
    chromium.show()
    chromium.open(page)
    chromium.run(_CLIPBOARD)
    chromium.run("document.querySelector('.command code').focus()")
    chromium.press("Tab")
    assert chromium.run(f"document.activeElement === {_BUTTON.format(0)}")
    assert chromium.run("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    chromium.press("Enter")
    chromium.run(_UNTIL_ANNOUNCED)
    assert chromium.run(_STATUS) == "Command copied"
    assert chromium.run(f"{_BUTTON.format(0)}.textContent") == "Copied"
    assert chromium.run("window.copied") == chromium.run(_CODE.format(0)) == "jitid revoke --task T1"
    assert chromium.complaints == []


def test_hostile_commands_are_copied_as_they_are_shown(chromium: Browser, tmp_path: Path) -> None:
    """No name becomes an element, and none has a character that a terminal obeys when it is pasted."""
    names = [*HOSTILE, "a\nrm -rf x\r"]
    rows = whole([finding(subject=name, remedy=f"jitid revoke --task '{name}'") for name in names])
    file = tmp_path / "sweep.html"
    file.write_text("".join(findings_html.text(iter(rows), RULES)), encoding="utf-8")
    chromium.show()
    chromium.open(file)
    chromium.run(_CLIPBOARD)
    for number, name in enumerate(names):
        chromium.run("window.copied = null")
        chromium.run(f"{_BUTTON.format(number)}.click()")
        chromium.run("new Promise(done => setTimeout(done, 0))")
        assert chromium.run("window.copied") == safe(f"jitid revoke --task '{name}'")
    assert chromium.run("[...document.scripts].map(script => script.textContent)") == [SCRIPT]
    assert chromium.run("document.querySelectorAll('img, iframe, use, [onload], [onerror]').length") == 0
    assert chromium.complaints == []


def test_where_the_clipboard_is_refused_the_command_is_selected(chromium: Browser, page: Path) -> None:
    """A page over plain HTTP has no clipboard, and a browser may refuse it."""
    chromium.show()
    chromium.open(page)
    chromium.run("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
    chromium.run("document.execCommand = () => false")
    chromium.run(f"{_BUTTON.format(0)}.click()")
    chromium.run(_UNTIL_ANNOUNCED)
    assert chromium.run(_STATUS) == "Not copied: the command is selected"
    assert chromium.run("getSelection().toString()") == chromium.run(_CODE.format(0))


def test_the_policy_refuses_any_other_script(chromium: Browser, page: Path, tmp_path: Path) -> None:
    smuggled = "<script>document.title = 'hacked'</script><p onclick='x()'>x</p>"
    file = tmp_path / "smuggled.html"
    file.write_text(page.read_text(encoding="utf-8").replace("<main>", f"<main>{smuggled}"), encoding="utf-8")
    chromium.show()
    chromium.open(file)
    assert chromium.run("document.title") == "jitid sweep"
    assert sum("script-src" in each for each in chromium.complaints) >= 1
    assert chromium.run("document.querySelectorAll('.command button').length") > 10


def test_paper_has_neither_buttons_nor_contents(chromium: Browser, page: Path) -> None:
    chromium.show(paper=True)
    chromium.open(page)
    shown = (
        "[...document.querySelectorAll('nav, button, [role=status]')].some(each => each.checkVisibility())"
    )
    assert not chromium.run(shown)
