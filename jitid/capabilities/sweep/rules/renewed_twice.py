"""Rule `renewed-twice`: two holders have a copy of one credential, and one of them may have stolen it."""

from __future__ import annotations

from collections.abc import Iterator

from jitid.capabilities.sweep.finding import Finding, Severity
from jitid.capabilities.sweep.rule import Rule, RuleContext, RuleGroup
from jitid.ledger.select import LIVE
from jitid.model.ledger_rows import Selection
from jitid.values.ids import credential_id, identity_id
from jitid.values.times import format_time

_QUESTION = f"""
    SELECT r.jti, i.uid, a.text, t.name, r.reused_at, r.superseded_at, count(*),
           max(coalesce(c.superseded_at, c.expires_at))
      FROM credential r CROSS JOIN identity i CROSS JOIN term a CROSS JOIN task t CROSS JOIN credential c
     WHERE r.reused_at IS NOT NULL AND i.id = r.identity AND a.id = i.agent AND t.id = i.task
       AND c.identity = i.id AND {LIVE}
     GROUP BY r.id, r.jti, i.uid, a.text, t.name, r.reused_at, r.superseded_at
     ORDER BY r.reused_at, r.id"""


def _find(context: RuleContext) -> Iterator[Finding]:
    for jti, uid, agent, task, reused_at, superseded_at, live, last_expires_at in context.query(_QUESTION):
        identity = identity_id(uid)
        yield RULE.finding(
            credential_id(jti),
            f"{agent} on {task}: a second renewal was refused at {format_time(reused_at)}; the identity is valid until "
            f"{format_time(last_expires_at)}",
            since=reused_at,
            credentials=live,
            evidence={
                "agent": agent,
                "task": task,
                "identity": identity,
                "reused_at": reused_at,
                "superseded_at": superseded_at,
                "last_expires_at": last_expires_at,
            },
            remedy=f"jitid revoke {identity}",
            ends=Selection(ids=(identity,)),
        )


RULE = Rule(
    name="renewed-twice",
    severity=Severity.HIGH,
    group=RuleGroup.VALID,
    owasp=("NHI2", "NHI7"),
    title="renewed twice",
    reports="a live identity with a credential that was presented for renewal again after it had been renewed",
    spares="a repeated request with the same Idempotency-Key, and an ended identity",
    examines="credentials that were presented for a second renewal",
    find=_find,
)
