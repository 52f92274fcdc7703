"""What a failure of SQLite means to whoever ran the command."""

from __future__ import annotations

import sqlite3

from jitid.errors import BusyError, DamagedError, IntegrityError, JitidError, StorageError


def translated(error: sqlite3.Error) -> JitidError:
    """Return what a failure of SQLite means to whoever ran the command."""
    match getattr(error, "sqlite_errorcode", 0) & 0xFF:
        case sqlite3.SQLITE_NOTADB | sqlite3.SQLITE_CORRUPT:
            return DamagedError(
                f"the ledger is damaged or no ledger at all: {error}", "restore the folder from a backup"
            )
        case sqlite3.SQLITE_FULL:
            return StorageError("the disk is full; nothing was changed", "make room and repeat the command")
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM:
            return StorageError(
                f"the ledger cannot be opened for writing: {error}; nothing was changed",
                "check the folder's file system",
            )
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED | sqlite3.SQLITE_PROTOCOL:
            return BusyError(
                "the ledger is busy; nothing was changed", "repeat the command, or give it more --timeout"
            )
        case sqlite3.SQLITE_IOERR:
            return StorageError(
                f"the disk failed: {error}; nothing was acknowledged",
                "check the disk, then repeat the command",
            )
        case _:
            return IntegrityError(
                f"the ledger does not answer as it must: {error}", "run: jitid audit verify"
            )
