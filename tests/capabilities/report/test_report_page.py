"""The report's page in a real browser: it makes no request, has a strict policy, and is accessible."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from jitid.capabilities.report import report_html
from jitid.capabilities.report.sprawl_report import Report
from jitid.values.text import safe
from tests.browser import Browser, browser
from tests.capabilities.report.made import HOSTILE, hostile, lifeless, lively, ownerless
from tests.page_events import SCRIPT

_TEXT = "document.body.innerText + [...document.querySelectorAll('svg text, svg title')].map(e => e.textContent).join()"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Return one browser for all these tests."""
    with browser() as found:
        yield found


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """Return a report of a busy ledger."""
    return lively(tmp_path_factory.mktemp("report") / "ledger")


@pytest.fixture(scope="module", params=["lively", "hostile", "past", "ownerless", "empty"])
def page(request: pytest.FixtureRequest, report: Report, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the file of a page: an ordinary report, hostile names, the past, systems only, or an empty ledger."""
    written = {
        "lively": report,
        "hostile": hostile(report),
        "past": report._replace(past=True, offenders=None),
        "ownerless": ownerless(report),
        "empty": lifeless(report),
    }[request.param]
    file = tmp_path_factory.mktemp("page") / "report.html"
    file.write_text("".join(report_html.text(written)), encoding="utf-8")
    return file


@pytest.mark.deep
def test_the_page_asks_for_nothing_but_itself_and_breaks_no_rule(chromium: Browser, page: Path) -> None:
    """With any names, the page makes no request, writes no console message and does not violate its own policy."""
    chromium.show()
    chromium.open(page)
    assert chromium.requests == [page.as_uri()]
    assert chromium.complaints == []
    assert chromium.run("[...document.scripts].map(script => script.textContent)") == [SCRIPT]


def test_the_policy_of_the_page_holds(chromium: Browser, page: Path, tmp_path: Path) -> None:
    """Injected content neither runs nor loads: the browser reports the rule that it violates."""
    smuggled = "<script>document.title = 'hacked'</script><img src='https://evil.example/x'><p style='color:red'>x</p>"
    file = tmp_path / "smuggled.html"
    file.write_text(page.read_text(encoding="utf-8").replace("<main>", f"<main>{smuggled}"), encoding="utf-8")
    chromium.show()
    chromium.open(file)
    assert chromium.requests == [file.as_uri(), *chromium.blocked]
    assert len(chromium.blocked) == 1
    assert chromium.run("document.title").startswith("Identity report")
    broken = " ".join(chromium.complaints)
    assert all(f"{rule}-src" in broken for rule in ("script", "img", "style"))


def test_every_figure_has_a_name_and_a_description(chromium: Browser, page: Path) -> None:
    """Each figure has a separate name."""
    chromium.show()
    chromium.open(page)
    figures = [(name, told) for role, name, told in chromium.accessible() if role in ("image", "img")]
    assert len(figures) == chromium.run("document.querySelectorAll('.plot').length") >= 6
    assert all(name and told for name, told in figures)
    assert len({name for name, _ in figures}) == len(figures)
    ids = chromium.run("[...document.querySelectorAll('[id]')].map(e => e.id)")
    assert len(set(ids)) == len(ids)


def test_every_table_has_a_caption_and_heads(chromium: Browser, page: Path) -> None:
    """A screen reader that reads a single cell can say to which column and row it belongs."""
    chromium.open(page)
    assert chromium.run(
        "[...document.querySelectorAll('table')].every(t => t.caption.innerText !== null && t.tHead)"
    )
    assert chromium.run("[...document.querySelectorAll('tr')].every(r => r.cells[0].scope !== '')")


@pytest.mark.deep
@pytest.mark.parametrize("width", [320, 360, 390, 768, 1280])
def test_nothing_runs_over_the_side(chromium: Browser, page: Path, width: int) -> None:
    """This holds with open tables too; they scroll separately."""
    chromium.show(width=width, height=800)
    chromium.open(page)
    chromium.run("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert chromium.run("document.scrollingElement.scrollWidth") <= width


@pytest.mark.deep
@pytest.mark.parametrize("paper", [False, True], ids=["screen", "paper"])
@pytest.mark.parametrize("width", [320, 375, 768, 1280])
def test_no_text_is_cut_off(chromium: Browser, page: Path, width: int, paper: bool) -> None:
    """Each name is shown completely, also on paper, where a reader cannot open a table."""
    chromium.show(width=width, height=800, paper=paper)
    chromium.open(page)
    assert chromium.cut_off() == []


@pytest.mark.parametrize("paper", [False, True], ids=["screen", "paper"])
def test_long_names_are_shown_without_opening_anything(
    chromium: Browser, report: Report, tmp_path: Path, paper: bool
) -> None:
    """A reader on paper needs the complete names."""
    file = tmp_path / "hostile.html"
    file.write_text("".join(report_html.text(hostile(report))), encoding="utf-8")
    chromium.show(paper=paper)
    chromium.open(file)
    shown = chromium.run("document.body.innerText")
    assert [name for name in HOSTILE if shown.count(safe(name)) < len(report.survey.live_by)] == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_all_text_has_contrast(chromium: Browser, page: Path, dark: bool) -> None:
    """The contrast is at least 4.5 to 1 (WCAG 2.2, 1.4.3) in both colour schemes."""
    chromium.show(dark=dark)
    chromium.open(page)
    found = chromium.contrasts()
    assert len(found) > 50
    assert not [(text, contrast) for text, contrast in found if contrast < 4.5]


@pytest.mark.deep
def test_the_two_schemes_differ_and_paper_is_light(chromium: Browser, page: Path) -> None:
    """A user who prints with the dark scheme does not get black pages."""
    backgrounds = []
    for dark, paper in ((False, False), (True, False), (True, True)):
        chromium.show(dark=dark, paper=paper)
        chromium.open(page)
        backgrounds.append(chromium.run("getComputedStyle(document.body).backgroundColor"))
    light, night, printed = backgrounds
    assert light != night
    assert printed == "rgb(255, 255, 255)"


def test_hostile_names_are_shown_as_what_they_are(chromium: Browser, report: Report, tmp_path: Path) -> None:
    """A name is shown as text, and active or invisible characters in it are made visible."""
    file = tmp_path / "hostile.html"
    file.write_text("".join(report_html.text(hostile(report))), encoding="utf-8")
    chromium.show()
    chromium.open(file)
    chromium.run("document.querySelectorAll('details').forEach(d => d.open = true)")
    shown = chromium.run(_TEXT)
    assert [name for name in HOSTILE if safe(name) not in shown] == []
    assert not any(mark in shown for mark in "\x1b\x07\u202e\u200b")
    foreign = "img, iframe, foreignObject, use, link, [onload], [onerror], [style], [src]"
    assert chromium.run(f"document.querySelectorAll('{foreign}').length") == 0
    assert chromium.run("[...document.scripts].map(script => script.textContent)") == [SCRIPT]
    links = chromium.run("[...document.querySelectorAll('[href]')].map(link => link.getAttribute('href'))")
    assert {link[0] for link in links} == {"#"}
    assert chromium.run("document.querySelectorAll('style').length") == 1


def test_the_contents_lead_to_every_section(chromium: Browser, page: Path) -> None:
    """They need no script, a screen reader lists them as navigation, and paper has none."""
    chromium.show()
    chromium.open(page)
    assert ("navigation", "Contents") in [(role, name) for role, name, _ in chromium.accessible()]
    leading = "link => document.getElementById(link.hash.slice(1)).textContent === link.textContent"
    assert chromium.run(f"[...document.querySelectorAll('nav a')].every({leading})")
    names = "[...document.querySelectorAll('{}')].map(each => each.textContent)"
    assert chromium.run(names.format("nav a")) == chromium.run(names.format("h2"))
    chromium.show(paper=True)
    assert not chromium.run("document.querySelector('nav').checkVisibility()")


def test_the_largest_text_is_a_figure(chromium: Browser, page: Path) -> None:
    """In each card, the first text after the heading is the largest; no sentence is larger than the title."""
    chromium.show()
    chromium.open(page)
    sizes = (
        "[...document.querySelectorAll('body *')].filter(each => each.matches(':not(script, style)') && "
        "[...each.childNodes].some(node => node.nodeType === 3 && node.data.trim()) && each.checkVisibility())"
        ".map(each => [each.textContent.trim(), parseFloat(getComputedStyle(each).fontSize)])"
    )
    found = sorted(chromium.run(sizes), key=lambda each: -each[1])
    large = [text for text, size in found if size > 30]
    assert large
    assert [text for text in large if len(text) > 12] == []
    assert found[0][1] == 56
