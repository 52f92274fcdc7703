"""Rule `clock`: the clock is behind the ledger's time mark."""

from __future__ import annotations

from collections.abc import Iterator

from jitid.capabilities.sweep.finding import Finding, Severity
from jitid.capabilities.sweep.rule import Rule, RuleContext, RuleGroup
from jitid.values.times import brief_duration, format_time

TOLERANCE = 5
"""Seconds that the time mark may be ahead: machines that share a ledger differ by up to this."""
_DAY = 86_400


def _find(context: RuleContext) -> Iterator[Finding]:
    now, mark, _, marked_by = context.clock
    if mark - now > TOLERANCE:
        refused = mark - now > _DAY and context.clock.refuses
        yield RULE.finding(
            "ledger",
            f"the clock is {brief_duration(mark - now)} behind {marked_by}, at {format_time(mark)}"
            + ("; all writes are refused" if refused else ""),
            severity=Severity.HIGH if refused else RULE.severity,
            since=mark,
            evidence={"clock_at": now, "mark_at": mark},
            remedy="jitid doctor",
        )


RULE = Rule(
    name="clock",
    severity=Severity.MEDIUM,
    group=RuleGroup.HEALTH,
    owasp=(),
    title="the clock is behind the ledger",
    reports="a clock that is more than five seconds behind the last event of the ledger",
    spares="a smaller difference, which is common between machines",
    examines="the clock against the ledger's time mark",
    find=_find,
)
