"""A copy of a SQLite database at one moment, while other processes continue to read and write."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable

from jitid.errors import JitidError, OutputError
from jitid.ledger.sqlite import read_only
from jitid.ledger.sqlite.failure import FAULTS, translated
from jitid.ledger.sqlite.ledger import SqliteLedger
from jitid.values.text import quote

_PAGES = 4096
"""Pages that are copied between two reports of progress: 16 MiB."""


def duplicate(
    path: str, lock_path: str, to: str, *, timeout: float, progress: Callable[[int, int], None]
) -> None:
    """Copy the database in the file `path`, unchanged, into the new private file `to`, durably.

    No writer waits for the copy: later writes go to the write-ahead log and are not in the copy.

    Args:
        path: the database.
        lock_path: the ledger's lock file, which is not locked here.
        to: the file to create, with mode 0600.
        timeout: the maximum wait for other processes, in seconds.
        progress: is called with the number of copied pages and the total number of pages.

    Raises:
        DamagedError: the database cannot be read.
        IntegrityError: a file of it is a link or not a regular file.
        OutputError: the copy cannot be written.
        StorageError: the database is missing or cannot be reached.

    """

    def write_copy(ledger: SqliteLedger) -> None:
        # `look` calls this again if another process wrote meanwhile and no lock prevented that.
        _make(to)
        _copy(ledger, to, progress)

    read_only.look(path, lock_path, write_copy, by="", timeout=timeout)
    try:
        with open(to, "rb") as file:
            os.fsync(file.fileno())
    except OSError as error:
        raise _unwritten(to, error.strerror) from error


def _make(path: str) -> None:
    flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, 0o600)
        try:
            # Regardless of the umask; SQLite itself would create the file world-readable.
            os.fchmod(descriptor, 0o600)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise _unwritten(path, error.strerror) from error


def _copy(ledger: SqliteLedger, to: str, progress: Callable[[int, int], None]) -> None:
    try:
        target = sqlite3.connect(to, isolation_level=None)
    except FAULTS as error:
        raise _failure(error, to) from error
    try:
        # No process reads the file before it is complete, and then it is synced once.
        target.execute("PRAGMA journal_mode = OFF")
        target.execute("PRAGMA synchronous = OFF")
        ledger.duplicate(target, _PAGES, progress)
    except FAULTS as error:
        raise _failure(error, to) from error
    finally:
        target.close()


def _failure(error: sqlite3.Error | UnicodeDecodeError, to: str) -> JitidError:
    match getattr(error, "sqlite_errorcode", 0) & 0xFF:
        case sqlite3.SQLITE_FULL:
            return _unwritten(to, "no space left on device")
        case sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_READONLY:
            return _unwritten(to, str(error))
        case _:
            return translated(error)


def _unwritten(path: str, reason: str | None) -> OutputError:
    return OutputError(f"{quote(path, 200)} could not be written: {(reason or 'error').lower()}")
