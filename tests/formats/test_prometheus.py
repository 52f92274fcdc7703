"""Metrics: accepted by Prometheus' own checker, and by the grammar of its text format."""

from __future__ import annotations

import re
import subprocess

from hypothesis import given

from jitid.capabilities.sweep import findings_prometheus
from jitid.capabilities.sweep.findings_view import SweptRow
from jitid.formats import prometheus
from tests.capabilities.sweep.swept import RULES, ended, finding, sweeps, whole
from tests.formats.test_formats import texts
from tests.real import need

_LABEL = r'[a-zA-Z_]\w*="(?:[^\\"\n]|\\["\\n])*"'
_SAMPLE = re.compile(rf"[a-zA-Z_:][\w:]*(?:\{{{_LABEL}(?:,{_LABEL})*\}})? -?\d+(?:\.\d+)?", re.ASCII)


def written(rows: list[SweptRow]) -> str:
    """Return a sweep result as metrics."""
    return "".join(findings_prometheus.text(iter(rows), RULES))


def values(rows: list[SweptRow]) -> dict[str, str]:
    """Return the samples by name with labels."""
    lines = [line.rpartition(" ") for line in written(rows).splitlines() if not line.startswith("#")]
    assert len({name for name, _, _ in lines}) == len(lines)
    return {name: value for name, _, value in lines}


@given(sweeps)
def test_every_line_is_of_the_text_format(rows: list[SweptRow]) -> None:
    for line in written(rows).removesuffix("\n").split("\n"):
        assert line.startswith(("# HELP jitid_", "# TYPE jitid_")) or _SAMPLE.fullmatch(line)


@given(texts, texts)
def test_any_text_can_be_a_label(one: str, other: str) -> None:
    (line,) = prometheus.family("x", "X.", [({"one": one, "other": other}, 1.5)])
    sample = line.split("\n")[2]
    assert _SAMPLE.fullmatch(sample)
    assert sample.isprintable()


def test_prometheus_accepts_it() -> None:
    text = written(whole([finding(), finding(state="known"), ended()], "row 7 is damaged"))
    text += "".join(prometheus.family("jitid_x", "X.", [({"name": 'a"b\\c\nd\x1b[31m'}, 2.5)]))
    done = subprocess.run([need("promtool"), "check", "metrics"], input=text, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_findings_are_counted_by_rule_severity_and_state() -> None:
    rows = whole(
        [finding(), finding(credentials=3), finding(state="known"), finding(severity="low"), ended()]
    )
    found = values(rows)
    assert found['jitid_sweep_findings{rule="orphaned-task",severity="high",state="open"}'] == "2"
    assert found['jitid_sweep_findings{rule="orphaned-task",severity="low",state="open"}'] == "1"
    assert found['jitid_sweep_findings{rule="orphaned-task",severity="high",state="known"}'] == "1"
    assert found['jitid_sweep_findings{rule="orphaned-task",severity="high",state="ended"}'] == "1"
    assert found['jitid_sweep_credentials{rule="orphaned-task"}'] == "9"
    assert found['jitid_sweep_ended_credentials{rule="orphaned-task"}'] == "2"
    assert found["jitid_sweep_timestamp_seconds"] == "1795522200"


def test_a_rule_without_findings_is_zero_and_not_absent() -> None:
    found = values(whole([]))
    for rule in RULES:
        for state in ("open", "known", "ended"):
            name = f'jitid_sweep_findings{{rule="{rule.name}",severity="{rule.severity}",state="{state}"}}'
            assert found[name] == "0"
        assert found[f'jitid_sweep_complete{{rule="{rule.name}"}}'] == "1"


def test_a_rule_that_has_not_seen_all_is_not_complete() -> None:
    found = values(whole([], "row 7 is damaged"))
    assert found['jitid_sweep_complete{rule="orphaned-task"}'] == "0"
    assert found['jitid_sweep_complete{rule="standing"}'] == "1"
