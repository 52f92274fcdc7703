"""Reported as leaked, and still taken."""

from __future__ import annotations

from collections.abc import Iterator

from jitid.identifier import credential_id, identity_id
from jitid.ledger.protocol import Selection
from jitid.ledger.selecting import LIVE
from jitid.lifetime import brief_duration, format_time
from jitid.sweep.finding import Finding, Severity
from jitid.sweep.rule import Group, Rule, Sight
from jitid.text import quote

_QUESTION = f"""
    SELECT c.jti, i.uid, c.kind, coalesce(c.superseded_at, c.expires_at), a.text, t.name,
           found.reported_at, found.reports,
           (SELECT l.source FROM leak l WHERE l.credential = c.id AND l.closed_at IS NULL
             ORDER BY l.reported_at, l.id LIMIT 1)
      FROM (SELECT credential, min(reported_at) AS reported_at, count(*) AS reports
              FROM leak WHERE closed_at IS NULL GROUP BY credential) found
     CROSS JOIN credential c CROSS JOIN identity i CROSS JOIN term a CROSS JOIN task t
     WHERE c.id = found.credential AND {LIVE} AND i.id = c.identity AND a.id = i.agent AND t.id = i.task"""


def _find(sight: Sight) -> Iterator[Finding]:
    for jti, uid, kind, expires_at, agent, task, reported_at, reports, source in sight.ask(_QUESTION):
        credential = credential_id(jti)
        yield RULE.finding(
            credential,
            f"the {kind} of {agent} on {task} was reported as leaked {brief_duration(sight.now - reported_at)} ago "
            f"({quote(source)}), and is valid until {format_time(expires_at)}",
            since=reported_at,
            credentials=1,
            evidence={
                "id": identity_id(uid),
                "kind": kind,
                "agent": agent,
                "task": task,
                "source": source,
                "reports": reports,
                "reported_at": reported_at,
                "expires_at": expires_at,
            },
            remedy=f"jitid revoke {credential}",
            ends=Selection(ids=(credential,)),
        )


RULE = Rule(
    name="leaked-live",
    severity=Severity.CRITICAL,
    group=Group.VALID,
    owasp=("NHI2",),
    title="leaked, and still valid",
    reports="a credential that was reported as leaked (`jitid leak add`) and is still valid",
    spares="one that has ended since, and one whose report was closed",
    examines="credentials with an open report of a leak",
    find=_find,
    mended=True,
)
