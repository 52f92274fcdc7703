"""The aftermath of a leak: descendants, uses and ends, in SQL for both SQLite and PostgreSQL."""

from __future__ import annotations

from typing import Any

from jitid.ledger.select import LIVE
from jitid.model.leak import Acted, Aftermath, AtTarget, EndedByEvent, MadeAfterLeak
from jitid.values.ids import credential_id, identity_id
from jitid.values.times import check_times

# The comparison of depths bounds the walk: in a damaged ledger, parents may form a circle.
_BELOW = """
    WITH RECURSIVE below (id, depth, hop) AS (
        SELECT i.id, i.depth, 0 FROM identity i WHERE i.id = :identity
        UNION ALL
        SELECT i.id, i.depth, b.hop + 1 FROM below b CROSS JOIN identity i
         WHERE i.parent = b.id AND i.depth > b.depth)"""

_COUNTS = f"""{_BELOW}
    SELECT (SELECT count(*) - 1 FROM below), count(*), sum(CASE WHEN c.issued_at > :reported THEN 1 ELSE 0 END),
           sum(CASE WHEN {LIVE} THEN 1 ELSE 0 END)
      FROM below b CROSS JOIN credential c WHERE c.identity = b.id"""

_MADE = f"""{_BELOW}
    SELECT c.jti, i.uid, a.text, c.kind, b.hop, c.issued_at, c.event
      FROM below b CROSS JOIN credential c CROSS JOIN identity i CROSS JOIN term a
     WHERE c.identity = b.id AND i.id = b.id AND a.id = i.agent AND c.id <> :credential
     ORDER BY c.id LIMIT :limit"""

_ACTED = f"""{_BELOW}
    SELECT a.text, n.action, n.resource, n.allowed, CASE WHEN n.at > :reported THEN 1 ELSE 0 END, count(*),
           min(n.at), max(n.at), min(n.event), max(n.event)
      FROM below b CROSS JOIN credential c CROSS JOIN action n CROSS JOIN identity i CROSS JOIN term a
     WHERE c.identity = b.id AND n.credential = c.id AND i.id = b.id AND a.id = i.agent
     GROUP BY 1, 2, 3, 4, 5 ORDER BY 7, 9, 1, 2, 3, 4, 5 LIMIT :limit"""

_ENDED = f"""{_BELOW}
    SELECT c.ended_event, c.ended_as, count(*), count(DISTINCT c.identity),
           max(CASE WHEN c.id = :credential THEN 1 ELSE 0 END), min(c.ended_at), max(c.ended_at)
      FROM below b CROSS JOIN credential c WHERE c.identity = b.id AND c.ended_at IS NOT NULL
     GROUP BY 1, 2 ORDER BY 6, 1 LIMIT :limit"""

_AT_TARGETS = f"""{_BELOW}
    SELECT o.target, count(*), o.settlement, max(o.settled_at), o.event
      FROM below b CROSS JOIN credential c CROSS JOIN outside o
     WHERE c.identity = b.id AND o.credential = c.id
     GROUP BY o.target, o.settlement, o.event, CASE WHEN o.settled_at IS NULL THEN 0 ELSE 1 END
     ORDER BY min(c.id) LIMIT :limit"""


def of(db: Any, now: int, identity: int, credential: int, reported_at: int, limit: int) -> Aftermath:
    """Return the aftermath for an identity with a leaked credential, and for all its descendants."""
    values = {
        "identity": identity,
        "credential": credential,
        "reported": reported_at,
        "now": now,
        "limit": limit,
    }

    def query(sql: str) -> list[Any]:
        rows: list[Any] = db.execute(sql, values).fetchall()
        return rows

    ((identities, credentials, later, live),) = query(_COUNTS)
    made_credentials = [
        MadeAfterLeak(credential_id(jti), identity_id(uid), *rest) for jti, uid, *rest in query(_MADE)
    ]
    uses = [
        Acted(agent, action, resource, allowed == 1, is_after == 1, *rest)
        for agent, action, resource, allowed, is_after, *rest in query(_ACTED)
    ]
    ends = [
        EndedByEvent(event, state, count, holders, includes_leaked == 1, first_at, last_at)
        for event, state, count, holders, includes_leaked, first_at, last_at in query(_ENDED)
    ]
    at_targets = [AtTarget(*row) for row in query(_AT_TARGETS)]
    check_times(
        *(made.issued_at for made in made_credentials),
        *(use.first_at for use in uses),
        *(end.first_at for end in ends),
    )
    return Aftermath(identities, credentials, later or 0, live or 0, made_credentials, uses, ends, at_targets)
