"""A ledger folder as the source or the target of a copy. A target is filled aside, and published by one rename.

The database is copied at one moment, while other processes continue to read and write. Also vacuuming, which writes a
copy into the same file.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

from jitid.errors import BusyError, JitidError, OutputError, StorageError, UsageError
from jitid.ledger.contract import Seal, record_seal
from jitid.ledger.copy_rows import OWN, CopiedTable, Stage, in_order
from jitid.ledger.place import Vacuumed
from jitid.ledger.sqlite import folder, read_only
from jitid.ledger.sqlite import ledger as sqlite_ledger
from jitid.ledger.sqlite.clock import machine
from jitid.ledger.sqlite.condition import size_of
from jitid.ledger.sqlite.ledger import SqliteLedger
from jitid.ledger.sqlite.lock import FAULTS, FairLock, translated, translating
from jitid.ledger.transaction import KnownRows, Transaction
from jitid.ledger.view import View
from jitid.model.chain import Chain
from jitid.model.event import Head
from jitid.model.ledger_rows import Names
from jitid.system import files
from jitid.values.text import quote

_MARK = "copying"
"""The file that identifies the ledger and the audit head that the folder aside is a copy of."""


class _Store:
    """The tables of a SQLite database."""

    _db: sqlite3.Connection

    def tables(self) -> dict[str, CopiedTable]:
        """Return the tables that are copied row by row; each follows the tables that its rows refer to."""
        names = [
            name
            for (name,) in self._execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            if name not in OWN and not name.startswith("sqlite_")
        ]
        tables, references = {}, {}
        for name in names:
            columns = self._execute("SELECT name, pk FROM pragma_table_info(?)", (name,)).fetchall()
            key = [column for column, position in sorted(columns, key=lambda row: int(row[1])) if position]
            tables[name] = CopiedTable(name, tuple([column for column, _ in columns]), tuple(key))
            rows = self._execute('SELECT "table" FROM pragma_foreign_key_list(?)', (name,))
            references[name] = {parent for (parent,) in rows}
        return in_order(tables, references)

    def rows(self, table: CopiedTable, after: Sequence[Any] | None) -> Iterator[tuple[Any, ...]]:
        """Yield rows in key order: all rows, or only rows after the key `after`."""
        with translating():
            # `yield from` would close the cursor, even if the database is closed by then.
            for row in self._db.execute(table.query(after=after is not None), after or ()):  # noqa: UP028
                yield row

    def _execute(self, sql: str, values: Sequence[Any] = ()) -> sqlite3.Cursor:
        with translating():
            return self._db.execute(sql, values)


class SqliteSource(_Store):
    """A ledger in a folder; its lock is held during the whole `with` block."""

    kind = "sqlite"

    def __init__(self, path: str, timeout: float, clock: Callable[[], float] = time.time) -> None:
        self._database = os.path.join(path, folder.DATABASE)
        lock = os.path.join(path, folder.LOCK)
        self._turn = FairLock(lock, timeout)
        self._ledger = sqlite_ledger.connect(self._database, lock, by="", clock=clock, timeout=timeout)
        self._stack = ExitStack()
        self.names = self._ledger.names

    def __enter__(self) -> Self:
        with self._stack as stack:
            stack.callback(self._ledger.close)
            self._turn.acquire()
            stack.callback(self._turn.close)
            self.snapshot = stack.enter_context(self._ledger.read(by_mark=True))
            self._db = sqlite3.connect(self._database, isolation_level=None)
            stack.callback(self._db.close)
            self._execute("BEGIN")
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def head_now(self) -> Head:
        """Return the current audit head."""
        self._execute("COMMIT")
        return View(self._db, self.names, self.snapshot.now).head()

    def seal(self, seal: Seal, by: str) -> None:
        """Seal the ledger; durable when this returns."""
        boot, uptime = machine()
        with translating():
            if self._db.in_transaction:
                self._db.execute("COMMIT")
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.execute("BEGIN IMMEDIATE")
            transaction = Transaction(self._db, self.names, seal.at, by, KnownRows({}, set()))
            record_seal(transaction, seal)
            self._db.execute(
                "UPDATE clock_mark SET marked_at = ?, boot = ?, uptime = ?", (transaction.now, boot, uptime)
            )
            self._db.execute("COMMIT")


class SqliteTarget(_Store):
    """A folder that becomes a ledger."""

    kind = "sqlite"

    def __init__(self, path: str) -> None:
        self._path = self.place = os.path.abspath(path)
        self._parent, name = os.path.split(self._path)
        self._aside = os.path.join(self._parent, f".{name}.copying")
        self._names = Names("", "", "")
        self._now = 0
        self._held = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()
        if self._held >= 0:
            os.close(self._held)
            self._held = -1

    def _close(self) -> None:
        if hasattr(self, "_db"):
            self._db.close()

    @property
    def keys(self) -> str:
        """The folder for the private keys, which are published with the copy."""
        return os.path.join(self._aside, folder.KEYS)

    @property
    def policy(self) -> str:
        """The folder for the policy."""
        return os.path.join(self._aside, folder.POLICY)

    def begin(self, names: Names, mark: str, chains: Sequence[Chain], now: int) -> Stage:
        """Begin a copy, or continue a copy with the same `mark`."""
        if folder.content(self._path):
            raise UsageError(
                f"{quote(self._path)} is not empty; nothing was copied",
                "name a folder that does not exist yet",
            )
        self._names, self._now = names, now
        try:
            folder.make_parents(self._parent)
            self._hold()
            if self._mark() != mark:
                self._make(names, chains, now)
                files.write_private(os.path.join(self._aside, _MARK), mark.encode())
                return Stage.NEW
            self._db = self._connect()
        except OSError as error:
            raise StorageError(f"{self._aside} cannot be written: {error.strerror}") from error
        has_new_epoch = len(View(self._db, names, now).chains()) > len(chains)
        return Stage.COMPLETE if has_new_epoch else Stage.PARTIAL

    def _hold(self) -> None:
        """Create the folder aside if needed, and lock it against other copies to the same place."""
        while True:
            if not os.path.isdir(self._aside):
                os.mkdir(self._aside, 0o700)
            os.chmod(self._aside, 0o700)
            path = os.path.join(self._aside, folder.LOCK)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                raise BusyError(
                    f"another copy to {quote(self._path)} is in progress",
                    "wait for it to end, and repeat the command",
                ) from None
            if os.path.exists(path) and os.path.samestat(os.fstat(descriptor), os.stat(path)):
                os.fchmod(descriptor, 0o600)
                self._held = descriptor
                return
            os.close(descriptor)  # another process has just published that folder

    def _mark(self) -> str | None:
        try:
            return files.read_regular(os.path.join(self._aside, _MARK), 1_000).decode("utf-8", "replace")
        except OSError:
            return None

    def _make(self, names: Names, chains: Sequence[Chain], now: int) -> None:
        from shutil import rmtree

        for name in os.listdir(self._aside):
            path = os.path.join(self._aside, name)
            if os.path.isdir(path) and not os.path.islink(path):
                rmtree(path)
            elif name != folder.LOCK:
                os.unlink(path)
        for subfolder in (self.keys, self.policy):
            folder.make_private(subfolder)
        database = os.path.join(self._aside, folder.DATABASE)
        os.close(os.open(database, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        os.chmod(database, 0o600)
        with translating():
            sqlite_ledger.create(database, names, now).close()
            self._db = self._connect()
            self._execute("BEGIN IMMEDIATE")
            self._execute("DELETE FROM chain")
            self._db.executemany(
                "INSERT INTO chain VALUES (?, ?, ?, ?, ?, ?, ?)",
                [(*chain[:6], now if chain.closed else None) for chain in chains],
            )
            for name, _ in self._indexes(self._db):
                self._execute(f"DROP INDEX {name}")
            self._execute("COMMIT")

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(os.path.join(self._aside, folder.DATABASE), isolation_level=None)
        # Everything is synced once, before the copy is published.
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute("PRAGMA temp_store = MEMORY")
        db.execute("PRAGMA cache_size = -65536")
        return db

    @staticmethod
    def _indexes(db: sqlite3.Connection) -> list[tuple[str, str]]:
        return db.execute(
            "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL ORDER BY rowid"
        ).fetchall()

    def last(self, table: CopiedTable) -> Sequence[Any] | None:
        """Return the key of the last row that was copied."""
        key: Sequence[Any] | None = self._execute(table.last).fetchone()
        return key

    def load(self, table: CopiedTable, rows: Sequence[Sequence[Any]]) -> None:
        """Insert rows, all or none."""
        placeholders = ", ".join("?" * len(table.columns))
        with translating():
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany(f"INSERT INTO {table.into} VALUES ({placeholders})", rows)
            self._db.execute("COMMIT")

    def index(self) -> None:
        """Build the indexes. Earlier, they would have slowed down each insertion."""
        reference_db = sqlite_ledger.create(":memory:", self._names, 0)
        existing = dict(self._indexes(self._db))
        for name, sql in self._indexes(reference_db):
            if name not in existing:
                self._execute(sql)
        reference_db.close()

    def open(self, by: str) -> Transaction:
        """Close all audit chains, open the chain of the next epoch, and return a transaction that appends to it."""
        self._execute("BEGIN IMMEDIATE")
        transaction = Transaction(self._db, self._names, self._now, by, KnownRows({}, set()))
        # A continued copy was begun at an earlier time.
        boot, uptime = machine()
        self._db.execute(
            "UPDATE clock_mark SET marked_at = ?, boot = ?, uptime = ?", (self._now, boot, uptime)
        )
        transaction.open_epoch(1)
        return transaction

    def complete(self) -> None:
        """Commit the transaction of `open`; all of the copy is durable when this returns."""
        with translating():
            if self._db.in_transaction:
                self._db.execute("COMMIT")
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._close()
        try:
            with open(os.path.join(self._aside, folder.DATABASE), "rb") as database:
                os.fsync(database.fileno())
            for folder_path in (self.keys, self.policy, self._aside, self._parent):
                files.sync_folder(folder_path)
        except OSError as error:
            raise StorageError(f"{self._aside} could not be written: {error.strerror}") from error

    def publish(self) -> None:
        """Make the complete copy a ledger by one rename."""
        try:
            if not folder.publish(self._aside, self._path, self._parent):
                raise StorageError(
                    f"{quote(self._path)} was created meanwhile; the copy was kept in {quote(self._aside)}",
                    f"move {quote(self._path)} away, and repeat the command",
                )
            os.unlink(os.path.join(self._path, _MARK))
        except OSError as error:
            raise StorageError(f"{self._path} could not be written: {error.strerror}") from error


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
    size_before = size_of(database) + size_of(f"{database}-wal")
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
            f"not enough disk space in {quote(path, 200)}: {needed} bytes are required, "
            f"{file_system.f_bavail * file_system.f_frsize} are free; nothing was changed",
            "free disk space there, and repeat the command",
        )
    db.execute("VACUUM")
    # The file shrinks only when the log is written back; a reader of the old state delays that.
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    log_left = size_of(f"{database}-wal")
    return Vacuumed(size_before, size_of(database) + log_left, log_left)
