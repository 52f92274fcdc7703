"""The outcome of vacuuming a ledger."""

from __future__ import annotations

from typing import NamedTuple


class Vacuumed(NamedTuple):
    """The size of a ledger before and after, in bytes."""

    before: int
    """The database with its write-ahead log; on a server, all tables with their indexes."""
    after: int
    log_left: int
    """The size of the remaining log, which a reader still used; SQLite reuses it."""
