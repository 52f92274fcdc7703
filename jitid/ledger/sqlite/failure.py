"""Translation of SQLite's errors into jitid's errors."""

from __future__ import annotations

import sqlite3

from jitid.errors import BusyError, DamagedError, DiskError, IntegrityError, JitidError, StorageError

FAULTS = (sqlite3.Error, UnicodeDecodeError)
"""The exceptions of Python's SQLite module; the second one for names and schemas that are not UTF-8."""

_NOT_TEXT = "Could not decode to UTF-8"
"""The beginning of the error, without a code, about a column whose text is not UTF-8; the column's content follows."""


def translated(error: sqlite3.Error | UnicodeDecodeError) -> JitidError:
    """Return jitid's error for an error of SQLite."""
    if isinstance(error, UnicodeDecodeError) or str(error).startswith(_NOT_TEXT):
        return DamagedError(
            "the ledger is damaged: it holds text that is not UTF-8", "jitid ledger restore --replace BACKUP"
        )
    match getattr(error, "sqlite_errorcode", 0) & 0xFF:
        case sqlite3.SQLITE_NOTADB | sqlite3.SQLITE_CORRUPT:
            return DamagedError(
                f"the ledger is damaged or no ledger at all: {error}", "jitid ledger restore --replace BACKUP"
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
            return DiskError(
                f"the disk failed: {error}; nothing was acknowledged",
                "check the disk, then repeat the command",
            )
        case _:
            return IntegrityError(
                f"the ledger does not answer as it must: {error}", "run: jitid audit verify"
            )
