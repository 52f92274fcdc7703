"""The fair lock around write transactions, and the write-ahead log that each writer syncs after it."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from jitid.errors import BusyError, DamagedError, DiskError, IntegrityError, JitidError, StorageError
from jitid.system import time_limit
from jitid.system.files import sync_folder

_SHORTEST, _LONGEST = 0.0005, 0.005
"""Seconds between two attempts to lock a file that another process holds."""

_TURNS: dict[str, threading.Lock] = {}
"""The locks for threads of this process, by path: only the main thread can wait for the file with an alarm."""

os.register_at_fork(after_in_child=_TURNS.clear)


class FairLock:
    """An `flock` on a separate file.

    SQLite's own busy retry was measured to leave a writer without a turn for seconds; the kernel queues the processes
    that wait for an flock.
    """

    def __init__(self, path: str, timeout: float) -> None:
        self._path = path
        self._timeout = timeout
        self._descriptor = -1
        self._turn: threading.Lock | None = None

    def acquire(self) -> None:
        """Acquire the lock.

        Raises:
            StorageError: others held it for longer than the timeout.
            IntegrityError: the lock file is a link or missing.

        """
        if self._descriptor < 0:
            try:
                self._descriptor = os.open(self._path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
            except PermissionError as error:
                raise StorageError(f"{self._path} cannot be opened: {error.strerror}") from error
            except OSError as error:
                if error.errno == errno.EROFS:
                    raise StorageError(
                        "the ledger is on a read-only file system; nothing was changed"
                    ) from error
                raise IntegrityError(
                    f"the lock file {self._path} cannot be used: {error.strerror}",
                    "jitid ledger restore --replace BACKUP",
                ) from error
        seconds = time_limit.usual(self._timeout)
        deadline = time.monotonic() + seconds
        if threading.current_thread() is not threading.main_thread():
            thread_lock = _TURNS.setdefault(self._path, threading.Lock())
            if not thread_lock.acquire(timeout=max(0.0, seconds)):
                raise _busy(seconds)
            self._turn = thread_lock
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not self._wait(deadline - time.monotonic()):
                self.release()
                raise _busy(seconds) from None
        except BaseException:
            self.release()
            raise

    def _wait(self, seconds: float) -> bool:
        if seconds <= 0:
            return False  # a timer of 0 seconds would never fire
        if self._turn is not None:
            return self._poll(seconds)

        def give_up(_signal: int, _frame: FrameType | None) -> None:
            raise _TimedOutError

        former_handler = signal.signal(signal.SIGALRM, give_up)
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        try:
            # `jitid run` blocks this signal while it supervises a command. A pending alarm is caught here.
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGALRM})
            signal.setitimer(signal.ITIMER_REAL, seconds)
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
            signal.setitimer(signal.ITIMER_REAL, 0)
        except _TimedOutError:
            # The alarm may have come just after the lock was granted.
            self.release()
            return False
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            signal.signal(signal.SIGALRM, former_handler)
        return True

    def _poll(self, seconds: float) -> bool:
        # Only the main thread may set an alarm.
        deadline = time.monotonic() + seconds
        pause = _SHORTEST
        while time.monotonic() < deadline:
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST)
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            return True
        return False

    def release(self) -> None:
        """Release the lock for the next process; it is not an error if the lock is not held."""
        try:
            if self._descriptor >= 0:
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        finally:
            thread_lock, self._turn = self._turn, None
            if thread_lock is not None:
                thread_lock.release()

    def close(self) -> None:
        """Release the lock and its file."""
        if self._turn is not None:
            self.release()
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __del__(self) -> None:
        """Release the lock of a ledger that was not closed: no command closes it, and one process may run many."""
        self.close()


class _TimedOutError(Exception):
    """The alarm went off while waiting for the lock."""


def _busy(seconds: float) -> StorageError:
    if seconds <= 0 and time_limit.has_expired():
        # No time was left to wait for the other writer.
        return StorageError(
            f"{time_limit.EXPIRED} while another writer held the ledger; nothing was changed", time_limit.MORE
        )
    return StorageError(
        f"other writers held the ledger for {seconds:.3g} s; nothing was changed", time_limit.MORE
    )


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

        Raises DiskError if the disk failed; committed changes may be lost in a power cut.
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


FAULTS = (sqlite3.Error, UnicodeDecodeError)
"""The exceptions of Python's SQLite module; the second one for names and schemas that are not UTF-8."""

_NOT_TEXT = "Could not decode to UTF-8"
"""The beginning of the error, without a code, about a column whose text is not UTF-8; the column's content follows."""


@contextmanager
def translating() -> Iterator[None]:
    """Raise jitid's error for an error of SQLite in the block."""
    try:
        yield
    except FAULTS as error:
        raise translated(error) from error


def translated(error: sqlite3.Error | UnicodeDecodeError) -> JitidError:
    """Return jitid's error for an error of SQLite."""
    if isinstance(error, UnicodeDecodeError) or str(error).startswith(_NOT_TEXT):
        return DamagedError(
            "the ledger is damaged: it contains text that is not UTF-8",
            "jitid ledger restore --replace BACKUP",
        )
    match getattr(error, "sqlite_errorcode", 0) & 0xFF:
        case sqlite3.SQLITE_NOTADB | sqlite3.SQLITE_CORRUPT:
            return DamagedError(
                f"the ledger is damaged, or not a ledger: {error}", "jitid ledger restore --replace BACKUP"
            )
        case sqlite3.SQLITE_FULL:
            return StorageError(
                "the disk is full; nothing was changed", "free disk space, and repeat the command"
            )
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM:
            return StorageError(
                f"the ledger cannot be opened for writing: {error}; nothing was changed",
                "check the owner and the mode of the folder and its files, and the file system",
            )
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED | sqlite3.SQLITE_PROTOCOL:
            return BusyError(
                "the ledger is busy; nothing was changed", "repeat the command, or raise --timeout"
            )
        case sqlite3.SQLITE_IOERR:
            return DiskError(
                f"the disk failed: {error}; nothing was acknowledged",
                "check the disk, then repeat the command",
            )
        case _:
            return IntegrityError(f"the ledger gave an unexpected answer: {error}", "run: jitid audit verify")
