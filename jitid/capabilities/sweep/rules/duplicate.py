"""Rule `duplicate`: the same agent on the same task has many live credentials with the same scopes."""

from __future__ import annotations

from collections.abc import Iterator

from jitid.capabilities.sweep.finding import Finding, Severity
from jitid.capabilities.sweep.rule import Rule, RuleContext, RuleGroup
from jitid.ledger.select import LIVE
from jitid.model.ledger_rows import Selection
from jitid.model.task import written_task
from jitid.values.ids import identity_id

# A superseded credential has a successor, which counts.
_CURRENT = f"{LIVE} AND c.superseded_at IS NULL"
_CROWDED = f"SELECT c.task FROM credential c WHERE {_CURRENT} GROUP BY c.task HAVING count(*) > :most LIMIT 1"
# Usually all credentials on a task are alike, which min and max show without sorting.
_TASKS = f"""
    SELECT crowd.task, t.name, o.text, crowd.credentials, crowd.first, a.text, crowd.scopes, crowd.alike
      FROM (SELECT c.task AS task, count(*) AS credentials, min(c.issued_at) AS first, min(i.agent) AS agent,
                   min(c.scopes) AS scopes,
                   CASE WHEN min(i.agent) = max(i.agent) AND min(c.scopes) = max(c.scopes) THEN 1 ELSE 0 END AS alike
              FROM credential c CROSS JOIN identity i
             WHERE {_CURRENT} AND i.id = c.identity GROUP BY c.task HAVING count(*) > :most) crowd
     CROSS JOIN task t CROSS JOIN term o CROSS JOIN term a
     WHERE t.id = crowd.task AND o.id = t.opener AND a.id = crowd.agent"""
_ON_TASK = f"""
    SELECT a.text, same.scopes, same.credentials, same.first
      FROM (SELECT i.agent AS agent, c.scopes AS scopes, count(*) AS credentials, min(c.issued_at) AS first
              FROM credential c CROSS JOIN identity i
             WHERE c.task = :task AND {_CURRENT} AND i.id = c.identity
             GROUP BY i.agent, c.scopes HAVING count(*) > :most) same
     CROSS JOIN term a WHERE a.id = same.agent"""

_IDENTITIES = f"""
    SELECT DISTINCT i.uid FROM credential c CROSS JOIN identity i
     WHERE c.task = :task AND {_CURRENT} AND c.scopes = :scopes
       AND i.id = c.identity AND i.agent = (SELECT id FROM term WHERE text = :agent)"""


def _find(context: RuleContext) -> Iterator[Finding]:
    limit = context.limits.duplicates
    if not any(context.query(_CROWDED, most=limit)):
        return
    for key, task, opener, crowd_count, crowd_first_at, crowd_agent, crowd_scopes, alike in context.query(
        _TASKS, most=limit
    ):
        groups = (
            [(crowd_agent, crowd_scopes, crowd_count, crowd_first_at)]
            if alike
            else context.query(_ON_TASK, task=key, most=limit)
        )
        task_name = written_task(opener, task)
        for agent, scopes, credentials, first_issued_at in groups:
            scopes_text = f"scopes {scopes}" if scopes else "no scopes"
            yield RULE.finding(
                f"{agent} on {task_name}: {scopes}".removesuffix(": "),
                f"{agent} has {credentials} live credentials on {task} with {scopes_text}; the limit is {limit}",
                credentials=credentials,
                evidence={
                    "agent": agent,
                    "task": task,
                    "scopes": scopes.split(),
                    "limit": limit,
                    "first_issued_at": first_issued_at,
                },
                by_sweep=True,
                picked_by=(str(key), agent, scopes),
            )


def _pick(context: RuleContext, finding: Finding) -> Selection:
    task, agent, scopes = finding.picked_by
    rows = context.query(_IDENTITIES, task=int(task), agent=agent, scopes=scopes)
    return Selection(ids=tuple(identity_id(uid) for (uid,) in rows))


RULE = Rule(
    name="duplicate",
    severity=Severity.MEDIUM,
    group=RuleGroup.SPRAWL,
    owasp=("NHI9",),
    title="too many identical credentials",
    reports="an agent with more than sweep_duplicates live credentials on one task with the same scopes",
    spares="credentials with other scopes, and superseded credentials",
    examines="agents on tasks with many live credentials",
    find=_find,
    pick=_pick,
)
