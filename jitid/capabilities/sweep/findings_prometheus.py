"""A sweep's result as metrics for a Prometheus textfile collector."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from jitid.capabilities.sweep.findings_view import STATES, SWEEP, RuleInfo, SweptRows, Wording
from jitid.formats.prometheus import Sample, family
from jitid.values.times import parse_time


def text(rows: SweptRows, rules: Sequence[RuleInfo], wording: Wording = SWEEP) -> Iterator[str]:
    """Yield the metrics of a sweep: only counts, since a label for each subject would make a series for each.

    A scan has fewer metrics. A rule without findings is 0 and not absent, so that an alert can distinguish the two.
    """
    findings: Counter[tuple[str, str, str]] = Counter(
        {(rule.name, rule.severity.value, state): 0 for rule in rules for state in STATES}
    )
    credentials: Counter[str] = Counter({rule.name: 0 for rule in rules})
    ended: Counter[str] = Counter({rule.name: 0 for rule in rules})
    complete: dict[str, int] = {}
    unknown: dict[str, int] = {}
    times: list[int] = []
    event: int | None = None
    for row in rows:
        if "state" in row:
            findings[row["rule"], row["severity"], row["state"]] += 1
            if row["state"] != "ended":
                credentials[row["rule"]] += row["credentials"]
            elif row["event"] != event:
                # One event may have ended the credentials of many findings.
                event = row["event"]
                ended[row["rule"]] += row["ended_credentials"] or 0
        elif "coverage" in row:
            complete[row["coverage"]["rule"]] = int(row["coverage"]["complete"])
            unknown[row["coverage"]["rule"]] = int(row["coverage"]["unknown"] is not None)
        else:
            times.append(parse_time(row["summary"]["at"]))
    if wording is not SWEEP:
        yield from _of_a_scan(findings, complete, times)
        return
    yield from family(
        "jitid_sweep_findings",
        "Findings of the last sweep by state: open, known (in the baseline), ended (fixed by the sweep).",
        (
            ({"rule": rule, "severity": severity, "state": state}, count)
            for (rule, severity, state), count in findings.items()
        ),
    )
    yield from family(
        "jitid_sweep_credentials",
        "Credentials of the open and known findings of the last sweep.",
        _by_rule(credentials),
    )
    yield from family(
        "jitid_sweep_ended_credentials", "Credentials that the last sweep revoked or closed.", _by_rule(ended)
    )
    yield from family(
        "jitid_sweep_complete",
        "Whether the last sweep examined the rule completely.",
        _by_rule(complete),
    )
    yield from family(
        "jitid_sweep_unknown",
        "Whether the rule lacks facts that are not reported to the ledger, such as use.",
        _by_rule(unknown),
    )
    yield from family(
        "jitid_sweep_timestamp_seconds",
        "Time of the last sweep, in seconds since the epoch.",
        (({}, time) for time in times),
    )


def _of_a_scan(
    findings: Mapping[tuple[str, str, str], int], complete: Mapping[str, int], times: Iterable[int]
) -> Iterator[str]:
    yield from family(
        "jitid_scan_findings",
        "Places of secrets found by the last scan.",
        (
            ({"rule": rule, "severity": severity}, count)
            for (rule, severity, state), count in findings.items()
            if state == "open"
        ),
    )
    yield from family(
        "jitid_scan_complete",
        "Whether the last scan was complete.",
        (({}, value) for value in complete.values()),
    )
    yield from family(
        "jitid_scan_timestamp_seconds",
        "Time of the last scan, in seconds since the epoch.",
        (({}, time) for time in times),
    )


def _by_rule(counts: Mapping[str, int]) -> Iterator[Sample]:
    return (({"rule": rule}, count) for rule, count in counts.items())
