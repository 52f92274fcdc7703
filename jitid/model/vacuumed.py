"""What vacuuming a ledger came to."""

from __future__ import annotations

from typing import NamedTuple


class Vacuumed(NamedTuple):
    """The size of a ledger before and after, in bytes."""

    before: int
    """Of the database and its write-ahead log; of all tables with their indexes, where a server keeps it."""
    after: int
    log_left: int
    """What is left of the log, since somebody was still reading from it; SQLite takes it up again."""
