"""Walks along the edges of delegation, up and down, from one identity or many; and credentials that rest on a line."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

from jitid.ledger import select
from jitid.ledger.select import IDENTITY_UNDER_AGENT, LIVE
from jitid.model.credential import named_kind, read_kinds
from jitid.model.ledger_rows import Ancestor, Family, Ground
from jitid.model.task import most_sensitive
from jitid.values.ids import identity_id
from jitid.values.record import Record
from jitid.values.times import check_times

# The depth limits every walk: in a damaged ledger, edges may form a circle.
_ABOVE = (
    """
    WITH RECURSIVE above (start, id, parent, depth, hop) AS (
        SELECT id, id, parent, depth, 0 FROM identity WHERE id {which}
        UNION ALL
        SELECT above.start, i.id, i.parent, i.depth, above.hop + 1
          FROM above JOIN identity i ON i.id = above.parent AND i.depth < above.depth)
    SELECT above.start, i.uid, a.text, t.name, i.depth, i.proof, i.sensitivity, t.sensitivity, """
    + IDENTITY_UNDER_AGENT
    + """
      FROM above
      JOIN identity i ON i.id = above.id
      JOIN term a ON a.id = i.agent
      JOIN task t ON t.id = i.task
     WHERE above.hop > 0
     ORDER BY above.start, above.hop"""
)

MAX_GROUNDS = 128
"""The maximum number of credentials that a credential may rest on. It bounds the walk of a verification."""

HEAD = """coalesce(
        (SELECT h.id FROM credential h
          WHERE h.line = coalesce(b.line, b.id) AND h.ended_at IS NULL AND h.superseded_at IS NULL),
        (SELECT h.id FROM credential h
          WHERE h.id = coalesce(b.line, b.id) AND h.ended_at IS NULL AND h.superseded_at IS NULL))"""
"""The head of the line of a credential `b`: the credential of the line that no renewal has superseded."""

_IN_FORCE = f"{LIVE} AND c.superseded_at IS NULL AND c.fingerprint IS NOT NULL"
_RIGHTS = """c.scopes, au.text, c.details, c.expires_at, coalesce(c.may_audience, au.text), c.may_kind,
           c.kind, c.template"""

# A credential rests on the credential that it was attached from, or else on the credential that its identity was
# delegated from. Identities that are older than this record only name a parent.
_GROUNDS = f"""
    WITH RECURSIVE walk (start, hop, identity, basis, own) AS (
        SELECT c.id, 0, c.identity, c.id, 1 FROM {{given}}
        UNION ALL
        SELECT w.start, w.hop + 1, i.id, coalesce(b.source, x.source),
               CASE WHEN b.source IS NULL THEN 0 ELSE 1 END
          FROM walk w JOIN identity x ON x.id = w.identity
          LEFT JOIN credential b ON b.id = w.basis
          JOIN identity i ON i.id = CASE WHEN b.source IS NULL THEN x.parent ELSE x.id END
         WHERE w.hop <= {MAX_GROUNDS})
    SELECT w.start, w.hop, w.own, w.identity, w.basis, i.uid, a.text, t.name, i.depth, t.ended_at, t.deadline,
           i.proof, i.sensitivity, t.sensitivity, {IDENTITY_UNDER_AGENT}, {_RIGHTS}
      FROM walk w
      JOIN credential s ON s.id = w.start
      JOIN identity i ON i.id = w.identity
      JOIN term a ON a.id = i.agent
      JOIN task t ON t.id = i.task
      LEFT JOIN credential b ON b.id = w.basis
      LEFT JOIN credential c ON c.id = {HEAD} AND {_IN_FORCE}
      LEFT JOIN term au ON au.id = c.audiences
     WHERE w.hop > 0 OR (s.superseded_at IS NOT NULL
                         AND EXISTS (SELECT 1 FROM credential l WHERE l.line = coalesce(s.line, s.id)))
     ORDER BY w.start, w.hop"""
_ALL_IN_FORCE = f"""
    SELECT {_RIGHTS} FROM credential c LEFT JOIN term au ON au.id = c.audiences
     WHERE c.identity = :identity AND {_IN_FORCE} ORDER BY c.id"""

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


LIVE_TREES = f"""living (identity, own, delegated, until) AS (
        SELECT b.start, sum(CASE WHEN b.id = b.start THEN 1 ELSE 0 END),
               sum(CASE WHEN b.id = b.start THEN 0 ELSE 1 END), max(coalesce(c.superseded_at, c.expires_at))
          FROM below b CROSS JOIN credential c
         WHERE c.identity = b.id AND {LIVE} GROUP BY b.start)"""
"""A common table after `below`: the identities with live credentials in their tree, with numbers and latest end."""


def below(identities: str) -> str:
    """Return a common table `below`: each identity (`start`) of a query, with itself and all its descendants (`id`).

    It follows every parent edge, so it also finds descendants of ended identities.
    """
    return f"""below (start, id) AS (
        {identities}
        UNION SELECT b.start, i.id FROM below b CROSS JOIN identity i WHERE i.parent = b.id)"""


def lineage(db: Any, identity: int) -> list[Ancestor]:
    """Return the identities above an identity, the nearest first."""
    rows = db.execute(_ABOVE.format(which="= :identity"), {"identity": identity})
    return [_ancestor(row) for row in rows]


def lineages(db: Any) -> dict[int, list[Ancestor]]:
    """Return the identities above each identity in the temporary table `given_identity` that has any."""
    rows = db.execute(_ABOVE.format(which="IN (SELECT identity FROM given_identity)"))
    return {start: [_ancestor(row) for row in group] for start, group in groupby(rows, itemgetter(0))}


def _ancestor(row: Any) -> Ancestor:
    _, uid, agent, task, depth, proof, sensitivity, task_sensitivity, under_agent = row
    highest = most_sensitive(sensitivity, task_sensitivity)
    return Ancestor(identity_id(uid), agent, task, depth, proof, highest, bool(under_agent))


def grounds(db: Any, credential: int, now: int) -> list[Ground]:
    """Return the grounds of a credential: the credentials that it rests on, the nearest first."""
    from_clause = "(SELECT * FROM credential WHERE id = :credential) c"
    rows = db.execute(_GROUNDS.format(given=from_clause), {"now": now, "credential": credential}).fetchall()
    return [_ground(db, row, now) for row in rows]


def grounds_of(db: Any, now: int) -> dict[int, list[Ground]]:
    """Return the grounds of each credential in the temporary table `given_credential` that has any."""
    from_clause = "given_credential g CROSS JOIN credential c ON c.id = g.credential"
    rows = db.execute(_GROUNDS.format(given=from_clause), {"now": now}).fetchall()
    return {start: [_ground(db, row, now) for row in group] for start, group in groupby(rows, itemgetter(0))}


def families(db: Any, now: int) -> dict[int, Family]:
    """Return for each identity in `given_identity` whether it is live, and the numbers of all and live descendants."""
    rows = db.execute(_BELOW, {"now": now})
    return {
        start: Family(bool(live), descendants, live_descendants)
        for start, live, descendants, live_descendants in rows
    }


def _ground(db: Any, row: Any, now: int) -> Ground:
    _, hop, attached, identity, basis, uid, agent, task, depth, ended_at, deadline, proof, *rest = row
    sensitivity, task_sensitivity, under_agent, *rights = rest
    check_times(ended_at, deadline)
    ground = Ground(
        identity_id(uid),
        agent,
        task,
        depth,
        "renewed" if hop == 0 else "attached" if attached else "delegated",
        ended_at,
        deadline,
        proof,
        most_sensitive(sensitivity, task_sensitivity),
        under_agent=bool(under_agent),
    )
    if basis is None:
        for credential_rights in db.execute(_ALL_IN_FORCE, {"identity": identity, "now": now}).fetchall():
            ground = _with(ground, credential_rights)
        return ground
    if rights[3] is None:
        return ground
    return _with(ground, rights)._replace(made=named_kind(rights[6], rights[7]))


def _with(ground: Ground, rights: Sequence[Any]) -> Ground:
    """Return a ground extended by the rights of a further credential."""
    scopes, audiences, details, expires_at, may_audience, may_kind, *_ = rights
    check_times(expires_at)
    kinds = read_kinds(may_kind)
    return ground._replace(
        scopes=(*ground.scopes, *scopes.split()),
        audiences=(*ground.audiences, *audiences.split()),
        details=(*ground.details, *([details] if details else [])),
        expires_at=max(expires_at, ground.expires_at or 0),
        may_audience=(*ground.may_audience, *(may_audience or "").split()),
        may_kind=None if kinds is None or ground.may_kind is None else (*ground.may_kind, *kinds),
    )


RENEWED_HEAD = "ended_at IS NULL AND line IS NOT NULL AND superseded_at IS NULL"
"""Condition of the head of a line that was renewed at least once. The line ends when its head expires."""

SHORTENED = """CASE WHEN line IS NOT NULL AND superseded_at IS NULL AND EXISTS (
        SELECT 1 FROM credential p WHERE (p.line = due.line OR p.id = due.line) AND p.expires_at > due.expires_at)
    THEN line END"""
"""The line of the row `due`, if that is its head and an earlier credential of the line expires later.

Only then can a descendant outlive the line: nothing gets a longer lifetime than the credential it is made from."""


class Resting(Record):
    """A live credential that belongs to a line without a head, or rests on one."""

    key: int
    jti: bytes
    honoured_until: int | None
    """Its expiry, if offline verifiers accept it until then."""


_LIVE_OF = """SELECT c.id, c.jti, CASE WHEN c.claims_hash IS NOT NULL THEN c.expires_at END FROM {}"""


def on_lines(db: Any, lines: Collection[int], now: int) -> list[Resting]:
    """Return the live credentials of these lines and of everything that rests on them, in the order of issue.

    Verification refuses the credentials that rest on a line without a head. They are recorded as ended for lists and
    targets, which read their rows.

    Attached credentials and delegated identities rest on a line, with all their descendants. A line itself can have a
    live predecessor in its overlap.
    """
    members, delegated = _made_from(db, lines)
    live = select.LIVE.replace(":now", str(int(now)))
    rows = list(select.alike(db, f"{_LIVE_OF.format('credential c')} WHERE {live} AND c.id", members))
    if delegated:
        count = select.doom(db, delegated)
        rows += db.execute(f"{_LIVE_OF.format(select.doomed_credentials(count))} AND {live}")
    # A set: a credential that rests on the lower of two given lines also rests on the upper one.
    return sorted({Resting(*row) for row in rows})


def _made_from(db: Any, lines: Collection[int]) -> tuple[set[int], set[int]]:
    """Return the credentials of these lines and of lines attached to them, and the identities that these delegated."""
    # Each step uses an index: an identity can have many credentials, and any holder can abandon an attachment.
    seen_lines: set[int] = set()
    members: set[int] = set()
    new_lines = set(lines)
    while new_lines:
        seen_lines |= new_lines
        credentials = new_lines | {
            key for (key,) in select.alike(db, "SELECT id FROM credential WHERE line", new_lines)
        }
        members |= credentials
        attached = "SELECT coalesce(line, id) FROM credential WHERE ended_at IS NULL AND source"
        new_lines = {line for (line,) in select.alike(db, attached, credentials)} - seen_lines
    return members, {key for (key,) in select.alike(db, "SELECT id FROM identity WHERE source", members)}
