"""Counts of the present state of a ledger, in SQL for both SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jitid.capabilities.identity.filter_store import Filter
from jitid.capabilities.issue.approval_store import WAITING
from jitid.ledger import select
from jitid.ledger.select import LIVE
from jitid.ledger.view import Store

_ATTENTION = {
    "leaked": f"""SELECT count(DISTINCT c.id) FROM leak l CROSS JOIN credential c
                   WHERE l.closed_at IS NULL AND c.id = l.credential AND {LIVE}""",
    "standing": f"SELECT count(*) FROM adopted x CROSS JOIN credential c WHERE c.id = x.credential AND {LIVE}",
    "unsettled": f"""SELECT count(*) FROM outside o CROSS JOIN credential c
                      WHERE o.settled_at IS NULL AND c.id = o.credential AND NOT ({LIVE})""",
    "approvals": f"SELECT count(*) FROM approval p WHERE {WAITING}",
}


class CountStore(Store):
    """Counts on a view of the ledger."""

    def live(self, chosen: Filter, soon: int) -> tuple[int, int, int | None]:
        """Return the number of live credentials, of the ones expiring within `soon` seconds, and the next expiry."""
        where, values, _ = chosen.conditions(self._now)
        count, expiring, next_expiry = self._one(
            f"""SELECT count(*), count(CASE WHEN c.expires_at <= :soon THEN 1 END), min(c.expires_at)
                  FROM credential c {"JOIN identity i ON i.id = c.identity" if chosen.under else ""}
                 WHERE {LIVE} AND {" AND ".join(where)}""",
            **values,
            soon=self._now + soon,
        )
        return count, expiring, next_expiry

    def tasks(self, openers: Sequence[str]) -> tuple[int, int]:
        """Return the number of open tasks, and of those past their deadline; without openers, of all tasks."""
        values: dict[str, Any] = {"now": self._now}
        own = ""
        if openers:
            names = select.placeholders("opener", openers, values)
            own = f" AND t.opener IN (SELECT id FROM term WHERE text IN ({names}))"
        count, overdue = self._one(
            f"""SELECT count(*), count(CASE WHEN t.deadline <= :now THEN 1 END)
                  FROM task t WHERE t.ended_at IS NULL{own}""",
            **values,
        )
        return count, overdue

    def attention(self) -> dict[str, int]:
        """Return the counts of open problems, by the names of `LedgerStatus`."""
        return {name: self._one(query, now=self._now)[0] for name, query in _ATTENTION.items()}
