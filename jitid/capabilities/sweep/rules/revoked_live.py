"""Rule `revoked-live`: a credential has ended in the ledger, and its target still accepts it."""

from __future__ import annotations

from collections.abc import Iterator

from jitid.capabilities.sweep.finding import Finding, Severity
from jitid.capabilities.sweep.rule import Rule, RuleContext, RuleGroup
from jitid.model.target import Settlement
from jitid.values.ids import credential_id
from jitid.values.text import safe
from jitid.values.times import format_time

DIED = """coalesce(c.ended_at, CASE WHEN c.superseded_at < c.expires_at THEN c.superseded_at ELSE c.expires_at END)"""
"""The time when a credential ended, or will end."""
# A target's answer says nothing about credentials that changed after the query.
_QUESTION = f"""
    SELECT c.jti, a.text, t.name, c.kind, o.target, min(e.name), {DIED}, o.settlement, o.settled_at, o.honoured_until
      FROM matched m CROSS JOIN existing e CROSS JOIN asked_target q CROSS JOIN credential c CROSS JOIN outside o
     CROSS JOIN identity i CROSS JOIN term a CROSS JOIN task t
     WHERE e.id = m.existing AND e.live = 1 AND q.target = e.target AND c.id = m.credential AND o.credential = c.id
       AND {DIED} <= q.asked_at AND (o.settled_at IS NULL OR o.settled_at < q.asked_at)
       AND i.id = c.identity AND a.id = i.agent AND t.id = i.task
     GROUP BY c.id, c.jti, c.kind, o.target, a.text, t.name, c.ended_at, c.superseded_at, c.expires_at, o.settlement,
              o.settled_at, o.honoured_until
     ORDER BY c.id"""
AT_TARGET = ("agent", "task", "kind", "target", "name")
"""The evidence about a credential at a target, in the order of the columns."""
_EVIDENCE = (*AT_TARGET, "died_at", "settlement", "settled_at", "honoured_until")


def _find(context: RuleContext) -> Iterator[Finding]:
    context.load_targets()
    for jti, *row in context.query(_QUESTION):
        agent, task, kind, target, _, died_at, settlement, settled_at, honoured_until = row
        # A confirmed end that is not true is more severe than an end that is still being tried.
        falsely_confirmed = settled_at is not None and settlement == Settlement.DONE
        detail = ""
        if falsely_confirmed:
            detail = f", although its revocation was confirmed at {format_time(settled_at)}"
        elif honoured_until is not None:
            detail = f", and cannot revoke it before {format_time(honoured_until)}"
        yield RULE.finding(
            credential_id(jti),
            f"the {kind} of {agent} on {task} ended at {format_time(died_at)}, but target {safe(target)} still accepts "
            f"it{detail}",
            since=died_at,
            credentials=1,
            severity=Severity.CRITICAL if falsely_confirmed else Severity.HIGH,
            evidence=dict(zip(_EVIDENCE, row, strict=True)),
            remedy=f"jitid sweep --rule revoked-live --target {target} --fix",
        )


RULE = Rule(
    name="revoked-live",
    severity=Severity.HIGH,
    group=RuleGroup.VALID,
    owasp=("NHI1",),
    title="ended, but still accepted at its target",
    reports="a credential that ended in the ledger and that its target still accepts, even if the revocation was "
    "confirmed",
    spares="a live credential, and a credential that ended after the target was queried",
    examines="credentials at targets",
    find=_find,
    mended=True,
    clears=True,
    abroad=True,
)
