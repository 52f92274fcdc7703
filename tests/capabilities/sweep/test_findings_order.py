"""The order of findings for people: by severity, then by rule, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from jitid.capabilities.sweep.finding import SEVERITIES, Severity
from jitid.capabilities.sweep.findings_order import by_severity, run_order
from jitid.capabilities.sweep.findings_view import SweptRow
from jitid.capabilities.sweep.rules import NAMES, rule_of
from tests.capabilities.sweep.swept import coverage, ended, finding, summary

ORDER = run_order(NAMES)


def test_rules_run_in_the_order_of_their_highest_severity() -> None:
    ranks = [rule_of(name).highest.rank for name in ORDER]
    assert ranks == sorted(ranks, reverse=True)
    assert sorted(ORDER) == sorted(NAMES)
    assert ORDER[:3] == ("leaked-live", "canary", "audit-gap")
    assert ORDER[-2:] == ("offline-valid", "exchanged-valid")


def test_the_order_does_not_depend_on_the_order_of_the_choice() -> None:
    assert run_order(["standing", "leaked-live", "orphaned-task"]) == (
        "leaked-live",
        "orphaned-task",
        "standing",
    )


@st.composite
def results(draw: st.DrawFn) -> list[SweptRow]:
    """Draw the results of a sweep: any severities that its rules may report, in the order in which the rules run."""
    rows: list[SweptRow] = [ended(rule=name) for name in draw(st.lists(st.sampled_from(NAMES), max_size=2))]
    for name in run_order(draw(st.sets(st.sampled_from(NAMES)))):
        possible = [each for each in SEVERITIES if each.rank <= rule_of(name).highest.rank]
        for number, severity in enumerate(draw(st.lists(st.sampled_from(possible), max_size=3))):
            rows.append(finding(rule=name, severity=severity.value, subject=f"{name} {number}"))
        rows.append(coverage(name))
    return [*rows, summary([])]


def open_(rows: list[SweptRow]) -> list[tuple[str, str, str]]:
    """Return severity, rule and subject of the findings that were not ended."""
    return [
        (row["severity"], row["rule"], row["subject"])
        for row in rows
        if "state" in row and row["state"] != "ended"
    ]


@given(results())
def test_findings_are_sorted_by_severity_and_then_by_rule(rows: list[SweptRow]) -> None:
    in_order = list(by_severity(rows))
    found = open_(in_order)
    assert found == sorted(
        open_(rows), key=lambda each: (-Severity(each[0]).rank, NAMES.index(each[1]), each[2])
    )
    others = [row for row in rows if "state" not in row or row["state"] == "ended"]
    assert [row for row in in_order if "state" not in row or row["state"] == "ended"] == others
    assert in_order[-1] == rows[-1]


def test_a_finding_at_the_highest_severity_of_its_rule_does_not_wait_for_the_next() -> None:
    def endless() -> Iterator[SweptRow]:
        yield finding(rule="standing")
        raise AssertionError("the next row was read before the first one was shown")

    assert next(by_severity(endless()))


def test_findings_that_are_held_back_are_shown_if_the_rows_break_off() -> None:
    rows: list[SweptRow] = [finding(rule="standing-access", severity="medium"), finding(rule="standing")]
    assert open_(list(by_severity(rows))) == [("high", "standing", "T1"), ("medium", "standing-access", "T1")]


def test_above_the_bound_the_findings_of_a_rule_keep_their_place() -> None:
    rows: list[SweptRow] = [
        finding(rule="orphaned-untracked", severity="medium", subject="first"),
        coverage("orphaned-untracked"),
        *(finding(rule="standing-access", severity="medium", subject=f"{number}") for number in range(4)),
        coverage("standing-access"),
        finding(rule="duplicate", severity="medium"),
    ]
    assert [subject for *_, subject in open_(list(by_severity(rows, limit=2)))] == [
        "0",
        "1",
        "2",
        "3",
        "first",
        "T1",
    ]


def test_a_rule_of_another_version_keeps_its_place() -> None:
    rows: list[SweptRow] = [
        finding(rule="standing"),
        finding(rule="a-newer-rule", severity="low"),
        coverage("a-newer-rule"),
        summary([]),
    ]
    assert list(by_severity(rows)) == rows
