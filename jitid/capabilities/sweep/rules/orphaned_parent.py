"""Rule `orphaned-parent`: delegated credentials are live although the identity that delegated has ended."""

from __future__ import annotations

from collections.abc import Iterator

from jitid.capabilities.sweep.finding import Finding, Severity
from jitid.capabilities.sweep.rule import Rule, RuleContext, RuleGroup
from jitid.ledger.select import LIVE
from jitid.model.ledger_rows import Selection
from jitid.values.ids import identity_id
from jitid.values.times import format_time

_QUESTION = """
    SELECT p.uid, a.text, t.name, child.credentials, child.last,
           (SELECT max(coalesce(c.ended_at, c.superseded_at, c.expires_at)) FROM credential c WHERE c.identity = p.id)
      FROM (SELECT i.parent AS parent, count(*) AS credentials, max(coalesce(c.superseded_at, c.expires_at)) AS last
              FROM suspect CROSS JOIN identity i CROSS JOIN credential c
             WHERE suspect.marks & :mark <> 0 AND i.id = suspect.identity AND c.id = suspect.credential
             GROUP BY i.parent) child
     CROSS JOIN identity p CROSS JOIN term a CROSS JOIN task t
     WHERE p.id = child.parent AND a.id = p.agent AND t.id = p.task"""


def _find(context: RuleContext) -> Iterator[Finding]:
    for uid, agent, task, credentials, last_expires_at, died_at in context.suspects(RULE, _QUESTION):
        parent = identity_id(uid)
        yield RULE.finding(
            parent,
            f"{agent} on {task} ended at {format_time(died_at)}, but its delegated credentials are valid until "
            f"{format_time(last_expires_at)}",
            since=died_at,
            credentials=credentials,
            evidence={
                "agent": agent,
                "task": task,
                "parent_died_at": died_at,
                "last_expires_at": last_expires_at,
            },
            remedy=f"jitid revoke {parent}",
            ends=Selection(ids=(parent,)),
        )


RULE = Rule(
    name="orphaned-parent",
    severity=Severity.HIGH,
    group=RuleGroup.ORPHAN,
    owasp=("NHI1",),
    title="live delegated credentials of an ended parent",
    reports="an identity without live credentials that has delegated live credentials",
    spares="a renewed parent: its identity has a live credential",
    examines="live credentials that were delegated by an agent",
    find=_find,
    suspect=f"""i.parent IS NOT NULL
                AND NOT EXISTS (SELECT 1 FROM credential c WHERE c.identity = i.parent AND {LIVE})""",
    mended=True,
)
