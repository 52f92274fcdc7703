"""The same agent on the same task with the same scopes, alive many times."""

from __future__ import annotations

from collections.abc import Iterator

from jitid.ledger.protocol import Selection
from jitid.ledger.selecting import LIVE
from jitid.sweep.finding import Finding, Severity
from jitid.sweep.rule import Group, Rule, Sight

# What is superseded has a successor, which counts. Only crowded tasks can have one agent many times.
_CURRENT = f"{LIVE} AND c.superseded_at IS NULL"
_QUESTION = f"""
    SELECT a.text, t.name, same.scopes, same.identities, same.first
      FROM (SELECT i.agent AS agent, i.task AS task, c.scopes AS scopes, count(DISTINCT i.id) AS identities,
                   min(c.issued_at) AS first
              FROM (SELECT c.task AS task FROM credential c WHERE {_CURRENT}
                     GROUP BY c.task HAVING count(*) > :most) crowded
             CROSS JOIN credential c CROSS JOIN identity i
             WHERE c.task = crowded.task AND {_CURRENT} AND i.id = c.identity
             GROUP BY i.agent, i.task, c.scopes HAVING count(DISTINCT i.id) > :most) same
     CROSS JOIN term a CROSS JOIN task t
     WHERE a.id = same.agent AND t.id = same.task"""


def _find(sight: Sight) -> Iterator[Finding]:
    most = sight.limits.duplicates
    for agent, task, scopes, identities, first in sight.ask(_QUESTION, most=most):
        rights = f"scopes {scopes}" if scopes else "no scopes"
        yield RULE.finding(
            f"{agent} on {task}: {scopes}".rstrip(": "),
            f"{agent} is alive {identities} times on {task} with {rights}; {most} is the limit",
            since=first,
            credentials=identities,
            evidence={
                "agent": agent,
                "task": task,
                "scopes": scopes.split(),
                "limit": most,
                "first_issued_at": first,
            },
            remedy=f"jitid revoke --task {task} --agent {agent}",
            ends=Selection(tasks=(task,), agents=(agent,)),
        )


RULE = Rule(
    name="duplicate",
    severity=Severity.MEDIUM,
    group=Group.SPRAWL,
    owasp=("NHI9",),
    title="the same many times",
    reports="an agent that is alive on one task with the same scopes more often than it may be (sweep_duplicates)",
    spares="the same number with other scopes, and a credential beside its successor",
    examines="agents on tasks with many live credentials",
    find=_find,
)
