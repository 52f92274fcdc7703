"""Find the leaked credentials that every verification refuses: one query examines very many of them.

The judge (`validity.judge`) refuses an inactive credential before any other check: of its task, of the
credentials above it, of its audience. An inactive credential has ended with a known state, has been superseded by now,
or has expired by now; all of these are columns of its row. So if one of them applies, the query gives the judge's
answer. If a row is inactive in no such way, which only an edit of the file can cause, the judge decides.

A credential that a target made, or that was adopted, may work elsewhere: it counts as ended once the ledger has
settled that it no longer works there.
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
    """Return the leaks above the number `after`, at most `limit`, without any live credential left.

    Their credential has ended, and so has every other credential of its identity and of the descendants; none of these
    leaks is proved yet.
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
    (last_leak,) = db.execute("SELECT max(leak) FROM unproved").fetchone()
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
        last_leak if gathered == limit else None,
    )
