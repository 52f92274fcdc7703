"""Results of a sweep for people: hostile text cannot act, commands stay whole, and memory is limited."""

from __future__ import annotations

import re
import tracemalloc
from collections.abc import Callable, Iterator
from html.parser import HTMLParser

import pytest
from hypothesis import HealthCheck, given, settings

from jitid.capabilities.sweep import findings_html, findings_prometheus, findings_sarif, findings_text
from jitid.capabilities.sweep.findings_view import SweptRow
from jitid.formats.cell import cell
from tests.capabilities.sweep.swept import HOST, RULES, coverage, ended, finding, many, summary, sweeps, whole
from tests.page_events import SCRIPT


def plain(rows: list[SweptRow], *, verbose: bool = False) -> str:
    """Return the text of a result for a terminal without colours."""
    return "".join(findings_text.text(iter(rows), RULES, colour=False, verbose=verbose))


def page(rows: list[SweptRow]) -> str:
    """Return the page of a result."""
    return "".join(findings_html.text(iter(rows), RULES))


# Terminals


@given(sweeps)
def test_no_terminal_obeys_a_finding(rows: list[SweptRow]) -> None:
    assert all(line.isprintable() for line in plain(rows).removesuffix("\n").split("\n"))
    coloured = "".join(findings_text.text(iter(rows), RULES, colour=True))
    assert re.sub(r"\x1b\[[\d;]*m", "", coloured) == plain(rows)


@pytest.mark.parametrize("columns", ["20", "40", "80", "200"])
def test_nothing_but_commands_and_long_words_is_wider_than_the_terminal(
    columns: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    remedy = "jitid revoke --task T1 --reason 'a very long reason, which is copied with all the rest of it'"
    lines = plain(whole([finding(remedy=remedy), ended()], "a row in the middle is damaged")).splitlines()
    assert f"    {remedy}" in lines
    for line in lines:
        assert len(line) <= int(columns) or line == f"    {remedy}" or " " not in line.strip(), line


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(sweeps)
def test_every_command_that_is_shown_stands_whole_on_a_line_of_its_own(
    monkeypatch: pytest.MonkeyPatch, rows: list[SweptRow]
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    lines = plain(rows).splitlines()
    for row in rows:
        if "state" in row and row["state"] == "open" and row["remedy"]:
            assert f"    {cell(row['remedy'])}" in lines


def test_what_was_ended_comes_first_with_its_event_and_proof() -> None:
    text = plain(whole([finding(subject="T2"), ended(offline_until="2026-11-24T12:20:00Z")]))
    assert text.index("ended orphaned-task: 2 credentials") < text.index("high orphaned-task: 1 finding")
    assert "T1 (2 credentials, audit event 7)" in text
    assert "    no verifier of ours accepts it\n" in text
    assert "offline verifiers accept some until 2026-11-24T12:25:00Z" in text


def test_ten_are_shown_and_the_rest_is_counted_with_the_command_that_lists_them() -> None:
    text = plain(list(many(1_234)))
    assert "high orphaned-task: 1,234 findings" in text
    assert text.count("jitid revoke --task") == findings_text.MOST
    assert "  … and 1,224 more:\n    jitid sweep --rule orphaned-task --format tsv\n" in text


def test_the_command_for_the_rest_can_name_another_ledger() -> None:
    rows = findings_text.text(
        many(11), RULES, False, lambda command: command.replace("jitid", "jitid --ledger L", 1)
    )
    assert "    jitid --ledger L sweep --rule orphaned-task --format tsv\n" in "".join(rows)


def test_what_the_baseline_knows_is_counted_alone() -> None:
    text = plain(whole([finding(state="known", subject="old"), finding(state="known"), finding()]))
    assert "high orphaned-task: 1 finding, 2 more in the baseline" in text
    assert "  T1 (" in text
    assert "old" not in text
    text = plain(whole([finding(state="known")]))
    assert "known orphaned-task: nothing new, 1 more in the baseline" in text


def test_what_was_examined_and_what_not_stands_at_the_end() -> None:
    text = plain(whole([finding()], "row 7 is damaged"), verbose=True)
    assert "examined for standing: 450,000 live credentials" in text
    text = plain(whole([finding()], "row 7 is damaged"))
    assert "3 rules run, 2 examined completely" in text
    assert "not examined for orphaned-task: row 7 is damaged" in text
    assert "1 finding, highest severity high; incomplete: not everything was examined" in " ".join(
        text.split()
    )
    assert "no findings" in plain(whole([]))
    assert "was interrupted" in plain([finding()])


def test_what_nobody_can_know_is_neither_clean_nor_missed() -> None:
    """Each format reports it. The short text reports it once for all rules that it affects."""
    *rows, end = whole([])
    unknown = [coverage(name, unknown="no audience reports use") for name in ("never-used", "over-scoped")]
    told: list[SweptRow] = [*rows, *unknown, end]
    text = plain(told)
    assert "5 rules run, 3 examined completely" in text
    assert "unknown for never-used, over-scoped: no audience reports use" in text
    assert "incomplete" not in text
    for other in (plain(told, verbose=True), page(told), "".join(findings_sarif.text(told, RULES))):
        assert other.count("450,000 live credentials; unknown: no audience reports use") == 2
    metrics = "".join(findings_prometheus.text(told, RULES))
    assert 'jitid_sweep_unknown{rule="never-used"} 1' in metrics
    assert 'jitid_sweep_unknown{rule="standing"} 0' in metrics
    assert 'jitid_sweep_complete{rule="never-used"} 1' in metrics


# Pages


class Elements(HTMLParser):
    """A parser that reads a page and refuses wrong nesting."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.said = ""
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag != "meta":
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.said += data


@given(sweeps)
def test_nothing_in_a_finding_becomes_an_element(rows: list[SweptRow]) -> None:
    text = page(rows)
    elements = Elements(text)
    assert {tag for tag, _ in elements.found} <= {
        "html", "head", "meta", "title", "style", "body", "main", "section", "h1", "h2", "h3", "p", "span",
        "ul", "li", "dl", "dt", "dd", "code", "table", "thead", "tbody", "tr", "th", "td", "header", "nav", "a", "div",
        "script",
    }  # fmt: skip
    names = {name for _, attributes in elements.found for name in attributes}
    assert names <= {
        "lang", "charset", "http-equiv", "content", "name", "class", "id", "aria-labelledby", "scope", "tabindex",
        "aria-label", "href",
    }  # fmt: skip
    ids = [attributes["id"] for _, attributes in elements.found if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = [attributes["href"] for _, attributes in elements.found if "href" in attributes]
    assert set(links) <= {f"#{each}" for each in ids}
    assert text.count("<script") == 1
    assert f"<script>{SCRIPT}</script>" in text
    for row in rows:
        if "state" in row and row["state"] == "open":
            assert cell(row["subject"]) in elements.said


def test_hostile_text_is_shown_as_text() -> None:
    text = page(
        whole([finding(subject="<script>alert(1)</script>", summary='"><img src=x onerror=y>\u202e')])
    )
    assert text.count("<script") == 1
    assert "<img" not in text
    assert "\u202e" not in text


def test_the_page_refers_to_itself_only() -> None:
    text = page(whole([finding(rule=rule.name) for rule in RULES] + [ended()]))
    assert not re.search(r"url\(|@import|https?:|src=", text)
    assert re.findall('href="(.)', text) == ["#"] * 5


def test_the_page_shows_two_hundred_of_a_rule_and_the_number_of_the_rest() -> None:
    text = page(list(many(1_234)))
    assert text.count("<li>") == findings_html.MOST
    assert "orphaned-task: 1,234 findings" in text
    assert "… and 1,034 more:" in text
    assert "jitid sweep --rule orphaned-task --format tsv" in text


def test_the_page_tells_durations_with_their_units_and_nothing_of_what_there_is_not() -> None:
    evidence = {"lifetime_seconds": 720_000, "limit_seconds": 28_800, "limit": 25, "scopes": [], "agent": ""}
    text = Elements(page(whole([finding(evidence=evidence, credentials=0)]))).said
    for told in ("lifetime 8d8h", "limit 8h", "limit 25"):
        assert told in text
    for nothing in ("scopes", "agent", "720000", "credentials 0", "seconds"):
        assert nothing not in text.partition("Coverage")[0]


def test_a_severity_is_said_again_only_where_it_is_another_than_its_rule_has() -> None:
    text = Elements(page(whole([finding(subject="T1"), finding(subject="T2", severity="low")]))).said
    assert "T1\n" in text
    assert "T2 low\n" in text


def test_a_command_in_a_sentence_is_marked_as_code() -> None:
    rule = RULES[0]._replace(reports="what `jitid leak add` was told", spares="a < `b`")
    text = "".join(findings_html.text(iter(whole([finding()])), [rule]))
    assert "Reported: What <code>jitid leak add</code> was told. Not reported: A &lt; <code>b</code>." in text


def test_the_page_tells_what_was_not_examined() -> None:
    assert "Not examined: row 7 is damaged" in page(whole([], "row 7 is damaged"))
    assert "was interrupted" in page([coverage("clock")])


# Memory

FORMATS: dict[str, Callable[[Iterator[SweptRow]], Iterator[str]]] = {
    "sarif": lambda rows: findings_sarif.text(rows, RULES),
    "prometheus": lambda rows: findings_prometheus.text(rows, RULES),
    "text": lambda rows: findings_text.text(rows, RULES, colour=False),
    "html": lambda rows: findings_html.text(rows, RULES),
}


@pytest.mark.parametrize("name", FORMATS)
def test_ten_times_as_many_findings_take_no_more_memory(name: str) -> None:
    peaks = []
    for count in (1_000, 10_000):
        tracemalloc.start()
        for _ in FORMATS[name](many(count)):
            pass
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 100_000


def test_the_last_line_names_the_host_and_no_name_acts_on_the_terminal() -> None:
    rows = whole([finding()])
    assert plain(rows).endswith(f"\nhost {HOST}\n")
    closing = summary([])["summary"]
    hostile: list[SweptRow] = [{"summary": {**closing, "host": "a\x1b[31m\u202eb"}}]
    assert plain(hostile).endswith("\nhost a\\x1b[31m\\u202eb\n")
    unnamed: list[SweptRow] = [{"summary": {**closing, "host": None}}]
    assert "host" not in plain(unnamed)
