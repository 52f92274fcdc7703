"""Formats of the report: each format has the same figures, and a name cannot act as markup or a command."""

from __future__ import annotations

import csv as csv_reader
import io
import json as json_reader
import re
import subprocess
from collections import defaultdict
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jitid.capabilities.report import report_document, report_figures, report_html, report_text
from jitid.capabilities.report.sprawl_report import Report, most_severe
from jitid.capabilities.sweep.finding import Finding
from jitid.formats import csv, json
from jitid.formats.cell import count, duration, percent
from jitid.formats.display import Display
from jitid.model.survey import Breakdown, Part, Spread
from tests.capabilities.report.made import FOUND, HOSTILE, hostile, lifeless, lively, ownerless
from tests.real import need


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """Return a report of a busy ledger."""
    return lively(tmp_path_factory.mktemp("report") / "ledger")


def document(report: Report) -> dict[str, Any]:
    """Return the document as a reader of the JSON gets it."""
    view = Display("jitid.report/1", (), (), document=report_document.document(report))
    found: dict[str, Any] = json_reader.loads("".join(json.text(view)))
    return found


def test_the_document_has_what_lines_have(report: Report) -> None:
    """The figures are the same in the document and in the metrics."""
    told = document(report)
    figures: dict[str, list[Any]] = defaultdict(list)
    for row in report_figures.rows(report):
        figures[row["metric"]].append((dict(row["labels"]), row["value"]))
    totals = told["totals"]
    assert figures["credentials_live"] == [({}, totals["live"])]
    assert figures["identities_issued"] == [({}, totals["identities"])]
    assert sum(value for _, value in figures["tasks"]) == totals["tasks"]
    for name, found in told["live_by"].items():
        assert figures[f"credentials_live_by_{name}"] == [
            ({name: each["name"]}, each["live"]) for each in found["top"]
        ]
        assert figures[f"credentials_live_by_{name}_others"] == [({}, found["others"])]
    assert [value for _, value in figures["day_live"]] == [day["live"] for day in told["trend"]]
    assert figures["leaked_percent_valid"] == [({}, told["leaks"]["after_five_days"]["percent"])]
    assert told["leaks"]["after_five_days"]["published"] == {"percent": 91.6, "source": "NHI Mgmt Group"}
    assert told["identities_per_person"]["published"] == {"value": 80, "source": "NHI Mgmt Group"}
    assert told["use"]["counted"].startswith("renewal, delegation, or permission by `authorize`")
    assert figures["credentials_over_scoped"] == [({}, told["use"]["over_scoped"])] == [({}, 2)]
    share = round(2 / totals["live"], 6)
    assert (
        figures["credentials_over_scoped_ratio"] == [({}, told["use"]["over_scoped_share"])] == [({}, share)]
    )
    assert (
        figures["directory_agents_over_privileged"]
        == [({}, told["directory"]["over_privileged"])]
        == [({}, 1)]
    )


def test_of_what_no_use_is_reported_it_is_said_that_it_is_not_known(report: Report) -> None:
    said = "hold unused scopes; unknown: whether 9 of 99 live credentials are used"
    assert document(report)["use"]["over_scoped_unknown"] == "whether 9 of 99 live credentials are used"
    for text in (report_text.text(report, False), report_html.text(report)):
        assert said in " ".join("".join(text).split())
    assert report.excess is not None
    none = report._replace(excess=report.excess._replace(over_scoped=0))
    for text in (report_text.text(none, False), report_html.text(none)):
        whole = " ".join("".join(text).split())
        assert "one found; unknown: whether 9 of 99 live credentials are used" in whole
        assert "hold unused scopes" not in whole


def test_without_an_old_leak_there_is_no_percentage(report: Report) -> None:
    """The percentage is null and not zero, and the text gives the reason."""
    leaks = report.survey.leaks._replace(aged=0, aged_valid=0)
    young = report._replace(survey=report.survey._replace(leaks=leaks))
    found = document(young)["leaks"]["after_five_days"]
    assert found["percent"] is None
    assert found["note"] == "no leaked secret that was valid at its report is five days old yet"
    for text in (report_text.text(young, False), report_html.text(young)):
        assert found["note"] in " ".join("".join(text).split())


def of_leaks(report: Report, **counts: Any) -> tuple[Report, str]:
    """Return the report with other counts of leaks, and its text and its page without line breaks."""
    changed = report._replace(survey=report.survey._replace(leaks=report.survey.leaks._replace(**counts)))
    texts = (report_text.text(changed, False), report_html.text(changed))
    return changed, " ".join(" ".join("".join(text).split()) for text in texts)


def test_closed_leaks_are_told_apart(report: Report) -> None:
    """Closed leaks stay in the figures, and a reader of the figures sees the number of closed ones."""
    changed, told = of_leaks(report, valid=5, valid_closed=2, living_on=4, living_on_closed=3)
    assert "still valid 5, 2 of them closed, the oldest for" in told
    live = (
        "identity still live 4 of the ended ones, by a successor or a delegated credential, 3 of them closed"
    )
    assert live in told
    assert "2 valid and closed" in told
    assert "Ended, but with a live identity: 4, 3 of them closed." in told
    leaks = document(changed)["leaks"]
    figures = {row["metric"]: row["value"] for row in report_figures.rows(changed) if not row["labels"]}
    for name, metric, value in (
        ("still_valid", "valid", 5),
        ("still_valid_closed", "valid_closed", 2),
        ("identity_lives_on", "living_on", 4),
        ("identity_lives_on_closed", "living_on_closed", 3),
    ):
        assert leaks[name] == figures[f"leaked_secrets_{metric}"] == value
    _, told = of_leaks(report, valid=5, valid_closed=0, living_on=0, living_on_closed=0)
    assert "closed" not in told


def test_what_the_figures_leave_out_is_said_wherever_they_are_read(report: Report) -> None:
    """A verifier that does not query the ledger accepts credentials that have ended there."""
    changed, told = of_leaks(report, offline=1, accepted=7, unsettled=2)
    said = "by verifiers, when the last signed credential of its identity or descendants has expired"
    assert told.count(said) == 2
    assert said in document(changed)["leaks"]["judged"]
    more = (
        "verifiers may accept 7 secrets that the ledger refuses; "
        "2 of them have a target that has not confirmed"
    )
    assert told.count(more) == 2
    leaks = document(changed)["leaks"]
    assert (leaks["honoured_offline"], leaks["accepted_by_verifiers"], leaks["target_unconfirmed"]) == (
        1,
        7,
        2,
    )


def test_the_headline_has_both_exposures(report: Report) -> None:
    """One exposure lasts until the ledger refused the credential, the other until no verifier accepts it."""
    ledger, verifiers = Spread(4, 60, 3_600, 7_200), Spread(5, 86_400, 172_800, 259_200)
    counts = {"aged": 8, "aged_valid": 2, "aged_known": 10, "aged_accepted": 6}
    changed, _ = of_leaks(report, exposure=ledger, exposure_verifiers=verifiers, **counts)
    text = "".join(report_text.text(changed, False))
    headline = text[text.index("Leaked secrets\n") : text.index("Agents per person\n")]
    lines = [" ".join(line.split()) for line in headline.splitlines()]
    shares = ["here, by the ledger", "here, by verifiers", "published"]
    found = [next(place for place, line in enumerate(lines) if line.startswith(name)) for name in shares]
    assert found == sorted(found)
    assert "25.0 %" in lines[found[0]]
    assert "60.0 %" in lines[found[1]]
    assert "exposure, ledger p50 1m, p95 1h, longest 2h" in lines
    assert "exposure, verifiers p50 1d, p95 2d, longest 3d" in lines
    page = "".join(report_html.text(changed))
    card = page[page.index("Leaked secrets still valid") : page.index("Live agent identities per person")]
    assert card.index("until the ledger refuses it") < card.index("until no verifier accepts it")
    leaks = document(changed)["leaks"]
    assert (leaks["exposure"]["p50_seconds"], leaks["exposure_verifiers"]["p50_seconds"]) == (60, 86_400)
    assert (leaks["after_five_days"]["percent"], leaks["after_five_days"]["percent_verifiers"]) == (25, 60)
    figures = {row["metric"]: row["value"] for row in report_figures.rows(changed) if not row["labels"]}
    assert figures["exposure_verifiers_p95_seconds"] == 172_800
    assert figures["leaked_percent_accepted_by_verifiers"] == 60


@pytest.mark.parametrize(
    ("before", "words"),
    [(0, "0 ended before their report and are"), (1, "1 ended before its report and is")],
)
def test_what_was_dead_before_its_report_is_not_said_to_have_worked(
    report: Report, before: int, words: str
) -> None:
    _, told = of_leaks(report, dead_before=before, secrets=7, aged=0, aged_valid=0)
    assert f"{words} not counted" in told
    assert "7 secrets, 0 of them valid then and reported at least five days ago" in told
    assert "0 of 0 secrets that worked when reported at least five days ago" in told


def test_the_past_has_no_offenders_and_says_so(report: Report) -> None:
    """A sweep examines only the present."""
    past = report._replace(past=True, offenders=None, missed=())
    told = document(past)
    assert told["offenders"] is None
    for text in (
        json_reader.dumps(told),
        *map("".join, (report_text.text(past, False), report_html.text(past))),
    ):
        assert "a report about the past omits them" in text.replace("\n", " ")


def test_the_gravest_come_first_and_then_the_largest() -> None:
    """Findings of severity `info` are not offenders."""
    found = [each for each in FOUND if isinstance(each, Finding)]
    assert [each.subject for each in most_severe(found)] == [
        *("jid_x", "user:b", "user:a", "INC-1", "bot", "agent-1: repo:*", "agent-2: repo:*")
    ]
    assert [each.subject for each in most_severe(found, 2)] == ["jid_x", "user:b"]


def test_whoever_offends_comes_with_the_command_that_ends_it(report: Report) -> None:
    """The text, the page and the JSON have the command. They also name the rules that were not examined."""
    for text in (
        report_text.text(report, False),
        report_html.text(report),
        json_reader.dumps(document(report)),
    ):
        whole = "".join(text)
        assert "jitid revoke --delegator user:a" in whole
        assert "orphaned-process: another host has some" in whole
    assert document(report)["not_examined"] == ["orphaned-process: another host has some"]


@pytest.mark.parametrize("of", [lambda report: report, hostile], ids=["lively", "hostile"])
def test_prometheus_takes_its_metrics(report: Report, of: Any) -> None:
    """Prometheus's own checker reports no problem, even with hostile names."""
    text = "".join(report_figures.exposition(of(report)))
    checked = subprocess.run(
        [need("promtool"), "check", "metrics"], input=text, capture_output=True, text=True
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")
    names = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}
    assert len(names) > 30
    assert all(name.startswith("jitid_") for name in names)
    assert not any("task=" in line or "day=" in line for line in text.splitlines())


def test_every_metric_says_by_itself_what_it_is(report: Report) -> None:
    """A user who looks up a metric does not see the metric before it."""
    text = "".join(report_figures.exposition(report))
    told = [line.split(maxsplit=3)[3] for line in text.splitlines() if line.startswith("# HELP")]
    assert len(set(told)) == len(told)
    assert [each for each in told if re.match(r"(The same|Th(ey|eir|ose|ese|is|at))\b", each)] == []


def test_where_only_systems_have_something_alive_no_person_has(report: Report) -> None:
    """The report does not say either that there is no live identity."""
    live = report.survey.totals.live_identities
    assert live > 1
    for text in (report_text.text(ownerless(report), False), report_html.text(ownerless(report))):
        whole = "".join(text)
        assert f"o person has a live identity; {live} belong to systems" in whole
        flat = " ".join(whole.split())
        for none in ("mean no live credentials", ">no live credentials<", "No live credentials."):
            assert none not in flat
        assert "Nobody" not in whole


def test_where_nothing_is_alive_nothing_is_reckoned(report: Report) -> None:
    """There is no share of zero, and no mean over zero persons."""
    for width in (40, 80):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("COLUMNS", str(width))
            lines = "".join(report_text.text(lifeless(report), False)).splitlines()
        told = {line.rsplit("  ", 1)[0].strip(): line.rsplit("  ", 1)[-1] for line in lines}
        assert {told[name] for name in ("no use on record", "standing", "mean")} == {"no live credentials"}
        assert not [line for line in lines if "  -" in line]
    page = "".join(report_html.text(lifeless(report)))
    assert "no live credentials" in page
    assert "belong" not in page


def test_the_days_that_are_left_out_are_counted(report: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    text = "".join(report_text.text(report, False))
    days = [day for day in report.survey.trend if any(day[1:])]
    left = len(report.survey.trend) - len(days)
    assert left > 1
    assert f"Last {left + len(days)} days (UTC)\nthe first {left} days are omitted" in text
    busy = report._replace(survey=report.survey._replace(trend=tuple(days)))
    assert "days are omitted" not in "".join(report_text.text(busy, False))


def test_a_command_in_a_sentence_is_marked_as_code(report: Report) -> None:
    """Backquotes are only for terminals."""
    page = "".join(report_html.text(report._replace(offenders=())))
    assert "<code>jitid sweep</code> lists all findings" in page
    assert "`" not in page


@pytest.mark.deep
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.integers(20, 200), st.integers(1, 10**9))
def test_no_name_and_no_figure_is_cut_off(report: Report, width: int, live: int) -> None:
    """This holds for any width of the terminal and any size of the figures."""
    # Each name has letters that no other name has; some letters are wide.
    names = ["".join(map(chr, range(start, start + high))) for start, high in NAMES]
    found = Breakdown(tuple(Part(name, live) for name in names), len(names), live * len(names))
    day = report.survey.trend[-1]._replace(live=live, issued=live, ended=live, leaks=live)
    survey = report.survey._replace(live_by=dict.fromkeys(report.survey.live_by, found), trend=(day,) * 3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", str(width))
        text = "".join(report_text.text(report._replace(survey=survey), False))
    for name in names:
        assert "".join([letter for letter in text if letter in name]) == name * len(report.survey.live_by)
    assert "".join(text.split()).count(f"{live:,}") >= 6 * len(names) + 4 * 3


NAMES = ((0x100, 30), (0x13A0, 80), (0x4E00, 60), (0xA000, 1))


@pytest.mark.parametrize("width", [20, 36, 60, 80, 200])
@pytest.mark.parametrize("colour", [False, True])
def test_a_terminal_obeys_nothing_in_a_name(
    report: Report, monkeypatch: pytest.MonkeyPatch, width: int, colour: bool
) -> None:
    """Without colours, the text has no escape sequence at all."""
    monkeypatch.setenv("COLUMNS", str(width))
    text = "".join(report_text.text(hostile(report), colour))
    assert ("\x1b[1m" in text) == colour
    for sequence in ("\x1b]", "\x1b[31mred", "\x07", "\u202e", "\u200b"):
        assert sequence not in text
    assert ("\x1b" in text) == colour


@pytest.mark.parametrize("width", [36, 60, 80, 200])
def test_what_is_drawn_fits_the_terminal(report: Report, monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    """Only commands may be longer: they stay whole, so that a user can copy them."""
    monkeypatch.setenv("COLUMNS", str(width))
    lines = "".join(report_text.text(report, False)).splitlines()
    assert max(len(line) for line in lines if not line.startswith("  jitid ")) <= width
    assert ("█" in "".join(lines)) == (width >= 50)


def test_a_spreadsheet_runs_no_name(report: Report) -> None:
    """Labels are JSON in a separate cell, so that none begins like a formula."""
    view = Display("", report_figures.FIELDS, report_figures.rows(hostile(report)))
    read = list(csv_reader.DictReader(io.StringIO("".join(csv.text(view)), newline="")))
    assert not [row for row in read if row["labels"].startswith(("=", "+", "-", "@"))]
    names = {
        json_reader.loads(row["labels"]).get("agent") for row in read if row["metric"].endswith("by_agent")
    }
    assert HOSTILE[0] in names


def test_the_page_stays_small_with_the_most_days(report: Report) -> None:
    """The trend has a year of days, and the names have the maximum length."""
    day = report.survey.trend[-1]
    long = hostile(report)
    wide = long._replace(survey=long.survey._replace(trend=(day,) * 366))
    assert len("".join(report_html.text(wide)).encode()) < 1_000_000


def test_figures_are_read_at_a_glance() -> None:
    """A share that is nearly zero or nearly all is not shown as zero or all."""
    shares = {None: "-", 0: "0.0 %", 0.0001: "< 0.1 %", 0.5: "50.0 %", 0.9999: "> 99.9 %", 1: "100 %"}
    assert {share: percent(share) for share in shares} == shares
    times = {None: "-", 0: "0s", 59: "59s", 60: "1m", 5_400: "1h30m", 93_661: "1d2h"}
    assert {seconds: duration(seconds) for seconds in times} == times
    assert count(1_570_000) == "1,570,000"


def test_text_and_document_name_the_host(report: Report) -> None:
    assert report_document.document(report, "ci-7")["host"] == "ci-7"
    lines = "".join(report_text.text(report, False, "ci-7\x1b[31m")).splitlines()
    (line,) = [line for line in lines if line.startswith("host ")]
    assert line.split() == ["host", "ci-7\\x1b[31m"]
