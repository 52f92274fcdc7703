"""What lives how long: durations, what outlived its task or the report of its leak, days of births and deaths."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jitid.ledger.accepted_until import AT_TARGET, SIGNED, UNSETTLED
from jitid.ledger.lineage import below
from jitid.ledger.select import DEATH
from jitid.model.survey import Day, Leaks, Retirement, Spread

FIVE_DAYS = 5 * 86_400

_DAY = 86_400
_MANY_DAYS = 100_000

GRANTED = f"(CASE WHEN c.ended_as = 'revoked' THEN c.expires_at ELSE {DEATH} END)"
"""The same, but for what was revoked: who does that says nothing of how long it was needed, only the grant does."""
LIVED = f"c.issued_at <= :now AND {DEATH} > :now"
"""The living of a time that may have passed: since then some have ended, which the row tells."""
_TASK_END = """(CASE WHEN t.ended_at IS NOT NULL AND t.ended_at <= :now AND t.ended_at < t.deadline
    THEN t.ended_at ELSE t.deadline END)"""
_TASK_IS_OVER = (
    "t.opened_at <= :now AND ((t.ended_at IS NOT NULL AND t.ended_at <= :now) OR t.deadline <= :now)"
)

_AGED = f"reported + {FIVE_DAYS} <= :now"
_YOUNG = f"reported + {FIVE_DAYS} > :now"
_EXPOSED = "(refused > :now OR unsettled = 1 OR accepted >= reported)"
"""The ledger or another verifier accepted it, or something made with it, when it was reported or later."""
_LEAKED = {
    "secrets": "1 = 1",
    "valid": "death > :now",
    "valid_closed": "death > :now AND closed = 1",
    "offline": "death <= :now AND signed_until > :now",
    "accepted": "refused <= :now AND (unsettled = 1 OR accepted > :now)",
    "unsettled": "refused <= :now AND unsettled = 1",
    "proved": "proved IS NOT NULL",
    "dead_before": "death < reported AND death <= :now",
    "aged": f"{_AGED} AND death >= reported",
    "aged_valid": f"{_AGED} AND death > reported + {FIVE_DAYS}",
    "aged_known": f"{_AGED} AND {_EXPOSED}",
    "aged_accepted": f"{_AGED} AND (refused > :now OR unsettled = 1 OR accepted > reported + {FIVE_DAYS})",
    "young_dead": f"{_YOUNG} AND death >= reported AND death <= :now",
    "young_valid": f"{_YOUNG} AND death > :now",
}
"""Which leaked secrets are counted, by the names of the counts."""


class AtOneTime:
    """A ledger that is asked about one time, which each question has as `:now`."""

    def __init__(self, db: Any, now: int) -> None:
        self._db = db
        self.now = now

    def all(self, sql: str, **values: Any) -> list[Any]:
        """Return the rows that answer a question."""
        rows: list[Any] = self._db.execute(sql, {"now": self.now, **values}).fetchall()
        return rows

    def one(self, sql: str, **values: Any) -> Any:
        """Return the first of them."""
        return self.all(sql, **values)[0]

    def spread(self, counted: str, **values: Any) -> Spread:
        """Return how values are spread that a query gives with how often each occurs, by nearest rank."""
        count, p50, p95, longest = self.one(
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


def retirement(asked: AtOneTime) -> Retirement:
    """Return how long credentials outlived their tasks."""
    (tasks,) = asked.one(f"SELECT count(*) FROM task t WHERE {_TASK_IS_OVER}")
    # What outlived its task is rare: only that is grouped.
    asked.all(
        f"""INSERT INTO measured
            SELECT CASE WHEN death > :now THEN :now ELSE death END - finish,
                   CASE WHEN death > :now THEN 1 ELSE 0 END
              FROM (SELECT {_TASK_END} AS finish, max({DEATH}) AS death
                      FROM credential c JOIN task t ON t.id = c.task
                     WHERE {_TASK_IS_OVER} AND c.issued_at <= :now AND {DEATH} > {_TASK_END}
                     GROUP BY t.id, t.ended_at, t.deadline) AS late"""
    )
    late, live = asked.one("SELECT count(*), coalesce(sum(n), 0) FROM measured")
    delays = asked.spread(
        "SELECT value, count(*) FROM measured GROUP BY value UNION ALL SELECT 0, :at_once",
        at_once=tasks - late,
    )
    return Retirement(delays, tasks - late, int(live))


def _latest(first: str, *others: str) -> str:
    """Return an expression for the latest of some times, of which all but the first may be NULL."""
    latest = first
    for each in others:
        latest = f"(CASE WHEN {each} > {latest} THEN {each} ELSE {latest} END)"
    return latest


def _add_kindred(asked: AtOneTime) -> None:
    """Let each leaked secret have the facts of its whole identity and of all below it: its holder had all of that.

    Most have one credential and nothing below: those have their facts already.
    """
    asked.all(
        f"""INSERT INTO kindred
            WITH RECURSIVE {
            below(
                '''SELECT identity, identity FROM leaked
                    WHERE identity IN (SELECT identity FROM renewed) OR identity IN (SELECT identity FROM handing)'''
            )
        }
            SELECT b.start, max({DEATH}), max({SIGNED}), max({AT_TARGET}), max({UNSETTLED})
              FROM below b CROSS JOIN credential c LEFT JOIN outside o ON o.credential = c.id
             WHERE c.identity = b.id AND c.issued_at <= :now GROUP BY b.start"""
    )
    asked.all(
        f"""UPDATE leaked SET refused = k.refused, accepted = {_latest("k.refused", "k.signed", "k.at_target")},
                   unsettled = k.unsettled
              FROM kindred k WHERE k.identity = leaked.identity"""
    )


def leaks(asked: AtOneTime, since: int) -> tuple[Leaks, dict[int, int]]:
    """Return what became of leaked secrets, and how many were reported on each day after `since`."""
    asked.all(
        f"""INSERT INTO leaked
            SELECT l.credential, l.reported, l.proved, l.closed, {DEATH}, c.identity,
                   CASE WHEN c.claims_hash IS NOT NULL THEN c.expires_at END, {DEATH},
                   {_latest(DEATH, SIGNED, AT_TARGET)}, {UNSETTLED}
              FROM (SELECT credential, min(reported_at) AS reported,
                           min(CASE WHEN proved_at <= :now THEN proved_at END) AS proved,
                           min(CASE WHEN closed_at <= :now THEN 1 ELSE 0 END) AS closed
                      FROM leak WHERE added_at <= :now GROUP BY credential) AS l
              CROSS JOIN credential c LEFT JOIN outside o ON o.credential = c.id WHERE c.id = l.credential"""
    )
    _add_kindred(asked)
    counted = ", ".join(f"coalesce(sum(CASE WHEN {each} THEN 1 ELSE 0 END), 0)" for each in _LEAKED.values())
    *counts, oldest = asked.one(
        f"SELECT {counted}, :now - min(CASE WHEN death > :now THEN reported END) FROM leaked"
    )
    # The death of the secret itself is what is measured; who had it may have renewed it, or delegated from it.
    living_on, living_on_closed = asked.one(
        f"""WITH RECURSIVE dead (identity, closed) AS (
                SELECT identity, closed FROM leaked WHERE death <= :now AND proved IS NULL),
            {below("SELECT identity, identity FROM dead")}
            SELECT count(*), coalesce(sum(closed), 0) FROM dead
             WHERE identity IN (SELECT b.start FROM below b CROSS JOIN credential c
                                 WHERE c.identity = b.id AND {LIVED})"""
    )
    exposure = asked.spread(
        # What was dead when it was reported was exposed to nobody who heard of it: counted, it would flatter the rest.
        "SELECT death - reported, count(*) FROM leaked WHERE death <= :now AND death >= reported GROUP BY 1"
    )
    verifiers = asked.spread(
        """SELECT accepted - reported, count(*) FROM leaked
            WHERE refused <= :now AND unsettled = 0 AND accepted >= reported GROUP BY 1"""
    )
    reports = asked.all(
        f"SELECT (reported - :since) / {_DAY}, count(*) FROM leaked WHERE reported >= :since GROUP BY 1",
        since=since,
    )
    found = Leaks(
        **dict(zip(_LEAKED, counts, strict=True)),
        living_on=living_on,
        living_on_closed=living_on_closed,
        exposure=exposure,
        exposure_verifiers=verifiers,
        oldest_valid=oldest,
    )
    return found, dict(reports)


def trend(asked: AtOneTime, since: int, reports: Mapping[int, int]) -> tuple[Day, ...]:
    """Return the days from the midnight `since` on; `reports` has the leaks of each."""
    days = (asked.now - since) // _DAY + 1
    issued, ended, begun = [0] * days, [0] * days, 0
    alive = [0] * days
    # Both days in one number: what is sorted by one key is sorted faster.
    rows = asked.all(
        f"""SELECT span, count(*)
              FROM (SELECT {_MANY_DAYS} * CASE WHEN issued_at < :since THEN 0
                                          ELSE (issued_at - :since) / {_DAY} + 1 END
                           + CASE WHEN death > :now THEN :days ELSE (death - :since) / {_DAY} END AS span
                      FROM (SELECT c.issued_at, {DEATH} AS death FROM credential c
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
