"""SQLite's write-ahead log, which each writer syncs after releasing the lock, many at the same time."""

from __future__ import annotations

import os
import sqlite3

from jitid.errors import DiskError
from jitid.system.files import sync_folder


class WriteAheadLog:
    """The log beside a database file, as long as a connection to it is open.

    With `synchronous=NORMAL` SQLite itself syncs the log only before a checkpoint. Locks are on the database and its
    shared memory, never on the log, so that opening it here drops none; nor is it replaced while a connection is open.
    """

    def __init__(self, db: sqlite3.Connection) -> None:
        (_, _, path) = db.execute("PRAGMA database_list").fetchone()
        self._path = f"{path}-wal" if path else ""
        self._descriptor = -1

    def sync(self) -> None:
        """Make every commit so far durable.

        Raises:
            DiskError: the disk failed; committed changes may be lost in a power cut.

        """
        if not self._path:
            return
        try:
            if self._descriptor < 0:
                self._descriptor = os.open(self._path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
                # The log may be new, and its name not on the disk yet.
                sync_folder(os.path.dirname(self._path))
            os.fdatasync(self._descriptor)
        except OSError as error:
            raise DiskError(
                f"the disk failed: {error.strerror}; nothing was acknowledged",
                "check the disk, then repeat the command",
            ) from error

    def close(self) -> None:
        """Release the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __del__(self) -> None:
        """Release the file of a ledger that was not closed: no command closes it, and one process may run many."""
        self.close()
