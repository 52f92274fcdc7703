"""Results of sweeps in the form that the output formats get."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

from jitid.capabilities.sweep.finding import SEVERITIES, Severity
from jitid.capabilities.sweep.findings_view import (
    STATES,
    CoverageRow,
    FindingRow,
    RuleInfo,
    SummaryRow,
    SweptRow,
)
from tests.formats.test_formats import texts

RULES = (
    RuleInfo(
        "orphaned-task",
        Severity.HIGH,
        ("NHI1:2025",),
        "credentials outlive their task",
        "a credential that is alive after its task has ended",
        "one whose task is open",
        "all live credentials",
    ),
    RuleInfo(
        "standing",
        Severity.MEDIUM,
        ("NHI7:2025", "NHI5:2025"),
        "lifetimes are too long",
        "a credential that lives longer than its sensitivity allows",
        "one at the limit",
        "all live credentials",
    ),
    RuleInfo("clock", Severity.LOW, (), "the clock is behind", "a mark ahead", "a mark behind", "the mark"),
)


def finding(**more: Any) -> FindingRow:
    """Return a finding with the usual values, except as `more` states."""
    row: FindingRow = {
        "state": "open",
        "rule": "orphaned-task",
        "severity": "high",
        "subject": "T1",
        "since": "2026-11-24T12:00:00Z",
        "credentials": 2,
        "summary": "task T1 has ended, and 2 credentials live on",
        "remedy": "jitid revoke --task T1",
        "evidence": {"task_ended_at": "2026-11-24T12:00:00Z"},
        "fingerprint": "0123456789abcdef",
        "sweep": None,
        "event": None,
        "ended_at": None,
        "ended_credentials": None,
        "proof": None,
        "offline_until": None,
    }
    return {**row, **more}  # type: ignore[typeddict-item]


def ended(**more: Any) -> FindingRow:
    """Return a finding that the sweep has fixed."""
    facts = {
        "state": "ended",
        "sweep": SWEEP,
        "event": 7,
        "ended_at": "2026-11-24T12:10:00Z",
        "ended_credentials": 2,
        "proof": "no verifier of ours accepts it",
    }
    return finding(**facts, **more)


HOST = "ci-7.example"
SWEEP = "01936f0e-0000-7000-8000-000000000000"


def coverage(rule: str, *missed: str, unknown: str | None = None) -> CoverageRow:
    """Return the row that ends the findings of a rule."""
    return {
        "coverage": {
            "rule": rule,
            "examined": "450,000 live credentials",
            "complete": not missed,
            "missed": list(missed),
            "unknown": unknown,
        }
    }


def summary(rows: list[FindingRow], *, complete: bool = True) -> SummaryRow:
    """Return the row that ends a result."""
    states = [row["state"] for row in rows]
    grave = [Severity(row["severity"]) for row in rows if row["state"] == "open"]
    return {
        "summary": {
            "sweep": SWEEP,
            "at": "2026-11-24T12:10:00Z",
            "host": HOST,
            "open": states.count("open"),
            "known": states.count("known"),
            "ended": states.count("ended"),
            "ended_credentials": sum(row["credentials"] for row in rows if row["state"] == "ended"),
            "live": 450_000,
            "worst": max(grave, key=lambda each: each.rank).value if grave else None,
            "complete": complete,
        }
    }


def whole(findings: list[FindingRow], *missed: str) -> list[SweptRow]:
    """Return all rows of a sweep in their order; `missed` has the reasons why the first rule is incomplete."""
    rows: list[SweptRow] = [row for row in findings if row["state"] == "ended"]
    for rule in RULES:
        rows += [row for row in findings if row["state"] != "ended" and row["rule"] == rule.name]
        rows.append(coverage(rule.name, *(missed if rule is RULES[0] else ())))
    return [*rows, summary(findings, complete=not missed)]


def many(count: int) -> Iterator[SweptRow]:
    """Yield the rows of a sweep with `count` findings of one rule; each row is made when it is needed."""
    for number in range(count):
        yield finding(subject=f"T{number}", remedy=f"jitid revoke --task T{number}")
    yield coverage("orphaned-task")
    yield {**summary([]), "summary": {**summary([])["summary"], "open": count, "worst": "high"}}


# Rows with arbitrary text in each field that a user can influence.
findings = st.lists(
    st.builds(
        lambda state, rule, severity, subject, said, remedy, evidence: (
            ended if state == "ended" else finding
        )(
            **({"state": state} if state != "ended" else {}),
            rule=rule,
            severity=severity,
            subject=subject,
            summary=said,
            remedy=remedy,
            evidence=evidence,
        ),
        st.sampled_from(STATES),
        st.sampled_from([rule.name for rule in RULES]),
        st.sampled_from([each.value for each in SEVERITIES]),
        texts.filter(str.strip),
        texts,
        st.none() | texts,
        st.dictionaries(texts, st.none() | st.integers() | texts, max_size=2),
    ),
    max_size=5,
)
sweeps = st.builds(whole, findings, texts.filter(str.strip)) | st.builds(whole, findings)
