"""Room that rows have left is given back to the file system, by writing the database of a SQLite ledger anew."""

from __future__ import annotations

import os
import sqlite3

from jitid.errors import StorageError
from jitid.ledger.sqlite import folder
from jitid.ledger.sqlite.failure import FAULTS, translated
from jitid.ledger.sqlite.lock import FairLock
from jitid.model.vacuumed import Vacuumed
from jitid.values.text import quote

_SPARE = 8 << 20
"""Bytes that must be left over, so that those who write next are not the first to find the disk full."""


def vacuum(path: str, timeout: float) -> Vacuumed:
    """Write the database of the ledger in the folder `path` anew, without the room that rows have left.

    Writers wait for their turn meanwhile; readers go on. It is one transaction: whatever breaks it off, the database is
    as it was.

    Raises:
        DamagedError: the database cannot be read.
        StorageError: there is no room for a second copy of it and for the log of that, or others hold it.

    """
    database = os.path.join(path, folder.DATABASE)
    # Where SQLite puts what it needs meanwhile: beside the ledger, in its private folder, and not where all others do.
    os.environ["SQLITE_TMPDIR"] = path
    turn = FairLock(os.path.join(path, folder.LOCK), timeout)
    turn.acquire()
    try:
        db = sqlite3.connect(database, timeout=timeout, isolation_level=None)
        try:
            return _vacuum(db, path, database)
        finally:
            db.close()
    except FAULTS as error:
        raise translated(error) from error
    finally:
        turn.close()
        del os.environ["SQLITE_TMPDIR"]


def _vacuum(db: sqlite3.Connection, path: str, database: str) -> Vacuumed:
    before = _size(database)
    db.execute("PRAGMA synchronous = FULL")
    # What is in the log goes into the database first, so that both need not have room for it.
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    ((pages, free, bytes_),) = db.execute(
        "SELECT page_count, freelist_count, page_size FROM pragma_page_count, pragma_freelist_count, pragma_page_size"
    ).fetchall()
    needed = 2 * (pages - free) * bytes_ + _SPARE
    room = os.statvfs(path)
    if room.f_bavail * room.f_frsize < needed:
        raise StorageError(
            f"there is no room to write the ledger anew: that takes {needed} bytes beside it in {quote(path, 200)}, "
            f"and {room.f_bavail * room.f_frsize} are free; nothing was changed",
            "make room on its file system",
        )
    db.execute("VACUUM")
    # Before it is in the database nothing gets smaller; who still reads the old state keeps that back.
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    return Vacuumed(before, _size(database), _log(database))


def _size(database: str) -> int:
    return os.stat(database, follow_symlinks=False).st_size + _log(database)


def _log(database: str) -> int:
    try:
        return os.stat(f"{database}-wal", follow_symlinks=False).st_size
    except FileNotFoundError:
        return 0
