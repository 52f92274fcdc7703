"""The history of agents by name, from a few passes over the credentials, in SQL for SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from jitid.ledger.lifetime_statistics import GRANTED
from jitid.ledger.select import DEATH, MANY, dialect_of, placeholders
from jitid.model.survey import Past, Pasts, Spread

if TYPE_CHECKING:
    from jitid.ledger.view import View

_DAY = 86_400
_NO_SPREAD = Spread(0, None, None, None)

_TABLES = {
    # One row for each identity, in the order in which later queries read them, if the database keeps such an order.
    "life": """agent INTEGER, began BIGINT, identity INTEGER, ended BIGINT, longest BIGINT, task INTEGER,
        delegator INTEGER, PRIMARY KEY (agent, began, identity)){ordered}""",
    # Identities with several credentials: only for these must rows be grouped.
    "several": "identity INTEGER PRIMARY KEY)",
    "seen": """agent INTEGER PRIMARY KEY, identities BIGINT, tasks BIGINT, days BIGINT, first BIGINT, last BIGINT,
        longest BIGINT, live BIGINT, task INTEGER)""",
    "chosen": "agent INTEGER PRIMARY KEY)",
}
_SPANS = f"""SELECT i.agent, min(c.issued_at), i.id, max({DEATH}), max({GRANTED} - c.issued_at), i.task, i.delegator"""
"""The identities' lifetimes. An identity ends with its last credential, not when a credential is superseded."""

# A query for one page of names does not compute the details of the other names.
_OF_CHOSEN = "chosen a CROSS JOIN life l ON l.agent = a.agent"


def pasts(view: View, since: int, *, names: Sequence[str] = (), tasks: int, days: int, most: int) -> Pasts:
    """Return the history of agents since a time: of these names, or of all names.

    A name without identities since then is left out.
    """
    return _PastQuery(view.db, view.now, since).pasts(names, tasks, days, most)


class _PastQuery:
    """The temporary tables and the times of one call of `pasts`."""

    def __init__(self, db: Any, now: int, since: int) -> None:
        self._db = db
        self._times = {"now": now, "since": since}
        ordered = dialect_of(db).ordered_key
        for name, columns in _TABLES.items():
            db.execute(f"CREATE TEMPORARY TABLE IF NOT EXISTS {name} ({columns.format(ordered=ordered)}")

    def pasts(self, names: Sequence[str], tasks: int, days: int, most: int) -> Pasts:
        """Return the histories, the most important first."""
        try:
            self._collect(names)
            values = {"tasks": tasks, "days": days, "most": most}
            self._all(
                f"""INSERT INTO chosen SELECT agent FROM (
                        SELECT s.agent FROM seen s JOIN term t ON t.id = s.agent LEFT JOIN agent r ON r.name = t.text
                         ORDER BY {_RANK} LIMIT :most) AS first""",
                **values,
            )
            ((name_count, recurring),) = self._all(
                f"SELECT count(*), coalesce(sum(CASE WHEN {_RECURS} THEN 1 ELSE 0 END), 0) FROM seen s",
                **values,
            )
            left_out = self._all(
                """SELECT t.text FROM seen s JOIN term t ON t.id = s.agent JOIN agent r ON r.name = t.text
                    WHERE r.unregistered_at IS NULL AND s.agent NOT IN (SELECT agent FROM chosen)"""
            )
            names_left_out = frozenset(name for (name,) in left_out)
            return Pasts(list(self._histories(values)), name_count, int(recurring), names_left_out)
        finally:
            for name in _TABLES:
                self._db.execute(f"DELETE FROM {name}")

    def _collect(self, names: Sequence[str]) -> None:
        if names:
            values: dict[str, Any] = {}
            terms = f"SELECT id FROM term WHERE text IN ({placeholders('name', names, values)})"
            self._all(
                f"""INSERT INTO life {_SPANS}
                      FROM identity i CROSS JOIN credential c ON c.identity = i.id
                     WHERE c.issued_at >= :since AND c.kind <> 'adopted' AND i.agent IN ({terms}) GROUP BY i.id""",
                **values,
            )
        else:
            self._collect_all()
        self._all(
            f"""INSERT INTO seen
                SELECT agent, count(*), count(DISTINCT task), count(DISTINCT began / {_DAY}), min(began), max(began),
                       max(longest), sum(CASE WHEN ended > :now THEN 1 ELSE 0 END), max(task)
                  FROM life GROUP BY agent"""
        )

    def _collect_all(self) -> None:
        # The passes read the credentials in order, which is the order of the identities except for the few with
        # several credentials.
        self._all("INSERT INTO several SELECT identity FROM credential GROUP BY identity HAVING count(*) > 1")
        self._all(
            f"""INSERT INTO life
                SELECT i.agent, c.issued_at, i.id, {DEATH}, {GRANTED} - c.issued_at, i.task, i.delegator
                  FROM credential c CROSS JOIN identity i ON i.id = c.identity
                 WHERE c.issued_at >= :since AND c.kind <> 'adopted'
                   AND NOT EXISTS (SELECT 1 FROM several WHERE several.identity = c.identity)
                 ORDER BY 1, 2, 3"""
        )
        self._all(
            f"""INSERT INTO life {_SPANS}
                  FROM several s CROSS JOIN identity i ON i.id = s.identity
                 CROSS JOIN credential c ON c.identity = s.identity
                 WHERE c.issued_at >= :since GROUP BY i.id"""
        )

    def _histories(self, values: dict[str, Any]) -> Iterator[Past]:
        run_times = self._spreads("l.ended - l.began", "l.ended <= :now")
        intervals = self._intervals()
        concurrency = self._concurrency()
        delegators = self._delegators()
        granted = self._granted()
        used = self._used()
        for agent, name, identities, tasks, days, first_at, last_at, longest, live, purpose in self._all(
            f"""SELECT s.agent, t.text, s.identities, s.tasks, s.days, s.first, s.last, s.longest, s.live,
                       (SELECT purpose FROM task WHERE id = s.task)
                  FROM chosen a JOIN seen s ON s.agent = a.agent JOIN term t ON t.id = s.agent
                  LEFT JOIN agent r ON r.name = t.text
                 ORDER BY {_RANK}""",
            **values,
        ):
            kinds, audiences, scopes = granted[agent]
            yield Past(
                name,
                identities,
                tasks,
                days,
                first_at,
                last_at,
                int(live),
                run_times.get(agent, _NO_SPREAD),
                intervals.get(agent, _NO_SPREAD),
                longest,
                int(concurrency[agent]),
                *delegators[agent],
                purpose,
                frozenset(kinds),
                frozenset(audiences),
                frozenset(scopes),
                used.get(agent),
            )

    def _all(self, sql: str, **values: Any) -> list[Any]:
        rows: list[Any] = self._db.execute(sql, {**self._times, **values}).fetchall()
        return rows

    def _spreads(self, value: str, condition: str) -> dict[int, Spread]:
        """Return the distribution of a value over rows of `life`, by chosen agent, with nearest-rank percentiles."""
        return self._spread(
            f"SELECT l.agent, {value}, count(*) FROM {_OF_CHOSEN} WHERE {condition} GROUP BY l.agent, {value}"
        )

    def _intervals(self) -> dict[int, Spread]:
        """Return the distribution of the number of days between two days with an issue, by chosen agent."""
        return self._spread(
            f"""SELECT agent, gap, count(*)
                  FROM (SELECT agent, day - lag(day) OVER (PARTITION BY agent ORDER BY day) AS gap
                          FROM (SELECT DISTINCT l.agent, l.began / {_DAY} AS day FROM {_OF_CHOSEN}) AS days) AS gaps
                 WHERE gap IS NOT NULL GROUP BY agent, gap"""
        )

    def _spread(self, counted: str) -> dict[int, Spread]:
        return {
            agent: Spread(int(count), p50, p95, longest)
            for agent, count, p50, p95, longest in self._all(
                f"""WITH counted (agent, value, n) AS ({counted}),
                    running AS (SELECT agent, value, sum(n) OVER (PARTITION BY agent ORDER BY value) AS upto,
                                       sum(n) OVER (PARTITION BY agent) AS whole
                                  FROM counted)
                    SELECT agent, max(whole), min(CASE WHEN 2 * upto >= whole THEN value END),
                           min(CASE WHEN 100 * upto >= 95 * whole THEN value END), max(value)
                      FROM running GROUP BY agent"""
            )
        }

    def _concurrency(self) -> dict[int, int]:
        # Agent by agent: the rows of one agent are already in the order of `began`. An identity that begins when
        # another ends does not overlap it, but each identity counts for at least one second.
        return dict(
            self._all(
                """SELECT a.agent, (
                       SELECT max(n)
                         FROM (SELECT sum(step) OVER (ORDER BY at, step ROWS UNBOUNDED PRECEDING) AS n
                                 FROM (SELECT began AS at, 1 AS step FROM life WHERE agent = a.agent
                                       UNION ALL
                                       SELECT CASE WHEN ended > began THEN ended ELSE began + 1 END, -1
                                         FROM life WHERE agent = a.agent) AS steps) AS running)
                     FROM chosen a"""
            )
        )

    def _delegators(self) -> dict[int, tuple[int, str, int]]:
        """Return, by agent, the number of its delegators, the delegator with most identities, and their number."""
        return {
            agent: (people, name, n)
            for agent, people, name, n in self._all(
                f"""WITH counted AS (
                        SELECT l.agent, l.delegator, count(*) AS n FROM {_OF_CHOSEN} GROUP BY l.agent, l.delegator),
                    named AS (
                        SELECT c.agent, coalesce(r.name, t.text) AS name, sum(c.n) AS n
                          FROM counted c JOIN term t ON t.id = c.delegator
                          LEFT JOIN delegator_name d ON d.name = t.text LEFT JOIN delegator r ON r.id = d.delegator
                         GROUP BY c.agent, coalesce(r.name, t.text)),
                    ranked AS (
                        SELECT agent, name, n, count(*) OVER (PARTITION BY agent) AS people,
                               row_number() OVER (PARTITION BY agent ORDER BY n DESC, name) AS place
                          FROM named)
                    SELECT agent, people, name, n FROM ranked WHERE place = 1"""
            )
        }

    def _granted(self) -> dict[int, tuple[set[str], set[str], set[str]]]:
        """Return the kinds, the audiences and the scopes that each agent was granted."""
        granted: dict[int, tuple[set[str], set[str], set[str]]] = {}
        tables = (
            f"{_OF_CHOSEN} CROSS JOIN credential c ON c.identity = l.identity"
            if self._few()
            else "credential c CROSS JOIN identity i ON i.id = c.identity CROSS JOIN chosen a ON a.agent = i.agent"
        )
        for agent, kind, audiences, scopes in self._all(
            f"""SELECT g.agent, g.kind, t.text, g.scopes
                  FROM (SELECT DISTINCT a.agent, c.kind, c.audiences, c.scopes FROM {tables}
                         WHERE c.issued_at >= :since) AS g
                  JOIN term t ON t.id = g.audiences"""
        ):
            kind_set, audience_set, scope_set = granted.setdefault(agent, (set(), set(), set()))
            kind_set.add(kind)
            audience_set.update(audiences.split())
            scope_set.update(scopes.split())
        return granted

    def _used(self) -> dict[int, frozenset[str]]:
        """Return the scopes that each agent used; agents without a report of use are left out."""
        tables = (
            "chosen a CROSS JOIN identity i ON i.agent = a.agent CROSS JOIN used u ON u.identity = i.id"
            if self._few()
            else "used u CROSS JOIN identity i ON i.id = u.identity CROSS JOIN chosen a ON a.agent = i.agent"
        )
        used: dict[int, set[str]] = {}
        for agent, scope in self._all(
            f"SELECT DISTINCT a.agent, u.scope FROM {tables} WHERE u.last_at >= :since"
        ):
            used.setdefault(agent, set()).add(scope)
        return {agent: frozenset(scopes) for agent, scopes in used.items()}

    def _few(self) -> bool:
        """Return whether looking up each identity of the chosen agents costs less than a pass over all rows."""
        ((count,),) = self._all(f"SELECT count(*) FROM (SELECT 1 FROM {_OF_CHOSEN} LIMIT {MANY}) AS few")
        return bool(count < MANY)


_RECURS = "s.tasks >= :tasks OR s.days >= :days"
_RANK = f"""CASE WHEN r.id IS NOT NULL AND r.unregistered_at IS NULL THEN 0 WHEN {_RECURS} THEN 1 ELSE 2 END,
    s.identities DESC, t.text"""
"""The order of names: registered ones first, then recurring ones, then by the number of identities."""
