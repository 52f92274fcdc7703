"""How long credentials live: durations, credentials that outlive their task or a leak report, daily issues and ends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jitid.ledger.lineage import below
from jitid.ledger.select import AT_TARGET, DEATH, LASTING, UNSETTLED
from jitid.model.survey import Day, Leaks, Retirement, Spread

FIVE_DAYS = 5 * 86_400

_DAY = 86_400
_MANY_DAYS = 100_000

GRANTED = f"(CASE WHEN c.ended_as = 'revoked' THEN c.expires_at ELSE {DEATH} END)"
"""When a credential's granted time ends: DEATH, but the expiry if it was revoked.

A revocation does not show how long the credential was needed; only the grant does.
"""
WAS_LIVE = f"c.issued_at <= :now AND {DEATH} > :now"
"""The condition that a credential was live at `:now`, which may be past: the row records ends since then."""
_TASK_END = """(CASE WHEN t.ended_at IS NOT NULL AND t.ended_at <= :now AND t.ended_at < t.deadline
    THEN t.ended_at ELSE t.deadline END)"""
_TASK_HAS_ENDED = (
    "t.opened_at <= :now AND ((t.ended_at IS NOT NULL AND t.ended_at <= :now) OR t.deadline <= :now)"
)

_AGED = f"reported + {FIVE_DAYS} <= :now"
_YOUNG = f"reported + {FIVE_DAYS} > :now"
_EXPOSED = "(refused > :now OR unsettled = 1 OR accepted >= reported)"
"""The ledger or another verifier accepted the secret, or a credential made with it, at the report or later."""
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
"""The conditions for counting leaked secrets, by the names of the counts."""


class AtOneTime:
    """Queries about a ledger at one time; each query gets that time as `:now`."""

    def __init__(self, db: Any, now: int) -> None:
        self._db = db
        self.now = now

    def all(self, sql: str, **values: Any) -> list[Any]:
        """Return the rows of a query."""
        rows: list[Any] = self._db.execute(sql, {"now": self.now, **values}).fetchall()
        return rows

    def one(self, sql: str, **values: Any) -> Any:
        """Return the first row of a query."""
        return self.all(sql, **values)[0]

    def spread(self, counted: str, **values: Any) -> Spread:
        """Return count, median, 95th percentile and maximum of a query's rows (value, number), by nearest rank."""
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


def retirement(queries: AtOneTime) -> Retirement:
    """Return how long credentials outlived their tasks."""
    (tasks,) = queries.one(f"SELECT count(*) FROM task t WHERE {_TASK_HAS_ENDED}")
    # Few credentials outlive their task: only these are grouped.
    queries.all(
        f"""INSERT INTO measured
            SELECT CASE WHEN death > :now THEN :now ELSE death END - finish,
                   CASE WHEN death > :now THEN 1 ELSE 0 END
              FROM (SELECT {_TASK_END} AS finish, max({DEATH}) AS death
                      FROM credential c JOIN task t ON t.id = c.task
                     WHERE {_TASK_HAS_ENDED} AND c.issued_at <= :now AND {DEATH} > {_TASK_END}
                     GROUP BY t.id, t.ended_at, t.deadline) AS late"""
    )
    late, live = queries.one("SELECT count(*), coalesce(sum(n), 0) FROM measured")
    delays = queries.spread(
        "SELECT value, count(*) FROM measured GROUP BY value UNION ALL SELECT 0, :at_once",
        at_once=tasks - late,
    )
    return Retirement(delays, tasks - late, int(live))


def _latest(first: str, *others: str) -> str:
    """Return an expression for the latest of several times; all but the first may be NULL."""
    latest = first
    for other in others:
        latest = f"(CASE WHEN {other} > {latest} THEN {other} ELSE {latest} END)"
    return latest


def _add_kindred(queries: AtOneTime) -> None:
    """Give each leaked secret the facts of its identity and all descendants: its holder could use all of them.

    Most identities have one credential and no descendants: their leaked secrets have these facts already.
    """
    queries.all(
        f"""INSERT INTO kindred
            WITH RECURSIVE {
            below(
                '''SELECT identity, identity FROM leaked
                    WHERE identity IN (SELECT identity FROM renewed) OR identity IN (SELECT identity FROM handing)'''
            )
        }
            SELECT b.start, max({DEATH}), max({LASTING}), max({AT_TARGET}), max({UNSETTLED})
              FROM below b CROSS JOIN credential c LEFT JOIN outside o ON o.credential = c.id
             WHERE c.identity = b.id AND c.issued_at <= :now GROUP BY b.start"""
    )
    queries.all(
        f"""UPDATE leaked SET refused = k.refused, accepted = {_latest("k.refused", "k.signed", "k.at_target")},
                   unsettled = k.unsettled
              FROM kindred k WHERE k.identity = leaked.identity"""
    )


def leaks(queries: AtOneTime, since: int) -> tuple[Leaks, dict[int, int]]:
    """Return counts and durations of leaked secrets, and the number of reports on each day from `since` on."""
    queries.all(
        f"""INSERT INTO leaked
            SELECT l.credential, l.reported, l.proved, l.closed, {DEATH}, c.identity,
                   CASE WHEN c.claims_hash IS NOT NULL THEN c.expires_at END, {DEATH},
                   {_latest(DEATH, LASTING, AT_TARGET)}, {UNSETTLED}
              FROM (SELECT credential, min(reported_at) AS reported,
                           min(CASE WHEN proved_at <= :now THEN proved_at END) AS proved,
                           min(CASE WHEN closed_at <= :now THEN 1 ELSE 0 END) AS closed
                      FROM leak WHERE added_at <= :now GROUP BY credential) AS l
              CROSS JOIN credential c LEFT JOIN outside o ON o.credential = c.id WHERE c.id = l.credential"""
    )
    _add_kindred(queries)
    counted = ", ".join(
        f"coalesce(sum(CASE WHEN {condition} THEN 1 ELSE 0 END), 0)" for condition in _LEAKED.values()
    )
    *counts, oldest = queries.one(
        f"SELECT {counted}, :now - min(CASE WHEN death > :now THEN reported END) FROM leaked"
    )
    # Only the end of the secret itself is measured; its holder may have renewed it, or delegated from it.
    live_kin, live_kin_closed = queries.one(
        f"""WITH RECURSIVE dead (identity, closed) AS (
                SELECT identity, closed FROM leaked WHERE death <= :now AND proved IS NULL),
            {below("SELECT identity, identity FROM dead")}
            SELECT count(*), coalesce(sum(closed), 0) FROM dead
             WHERE identity IN (SELECT b.start FROM below b CROSS JOIN credential c
                                 WHERE c.identity = b.id AND {WAS_LIVE})"""
    )
    exposure = queries.spread(
        # A secret that had ended before its report had no exposure after the report. Counting it would improve the
        # figures.
        "SELECT death - reported, count(*) FROM leaked WHERE death <= :now AND death >= reported GROUP BY 1"
    )
    verifiers = queries.spread(
        """SELECT accepted - reported, count(*) FROM leaked
            WHERE refused <= :now AND unsettled = 0 AND accepted >= reported GROUP BY 1"""
    )
    reports = queries.all(
        f"SELECT (reported - :since) / {_DAY}, count(*) FROM leaked WHERE reported >= :since GROUP BY 1",
        since=since,
    )
    leak_counts = Leaks(
        **dict(zip(_LEAKED, counts, strict=True)),
        living_on=live_kin,
        living_on_closed=live_kin_closed,
        exposure=exposure,
        exposure_verifiers=verifiers,
        oldest_valid=oldest,
    )
    return leak_counts, dict(reports)


def trend(queries: AtOneTime, since: int, reports: Mapping[int, int]) -> tuple[Day, ...]:
    """Return the days from the midnight `since` on; `reports` has the number of leak reports of each day."""
    days = (queries.now - since) // _DAY + 1
    issued, ended, live = [0] * days, [0] * days, 0
    alive = [0] * days
    # Both days in one number: a sort by one key is faster.
    rows = queries.all(
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
        issue_day, end_day = span // _MANY_DAYS - 1, span % _MANY_DAYS
        if issue_day < 0:
            live += count
        else:
            issued[issue_day] += count
        if end_day < days:
            ended[end_day] += count
    for day in range(days):
        live += issued[day] - ended[day]
        alive[day] = live
    return tuple(
        Day(since + day * _DAY, issued[day], ended[day], alive[day], reports.get(day, 0))
        for day in range(days)
    )
