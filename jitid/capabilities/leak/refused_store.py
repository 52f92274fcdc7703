"""Which leaked credentials are refused by whatever verifies, asked of a million of them in one question.

The judge (`introspection.judge`) refuses what is not active before it looks at anything else: at its task, at what
stands above it, at whom it is meant for. What is not active has ended in one of the ways that there are, or has been
superseded by now, or has expired by now; and these are columns of its row. So for a row of which one of them holds
the question here has the judge's answer. Of a row that is dead in no such way, as only somebody who edits the file
leaves it, the judge is asked.

What a target has made, or what was adopted, may work for others than those who verify: it is dead once it is settled
that nothing of it is left there.
"""

from __future__ import annotations

from typing import Any

from jitid.ledger import select
from jitid.ledger.dialect import dialect_of
from jitid.ledger.lineage import below
from jitid.model.credential import State
from jitid.model.leak import RefusedLeaks

_WAYS = ", ".join(f"'{state}'" for state in State if state not in (State.ACTIVE, State.PENDING))
_INACTIVE = f"(c.ended_as IN ({_WAYS}) OR c.superseded_at <= :now OR c.expires_at <= :now)"
_COLUMNS = "leak INTEGER PRIMARY KEY, identity INTEGER NOT NULL, inactive INTEGER NOT NULL"

_GATHER = f"""INSERT INTO unproved (leak, identity, inactive)
    SELECT l.id, c.identity, CASE WHEN {_INACTIVE} THEN 1 ELSE 0 END
      FROM leak l CROSS JOIN credential c
     WHERE c.id = l.credential AND l.proved_at IS NULL AND l.id > :after AND NOT ({select.LIVE})
     ORDER BY l.id LIMIT :limit"""

_TAKEN = """EXISTS (SELECT 1 FROM outside o WHERE o.credential = c.id
       AND (o.settled_at IS NULL
            OR o.settlement = 'unsupported' AND coalesce(o.honoured_until, c.expires_at) > :now))"""


def refused(db: Any, after: int, limit: int, now: int) -> RefusedLeaks:
    """Return which leaks above a number, `limit` of them at most, are dead with all that came of them.

    Their credential is dead, and so is every other one of its identity and of what descends from that; none of them is
    proved yet.
    """
    dialect = dialect_of(db)
    dialect.temporaries(db, {"unproved": _COLUMNS})
    gathered = db.execute(_GATHER, {"after": after, "limit": limit, "now": now}).rowcount
    if not gathered:
        return RefusedLeaks([], [], None)
    dialect.counted(db, "unproved")
    # Most ledgers have nothing at targets, and a million rows to go through.
    targets = db.execute("SELECT 1 FROM outside LIMIT 1").fetchone() is not None
    alive = f"({select.LIVE} OR {_TAKEN})" if targets else select.LIVE
    (last,) = db.execute("SELECT max(leak) FROM unproved").fetchone()
    db.execute(
        f"""DELETE FROM unproved WHERE identity IN (SELECT start FROM (
                WITH RECURSIVE {below("SELECT identity, identity FROM unproved")}
                SELECT b.start FROM below b CROSS JOIN credential c
                 WHERE c.identity = b.id AND {alive}) AS living)""",
        {"now": now},
    )
    rows = db.execute("SELECT leak, inactive FROM unproved ORDER BY leak").fetchall()
    return RefusedLeaks(
        [leak for leak, inactive in rows if inactive],
        [leak for leak, inactive in rows if not inactive],
        last if gathered == limit else None,
    )
