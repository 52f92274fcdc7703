"""Measures a ledger as a whole, in a few passes over its credentials, in SQL that SQLite and PostgreSQL both take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jitid.ledger.selecting import LIVE
from jitid.ledger.survey import (
    Band,
    Breakdown,
    Day,
    Leaks,
    Part,
    People,
    Retirement,
    Sensitive,
    Spread,
    Survey,
    Totals,
    Use,
)
from jitid.task import SENSITIVITIES

TOP = 10
"""So many names of tasks, agents and delegators are told one by one."""
BANDS = (300, 900, 3_600, 28_800, 86_400)
"""Up to where each band of lifetimes goes, in seconds: the limits of the sensitivities, and a day."""
FIVE_DAYS = 5 * 86_400

_DAY = 86_400
_MANY_DAYS = 100_000

_DEATH = """(CASE WHEN c.ended_at IS NOT NULL THEN c.ended_at
    WHEN c.superseded_at IS NOT NULL AND c.superseded_at < c.expires_at THEN c.superseded_at ELSE c.expires_at END)"""
# The living of a time that has passed: since then some have ended, which the row tells.
_LIVED = f"c.issued_at <= :now AND {_DEATH} > :now"
_TASK_END = """(CASE WHEN t.ended_at IS NOT NULL AND t.ended_at <= :now AND t.ended_at < t.deadline
    THEN t.ended_at ELSE t.deadline END)"""
_TASK_IS_OVER = (
    "t.opened_at <= :now AND ((t.ended_at IS NOT NULL AND t.ended_at <= :now) OR t.deadline <= :now)"
)

_TABLES = {
    # All that lives, in groups: what is asked about the living is asked of these.
    "living": """task INTEGER, delegator INTEGER, agent INTEGER, sensitivity TEXT, proof TEXT, kind TEXT,
        lifetime BIGINT, n BIGINT""",
    # Identities with more than one credential: the only ones that can count twice.
    "renewed": "identity INTEGER PRIMARY KEY, live BIGINT",
    "handing": "identity INTEGER PRIMARY KEY",
    "leaked": "credential INTEGER PRIMARY KEY, reported BIGINT, proved BIGINT, death BIGINT",
    "measured": "value BIGINT, n BIGINT",
}

_PROPERTIES = {
    "kind": "kind",
    "task": "task",
    "agent": "agent",
    "delegator": "delegator",
    "sensitivity": "sensitivity",
    "delegator_proof": "proof",
}
"""What the living are counted by, and its column."""
_NAMED = {"task": "task", "agent": "term", "delegator": "term"}


def survey(db: Any, at: int | None, now: int, since: int, limits: Mapping[str, int]) -> Survey:
    """Measure the ledger as it is now, or as it was at `at`.

    Args:
        db: a connection inside one consistent view.
        at: the time that has passed; None for the present.
        now: the present.
        since: the midnight at which the first day of the trend begins.
        limits: the longest lifetime in seconds by sensitivity; what is longer is standing.

    """
    return _Surveying(db, at, now).survey(since, limits)


class _Surveying:
    """One survey: its temporary tables, and the time that all questions are about."""

    def __init__(self, db: Any, at: int | None, now: int) -> None:
        self._db = db
        self._past = at is not None
        self._now = now if at is None else at
        self._alive = LIVE if at is None else _LIVED
        for name, columns in _TABLES.items():
            db.execute(f"CREATE TEMPORARY TABLE IF NOT EXISTS {name} ({columns})")

    def survey(self, since: int, limits: Mapping[str, int]) -> Survey:
        try:
            self._collect()
            retirement = self._retirement()
            leaks, reports = self._leaks(since)
            measured = Survey(
                self._totals(),
                {name: self._breakdown(column) for name, column in _PROPERTIES.items()},
                self._sensitive(limits),
                self._spread("SELECT lifetime, sum(n) FROM living GROUP BY lifetime"),
                self._bands(),
                self._people(),
                self._use(),
                retirement,
                leaks,
                self._trend(since, reports),
            )
        finally:
            for name in _TABLES:
                self._db.execute(f"DELETE FROM {name}")
        return measured

    def _all(self, sql: str, **values: Any) -> list[Any]:
        rows: list[Any] = self._db.execute(sql, {"now": self._now, **values}).fetchall()
        return rows

    def _one(self, sql: str, **values: Any) -> Any:
        return self._all(sql, **values)[0]

    def _collect(self) -> None:
        self._all(
            f"""INSERT INTO living
                SELECT c.task, c.delegator, i.agent, i.sensitivity, i.proof, c.kind, c.expires_at - c.issued_at,
                       count(*)
                  FROM credential c JOIN identity i ON i.id = c.identity
                 WHERE {self._alive}
                 GROUP BY c.task, c.delegator, i.agent, i.sensitivity, i.proof, c.kind, c.expires_at - c.issued_at"""
        )
        issued = "WHERE issued_at <= :now" if self._past else ""
        self._all(
            f"""INSERT INTO renewed
                SELECT r.identity, (SELECT count(*) FROM credential c WHERE c.identity = r.identity AND {self._alive})
                  FROM (SELECT identity FROM credential {issued} GROUP BY identity HAVING count(*) > 1) AS r"""
        )
        born = "AND EXISTS (SELECT 1 FROM credential c WHERE c.identity = i.id AND c.issued_at <= :now)"
        self._all(
            f"""INSERT INTO handing
                SELECT DISTINCT i.parent FROM identity i WHERE i.parent IS NOT NULL {born if self._past else ""}"""
        )

    def _totals(self) -> Totals:
        issued = "c.issued_at <= :now" if self._past else "1 = 1"
        (credentials,) = self._one(f"SELECT count(*) FROM credential c WHERE {issued}")
        (identities,) = self._one(
            "SELECT count(DISTINCT c.identity) FROM credential c WHERE c.issued_at <= :now"
            if self._past
            else "SELECT count(*) FROM identity"
        )
        live, delegators, agents = self._one(
            "SELECT coalesce(sum(n), 0), count(DISTINCT delegator), count(DISTINCT agent) FROM living"
        )
        (twice,) = self._one("SELECT coalesce(sum(live - 1), 0) FROM renewed WHERE live > 1")
        tasks = self._one(
            """SELECT count(*),
                      coalesce(sum(CASE WHEN (t.ended_at IS NULL OR t.ended_at > :now) AND t.deadline > :now
                                   THEN 1 ELSE 0 END), 0),
                      coalesce(sum(CASE WHEN (t.ended_at IS NULL OR t.ended_at > :now) AND t.deadline <= :now
                                   THEN 1 ELSE 0 END), 0),
                      coalesce(sum(CASE WHEN t.ended_at <= :now THEN 1 ELSE 0 END), 0)
                 FROM task t WHERE t.opened_at <= :now"""
        )
        every, opened, overdue, ended = map(int, tasks)
        held = int(live - twice)
        return Totals(
            credentials, identities, int(live), held, every, opened, overdue, ended, delegators, agents
        )

    def _breakdown(self, by: str) -> Breakdown:
        name, join = by, ""
        if by in _NAMED:
            name = "names.name" if _NAMED[by] == "task" else "names.text"
            join = f"JOIN {_NAMED[by]} names ON names.id = grouped.{by}"
        top = self._all(
            f"""SELECT {name}, grouped.n FROM (SELECT {by}, sum(n) AS n FROM living GROUP BY {by}) AS grouped {join}
                 ORDER BY grouped.n DESC, {name} LIMIT {TOP}"""
        )
        names, live = self._one(f"SELECT count(DISTINCT {by}), coalesce(sum(n), 0) FROM living")
        return Breakdown(tuple(Part(each, int(n)) for each, n in top), names, int(live))

    def _sensitive(self, limits: Mapping[str, int]) -> tuple[Sensitive, ...]:
        cases = " ".join(f"WHEN '{each}' THEN {limits[each]:d}" for each in SENSITIVITIES)
        found = {
            sensitivity: (int(live), int(standing))
            for sensitivity, live, standing in self._all(
                f"""SELECT sensitivity, sum(n), sum(CASE WHEN lifetime > CASE sensitivity {cases} END THEN n ELSE 0 END)
                      FROM living GROUP BY sensitivity"""
            )
        }
        return tuple(Sensitive(each, *found.get(each, (0, 0))) for each in SENSITIVITIES)

    def _bands(self) -> tuple[Band, ...]:
        cases = " ".join(f"WHEN lifetime <= {up_to} THEN {number}" for number, up_to in enumerate(BANDS))
        found = dict(
            self._all(
                f"""SELECT band, sum(n)
                      FROM (SELECT CASE {cases} ELSE {len(BANDS)} END AS band, n FROM living) AS banded
                     GROUP BY band"""
            )
        )
        return tuple(Band(up_to, int(found.get(number, 0))) for number, up_to in enumerate((*BANDS, None)))

    def _people(self) -> People:
        counted = """SELECT d.text AS name, l.n - coalesce(e.n, 0) AS n
                       FROM (SELECT delegator, sum(n) AS n FROM living GROUP BY delegator) AS l
                       JOIN term d ON d.id = l.delegator
                       LEFT JOIN (SELECT i.delegator, sum(r.live - 1) AS n
                                    FROM renewed r CROSS JOIN identity i
                                   WHERE r.live > 1 AND i.id = r.identity GROUP BY i.delegator) AS e
                         ON e.delegator = l.delegator
                      WHERE substr(d.text, 1, 5) = 'user:'"""
        people, identities = self._one(f"SELECT count(*), coalesce(sum(n), 0) FROM ({counted}) AS people")
        highest = self._all(f"SELECT name, n FROM ({counted}) AS people ORDER BY n DESC, name LIMIT 1")
        name, most = highest[0] if highest else (None, None)
        return People(people, int(identities), None if most is None else int(most), name)

    def _use(self) -> Use:
        handing = f"""SELECT h.identity FROM handing h
                       WHERE EXISTS (SELECT 1 FROM credential c WHERE c.identity = h.identity AND {self._alive})"""
        renewed = "SELECT identity FROM renewed WHERE live > 0"
        live, twice, renewals, delegated, used = self._one(
            f"""SELECT (SELECT coalesce(sum(n), 0) FROM living),
                       (SELECT coalesce(sum(live - 1), 0) FROM renewed WHERE live > 1),
                       (SELECT count(*) FROM renewed WHERE live > 0),
                       (SELECT count(*) FROM ({handing}) AS delegated),
                       (SELECT count(*) FROM ({renewed} UNION {handing}) AS used)"""
        )
        identities = int(live - twice)
        return Use(identities, renewals, delegated, identities - used)

    def _retirement(self) -> Retirement:
        (tasks,) = self._one(f"SELECT count(*) FROM task t WHERE {_TASK_IS_OVER}")
        # What outlived its task is rare: only that is grouped.
        self._all(
            f"""INSERT INTO measured
                SELECT CASE WHEN death > :now THEN :now ELSE death END - finish,
                       CASE WHEN death > :now THEN 1 ELSE 0 END
                  FROM (SELECT {_TASK_END} AS finish, max({_DEATH}) AS death
                          FROM credential c JOIN task t ON t.id = c.task
                         WHERE {_TASK_IS_OVER} AND c.issued_at <= :now AND {_DEATH} > {_TASK_END}
                         GROUP BY t.id, t.ended_at, t.deadline) AS late"""
        )
        late, live = self._one("SELECT count(*), coalesce(sum(n), 0) FROM measured")
        delays = self._spread(
            "SELECT value, count(*) FROM measured GROUP BY value UNION ALL SELECT 0, :at_once",
            at_once=tasks - late,
        )
        return Retirement(delays, tasks - late, int(live))

    def _leaks(self, since: int) -> tuple[Leaks, dict[int, int]]:
        self._all(
            f"""INSERT INTO leaked
                SELECT l.credential, l.reported, l.proved, {_DEATH}
                  FROM (SELECT credential, min(reported_at) AS reported,
                               min(CASE WHEN proved_at <= :now THEN proved_at END) AS proved
                          FROM leak WHERE added_at <= :now GROUP BY credential) AS l
                  CROSS JOIN credential c WHERE c.id = l.credential"""
        )
        counts = self._one(
            f"""SELECT count(*), coalesce(sum(CASE WHEN death > :now THEN 1 ELSE 0 END), 0),
                      coalesce(sum(CASE WHEN proved IS NOT NULL THEN 1 ELSE 0 END), 0),
                      coalesce(sum(CASE WHEN death <= reported AND death <= :now THEN 1 ELSE 0 END), 0),
                      :now - min(CASE WHEN death > :now THEN reported END),
                      coalesce(sum(CASE WHEN reported + {FIVE_DAYS} <= :now THEN 1 ELSE 0 END), 0),
                      coalesce(sum(CASE WHEN reported + {FIVE_DAYS} <= :now AND death > reported + {FIVE_DAYS}
                                   THEN 1 ELSE 0 END), 0),
                      coalesce(sum(CASE WHEN reported + {FIVE_DAYS} > :now AND death <= :now THEN 1 ELSE 0 END), 0),
                      coalesce(sum(CASE WHEN reported + {FIVE_DAYS} > :now AND death > :now THEN 1 ELSE 0 END), 0)
                 FROM leaked"""
        )
        secrets, valid, proved, before, oldest, aged, aged_valid, young_dead, young_valid = counts
        exposure = self._spread(
            """SELECT CASE WHEN death > reported THEN death - reported ELSE 0 END, count(*)
                 FROM leaked WHERE death <= :now GROUP BY 1"""
        )
        reports = self._all(
            f"SELECT (reported - :since) / {_DAY}, count(*) FROM leaked WHERE reported >= :since GROUP BY 1",
            since=since,
        )
        found = Leaks(
            secrets, valid, proved, before, exposure, oldest, aged, aged_valid, young_dead, young_valid
        )
        return found, dict(reports)

    def _trend(self, since: int, reports: Mapping[int, int]) -> tuple[Day, ...]:
        days = (self._now - since) // _DAY + 1
        issued, ended, begun = [0] * days, [0] * days, 0
        alive = [0] * days
        # Both days in one number: what is sorted by one key is sorted faster.
        rows = self._all(
            f"""SELECT span, count(*)
                  FROM (SELECT {_MANY_DAYS} * CASE WHEN issued_at < :since THEN 0
                                              ELSE (issued_at - :since) / {_DAY} + 1 END
                               + CASE WHEN death > :now THEN :days ELSE (death - :since) / {_DAY} END AS span
                          FROM (SELECT c.issued_at, {_DEATH} AS death FROM credential c
                                 WHERE c.issued_at <= :now) AS lives
                         WHERE death >= :since) AS lived
                 GROUP BY span""",
            since=since,
            days=days,
        )
        for span, count in rows:
            born, died = span // _MANY_DAYS - 1, span % _MANY_DAYS
            if born < 0:
                begun += count
            else:
                issued[born] += count
            if died < days:
                ended[died] += count
        for day in range(days):
            begun += issued[day] - ended[day]
            alive[day] = begun
        return tuple(
            Day(since + day * _DAY, issued[day], ended[day], alive[day], reports.get(day, 0))
            for day in range(days)
        )

    def _spread(self, counted: str, **values: Any) -> Spread:
        """Return how values are spread that a query gives with how often each occurs, by nearest rank."""
        count, p50, p95, longest = self._one(
            f"""WITH counted (value, n) AS ({counted}),
                running AS (SELECT value, sum(n) OVER (ORDER BY value) AS upto FROM counted WHERE n > 0),
                whole AS (SELECT coalesce(sum(n), 0) AS n FROM counted)
                SELECT (SELECT n FROM whole),
                       (SELECT min(value) FROM running WHERE 2 * upto >= (SELECT n FROM whole)),
                       (SELECT min(value) FROM running WHERE 100 * upto >= 95 * (SELECT n FROM whole)),
                       (SELECT max(value) FROM running)""",
            **values,
        )
        return Spread(int(count), p50, p95, longest)
