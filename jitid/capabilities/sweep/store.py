"""Queries of a sweep that belong to no single rule, and the table of suspects."""

from __future__ import annotations

from collections.abc import Sequence

from jitid.ledger.select import LIVE

DUE = """
    SELECT EXISTS (SELECT 1 FROM credential WHERE ended_at IS NULL AND expires_at <= :now)
           OR EXISTS (SELECT 1 FROM credential WHERE ended_at IS NULL AND superseded_at <= :now),
           EXISTS (SELECT 1 FROM access WHERE ended_at IS NULL AND (expires_at <= :now OR superseded_at <= :now))
           OR EXISTS (SELECT 1 FROM approval WHERE ended_at IS NULL AND expires_at <= :now)
           OR EXISTS (SELECT 1 FROM approval_group g, approval a WHERE g.granted = 1 AND g.expires_at <= :now
                         AND a.id = g.approval AND a.ended_at IS NULL)
           OR EXISTS (SELECT 1 FROM task WHERE ended_at IS NULL AND deadline > :mark AND deadline <= :now)"""
"""Whether credentials have expired without an event that records it, and whether other rows have.

No event records the deadline of a task: any later event is enough, since a task is judged by the time mark too.
"""


SUSPECTS = (
    """CREATE TEMPORARY TABLE IF NOT EXISTS suspect (
           credential INTEGER NOT NULL, identity INTEGER NOT NULL, marks INTEGER NOT NULL)""",
    "DELETE FROM suspect",
)


_ALL = (1 << 63) - 1
"""A limit without effect: it makes the database compute inner columns once per row, however often they are used."""
KNOWN_USE = f"""
    SELECT count(*), coalesce(sum(CASE WHEN r.until >= c.issued_at THEN 1 ELSE 0 END), 0)
      FROM credential c LEFT JOIN reporting r ON r.audiences = c.audiences WHERE {LIVE}"""


ENDED_BY = (
    "SELECT jti, CASE WHEN ended_at IS NULL THEN 1 ELSE 0 END FROM credential WHERE ended_event = :event"
)
"""The credentials that an event has ended, each with 1 if its row no longer has an end."""


def marking(marks: Sequence[str]) -> str:
    """Return the statement that inserts live credentials into `suspect`, each with the sum of its marks."""
    # Outer joins: a credential without an identity or agent must not be left out.
    return f"""INSERT INTO suspect SELECT * FROM (
                    SELECT c.id, c.identity, {" + ".join(marks)} AS marks
                      FROM credential c LEFT JOIN identity i ON i.id = c.identity LEFT JOIN term a ON a.id = i.agent
                           LEFT JOIN identity p ON p.id = i.parent
                     WHERE {LIVE} LIMIT {_ALL}) marked WHERE marks > 0"""


# Grouped by columns of an index, so that no row is read.
LIVE_COUNTS = f"""SELECT coalesce(sum(g.n), 0), coalesce(sum(CASE WHEN t.id IS NULL THEN g.n ELSE 0 END), 0),
                    coalesce(sum(CASE WHEN CAST(t.deadline AS BIGINT) <> t.deadline THEN g.n ELSE 0 END), 0)
               FROM (SELECT c.task AS task, count(*) AS n FROM credential c WHERE {LIVE} GROUP BY c.task) g
               LEFT JOIN task t ON t.id = g.task"""
"""Counts of live credentials: all, without a task, and with a task whose deadline is not a time."""

WITHOUT_DELEGATOR = f"""SELECT coalesce(sum(g.n), 0)
               FROM (SELECT c.delegator AS delegator, count(*) AS n FROM credential c WHERE {LIVE}
                      GROUP BY c.delegator) g
               LEFT JOIN term d ON d.id = g.delegator WHERE d.id IS NULL"""
"""Number of live credentials that belong to no delegator."""
