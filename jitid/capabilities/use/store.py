"""Queries and changes of the use of credentials, in SQL for both SQLite and PostgreSQL.

And the audiences that report use: only for their credentials can jitid know that nothing used them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from jitid.ledger import select
from jitid.ledger.select import dialect_of
from jitid.ledger.transaction import Changes
from jitid.ledger.view import Store, by_event, spared
from jitid.model.event import used_digest
from jitid.values.ids import credential_id, identity_id
from jitid.values.times import check_times

if TYPE_CHECKING:
    from jitid.model.use import NewUse, RecordedUse, Used, UseFilter, UseRow


_USE = """
    SELECT n.id, n.at, n.allowed, n.action, n.resource, n.scope, n.rules, n.reason, n.event, c.jti, i.uid, i.id,
           a.text, d.text, t.name, t.purpose
      FROM action n
      LEFT JOIN credential c ON c.id = n.credential
      LEFT JOIN identity i ON i.id = c.identity
      LEFT JOIN term a ON a.id = i.agent
      LEFT JOIN term d ON d.id = i.delegator
      LEFT JOIN task t ON t.id = i.task"""

_ROLLED_UP = """
    WITH rolled AS (
        SELECT c.identity, n.scope, min(n.at), max(n.at), count(*)
          FROM action n CROSS JOIN credential c
         WHERE c.id = n.credential AND n.allowed = 1 GROUP BY c.identity, n.scope)
    SELECT (SELECT count(*) FROM rolled), (SELECT count(*) FROM used),
           (SELECT count(*) FROM (SELECT * FROM rolled EXCEPT
                                  SELECT identity, scope, first_at, last_at, uses FROM used) AS other)"""


class UseStore(Store):
    """Queries about the use of credentials on a view of the ledger."""

    def uses(self, chosen: UseFilter, limit: int) -> list[RecordedUse]:
        """Return actions in the order of their time."""
        values: dict[str, Any] = {**chosen._asdict(), "limit": limit}
        roots = [name for name in values.pop("delegators") if not name.startswith("agent:")]
        agents = [name.removeprefix("agent:") for name in chosen.delegators if name.startswith("agent:")]
        conditions = {
            "n.at >= :since": chosen.since is not None,
            "n.at < :until": chosen.until is not None,
            "n.action = :action": chosen.action is not None,
            "n.resource = :resource": chosen.resource is not None,
            "n.event = :event": chosen.event is not None,
            select.among("n.rules", "rule"): chosen.rule is not None,
            "i.agent = (SELECT id FROM term WHERE text = :agent)": chosen.agent is not None,
        }
        where = [condition for condition, holds in conditions.items() if holds]
        if chosen.task is not None:
            where.append(f"i.task IN {select.of_task(chosen.task, values)}")
        if roots:
            names = select.placeholders("root", roots, values)
            where.append(f"i.delegator IN (SELECT id FROM term WHERE text IN ({names}))")
        if agents:
            names = select.placeholders("by", agents, values)
            where.append(
                f"""i.parent IN (SELECT p.id FROM term b CROSS JOIN identity p
                                  WHERE p.agent = b.id AND b.text IN ({names}))"""
            )
        rows = self._db.execute(
            f"{_USE} WHERE {' AND '.join(where) or '1 = 1'} ORDER BY n.at, n.id LIMIT :limit", values
        )
        return [_use(row) for row in rows]

    def used_by(self, identities: Iterable[int]) -> dict[int, list[Used]]:
        """Return the uses of each identity that was used, by scope."""
        from jitid.model.use import Used

        select.give(self._db, (), (), identities)
        rows = self._db.execute(
            """SELECT u.identity, u.scope, u.first_at, u.last_at, u.uses
                 FROM given_identity g CROSS JOIN used u WHERE u.identity = g.identity
                ORDER BY u.identity, u.scope"""
        )
        by_identity: dict[int, list[Used]] = {}
        for identity, scope, first_at, last_at, uses in rows:
            check_times(first_at, last_at)
            by_identity.setdefault(identity, []).append(Used(scope, first_at, last_at, uses))
        return by_identity

    def use_members(self, seq: int) -> list[str]:
        """Return the ids of the credentials whose use an event records, one for each action with a credential."""
        rows = self._db.execute(
            """SELECT c.jti FROM action n CROSS JOIN credential c
                WHERE n.event = :seq AND c.id = n.credential ORDER BY n.id""",
            {"seq": seq},
        )
        return [credential_id(jti) for (jti,) in rows]

    def use_rows(self, without: str = "", before: tuple[int, int] = (0, 0)) -> Iterator[UseRow]:
        """Yield every action, ordered by the event that records it.

        Args:
            without: the table of identities whose actions are left out, if an event up to the given one records them.
            before: a time and an event; actions without a credential are left out if they are from before this time
                and an event up to this one records them.

        """
        from jitid.model.use import UseRow

        rows = dialect_of(self._db).stream(
            self._db,
            f"""SELECT n.id, n.at, n.event, c.jti, n.action, n.resource, n.scope, n.allowed, n.rules, n.reason
                  FROM action n LEFT JOIN credential c ON c.id = n.credential
                 WHERE ({spared(without)} OR n.event > :event)
                   AND NOT (n.credential IS NULL AND n.at < :at AND n.event <= :event)
                 ORDER BY {by_event(self._db, "n.")}""",
            dict(zip(("at", "event"), before, strict=True)),
        )
        for key, at, event, jti, action, resource, scope, allowed, rules, reason in rows:
            credential = None if jti is None else credential_id(jti)
            yield UseRow(key, at, event, (credential, action, resource, scope, allowed, rules, reason))

    def is_rolled_up(self) -> bool:
        """Return whether the sums in `used` match the recorded actions."""
        rolled, used, other = self._db.execute(_ROLLED_UP).fetchone()
        return bool(rolled == used and not other)


class UseChanges(Changes, UseStore):
    """Records the use of credentials."""

    def add_uses(self, uses: Sequence[NewUse]) -> str:
        """Record actions as of now, pointing to the next event, and roll them up; return their digest."""
        transaction = self._transaction
        return _add(
            self._db,
            uses,
            now=transaction.now,
            event=transaction.next_seq(),
            next_row_id=transaction.next_row_id,
        )


def _use(row: Any) -> RecordedUse:
    from jitid.model.use import RecordedUse

    key, at, allowed, action, resource, scope, rules, reason, event, jti, uid, *rest = row
    check_times(at)
    return RecordedUse(
        key,
        at,
        allowed == 1,
        action,
        resource,
        scope,
        () if rules is None else tuple(rules.split()),
        reason,
        event,
        None if jti is None else credential_id(jti),
        None if uid is None else identity_id(uid),
        *rest,
    )


def _add(
    db: Any, uses: Sequence[NewUse], *, now: int, event: int, next_row_id: Callable[[], int | None]
) -> str:
    """Record actions as of `now`, and roll them up."""
    rows = [(use, " ".join(use.rules) or None) for use in uses]
    db.executemany(
        """INSERT INTO action (id, at, credential, action, resource, scope, allowed, rules, reason, event)
           VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
        [
            (
                next_row_id(),
                now,
                use.credential,
                use.action,
                use.resource,
                use.scope,
                int(use.allowed),
                rules,
                use.reason,
                event,
            )
            for use, rules in rows
        ],
    )
    counts: dict[tuple[int | None, str | None], int] = {}
    for use in uses:
        if use.allowed:
            key = (use.identity, use.scope)
            counts[key] = counts.get(key, 0) + 1
    db.executemany(
        # If the clock was set back, the first use may be inserted last.
        """INSERT INTO used (identity, scope, first_at, last_at, uses) VALUES (?, ?, ?, ?, ?)
           ON CONFLICT (identity, scope) DO UPDATE
              SET first_at = CASE WHEN excluded.first_at < used.first_at THEN excluded.first_at
                                  ELSE used.first_at END,
                  last_at = CASE WHEN excluded.last_at > used.last_at THEN excluded.last_at
                                 ELSE used.last_at END,
                  uses = used.uses + excluded.uses""",
        # The same order in all transactions prevents a deadlock between two that use the same identities.
        [(identity, scope, now, now, count) for (identity, scope), count in sorted(counts.items(), key=str)],
    )
    return used_digest(
        [
            (use.jti, use.action, use.resource, use.scope, int(use.allowed), rules, use.reason)
            for use, rules in rows
        ]
    )


RECENT = 10_000
"""The number of latest actions to examine, besides the uses of live credentials."""

_TABLE = (
    "CREATE TEMPORARY TABLE IF NOT EXISTS reporting (audiences INTEGER PRIMARY KEY, until BIGINT NOT NULL)"
)

# If a credential has several audiences, its use does not show which audience reported it.
_REPORTED = """
    SELECT t.text, max(told.at)
      FROM (SELECT c.audiences AS audiences, CASE WHEN u.last_at <= :now THEN u.last_at ELSE u.first_at END AS at
              FROM credential c CROSS JOIN used u
             WHERE {alive} AND u.identity = c.identity AND u.first_at <= :now
            UNION ALL
            SELECT c.audiences, latest.at
              FROM (SELECT credential, at FROM action WHERE at <= :now ORDER BY at DESC LIMIT {recent}) latest
             CROSS JOIN credential c WHERE c.id = latest.credential) told
     CROSS JOIN term t
     WHERE t.id = told.audiences AND t.text NOT LIKE '% %' GROUP BY t.text"""

Query = Callable[..., Iterable[Any]]
"""Executes a query in portable SQL, with named values and `:now`."""


def find(query: Query, alive: str) -> bool:
    """Fill the temporary table `reporting`: for each audience, the time until which its use was reported.

    Return whether any use was reported. A row's `audiences` is the value in a credential's column; of several
    audiences, each must report. If a credential issued by `until` had been used, the ledger would have its use.
    `alive` is the SQL condition for a live credential `c`.
    """
    list(query(_TABLE))
    list(query("DELETE FROM reporting"))
    if not any(list(query(f"SELECT 1 FROM {table} LIMIT 1")) for table in ("action", "used")):
        return False
    reported = dict(query(_REPORTED.format(alive=alive, recent=RECENT)))
    if not reported:
        return False
    for audience, until in reported.items():
        _insert(query, audience, until)
    # Names have no spaces: these are lists of audiences, and subjects of ID tokens.
    for key, term in list(query("SELECT id, text FROM term WHERE text LIKE '% %'")):
        times = [reported.get(word) for word in term.split(" ")]
        known = [time for time in times if time is not None]
        if len(known) == len(times):
            list(query("INSERT INTO reporting VALUES (:key, :until)", key=key, until=min(known)))
    return True


def _insert(query: Query, audience: str, until: int) -> None:
    list(
        query(
            "INSERT INTO reporting SELECT id, :until FROM term WHERE text = :audience",
            audience=audience,
            until=until,
        )
    )
