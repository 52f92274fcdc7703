"""Walks along the edges of delegation, up and down, from one identity or from many at once."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from operator import itemgetter
from typing import Any

from jitid.identifier import identity_id
from jitid.ledger.records import Ancestor, Family
from jitid.ledger.selecting import LIVE
from jitid.lifetime import check_times

# Depth bounds every walk: in a damaged ledger, edges may run in a circle.
_ABOVE = f"""
    WITH RECURSIVE above (start, id, parent, depth, hop) AS (
        SELECT id, id, parent, depth, 0 FROM identity WHERE id {{which}}
        UNION ALL
        SELECT above.start, i.id, i.parent, i.depth, above.hop + 1
          FROM above JOIN identity i ON i.id = above.parent AND i.depth < above.depth)
    SELECT above.start, above.hop, i.uid, a.text, t.name, i.depth, t.ended_at, t.deadline,
           c.scopes, coalesce(c.may_audience, au.text), c.details, c.expires_at
      FROM above
      JOIN identity i ON i.id = above.id
      JOIN term a ON a.id = i.agent
      JOIN task t ON t.id = i.task
      LEFT JOIN credential c ON c.identity = i.id AND {LIVE} AND c.superseded_at IS NULL AND c.fingerprint IS NOT NULL
      LEFT JOIN term au ON au.id = c.audiences
     WHERE above.hop > 0
     ORDER BY above.start, above.hop"""

_BELOW = f"""
    WITH RECURSIVE below (start, id, depth) AS (
        SELECT i.id, i.id, i.depth FROM given_identity g CROSS JOIN identity i ON i.id = g.identity
        UNION ALL
        SELECT b.start, i.id, i.depth FROM below b CROSS JOIN identity i ON i.parent = b.id AND i.depth > b.depth),
    lives (start, id, live) AS (
        SELECT start, id,
               CASE WHEN EXISTS (SELECT 1 FROM credential c WHERE c.identity = below.id AND {LIVE}) THEN 1 ELSE 0 END
          FROM below)
    SELECT start, max(CASE WHEN id = start THEN live ELSE 0 END), count(*) - 1,
           sum(CASE WHEN id = start THEN 0 ELSE live END)
      FROM lives GROUP BY start"""


LIVING = f"""living (identity, own, delegated, until) AS (
        SELECT b.start, sum(CASE WHEN b.id = b.start THEN 1 ELSE 0 END),
               sum(CASE WHEN b.id = b.start THEN 0 ELSE 1 END), max(coalesce(c.superseded_at, c.expires_at))
          FROM below b CROSS JOIN credential c
         WHERE c.identity = b.id AND {LIVE} GROUP BY b.start)"""
"""A common table after `below`: of each of those identities of which anything lives, how much and until when."""


def below(identities: str) -> str:
    """Return a common table `below`: each identity (`start`) that a query gives, with itself and all below it (`id`).

    Through dead intermediates too: every parent edge is walked.
    """
    return f"""below (start, id) AS (
        {identities}
        UNION SELECT b.start, i.id FROM below b CROSS JOIN identity i WHERE i.parent = b.id)"""


def lineage(db: Any, identity: int, now: int) -> list[Ancestor]:
    """Return the identities above one, the nearest first."""
    rows = db.execute(_ABOVE.format(which="= :identity"), {"identity": identity, "now": now})
    return _ancestors(rows)


def lineages(db: Any, now: int) -> dict[int, list[Ancestor]]:
    """Return the identities above each one in the temporary table `given_identity` that has any."""
    rows = db.execute(_ABOVE.format(which="IN (SELECT identity FROM given_identity)"), {"now": now})
    return {start: _ancestors(own) for start, own in groupby(rows, itemgetter(0))}


def families(db: Any, now: int) -> dict[int, Family]:
    """Return for each identity in `given_identity` whether it lives, and how many below it are there and live."""
    rows = db.execute(_BELOW, {"now": now})
    return {start: Family(bool(live), below, live_below) for start, live, below, live_below in rows}


def _ancestors(rows: Iterable[Any]) -> list[Ancestor]:
    """Join the rows of one walk, of which each shows a live credential of a hop, or none."""
    found: dict[int, Ancestor] = {}
    for _, hop, uid, agent, task, depth, ended_at, deadline, scopes, audiences, details, expires_at in rows:
        check_times(ended_at, deadline, expires_at)
        before = found.get(hop)
        if before is None:
            before = Ancestor(identity_id(uid), agent, task, depth, ended_at, deadline, (), (), (), None)
        if expires_at is not None:
            before = before._replace(
                scopes=(*before.scopes, *scopes.split()),
                audiences=(*before.audiences, *audiences.split()),
                details=(*before.details, *([details] if details else [])),
                expires_at=max(expires_at, before.expires_at or 0),
            )
        found[hop] = before
    return [found[hop] for hop in sorted(found)]
