"""What becomes of what delegators leave behind, for any number of them at once."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from jitid.ledger import select
from jitid.model.directory import Holder, Ties

if TYPE_CHECKING:
    from jitid.ledger.view import View

SUSPENDED_AS = "owner disabled"
WITHDRAWN = "withdrawn"
DISABLED = "disabled"

_ACTING = b'{"acting":"'
_LONGEST = 200
"""The number of bytes of a request that are certain to contain the actor."""

_GIVEN = "(SELECT name FROM given_name)"
_OWNED = f"owner IN {_GIVEN} AND suspended_at IS NULL AND unregistered_at IS NULL"
_WAITS = "ended_at IS NULL AND expires_at > :now"
_ACCESS = f"""name IN {_GIVEN} AND ended_at IS NULL AND expires_at > :now
    AND (superseded_at IS NULL OR superseded_at > :now)"""
# Who has refused something keeps it refused.
_GRANTED = f"""approver IN {_GIVEN} AND granted = 1
    AND approval IN (SELECT id FROM approval WHERE {_WAITS})"""


def _asked(db: Any, names: Collection[str], now: int) -> str:
    """Return the condition of the requests that somebody with one of these names has made, is asked for, or acts in."""
    given = {name.encode() for name in names}
    # A request is canonical JSON, and may be long: `acting` is its first member.
    rows = db.execute(
        f"""SELECT id, substr(request, 1, {_LONGEST}) FROM approval
             WHERE {_WAITS} AND substr(request, 1, {len(_ACTING)}) = :acting""",
        {"now": now, "acting": _ACTING},
    ).fetchall()
    acting = [str(key) for key, head in rows if head[len(_ACTING) :].partition(b'"')[0] in given]
    # Rows from before name a requester by the login alone.
    return f"""(delegator IN {_GIVEN} OR asked_by IN {_GIVEN} OR 'user:' || asked_by IN {_GIVEN}
        OR id IN ({", ".join(acting) or "NULL"})) AND {_WAITS}"""


class DepartureStore:
    """What a view of a ledger that speaks SQL answers about delegators who are to be disabled."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._db = view.db
        self._now = view.now

    def imported_besides(self, keys: Iterable[int]) -> list[Holder]:
        """Return, by name, who came with an import, is not disabled, and has none of these keys."""
        select.give(self._db, (), (), delegators=keys)
        rows = self._db.execute(
            """SELECT d.id, d.name FROM delegator d
                WHERE d.imported = 1 AND d.disabled_at IS NULL
                  AND NOT EXISTS (SELECT 1 FROM given_delegator g WHERE g.delegator = d.id)
                ORDER BY d.name"""
        )
        return [Holder(*row) for row in rows]

    def lives_of(self, subjects: Collection[str]) -> dict[str, tuple[int, int]]:
        """Return, by subject of ID tokens, how many live credentials descend from what they proved, and until when.

        Only of what was issued before the directory knew the subject, under whatever name the token gave.
        """
        return select.of_subjects(self._db, subjects, self._now) if subjects else {}

    def all_names(self, keys: Iterable[int]) -> list[str]:
        """Return every name and subject of the delegators with these keys."""
        select.give(self._db, (), (), delegators=keys)
        rows = self._db.execute(
            """SELECT n.name FROM given_delegator g CROSS JOIN delegator_name n
                WHERE n.delegator = g.delegator ORDER BY n.name"""
        )
        return [name for (name,) in rows]

    def ties(self, names: Iterable[str]) -> Ties:
        """Return what hangs on the delegators with these names and subjects, all of them together."""
        names = frozenset(names)
        select.give(self._db, (), (), names=names)
        values = {"now": self._now}
        (live,) = self._db.execute(
            f"""SELECT count(*) FROM (SELECT t.id FROM given_name g CROSS JOIN term t WHERE t.text = g.name) d
                 CROSS JOIN credential c WHERE c.delegator = d.id AND {select.LIVE}""",
            values,
        ).fetchone()
        live += select.count_theirs(self._db, self._now)
        agents = self._db.execute(f"SELECT name FROM agent WHERE {_OWNED} ORDER BY name").fetchall()
        asked = _asked(self._db, names, self._now)
        (requests,) = self._db.execute(f"SELECT count(*) FROM approval WHERE {asked}", values).fetchone()
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
    """Disable delegators, and suspend and withdraw what is theirs, as far as `ties` says that there is any of it."""
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
                 WHERE {_asked(db, names, now)}""",
            values,
        )
