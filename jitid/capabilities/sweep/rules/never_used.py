"""Rule `never-used`: a credential has been live for a while, and no use of it was reported."""

from __future__ import annotations

from collections.abc import Iterator

from jitid.capabilities.sweep.finding import Finding, Severity
from jitid.capabilities.sweep.rule import Rule, RuleContext, RuleGroup
from jitid.ledger.select import LIVE
from jitid.model.ledger_rows import Selection
from jitid.values.ids import identity_id
from jitid.values.times import format_duration, format_time

# A renewal or a delegation shows that the holder needs the credential too.
_QUESTION = f"""
    SELECT i.uid, c.kind, c.issued_at, coalesce(c.superseded_at, c.expires_at), a.text, t.name, au.text, r.until
      FROM credential c CROSS JOIN reporting r CROSS JOIN identity i CROSS JOIN term a CROSS JOIN term au
     CROSS JOIN task t
     WHERE {LIVE} AND c.issued_at < :before AND c.fingerprint IS NOT NULL
       AND r.audiences = c.audiences AND r.until >= c.issued_at
       AND NOT EXISTS (SELECT 1 FROM used u WHERE u.identity = c.identity)
       AND NOT EXISTS (SELECT 1 FROM credential o WHERE o.identity = c.identity AND o.id <> c.id)
       AND NOT EXISTS (SELECT 1 FROM identity b WHERE b.parent = c.identity)
       AND i.id = c.identity AND a.id = i.agent AND au.id = c.audiences AND t.id = i.task"""


def _find(context: RuleContext) -> Iterator[Finding]:
    limit = context.limits.unused
    if not context.examine_use():
        return
    for uid, kind, issued_at, expires_at, agent, task, audiences, others_used_at in context.query(
        _QUESTION, before=context.now - limit
    ):
        identity = identity_id(uid)
        yield RULE.finding(
            identity,
            f"the {kind} of {agent} on {task} was issued at {format_time(issued_at)} and not used for more than "
            f"{format_duration(limit)}; it is valid until {format_time(expires_at)}",
            since=issued_at,
            credentials=1,
            evidence={
                "agent": agent,
                "task": task,
                "kind": kind,
                "audiences": audiences.split(),
                "issued_at": issued_at,
                "expires_at": expires_at,
                "limit_seconds": limit,
                "others_used_at": others_used_at,
            },
            remedy=f"jitid revoke {identity}",
            ends=Selection(ids=(identity,)),
        )


RULE = Rule(
    name="never-used",
    severity=Severity.LOW,
    group=RuleGroup.SPRAWL,
    owasp=("NHI1",),
    title="live, but never used",
    reports="a live credential without any use for longer than sweep_unused since its issue, if its audience reports "
    "use",
    spares="a credential that is younger, was renewed or was delegated from; an audience that reports no use",
    examines="live credentials for audiences that report use",
    find=_find,
)
