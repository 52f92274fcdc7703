"""Answers of targets beside the ledger, in temporary tables that rules query in sets."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from jitid.model.target import Existing
from jitid.values.ids import parse_id

if TYPE_CHECKING:
    from jitid.ledger.view import View


class SeenTarget(NamedTuple):
    """The answer of one target. Times are seconds since the epoch, by the ledger's clock."""

    target: str
    asked_at: int
    """The time of the query; later changes cannot be judged by the answer."""
    existing: Sequence[Existing]
    names: Sequence[tuple[str, int]]
    """The target's names for credentials that the ledger has there, each with the ledger's key."""
    unseen: str | None
    """The jitid credentials that it cannot list, in a few words; None if it lists all."""


class Observed(NamedTuple):
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
        _do(view, f"CREATE TEMPORARY TABLE IF NOT EXISTS {table} ({columns})")
        _do(view, f"DELETE FROM {table}")
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
    _do(view, _MATCH)


def _do(view: View, statement: str, **values: Any) -> None:
    deque(view.query(statement, values), maxlen=0)
