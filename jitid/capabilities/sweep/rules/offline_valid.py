"""Rule `offline-valid`: credentials that ended early are still accepted by verifiers without the ledger."""

from __future__ import annotations

from collections.abc import Iterator

from jitid.capabilities.sweep.finding import Finding, Severity
from jitid.capabilities.sweep.rule import Rule, RuleContext, RuleGroup
from jitid.model.credential import LEEWAY, LEEWAY_TEXT, accepted_until
from jitid.values.text import number_of
from jitid.values.times import format_time

# The leeway is on the right side, so that an index on the expiry can be used.
_ENDED = f"""
    SELECT event, credentials, ended_at, expires_at FROM honoured
     WHERE expires_at > :now - {LEEWAY} ORDER BY event"""
_SUPERSEDED = f"""
    SELECT count(*), min(superseded_at), max(expires_at) FROM credential
     WHERE ended_at IS NULL AND superseded_at <= :now AND claims_hash IS NOT NULL AND expires_at > :now - {LEEWAY}"""


def _find(context: RuleContext) -> Iterator[Finding]:
    for event, credentials, ended_at, expires_at in context.query(_ENDED):
        honoured_until = accepted_until(expires_at)
        subject = number_of(credentials, "signed credential")
        yield RULE.finding(
            f"event {event}",
            f"audit event {event} ended {subject} at {format_time(ended_at)}; offline verifiers accept some "
            f"until {format_time(honoured_until)}",
            since=ended_at,
            credentials=credentials,
            evidence={"event": event, "ended_at": ended_at, "honoured_until": honoured_until},
        )
    ((credentials, first_ended_at, expires_at),) = context.query(_SUPERSEDED)
    if credentials:
        honoured_until = accepted_until(expires_at)
        subject = "1 signed credential was" if credentials == 1 else f"{credentials} signed credentials were"
        yield RULE.finding(
            "superseded",
            f"{subject} superseded, the first at {format_time(first_ended_at)}; no event records it yet; offline "
            f"verifiers accept some until {format_time(honoured_until)}",
            since=first_ended_at,
            credentials=credentials,
            evidence={"ended_at": first_ended_at, "honoured_until": honoured_until},
        )


RULE = Rule(
    name="offline-valid",
    severity=Severity.INFO,
    group=RuleGroup.VALID,
    owasp=("NHI1",),
    title="ended, but still accepted offline",
    reports="signed credentials that ended before their expiry: verifiers that do not query the ledger still accept "
    "them",
    spares="opaque credentials, which no verifier accepts without the ledger, and signed credentials that expired more "
    f"than {LEEWAY_TEXT} ago",
    examines=f"signed credentials that ended before their expiry, until {LEEWAY_TEXT} after it",
    find=_find,
)
