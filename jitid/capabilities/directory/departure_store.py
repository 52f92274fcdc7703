"""SQL that disables delegators, and ends or counts their ties."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from jitid.ledger import select
from jitid.ledger.view import Store
from jitid.model.directory import Holder, Ties

SUSPENDED_AS = "owner disabled"
WITHDRAWN = "withdrawn"
DISABLED = "disabled"

_ACTING = b'{"acting":"'
_LONGEST = 200
"""The number of bytes at the beginning of a request that contain the actor for certain."""

_GIVEN = "(SELECT name FROM given_name)"
_OWNED = f"owner IN {_GIVEN} AND suspended_at IS NULL AND unregistered_at IS NULL"
_WAITS = "ended_at IS NULL AND expires_at > :now"
_ACCESS = f"""name IN {_GIVEN} AND ended_at IS NULL AND expires_at > :now
    AND (superseded_at IS NULL OR superseded_at > :now)"""
# Only grants are withdrawn: a refusal stays in force after its approver has left.
_GRANTED = f"""approver IN {_GIVEN} AND granted = 1
    AND approval IN (SELECT id FROM approval WHERE {_WAITS})"""


def _requested_by(db: Any, names: Collection[str], now: int) -> str:
    """Return the SQL condition for open requests whose requester, delegator or actor has one of these names."""
    given = {name.encode() for name in names}
    # A request is canonical JSON, and may be long; `acting` is its first member.
    rows = db.execute(
        f"""SELECT id, substr(request, 1, {_LONGEST}) FROM approval
             WHERE {_WAITS} AND substr(request, 1, {len(_ACTING)}) = :acting""",
        {"now": now, "acting": _ACTING},
    ).fetchall()
    acting = [str(key) for key, head in rows if head[len(_ACTING) :].partition(b'"')[0] in given]
    # Old rows name a requester by the login alone.
    return f"""(delegator IN {_GIVEN} OR asked_by IN {_GIVEN} OR 'user:' || asked_by IN {_GIVEN}
        OR id IN ({", ".join(acting) or "NULL"})) AND {_WAITS}"""


class DepartureStore(Store):
    """Queries about delegators before they are disabled, on a view of a SQL ledger."""

    def imported_besides(self, keys: Iterable[int]) -> list[Holder]:
        """Return the imported delegators that are not disabled and have none of these keys, ordered by name."""
        select.give(self._db, (), (), delegators=keys)
        rows = self._db.execute(
            """SELECT d.id, d.name FROM delegator d
                WHERE d.imported = 1 AND d.disabled_at IS NULL
                  AND NOT EXISTS (SELECT 1 FROM given_delegator g WHERE g.delegator = d.id)
                ORDER BY d.name"""
        )
        return [Holder(*row) for row in rows]

    def live_credentials_of(self, subjects: Collection[str]) -> dict[str, tuple[int, int]]:
        """Return, by `proved_subject`, the number of live credentials and their latest expiry.

        Only credentials count that were issued under another name, before the directory knew the subject.
        """
        return select.of_subjects(self._db, subjects, self._now) if subjects else {}

    def all_names(self, keys: Iterable[int]) -> list[str]:
        """Return all names and subjects of the delegators with these keys."""
        select.give(self._db, (), (), delegators=keys)
        rows = self._db.execute(
            """SELECT n.name FROM given_delegator g CROSS JOIN delegator_name n
                WHERE n.delegator = g.delegator ORDER BY n.name"""
        )
        return [name for (name,) in rows]

    def ties(self, names: Iterable[str]) -> Ties:
        """Return the total ties of the delegators with these names and subjects."""
        names = frozenset(names)
        select.give(self._db, (), (), names=names)
        values = {"now": self._now}
        (live,) = self._db.execute(
            f"""SELECT count(*) FROM (SELECT t.id FROM given_name g CROSS JOIN term t WHERE t.text = g.name) d
                 CROSS JOIN credential c WHERE c.delegator = d.id AND {select.LIVE}""",
            values,
        ).fetchone()
        live += select.count_by_subject(self._db, self._now)
        agents = self._db.execute(f"SELECT name FROM agent WHERE {_OWNED} ORDER BY name").fetchall()
        condition = _requested_by(self._db, names, self._now)
        (requests,) = self._db.execute(f"SELECT count(*) FROM approval WHERE {condition}", values).fetchone()
        (grants,) = self._db.execute(
            f"SELECT count(*) FROM approval_group WHERE {_GRANTED}", values
        ).fetchone()
        others = 0
        if agents:
            (others,) = self._db.execute(
                f"""SELECT count(*) FROM (SELECT id FROM agent WHERE {_OWNED}) r CROSS JOIN credential c
                     WHERE c.recurring = r.id AND {select.LIVE}
                       AND c.delegator NOT IN (SELECT t.id FROM given_name g CROSS JOIN term t
                                                WHERE t.text = g.name)""",
                values,
            ).fetchone()
        (access,) = self._db.execute(f"SELECT count(*) FROM access WHERE {_ACCESS}", values).fetchone()
        return Ties(live, tuple([name for (name,) in agents]), requests, grants, others, access)


def disable(db: Any, keys: Iterable[int], names: Sequence[str], ties: Ties, *, now: int, event: int) -> None:
    """Disable delegators, suspend their agents, and withdraw the grants, access and requests that `ties` counts."""
    select.give(db, (), (), names=names, delegators=keys)
    values = {"now": now, "event": event, "as": SUSPENDED_AS, "withdrawn": WITHDRAWN, "disabled": DISABLED}
    db.execute(
        """UPDATE delegator SET disabled_at = :now, disabled_last = :now, event = :event
            WHERE disabled_at IS NULL AND id IN (SELECT delegator FROM given_delegator)""",
        values,
    )
    if ties.agents:
        db.execute(
            f"UPDATE agent SET suspended_at = :now, suspended_as = :as, event = :event WHERE {_OWNED}", values
        )
    if ties.grants:
        db.execute(
            f"""UPDATE approval_group SET approver = NULL, proof = NULL, granted = NULL, decided_at = NULL,
                       expires_at = NULL, event = NULL
                 WHERE {_GRANTED}""",
            values,
        )
    if ties.access:
        db.execute(
            f"UPDATE access SET ended_at = :now, ended_as = :disabled, ended_event = :event WHERE {_ACCESS}",
            values,
        )
    if ties.requests:
        db.execute(
            f"""UPDATE approval SET ended_at = :now, ended_as = :withdrawn, ended_event = :event
                 WHERE {_requested_by(db, names, now)}""",
            values,
        )
