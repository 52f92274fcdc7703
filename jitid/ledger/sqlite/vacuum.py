"""Vacuuming of a SQLite ledger: the space of deleted rows is returned to the file system."""

from __future__ import annotations

import os
import sqlite3

from jitid.errors import StorageError
from jitid.ledger.place import Vacuumed
from jitid.ledger.sqlite import folder
from jitid.ledger.sqlite.lock import FAULTS, FairLock, translated
from jitid.values.text import quote

_SPARE = 8 << 20
"""Bytes that must stay free, so that the next writers do not find the disk full."""


def vacuum(path: str, timeout: float) -> Vacuumed:
    """Rewrite the database of the ledger in the folder `path` without the space of deleted rows.

    Writers wait for the lock meanwhile; readers continue. It is one transaction: if it is interrupted, the database is
    unchanged.

    Raises:
        DamagedError: the database cannot be read.
        StorageError: the disk has no space for a second copy and its log, or other processes hold the ledger.

    """
    database = os.path.join(path, folder.DATABASE)
    fair_lock = FairLock(os.path.join(path, folder.LOCK), timeout)
    fair_lock.acquire()
    former_tmpdir = os.environ.get("SQLITE_TMPDIR")
    # SQLite puts its temporary files into the ledger's private folder, and not into the folder that all users share.
    os.environ["SQLITE_TMPDIR"] = path
    try:
        db = sqlite3.connect(database, timeout=timeout, isolation_level=None)
        try:
            return _vacuum(db, path, database)
        finally:
            db.close()
    except FAULTS as error:
        raise translated(error) from error
    finally:
        fair_lock.close()
        if former_tmpdir is None:
            del os.environ["SQLITE_TMPDIR"]
        else:
            os.environ["SQLITE_TMPDIR"] = former_tmpdir


def _vacuum(db: sqlite3.Connection, path: str, database: str) -> Vacuumed:
    size_before = _size(database)
    db.execute("PRAGMA synchronous = FULL")
    # The log is written to the database first, so that the disk need not have space for both.
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    ((pages, free_pages, page_size),) = db.execute(
        "SELECT page_count, freelist_count, page_size FROM pragma_page_count, pragma_freelist_count, pragma_page_size"
    ).fetchall()
    needed = 2 * (pages - free_pages) * page_size + _SPARE
    file_system = os.statvfs(path)
    if file_system.f_bavail * file_system.f_frsize < needed:
        raise StorageError(
            f"there is no room to write the ledger anew: that takes {needed} bytes beside it in {quote(path, 200)}, "
            f"and {file_system.f_bavail * file_system.f_frsize} are free; nothing was changed",
            "make room on its file system",
        )
    db.execute("VACUUM")
    # The file shrinks only when the log is written back; a reader of the old state delays that.
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    return Vacuumed(size_before, _size(database), _log(database))


def _size(database: str) -> int:
    return os.stat(database, follow_symlinks=False).st_size + _log(database)


def _log(database: str) -> int:
    try:
        return os.stat(f"{database}-wal", follow_symlinks=False).st_size
    except FileNotFoundError:
        return 0
