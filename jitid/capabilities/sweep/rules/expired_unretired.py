"""Rule `expired-unretired`: credentials have expired or were superseded, but no event records it."""

from __future__ import annotations

from collections.abc import Iterator

from jitid.capabilities.sweep.finding import Finding, Severity
from jitid.capabilities.sweep.rule import Rule, RuleContext, RuleGroup
from jitid.values.times import format_time

_QUESTION = """
    SELECT sum(due.credentials), min(due.since) FROM (
        SELECT count(*) AS credentials, min(expires_at) AS since
          FROM credential WHERE ended_at IS NULL AND expires_at <= :now AND superseded_at IS NULL
        UNION ALL
        SELECT count(*), min(superseded_at)
          FROM credential WHERE ended_at IS NULL AND superseded_at <= :now) due"""


def _find(context: RuleContext) -> Iterator[Finding]:
    ((credentials, since),) = context.query(_QUESTION)
    if credentials:
        subject = "1 credential has" if credentials == 1 else f"{credentials} credentials have"
        yield RULE.finding(
            "ledger",
            f"{subject} expired or been superseded, the first at {format_time(since)}; the ledger has not recorded it"
            + ("" if context.unrecorded is None else f": {context.unrecorded}"),
            since=since,
            credentials=credentials,
            evidence={"first_due_at": since},
            remedy="jitid sweep --fix --rule expired-unretired",
        )


RULE = Rule(
    name="expired-unretired",
    severity=Severity.LOW,
    group=RuleGroup.VALID,
    owasp=("NHI1",),
    title="expired, but not recorded as ended",
    reports="credentials that expired or were superseded without an event: there was no write to the ledger since",
    spares="expired credentials that are recorded as ended; no verifier accepts either",
    examines="credentials that must be recorded as ended",
    find=_find,
    closes=True,
)
