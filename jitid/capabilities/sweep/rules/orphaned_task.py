"""Rule `orphaned-task`: a task has ended, and its credentials are still live."""

from __future__ import annotations

from collections.abc import Iterator
from shlex import quote as word

from jitid.capabilities.sweep.finding import Finding, Severity
from jitid.capabilities.sweep.rule import Rule, RuleContext, RuleGroup
from jitid.ledger.select import LIVE
from jitid.model.ledger_rows import Selection
from jitid.model.task import written_task
from jitid.values.times import format_time

_QUESTION = f"""
    SELECT t.name, o.text, t.ended_at, t.deadline, live.credentials, live.last
      FROM (SELECT c.task AS task, count(*) AS credentials, max(coalesce(c.superseded_at, c.expires_at)) AS last
              FROM credential c WHERE {LIVE} GROUP BY c.task) live
     CROSS JOIN task t CROSS JOIN term o
     WHERE t.id = live.task AND o.id = t.opener AND (t.ended_at IS NOT NULL OR t.deadline <= :now)"""


def _find(context: RuleContext) -> Iterator[Finding]:
    for task, opener, ended_at, deadline, credentials, expiry in context.query(_QUESTION):
        since = deadline if ended_at is None else min(ended_at, deadline)
        how = "passed its deadline" if ended_at is None else "ended"
        task_name = written_task(opener, task)
        yield RULE.finding(
            task_name,
            f"task {task} {how} at {format_time(since)}, but its credentials are valid until {format_time(expiry)}",
            since=since,
            credentials=credentials,
            evidence={"task_ended_at": ended_at, "task_deadline_at": deadline, "last_expires_at": expiry},
            remedy=f"jitid revoke --task {word(task_name)}",
            ends=Selection(tasks=(task_name,)),
        )


RULE = Rule(
    name="orphaned-task",
    severity=Severity.HIGH,
    group=RuleGroup.ORPHAN,
    owasp=("NHI1",),
    title="live credentials of an ended task",
    reports="a task with live credentials that was retired or has passed its deadline",
    spares="an ended task without live credentials, and an open task",
    examines="tasks with live credentials",
    find=_find,
    mended=True,
)
