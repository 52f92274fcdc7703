"""Rule `pending`: a credential was recorded and never confirmed, so that its secret may exist."""

from __future__ import annotations

from collections.abc import Iterator

from jitid.capabilities.sweep.finding import Finding, Severity
from jitid.capabilities.sweep.rule import Rule, RuleContext, RuleGroup
from jitid.ledger.select import LIVE
from jitid.model.ledger_rows import Selection
from jitid.values.ids import credential_id, identity_id
from jitid.values.times import format_time

_QUESTION = f"""
    SELECT i.uid, c.jti, c.kind, c.issued_at, c.expires_at, a.text, t.name
      FROM credential c CROSS JOIN identity i CROSS JOIN term a CROSS JOIN task t
     WHERE {LIVE} AND c.fingerprint IS NULL AND c.issued_at < :before
       AND i.id = c.identity AND a.id = i.agent AND t.id = i.task"""


def _find(context: RuleContext) -> Iterator[Finding]:
    for uid, jti, kind, issued_at, expires_at, agent, task in context.query(
        _QUESTION, before=context.now - context.limits.pending
    ):
        identity = identity_id(uid)
        yield RULE.finding(
            identity,
            f"a {kind} for {agent} on {task} was recorded at {format_time(issued_at)} and never confirmed; its secret "
            f"may be valid until {format_time(expires_at)}",
            since=issued_at,
            credentials=1,
            evidence={
                "jti": credential_id(jti),
                "kind": kind,
                "agent": agent,
                "task": task,
                "issued_at": issued_at,
                "expires_at": expires_at,
            },
            remedy=f"jitid revoke {identity}",
            ends=Selection(ids=(identity,)),
        )


RULE = Rule(
    name="pending",
    severity=Severity.MEDIUM,
    group=RuleGroup.ORPHAN,
    owasp=("NHI1",),
    title="recorded, but never confirmed",
    reports="a credential that was recorded and not confirmed within sweep_pending",
    spares="a credential that is being issued now",
    examines="live credentials without a fingerprint",
    find=_find,
    mended=True,
)
