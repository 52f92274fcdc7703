"""Ended early, and still taken by whoever does not ask the ledger."""

from __future__ import annotations

from collections.abc import Iterator

from jitid.lifetime import format_time
from jitid.sweep.finding import Finding, Severity
from jitid.sweep.rule import Group, Rule, Sight

_QUESTION = """
    SELECT c.ended_event, count(*), min(c.ended_at), max(c.expires_at)
      FROM credential c
     WHERE c.ended_as IN ('revoked', 'retired', 'superseded') AND c.claims_hash IS NOT NULL AND c.expires_at > :now
     GROUP BY c.ended_event"""


def _find(sight: Sight) -> Iterator[Finding]:
    for event, credentials, ended_at, until in sight.ask(_QUESTION):
        what = "1 signed credential" if credentials == 1 else f"{credentials} signed credentials"
        yield RULE.finding(
            f"event {event}",
            f"audit event {event} ended {what} at {format_time(ended_at)}; a verifier that does not ask the ledger "
            f"honours some until {format_time(until)}",
            since=ended_at,
            credentials=credentials,
            evidence={"event": event, "ended_at": ended_at, "honoured_until": until},
        )


RULE = Rule(
    name="offline-valid",
    severity=Severity.INFO,
    group=Group.VALID,
    owasp=("NHI1",),
    title="ended, and honoured offline",
    reports="signed credentials that were ended early: verifiers that do not ask the ledger still take them",
    spares="an opaque one, which nobody takes unasked, and one that has expired since",
    examines="signed credentials that were ended early and have not expired",
    find=_find,
)
