"""The ledger's record of the last pruning."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from jitid.errors import IntegrityError

if TYPE_CHECKING:
    from jitid.ledger.view import View


class Pruned(NamedTuple):
    """The ledger's row about the last pruning. Only the audit event shows whether the row is right."""

    event: int
    """The number of the audit event about the pruning."""
    before: int
    """Credentials that ended and expired before this time may have been deleted; seconds since the epoch."""
    through: int
    """The number of the last event whose rows may have been deleted."""
    leaks: int
    """Leaks closed and proved refused before this time may have been deleted; seconds since the epoch."""


def last(view: View) -> Pruned | None:
    """Return the record of the last pruning; None if there was none.

    Raises IntegrityError if there are several records.
    """
    rows = view.db.execute("SELECT event, before, through, leaks FROM prune").fetchmany(2)
    if len(rows) > 1:
        raise IntegrityError("the ledger says of several prunings that they were the last")
    return Pruned(*rows[0]) if rows else None
