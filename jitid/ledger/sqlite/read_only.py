"""A SQLite ledger opened without writing anything: no log, no index, no migration. It works on a read-only disk."""

from __future__ import annotations

import os
import sqlite3
import stat
import struct
import time
from collections.abc import Callable
from typing import TypeVar

from jitid.errors import DamagedError, IntegrityError, RefusedError, StorageError
from jitid.ledger.sqlite.ledger import SqliteLedger
from jitid.ledger.sqlite.lock import translating
from jitid.values.record import Record

Answer = TypeVar("Answer")


class _FileState(Record):
    """The state of the files of a database."""

    file: tuple[int, int, int]
    """Inode, size and time of the last change."""
    log: tuple[int, int, int] | None
    """The same for the write-ahead log, which contains a part of the data; None if it is empty or missing."""
    shared_index: bool
    """Whether the log's shared index exists, which readers and writers use to coordinate."""

    @property
    def shared(self) -> bool:
        """Whether the database can be read in the same way as by every other process."""
        return self.log is not None and self.shared_index


def look(
    path: str,
    lock_path: str,
    read: Callable[[SqliteLedger], Answer],
    *,
    by: str,
    timeout: float,
    clock: Callable[[], float] = time.time,
) -> Answer:
    """Return the result of `read` on the ledger in the file `path`, which is neither checked nor changed.

    Raises:
        DamagedError: the header of its write-ahead log is invalid.
        IntegrityError: a file of it is a link or not a regular file, or the database is empty.
        RefusedError: this user may not read it.
        StorageError: it is missing, or cannot be opened.

    """
    while True:
        state = _file_state(path)
        if not os.access(path, os.R_OK):
            raise RefusedError(f"permission denied: this user may not read the database {path}")
        if state.log and not _is_log(f"{path}-wal"):
            # A writer may just have restarted the log.
            if _file_state(path) != state:
                continue
            # SQLite would wait for a writer to repair the log, or treat it as empty and truncate it.
            raise DamagedError(
                f"the write-ahead log {path}-wal is damaged; changes that were only in the log are lost",
                "jitid ledger restore --replace BACKUP; without it, the next write continues without those changes",
            )
        db = _open(path, state, timeout)
        try:
            answer = read(SqliteLedger(db, lock_path, by, clock, timeout))
        finally:
            db.close()
        # Without a lock, a writer may have written meanwhile; and the last process to close the database removes the
        # log.
        state_after = _file_state(path)
        if state_after == state or (state.shared and state_after.shared):
            return answer


def _open(path: str, state: _FileState, timeout: float) -> sqlite3.Connection:
    from urllib.parse import quote

    parameters = "mode=ro"
    if state.shared:
        # Like every other reader, except that a stale shared index is rebuilt in memory.
        parameters += "&readonly_shm=1"
    elif state.log:
        # By default SQLite would create the shared index, and fail on a read-only disk.
        parameters += "&vfs=unix-none"
    else:
        parameters += "&immutable=1"
    with translating():
        db = sqlite3.connect(
            f"file:{quote(os.fsencode(path))}?{parameters}", uri=True, timeout=timeout, isolation_level=None
        )
        db.execute("PRAGMA temp_store = MEMORY")
        if state.log and not state.shared_index:
            db.execute("PRAGMA locking_mode = EXCLUSIVE")
    return db


def _is_log(path: str) -> bool:
    """Return whether a file begins like a write-ahead log (sqlite.org/fileformat2.html, section 4.1)."""
    header = _header(path)
    magic = int.from_bytes(header[:4], "big")
    if len(header) != 32 or magic not in (0x377F0682, 0x377F0683):
        return False
    words = struct.unpack(">8I" if magic & 1 else "<8I", header)
    sum1 = sum2 = 0
    for even, odd in zip(words[:6:2], words[1:6:2], strict=True):
        sum1 = (sum1 + even + sum2) & 0xFFFFFFFF
        sum2 = (sum2 + odd + sum1) & 0xFFFFFFFF
    return struct.pack(">2I", sum1, sum2) == header[24:]


def _header(path: str) -> bytes:
    # SQLite has no lock on this file that closing it could drop.
    try:
        with open(path, "rb") as file:
            return file.read(32)
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {(error.strerror or 'error').lower()}") from error


def _file_state(path: str) -> _FileState:
    file = _plain(path)
    if file is None:
        raise StorageError(f"the database {path} is missing")
    if not file.st_size:
        # Even in read-only mode, SQLite would delete the log of an empty database.
        raise IntegrityError(f"the database {path} is empty", "jitid ledger restore --replace BACKUP")
    log = _plain(f"{path}-wal")
    index = _plain(f"{path}-shm")
    # An empty log adds no data, and neither does a log that a power cut has left blank. SQLite would still require the
    # shared index for it.
    used_log = log if log and log.st_size and _header(f"{path}-wal").strip(b"\0") else None
    return _FileState(_version(file), _version(used_log) if used_log else None, index is not None)


def _version(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_ino, status.st_size, status.st_mtime_ns


def _plain(path: str) -> os.stat_result | None:
    """Return the status of a regular file; None if it does not exist.

    Raises IntegrityError for any other kind of file.
    """
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StorageError(f"{path} cannot be accessed: {(error.strerror or 'error').lower()}") from error
    if not stat.S_ISREG(status.st_mode):
        description = (
            "a symbolic link, which is not followed here"
            if stat.S_ISLNK(status.st_mode)
            else "not a regular file"
        )
        raise IntegrityError(f"{path} is {description}", "jitid ledger restore --replace BACKUP")
    return status
