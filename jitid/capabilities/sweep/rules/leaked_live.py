"""Rule `leaked-live`: a leaked credential is still accepted, or it ended but its descendants are live."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from jitid.capabilities.sweep.finding import Finding, Severity
from jitid.capabilities.sweep.rule import Rule, RuleContext, RuleGroup
from jitid.ledger.lineage import LIVE_TREES, below
from jitid.ledger.select import DEATH, LIVE
from jitid.model.ledger_rows import Selection
from jitid.values.ids import credential_id, identity_id
from jitid.values.text import quote
from jitid.values.times import brief_duration, format_time

_COLUMNS = """c.jti, i.uid, c.kind, a.text, t.name, found.reported_at, found.reports,
           (SELECT l.source FROM leak l WHERE l.credential = c.id AND l.closed_at IS NULL
             ORDER BY l.reported_at, l.id LIMIT 1)"""

_VALID = f"""
    SELECT {_COLUMNS}, coalesce(c.superseded_at, c.expires_at)
      FROM (SELECT credential, min(reported_at) AS reported_at, count(*) AS reports
              FROM leak WHERE closed_at IS NULL GROUP BY credential) found
     CROSS JOIN credential c CROSS JOIN identity i CROSS JOIN term a CROSS JOIN task t
     WHERE c.id = found.credential AND {LIVE} AND i.id = c.identity AND a.id = i.agent AND t.id = i.task"""

# A leak that was proved as refused has no live descendants. A proof with a future time came from a wrong clock and
# does not count.
_LIVE_DESCENDANTS = f"""
    WITH RECURSIVE found (credential, identity, reported_at, reports) AS (
        SELECT l.credential, c.identity, min(l.reported_at), count(*)
          FROM leak l CROSS JOIN credential c
         WHERE l.closed_at IS NULL AND (l.proved_at IS NULL OR l.proved_at > :now)
           AND c.id = l.credential AND NOT ({LIVE})
         GROUP BY l.credential, c.identity),
    {below("SELECT identity, identity FROM found")},
    {LIVE_TREES}
    SELECT {_COLUMNS}, {DEATH}, living.own, living.delegated, living.until
      FROM living CROSS JOIN found CROSS JOIN credential c CROSS JOIN identity i CROSS JOIN term a CROSS JOIN task t
     WHERE found.identity = living.identity AND c.id = found.credential AND i.id = living.identity
       AND a.id = i.agent AND t.id = i.task"""


def _find(context: RuleContext) -> Iterator[Finding]:
    for *row, expires_at in context.query(_VALID):
        yield _finding(
            context.now,
            row,
            f", and is still valid until {format_time(expires_at)}",
            credentials=1,
            evidence={"expires_at": expires_at},
        )
    for *row, died_at, successors, delegated, last_expires_at in context.query(_LIVE_DESCENDANTS):
        counts = ((successors, "successor" if successors == 1 else "successors"), (delegated, "delegated"))
        many = ", ".join(f"{count} {noun}" for count, noun in counts if count)
        yield _finding(
            context.now,
            row,
            f"; it ended, but credentials made with it are valid until {format_time(last_expires_at)}: {many}",
            credentials=successors + delegated,
            evidence={
                "died_at": died_at,
                "successors": successors,
                "delegated": delegated,
                "last_expires_at": last_expires_at,
            },
        )


def _finding(now: int, row: list[Any], state: str, *, credentials: int, evidence: dict[str, int]) -> Finding:
    jti, uid, kind, agent, task, reported_at, reports, source = row
    credential = credential_id(jti)
    return RULE.finding(
        credential,
        f"the {kind} of {agent} on {task} was reported leaked {brief_duration(now - reported_at)} ago "
        f"({quote(source)}){state}",
        since=reported_at,
        credentials=credentials,
        evidence={
            "id": identity_id(uid),
            "kind": kind,
            "agent": agent,
            "task": task,
            "source": source,
            "reports": reports,
            "reported_at": reported_at,
            **evidence,
        },
        remedy=f"jitid revoke {credential}",
        ends=Selection(ids=(credential,)),
    )


RULE = Rule(
    name="leaked-live",
    severity=Severity.CRITICAL,
    group=RuleGroup.VALID,
    owasp=("NHI2",),
    title="leaked and still valid",
    reports="a leaked credential (`jitid leak add`) that is still valid; an ended leaked credential with live "
    "successors or delegated credentials, which a thief may have made",
    spares="a leaked identity without live credentials or live descendants, and a closed report",
    examines="credentials with an open leak report, their successors and delegated credentials",
    find=_find,
    mended=True,
)
