"""Measures a ledger as a whole, in a few passes over its credentials, in SQL for both SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jitid.capabilities.use import store as use_store
from jitid.ledger.lifetime_statistics import WAS_LIVE, AtOneTime, leaks, retirement, trend
from jitid.ledger.select import LIVE
from jitid.ledger.view import View
from jitid.model import survey as model
from jitid.model.survey import Breakdown, DirectoryCounts, Part, Survey, Totals
from jitid.model.task import SENSITIVITIES

TOP = 10
"""The maximum number of tasks, agents and delegators that are listed by name."""
BANDS = (300, 900, 3_600, 28_800, 86_400)
"""The upper limits of the bands of lifetimes, in seconds: the limits of the sensitivities, and a day."""

_TABLES = {
    # All live credentials, in groups: queries about live credentials use these. Counts by task and by delegator are
    # separate, since indexes give these counts without reading rows.
    "living": "agent INTEGER, sensitivity TEXT, proof TEXT, kind TEXT, lifetime BIGINT, n BIGINT, standing BIGINT",
    "living_task": "task INTEGER PRIMARY KEY, n BIGINT",
    "living_delegator": "delegator INTEGER PRIMARY KEY, n BIGINT",
    # Identities with more than one credential: only these can count twice.
    "renewed": "identity INTEGER PRIMARY KEY, live BIGINT",
    "handing": "identity INTEGER PRIMARY KEY",
    "authorized": "identity INTEGER PRIMARY KEY",
    "leaked": """credential INTEGER PRIMARY KEY, reported BIGINT, proved BIGINT, closed INTEGER, death BIGINT,
        identity INTEGER, signed_until BIGINT, refused BIGINT, accepted BIGINT, unsettled INTEGER""",
    # Leaked identities with more than one credential or with descendants.
    "kindred": "identity INTEGER PRIMARY KEY, refused BIGINT, signed BIGINT, at_target BIGINT, unsettled INTEGER",
    "measured": "value BIGINT, n BIGINT",
}

# The present state of a record is used for any time: the ledger does not keep states that were undone since.
_REGISTERED = "r.registered_at <= :now AND (r.unregistered_at IS NULL OR r.unregistered_at > :now)"
_DELEGATOR_STATE = """
    SELECT states.name AS name, sum(states.n) AS n
      FROM (SELECT CASE WHEN r.id IS NULL OR r.added_at > :now THEN 'unverified'
                        WHEN r.disabled_at <= :now THEN 'disabled' ELSE 'known' END AS name, l.n AS n
              FROM living_delegator l JOIN term d ON d.id = l.delegator
              LEFT JOIN delegator_name x ON x.name = d.text LEFT JOIN delegator r ON r.id = x.delegator) AS states
     GROUP BY states.name"""
_AGENT_RECORD = f"""
    SELECT records.name AS name, sum(records.n) AS n
      FROM (SELECT CASE WHEN {_REGISTERED} THEN 'registered' ELSE 'ephemeral' END AS name, l.n AS n
              FROM living l JOIN term a ON a.id = l.agent LEFT JOIN agent r ON r.name = a.text) AS records
     GROUP BY records.name"""
_GROUPED = "SELECT {column} AS name, sum(n) AS n FROM living GROUP BY {column}"
_PROPERTIES = {
    "kind": (_GROUPED.format(column="kind"), None),
    "task": ("SELECT task AS name, n FROM living_task", "SELECT id, name FROM task"),
    "agent": (_GROUPED.format(column="agent"), "SELECT id, text AS name FROM term"),
    "delegator": ("SELECT delegator AS name, n FROM living_delegator", "SELECT id, text AS name FROM term"),
    "sensitivity": (_GROUPED.format(column="sensitivity"), None),
    "delegator_proof": (_GROUPED.format(column="proof"), None),
    "delegator_state": (_DELEGATOR_STATE, None),
    "agent_record": (_AGENT_RECORD, None),
}
"""The query that counts live credentials by each property, and the query for the names of its numbers."""

_COUNTS = """
    SELECT count(*), count(CASE WHEN r.suspended_at IS NULL AND r.review_at <= :now THEN 1 END),
           count(r.suspended_at), count(DISTINCT coalesce(o.name, r.owner)),
           count(CASE WHEN o.id IS NULL OR o.disabled_at IS NOT NULL THEN 1 END)
      FROM agent r LEFT JOIN delegator_name n ON n.name = r.owner LEFT JOIN delegator o ON o.id = n.delegator
     WHERE r.unregistered_at IS NULL"""


def count_directory(view: View) -> DirectoryCounts:
    """Return the number of delegators and agents in the directory, by their state."""
    db = view.db
    people = db.execute("SELECT count(*), count(disabled_at) FROM delegator").fetchone()
    return DirectoryCounts(*people, *db.execute(_COUNTS, {"now": view.now}).fetchone())


def survey(view: View, at: int | None, trend_start: int, limits: Mapping[str, int]) -> Survey:
    """Measure the ledger now, or at the past time `at`.

    Args:
        view: one consistent view.
        at: the past time; None for the present.
        trend_start: the midnight at which the first day of the trend begins.
        limits: the maximum lifetime in seconds by sensitivity; a credential with a longer lifetime is standing.

    """
    return _Surveying(view.db, at, view.now).survey(trend_start, limits)


class _Surveying:
    """One survey: its temporary tables, and the time that all queries are about."""

    def __init__(self, db: Any, at: int | None, now: int) -> None:
        self._db = db
        self._past = at is not None
        self._queries = AtOneTime(db, now if at is None else at)
        self._alive = LIVE if at is None else WAS_LIVE
        for name, columns in _TABLES.items():
            db.execute(f"CREATE TEMPORARY TABLE IF NOT EXISTS {name} ({columns})")

    def survey(self, trend_start: int, limits: Mapping[str, int]) -> Survey:
        try:
            self._collect(limits)
            retired = retirement(self._queries)
            leaked, reports = leaks(self._queries, trend_start)
            measured = Survey(
                self._totals(),
                {name: self._breakdown(*queries) for name, queries in _PROPERTIES.items()},
                self._sensitive(),
                # jitid granted no lifetime to an adopted secret.
                self._queries.spread(
                    "SELECT lifetime, sum(n) FROM living WHERE kind <> 'adopted' GROUP BY lifetime"
                ),
                self._bands(),
                self._people(),
                self._use(),
                retired,
                leaked,
                trend(self._queries, trend_start, reports),
            )
        finally:
            for name in _TABLES:
                self._db.execute(f"DELETE FROM {name}")
        return measured

    def _collect(self, limits: Mapping[str, int]) -> None:
        cases = " ".join(
            f"WHEN '{sensitivity}' THEN {limits[sensitivity]:d}" for sensitivity in SENSITIVITIES
        )
        # Lifetimes count as granted; for the limit, a superseded credential counts only until its overlap ends.
        self._queries.all(
            f"""INSERT INTO living
                SELECT i.agent, i.sensitivity, i.proof, c.kind, c.expires_at - c.issued_at, count(*),
                       sum(CASE WHEN coalesce(c.superseded_at, c.expires_at) - c.issued_at
                                     > CASE i.sensitivity {cases} ELSE 0 END THEN 1 ELSE 0 END)
                  FROM credential c JOIN identity i ON i.id = c.identity
                 WHERE {self._alive}
                 GROUP BY i.agent, c.expires_at - c.issued_at, c.kind, i.sensitivity, i.proof"""
        )
        for column in ("task", "delegator"):
            self._queries.all(
                f"""INSERT INTO living_{column}
                    SELECT c.{column}, count(*) FROM credential c WHERE {self._alive} GROUP BY c.{column}"""
            )
        issued = "WHERE issued_at <= :now" if self._past else ""
        self._queries.all(
            f"""INSERT INTO renewed
                SELECT r.identity, (SELECT count(*) FROM credential c WHERE c.identity = r.identity AND {self._alive})
                  FROM (SELECT identity FROM credential {issued} GROUP BY identity HAVING count(*) > 1) AS r"""
        )
        born = "AND EXISTS (SELECT 1 FROM credential c WHERE c.identity = i.id AND c.issued_at <= :now)"
        self._queries.all(
            f"""INSERT INTO handing
                SELECT DISTINCT i.parent FROM identity i WHERE i.parent IS NOT NULL {born if self._past else ""}"""
        )
        self._reported = use_store.find(self._queries.all, self._alive)
        if self._queries.all("SELECT 1 FROM used LIMIT 1"):
            self._queries.all(
                f"""INSERT INTO authorized
                    SELECT DISTINCT c.identity FROM credential c CROSS JOIN used u
                     WHERE {self._alive} AND u.identity = c.identity AND u.first_at <= :now"""
            )

    def _totals(self) -> Totals:
        issued = "c.issued_at <= :now" if self._past else "1 = 1"
        (credentials,) = self._queries.one(f"SELECT count(*) FROM credential c WHERE {issued}")
        (identities,) = self._queries.one(
            "SELECT count(DISTINCT c.identity) FROM credential c WHERE c.issued_at <= :now"
            if self._past
            else "SELECT count(*) FROM identity"
        )
        live, agents = self._queries.one("SELECT coalesce(sum(n), 0), count(DISTINCT agent) FROM living")
        (registered,) = self._queries.one(
            f"""SELECT count(*) FROM agent r CROSS JOIN term a
                 WHERE {_REGISTERED} AND a.text = r.name AND a.id IN (SELECT agent FROM living)"""
        )
        (delegators,) = self._queries.one("SELECT count(*) FROM living_delegator")
        (twice,) = self._queries.one("SELECT coalesce(sum(live - 1), 0) FROM renewed WHERE live > 1")
        tasks = self._queries.one(
            """SELECT count(*),
                      coalesce(sum(CASE WHEN (t.ended_at IS NULL OR t.ended_at > :now) AND t.deadline > :now
                                   THEN 1 ELSE 0 END), 0),
                      coalesce(sum(CASE WHEN (t.ended_at IS NULL OR t.ended_at > :now) AND t.deadline <= :now
                                   THEN 1 ELSE 0 END), 0),
                      coalesce(sum(CASE WHEN t.ended_at <= :now THEN 1 ELSE 0 END), 0)
                 FROM task t WHERE t.opened_at <= :now"""
        )
        live_identities = int(live - twice)
        issued_and_live = (credentials, identities, int(live), live_identities)
        return Totals(*(*issued_and_live, *map(int, tasks), delegators, agents, registered))

    def _breakdown(self, counted: str, names: str | None) -> Breakdown:
        name, join = "counted.name", ""
        if names is not None:
            name, join = "names.name", f"JOIN ({names}) AS names ON names.id = counted.name"
        top = self._queries.all(
            f"SELECT {name}, counted.n FROM ({counted}) AS counted {join} ORDER BY counted.n DESC, {name} LIMIT {TOP}"
        )
        name_count, live = self._queries.one(
            f"SELECT count(*), coalesce(sum(n), 0) FROM ({counted}) AS counted"
        )
        return Breakdown(tuple(Part(label, int(n)) for label, n in top), name_count, int(live))

    def _sensitive(self) -> tuple[model.Sensitive, ...]:
        rows = self._queries.all("SELECT sensitivity, sum(n), sum(standing) FROM living GROUP BY sensitivity")
        counts = {sensitivity: map(int, numbers) for sensitivity, *numbers in rows}
        return tuple(model.Sensitive(name, *counts.get(name, (0, 0))) for name in SENSITIVITIES)

    def _bands(self) -> tuple[model.Band, ...]:
        cases = " ".join(f"WHEN lifetime <= {up_to} THEN {index}" for index, up_to in enumerate(BANDS))
        counts = dict(
            self._queries.all(
                f"""SELECT band, sum(n)
                      FROM (SELECT CASE {cases} ELSE {len(BANDS)} END AS band, n FROM living) AS banded
                     GROUP BY band"""
            )
        )
        return tuple(
            model.Band(up_to, int(counts.get(index, 0))) for index, up_to in enumerate((*BANDS, None))
        )

    def _people(self) -> model.People:
        counted = """SELECT d.text AS name, l.n - coalesce(e.n, 0) AS n
                       FROM living_delegator l
                       JOIN term d ON d.id = l.delegator
                       LEFT JOIN (SELECT i.delegator, sum(r.live - 1) AS n
                                    FROM renewed r CROSS JOIN identity i
                                   WHERE r.live > 1 AND i.id = r.identity GROUP BY i.delegator) AS e
                         ON e.delegator = l.delegator
                      WHERE substr(d.text, 1, 5) = 'user:'"""
        people, identities = self._queries.one(
            f"SELECT count(*), coalesce(sum(n), 0) FROM ({counted}) AS people"
        )
        highest = self._queries.all(
            f"SELECT name, n FROM ({counted}) AS people ORDER BY n DESC, name LIMIT 1"
        )
        name, count = highest[0] if highest else (None, None)
        return model.People(people, int(identities), None if count is None else int(count), name)

    def _use(self) -> model.SurveyedUse:
        handing = f"""SELECT h.identity FROM handing h
                       WHERE EXISTS (SELECT 1 FROM credential c WHERE c.identity = h.identity AND {self._alive})"""
        renewed = "SELECT identity FROM renewed WHERE live > 0"
        allowed = "SELECT identity FROM authorized"
        live, twice, renewals, delegated, authorized, used = self._queries.one(
            f"""SELECT (SELECT coalesce(sum(n), 0) FROM living),
                       (SELECT coalesce(sum(live - 1), 0) FROM renewed WHERE live > 1),
                       (SELECT count(*) FROM renewed WHERE live > 0),
                       (SELECT count(*) FROM ({handing}) AS delegated),
                       (SELECT count(*) FROM authorized),
                       (SELECT count(*) FROM ({renewed} UNION {handing} UNION {allowed}) AS used)"""
        )
        identities = int(live - twice)
        never = identities - used
        return model.SurveyedUse(identities, renewals, delegated, authorized, never, self._unknown(never))

    def _unknown(self, never: int) -> int:
        """Return the number of seemingly unused identities that may be used after all."""
        if not self._reported:
            return never
        # Each of them has one credential: with more, the identity would be renewed.
        (unknown,) = self._queries.one(
            f"""SELECT count(*) FROM credential c LEFT JOIN reporting p ON p.audiences = c.audiences
                 WHERE {self._alive} AND (p.until IS NULL OR p.until < c.issued_at)
                   AND c.identity NOT IN (SELECT identity FROM renewed)
                   AND c.identity NOT IN (SELECT identity FROM handing)
                   AND c.identity NOT IN (SELECT identity FROM authorized)"""
        )
        return int(unknown)
