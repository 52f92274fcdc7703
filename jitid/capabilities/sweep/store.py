"""Queries of a sweep that belong to no single rule, and the table of suspects.

And the answers of targets, in temporary tables that rules query in sets.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from jitid.ledger.select import LIVE
from jitid.model.target import Existing
from jitid.values.ids import parse_id
from jitid.values.record import Record

if TYPE_CHECKING:
    from jitid.ledger.view import View


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


class SeenTarget(Record):
    """The answer of one target. Times are seconds since the epoch, by the ledger's clock."""

    target: str
    asked_at: int
    """The time of the query; later changes cannot be judged by the answer."""
    existing: Sequence[Existing]
    names: Sequence[tuple[str, int]]
    """The target's names for credentials that the ledger has there, each with the ledger's key."""
    unseen: str | None
    """The jitid credentials that it cannot list, in a few words; None if it lists all."""


class Observed(Record):
    """The answers of all targets."""

    seen: tuple[SeenTarget, ...] = ()
    missed: tuple[str, ...] = ()
    """The targets that did not answer, each with the reason."""
    asked: frozenset[str] | None = None
    """The targets to which the sweep is limited; None for no limit."""


_TABLES = {
    "asked_target": "target TEXT PRIMARY KEY, asked_at BIGINT NOT NULL, lists INTEGER NOT NULL",
    "existing": """id BIGINT PRIMARY KEY, target TEXT NOT NULL, name TEXT NOT NULL, jti BLOB, live INTEGER NOT NULL,
        created_at BIGINT, used_at BIGINT, detail TEXT NOT NULL""",
    "matched": "existing BIGINT, credential BIGINT, PRIMARY KEY (existing, credential)",
}
# Match by the name of a row, even if its credential ended long ago; and by the id that a name contains.
_MATCH = """INSERT INTO matched
    SELECT e.id, o.credential FROM (SELECT * FROM existing WHERE id NOT IN (SELECT existing FROM matched)) e
      JOIN outside o ON o.target = e.target AND o.name = e.name
     UNION
    SELECT e.id, o.credential FROM existing e JOIN credential c ON c.jti = e.jti
      JOIN outside o ON o.credential = c.id AND o.target = e.target
        ON CONFLICT (existing, credential) DO NOTHING"""


def load(view: View, observed: Observed) -> None:
    """Load the answers of targets into the tables `asked_target`, `existing`, and `matched` with the ledger's rows."""
    for table, columns in _TABLES.items():
        view.run(f"CREATE TEMPORARY TABLE IF NOT EXISTS {table} ({columns})")
        view.run(f"DELETE FROM {table}")
    fill = view.fill
    target_rows = (
        (seen_target.target, seen_target.asked_at, int(seen_target.unseen is None))
        for seen_target in observed.seen
    )
    fill("asked_target", ("target", "asked_at", "lists"), target_rows)
    all_existing = [
        (seen_target.target, existing) for seen_target in observed.seen for existing in seen_target.existing
    ]
    fill(
        "existing",
        ("id", "target", "name", "jti", "live", "created_at", "used_at", "detail"),
        (
            (
                index,
                target,
                existing.name,
                None if existing.jti is None else parse_id(existing.jti)[1],
                int(existing.live),
                existing.created_at,
                existing.used_at,
                existing.detail,
            )
            for index, (target, existing) in enumerate(all_existing)
        ),
    )
    # Names from the issuer are matched here: to load all of them into a table would take longer than the rest.
    expected: dict[tuple[str, str], list[int]] = {}
    for seen_target in observed.seen:
        for name, key in seen_target.names:
            expected.setdefault((seen_target.target, name), []).append(key)
    matched = {
        (index, key)
        for index, (target, existing) in enumerate(all_existing)
        for key in expected.get((target, existing.name), ())
    }
    fill("matched", ("existing", "credential"), sorted(matched))
    view.run(_MATCH)
