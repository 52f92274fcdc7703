"""SARIF: valid against its schema for any finding, and correct by the standard's rules beyond the schema."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import unquote, unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitid.capabilities.sweep import findings_sarif
from jitid.capabilities.sweep.findings_view import SCAN, SweptRow
from tests.capabilities.sweep.swept import HOST, RULES, SWEEP, ended, finding, sweeps, whole
from tests.real import missing

SCHEMA = Path(__file__).parents[2] / "vectors" / "sarif" / "sarif-2.1.0.json"
# RFC 3986, section 4.2: a path without a scheme, in characters that need no escape.
RELATIVE = re.compile(r"[\w.~!$&'()*+,;=@-]+(?:%[0-9A-F]{2}|[\w.~!$&'()*+,;=@:-])*", re.ASCII)


@pytest.fixture(scope="module")
def errors() -> Callable[[object], list[str]]:
    """Return a function that lists the schema violations of a document."""
    try:
        jsonschema: Any = import_module("jsonschema")
    except ImportError:
        missing("jsonschema is not installed")
    validator = jsonschema.Draft202012Validator(
        json.loads(SCHEMA.read_text()), format_checker=jsonschema.FormatChecker()
    )
    return lambda document: [str(error.message) for error in validator.iter_errors(document)]


def run_of(rows: list[SweptRow]) -> dict[str, Any]:
    """Return the only run of a result."""
    run: dict[str, Any]
    (run,) = json.loads("".join(findings_sarif.text(iter(rows), RULES)))["runs"]
    return run


def test_the_schema_finds_what_does_not_belong(errors: Callable[[object], list[str]]) -> None:
    document = json.loads("".join(findings_sarif.text(iter(whole([finding()])), RULES)))
    document["runs"][0]["results"][0]["level"] = "grave"
    document["runs"][0]["results"][0]["extra"] = 1
    assert len(errors(document)) == 2


@given(sweeps)
def test_whatever_a_finding_holds_the_document_is_valid(
    errors: Callable[[object], list[str]], rows: list[SweptRow]
) -> None:
    text = "".join(findings_sarif.text(iter(rows), RULES))
    assert errors(json.loads(text)) == []
    # The text has no character that a terminal interprets.
    assert text.replace("\n", "").isascii()
    assert text.replace("\n", "").isprintable()


@given(sweeps)
def test_each_finding_is_a_result_that_points_to_its_rule_and_subject(rows: list[SweptRow]) -> None:
    run = run_of(rows)
    findings = [row for row in rows if "state" in row]
    assert len(run["results"]) == len(findings)
    for row, result in zip(findings, run["results"], strict=True):
        rule = run["tool"]["driver"]["rules"][result["ruleIndex"]]
        assert rule["id"] == result["ruleId"] == row["rule"]
        (location,) = result["locations"]
        assert location["logicalLocations"][0]["fullyQualifiedName"] == row["subject"]
        uri = location["physicalLocation"]["artifactLocation"]["uri"]
        assert RELATIVE.fullmatch(uri)
        assert unquote(uri) == f"{row['rule']}={row['subject']}"
        assert result["properties"]["evidence"] == dict(row["evidence"])


@given(sweeps)
def test_no_message_links_or_has_placeholders(rows: list[SweptRow]) -> None:
    """A viewer would show `[text](target)` as a link (sections 3.11.5 and 3.11.6)."""
    for result in run_of(rows)["results"]:
        said = result["message"]["text"]
        assert "](" not in said
        assert not re.search(r"[{}]", said.replace("{{", "").replace("}}", ""))


@pytest.mark.parametrize(
    ("severity", "level", "score"),
    [
        ("info", "note", 0.0),
        ("low", "note", 2.0),
        ("medium", "warning", 5.5),
        ("high", "error", 8.0),
        ("critical", "error", 9.5),
    ],
)
def test_each_severity_has_a_level(severity: str, level: str, score: float) -> None:
    run = run_of(whole([finding(severity=severity)]))
    assert run["results"][0]["level"] == level
    scores = {
        rule.severity: run["tool"]["driver"]["rules"][place]["properties"]["security-severity"]
        for place, rule in enumerate(RULES)
    }
    assert float(scores.get(severity, score)) == score  # type: ignore[call-overload]


def test_what_the_baseline_knows_is_suppressed_and_what_has_ended_has_passed() -> None:
    run = run_of(whole([finding(), finding(state="known"), ended()]))
    passed, failed, known = run["results"]
    assert (passed["kind"], passed["level"], passed["suppressions"]) == ("pass", "none", [])
    assert (failed["kind"], failed["level"], failed["suppressions"]) == ("fail", "error", [])
    assert (known["kind"], known["level"]) == ("fail", "error")
    assert [each["kind"] for each in known["suppressions"]] == ["external"]
    assert passed["properties"]["event"] == 7
    assert "jitid revoke --task T1" in failed["message"]["text"]
    assert "jitid revoke" not in passed["message"]["text"]
    assert failed["partialFingerprints"] == {"jitid/v1": "0123456789abcdef"}


def test_what_was_not_examined_is_a_notification() -> None:
    invocation = run_of(whole([], "row 7 is damaged"))["invocations"][0]
    assert invocation["executionSuccessful"] is False
    (told,) = invocation["toolExecutionNotifications"]
    assert told["message"]["text"] == "not examined: row 7 is damaged"
    assert told["associatedRule"] == {"id": "orphaned-task", "index": 0}


def test_a_complete_sweep_says_so_and_when() -> None:
    run = run_of(whole([]))
    assert run["invocations"][0]["executionSuccessful"] is True
    assert run["invocations"][0]["endTimeUtc"] == "2026-11-24T12:10:00Z"
    assert run["invocations"][0]["machine"] == HOST
    assert run["automationDetails"]["id"] == f"jitid sweep/{SWEEP}"
    assert run["tool"]["driver"]["rules"][1]["properties"]["tags"] == [
        "security",
        "OWASP NHI7:2025",
        "OWASP NHI5:2025",
    ]


def test_rows_that_break_off_are_no_success() -> None:
    assert run_of([finding()])["invocations"][0]["executionSuccessful"] is False


@given(st.binary(min_size=1).filter(lambda raw: b"\0" not in raw), st.none() | st.integers(1, 1 << 40))
def test_a_place_in_a_file_is_an_address_whatever_it_is_called(
    errors: Callable[[object], list[str]], raw: bytes, line: int | None
) -> None:
    """Bytes that are not text are encoded without a change, so that a reader finds the file."""
    path = os.fsdecode(raw)
    rows = whole([finding(subject=f"{path}:{line}", evidence={"path": path, "line": line})])
    text = "".join(findings_sarif.text(iter(rows), RULES, SCAN))
    document = json.loads(text)
    assert errors(document) == []
    assert text.replace("\n", "").isprintable()
    (result,) = document["runs"][0]["results"]
    place = result["locations"][0]["physicalLocation"]
    uri = place["artifactLocation"]["uri"]
    if raw.startswith(b"/"):
        assert uri.startswith("file:///")
        assert unquote_to_bytes(uri.removeprefix("file://")) == raw
    else:
        assert ":" not in uri
        assert unquote_to_bytes(uri) == raw
    assert place.get("region") == (None if line is None else {"startLine": line})
