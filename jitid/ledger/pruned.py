"""What the last pruning left in the ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from jitid.errors import IntegrityError

if TYPE_CHECKING:
    from jitid.ledger.view import View


class Pruned(NamedTuple):
    """What the last pruning left, as the ledger's own table has it; the audit event says whether that is so."""

    event: int
    """The audit event that tells of it."""
    before: int
    """What had ended, and had expired, before this time may be gone; seconds since the epoch."""
    through: int
    """The number of the last event of which rows may be gone."""
    leaks: int
    """Leaks that were closed and proved refused before this time may be gone; seconds since the epoch."""


def last(view: View) -> Pruned | None:
    """Return what the last pruning left; None if there was none. Raises IntegrityError for several."""
    rows = view.db.execute("SELECT event, before, through, leaks FROM prune").fetchmany(2)
    if len(rows) > 1:
        raise IntegrityError("the ledger says of several prunings that they were the last")
    return Pruned(*rows[0]) if rows else None
