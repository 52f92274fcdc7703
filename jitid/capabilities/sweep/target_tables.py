"""What targets have told, put beside the ledger: temporary tables that rules ask in sets."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from jitid.capabilities.sweep.targets_seen import Observed
from jitid.values.ids import parse_id

if TYPE_CHECKING:
    from jitid.capabilities.sweep.evidence import Sight

_TABLES = {
    "asked_target": "target TEXT PRIMARY KEY, asked_at BIGINT NOT NULL, lists INTEGER NOT NULL",
    "existing": """id BIGINT PRIMARY KEY, target TEXT NOT NULL, name TEXT NOT NULL, jti BLOB, live INTEGER NOT NULL,
        created_at BIGINT, used_at BIGINT, detail TEXT NOT NULL""",
    "matched": "existing BIGINT, credential BIGINT, PRIMARY KEY (existing, credential)",
}
# The name of a row whose credential is long over; and the id that stands in a name.
_MATCH = """INSERT INTO matched
    SELECT e.id, o.credential FROM (SELECT * FROM existing WHERE id NOT IN (SELECT existing FROM matched)) e
      JOIN outside o ON o.target = e.target AND o.name = e.name
     UNION
    SELECT e.id, o.credential FROM existing e JOIN credential c ON c.jti = e.jti
      JOIN outside o ON o.credential = c.id AND o.target = e.target
        ON CONFLICT (existing, credential) DO NOTHING"""


def load(sight: Sight, observed: Observed) -> None:
    """Put what targets have told into the tables `asked_target`, `existing`, and `matched` with the ledger's own."""
    for table, columns in _TABLES.items():
        _do(sight, f"CREATE TEMPORARY TABLE IF NOT EXISTS {table} ({columns})")
        _do(sight, f"DELETE FROM {table}")
    fill = sight.snapshot.fill
    asked = ((one.target, one.asked_at, int(one.unseen is None)) for one in observed.seen)
    fill("asked_target", ("target", "asked_at", "lists"), asked)
    everything = [(one.target, each) for one in observed.seen for each in one.existing]
    fill(
        "existing",
        ("id", "target", "name", "jti", "live", "created_at", "used_at", "detail"),
        (
            (
                number,
                target,
                each.name,
                None if each.jti is None else parse_id(each.jti)[1],
                int(each.live),
                each.created_at,
                each.used_at,
                each.detail,
            )
            for number, (target, each) in enumerate(everything)
        ),
    )
    # A name that the issuer has told is looked up here: a table of them all would take longer than the rest.
    expected: dict[tuple[str, str], list[int]] = {}
    for one in observed.seen:
        for name, key in one.names:
            expected.setdefault((one.target, name), []).append(key)
    matched = {
        (number, key)
        for number, (target, each) in enumerate(everything)
        for key in expected.get((target, each.name), ())
    }
    fill("matched", ("existing", "credential"), sorted(matched))
    _do(sight, _MATCH)


def told(sight: Sight, observed: Observed) -> None:
    """Say what was examined, and what not."""
    for why in observed.missed:
        sight.missed(why)
    if observed.seen:
        count = sum(len(one.existing) for one in observed.seen)
        where = "1 target" if len(observed.seen) == 1 else f"{len(observed.seen)} targets"
        sight.examined(f"{count:,} credentials that exist at {where}")
    unseen = [f"{one.target}: {one.unseen}" for one in observed.seen if one.unseen is not None]
    if unseen:
        sight.not_known("; ".join(unseen))


def _do(sight: Sight, statement: str, **values: Any) -> None:  # noqa: ANN401 - whatever a driver takes
    deque(sight.ask(statement, **values), maxlen=0)
