"""The times since which the ledger refuses identities and their descendants, and until which verifiers accept them.

The holder of a leaked credential can renew it, attach others to its identity, delegate and exchange. All of these
credentials belong to the identity or to a descendant, so one walk down the parent edges finds everything that the leak
exposes. SQLite and PostgreSQL both run the SQL.
"""

from __future__ import annotations

from typing import Any

from jitid.ledger.lineage import below
from jitid.ledger.select import AT_TARGET, DEATH, LIVE, SIGNED, UNSETTLED
from jitid.values.times import check_times

_FACTS = f"""
    WITH RECURSIVE {below("SELECT identity, identity FROM given_identity")}
    SELECT b.start, max(CASE WHEN {LIVE} THEN 1 ELSE 0 END), max({DEATH}), max({SIGNED}), max({AT_TARGET}),
           max({UNSETTLED})
      FROM below b CROSS JOIN credential c LEFT JOIN outside o ON o.credential = c.id
     WHERE c.identity = b.id GROUP BY b.start"""


def facts_of(db: Any, now: int) -> dict[int, tuple[int | None, int | None]]:
    """Return two times by identity: since when the ledger refuses it, and until when verifiers accept it.

    Both include all descendants. The identities are in the temporary table `given_identity`. None means that the time
    is still open.
    """
    times: dict[int, tuple[int | None, int | None]] = {}
    for identity, live, death, signed, at_target, unsettled in db.execute(_FACTS, {"now": now}).fetchall():
        if live:
            times[identity] = None, None
            continue
        check_times(death, signed, at_target)
        # A row that ended in the future, by a clock that was set back since, is refused now.
        refused_since = min(death, now)
        accepted_until = max(refused_since, signed or refused_since, at_target or refused_since)
        times[identity] = refused_since, None if unsettled else accepted_until
    return times
