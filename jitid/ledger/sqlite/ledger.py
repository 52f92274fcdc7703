"""The ledger in a SQLite file: one durable writer at a time, in the order of a fair lock.

A restore may replace its file by a backup: an open ledger checks that its file is still at its path.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from jitid.errors import IntegrityError, NewerSchemaError, StorageError
from jitid.ledger import contract, expiry
from jitid.ledger.sqlite import lock
from jitid.ledger.sqlite.clock import machine, read_clock
from jitid.ledger.sqlite.lock import FAULTS, WriteAheadLog, translated, translating
from jitid.ledger.sqlite.schema import APPLICATION_ID, LIVE_INDEXES, SQLITE_STEPS
from jitid.ledger.transaction import KnownRows, Transaction
from jitid.ledger.view import View
from jitid.model.ledger_rows import RESTORED, Names

if TYPE_CHECKING:
    from jitid.ledger.contract import Ledger
    from jitid.ledger.sqlite.condition import SqliteCondition


class InPlace:
    """The identity of the file that was at a path when the ledger there was opened."""

    def __init__(self, path: str) -> None:
        # A server may change its working directory; the path must not change with it.
        self._path = os.path.abspath(path)
        self._file = self._there()

    def _there(self) -> tuple[int, int] | None:
        try:
            status = os.stat(self._path, follow_symlinks=False)
        except OSError:
            return None
        return status.st_dev, status.st_ino

    def require_same_file(self) -> None:
        """Raise StorageError if another file is at the path now: writes to the open file would be lost.

        A ledger whose folder was moved away and not replaced is still the ledger.
        """
        current_file = self._there()
        if current_file is not None and current_file != self._file:
            raise StorageError(
                "the ledger was replaced while it was in use; nothing was changed",
                "repeat the command; restart services such as `jitid serve`",
            )


_DUE_AT_ONCE = 1_000
"""The maximum number of due credentials that a writer closes: enough to keep up, without a noticeable delay."""


class Others:
    """A check whether other connections wrote between the last two write transactions of this connection."""

    wrote = True
    """Also True until this connection has opened two write transactions."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._commits: int | None = None

    def look(self) -> None:
        """Update `wrote`; must be called in every write transaction."""
        # A commit by another connection changes this number: https://sqlite.org/pragma.html#pragma_data_version
        (commits,) = self._db.execute("PRAGMA data_version").fetchone()
        self.wrote = commits != self._commits
        self._commits = commits


class _OpenFile:
    """An open database file with the state that its transactions share."""

    def __init__(
        self,
        db: sqlite3.Connection,
        lock_path: str,
        clock: Callable[[], float],
        timeout: float,
        names: Names | None,
        in_place: InPlace | None,
    ) -> None:
        self.db = db
        self.lock = lock.FairLock(lock_path, timeout)
        self.log = WriteAheadLog(db)
        self.clock = clock
        self.known = KnownRows({}, set())
        self.names = names
        self.others = Others(db)
        self._in_place = in_place

    def require_same_file(self) -> None:
        """Raise StorageError if another file is at the path now."""
        if self._in_place is not None:
            self._in_place.require_same_file()

    def names_at(self, named_at: str | None, restored_at: str | None) -> Names:
        """Return the names in a view that stores these two settings; read them if they have changed."""
        names = self.names
        if (
            names is None
            or (named_at or "0") != str(names.named_at)
            or restored_at != (None if names.restored_at is None else str(names.restored_at))
        ):
            names = self.names = _read_names(self.db)
        return names


class SqliteLedger:
    """A ledger in one SQLite file in WAL mode; every commit is on the disk before it is acknowledged."""

    def __init__(
        self,
        db: sqlite3.Connection,
        lock_path: str,
        by: str,
        clock: Callable[[], float],
        timeout: float,
        names: Names | None = None,
        in_place: InPlace | None = None,
    ) -> None:
        self._db = db
        self._file = _OpenFile(db, lock_path, clock, timeout, names, in_place)
        self._by = by

    def foresees(self, *, quick: Callable[[], bool]) -> bool:
        """Return whether to plan in a snapshot before taking the write lock."""
        return self._file.others.wrote or not quick()

    @property
    def names(self) -> Names:
        """The ledger's UUID, issuer names and trust domain as last read."""
        if self._file.names is None:
            self._file.names = _read_names(self._db)
        return self._file.names

    def condition(self) -> SqliteCondition:
        """Return the object that reports the state of the ledger itself. It changes nothing."""
        from jitid.ledger.sqlite.condition import SqliteCondition

        return SqliteCondition(self._db, self._file.clock)

    def read(self, *, by_mark: bool = False) -> _Reading:
        """Open a consistent view; no read in it waits for a writer."""
        return _Reading(self._file, by_mark=by_mark)

    def glance(self) -> _Reading:
        """Open a view as `read` does: no cheaper way exists."""
        return self.read()

    def write(
        self,
        *,
        accept_clock: bool = False,
        facts: Mapping[str, Any] = MappingProxyType({}),
        by: str | None = None,
        members: Mapping[str, Any] = MappingProxyType({}),
        shared: bool = False,  # noqa: ARG002 - a file has one writer at a time
    ) -> _Writing:
        """Open a transaction; leaving the block commits it durably, an exception rolls it back."""
        return _Writing(self._file, by or self._by, facts, members, accept_clock=accept_clock)

    def acting(self, by: str, facts: Mapping[str, Any]) -> Ledger:
        """Return the same ledger for the caller `by`; its events also get the members `facts`."""
        from jitid.ledger.wrapped import ActingLedger

        return ActingLedger(self, by, facts)

    def duplicate(self, target: sqlite3.Connection, pages: int, progress: Callable[[int, int], None]) -> None:
        """Copy the current state of the database into another, `pages` at a time. Raises the errors of SQLite.

        `progress` is called after each step with the number of copied pages and the total number of pages.
        """
        # In one transaction: otherwise each step would begin a transaction, and start again if another process has
        # written.
        self._db.execute("BEGIN")
        try:
            self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()
            self._db.backup(
                target, pages=pages, progress=lambda _, remaining, total: progress(total - remaining, total)
            )
        finally:
            _roll_back(self._db)

    def reindex(self) -> None:
        """Rebuild all indexes from their tables. Raises IntegrityError for rows that violate a unique index."""
        with translating():
            self._db.execute("REINDEX")

    def close(self) -> None:
        """Release the file."""
        self._file.log.close()
        self._db.close()
        self._file.lock.close()


def connect(
    path: str, lock_path: str, *, by: str, clock: Callable[[], float] = time.time, timeout: float = 30.0
) -> SqliteLedger:
    """Open the ledger in the file `path`, which must exist.

    Args:
        path: the database file.
        lock_path: the lock file beside it. The database itself is never opened outside SQLite: closing it would drop
            SQLite's locks.
        by: the caller's name for the audit log.
        clock: returns the seconds since the epoch.
        timeout: the maximum wait for other writers, in seconds.

    Raises:
        IntegrityError: it is not a ledger, or it is damaged.
        NewerSchemaError: a newer jitid made it.
        StorageError: it cannot be read.

    """
    in_place = InPlace(path)
    with translating():
        # A program that uses a ledger from several threads does so one at a time.
        db = sqlite3.connect(
            path, timeout=timeout, isolation_level=None, cached_statements=256, check_same_thread=False
        )
    try:
        _check_file(db, path, lock_path, timeout)
        return SqliteLedger(db, lock_path, by, clock, timeout, _read_names(db), in_place)
    except BaseException as error:
        db.close()
        if isinstance(error, FAULTS):
            raise translated(error) from error
        raise


def _read_names(db: sqlite3.Connection) -> Names:
    with translating():
        settings = dict(db.execute("SELECT name, value FROM setting").fetchall())
    try:
        return Names.of(settings)
    except KeyError as missing:
        raise IntegrityError(
            f"the ledger lacks its {missing.args[0]}", "jitid ledger restore --replace BACKUP"
        ) from None


def _check_file(db: sqlite3.Connection, path: str, lock_path: str, timeout: float) -> None:
    """Check that a connection is to a ledger of a known schema, and prepare it. An older schema is migrated."""
    # A commit under the lock does not wait for the disk; each writer syncs the log afterwards, before it answers.
    db.execute("PRAGMA synchronous = NORMAL")
    db.execute("PRAGMA temp_store = MEMORY")
    (application_id,) = db.execute("PRAGMA application_id").fetchone()
    if application_id != APPLICATION_ID:
        raise IntegrityError(
            f"{path} is not a ledger of jitid; it was not changed", "restore it from a backup"
        )
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version > len(SQLITE_STEPS):
        raise NewerSchemaError(
            f"the ledger has schema {version}; this jitid supports {len(SQLITE_STEPS)} at most",
            "upgrade jitid on this machine",
        )
    if version < len(SQLITE_STEPS):
        _migrate(db, lock_path, timeout)


def create(path: str, names: Names, now: int) -> sqlite3.Connection:
    """Create a ledger in the empty file `path`, or in memory (`:memory:`)."""
    db = sqlite3.connect(path, isolation_level=None)
    if path != ":memory:":
        db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.execute("BEGIN IMMEDIATE")
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    _run_steps(db, 0)
    db.executemany("INSERT INTO setting VALUES (?, ?)", names.settings().items())
    boot, uptime = machine()
    db.execute(
        "INSERT INTO clock_mark (id, marked_at, boot, uptime) VALUES (1, ?, ?, ?)", (now, boot, uptime)
    )
    db.execute("COMMIT")
    return db


def _run_steps(db: sqlite3.Connection, version: int) -> None:
    for new_version, step in enumerate(SQLITE_STEPS[version:], start=version + 1):
        for statement in step:
            db.execute(statement)
        db.execute(f"PRAGMA user_version = {new_version}")
    for name, statement in LIVE_INDEXES.items():
        db.execute(statement.replace(f"INDEX {name}", f"INDEX IF NOT EXISTS {name}"))


def _migrate(db: sqlite3.Connection, lock_path: str, timeout: float) -> None:
    fair_lock = lock.FairLock(lock_path, timeout)
    fair_lock.acquire()
    try:
        db.execute("BEGIN IMMEDIATE")  # the lock comes before the query, so that two jobs cannot race
        (version,) = db.execute("PRAGMA user_version").fetchone()
        _run_steps(db, version)
        db.execute("COMMIT")
    finally:
        fair_lock.close()


class _Reading:
    """One read transaction."""

    def __init__(self, file: _OpenFile, *, by_mark: bool) -> None:
        self._file = file
        self._db = file.db
        self._by_mark = by_mark

    def __enter__(self) -> View:
        self._file.require_same_file()
        try:
            self._db.execute("BEGIN")
            reading = read_clock(self._db, self._file.clock, writes=False, by_mark=self._by_mark)
            names = self._file.names_at(reading.named_at, reading.restored_at)
        except BaseException as error:
            _roll_back(self._db)
            if isinstance(error, FAULTS):
                raise translated(error) from error
            raise
        snapshot = View(self._db, names, reading.now)
        snapshot.sealed_as = (reading.sealed,)
        snapshot.changed_at = reading.changed_at
        snapshot.marked_at = reading.mark
        return snapshot

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        _roll_back(self._db)
        if isinstance(error, FAULTS):
            raise translated(error) from error


class _Writing:
    """A write transaction, under the fair lock."""

    def __init__(
        self,
        file: _OpenFile,
        by: str,
        facts: Mapping[str, Any],
        members: Mapping[str, Any],
        *,
        accept_clock: bool,
    ) -> None:
        self._file = file
        self._db = file.db
        self._by = by
        self._facts = facts
        self._members = members
        self._accept_clock = accept_clock
        self._transaction: Transaction | None = None
        self._marked_at = self._changed_at = 0

    def __enter__(self) -> Transaction:
        self._file.lock.acquire()
        try:
            # A ledger is only replaced under this lock, so the file at this path stays the same until the commit.
            self._file.require_same_file()
            self._db.execute("BEGIN IMMEDIATE")
            # The clock is read after the lock was granted: an earlier reading would be outdated by the wait.
            self._marked_at, now, jump, named_at, restored_at, sealed, self._changed_at = read_clock(
                self._db, self._file.clock, writes=True, accept=self._accept_clock
            )
            self._file.others.look()
            self._names = self._file.names_at(named_at, restored_at)
            self._transaction = self._begun(now)
            self._transaction.sealed_as = (sealed,)
            contract.refuse_if_sealed(self._transaction)
            if jump < 0:
                # Credentials that have expired by the old time mark are recorded as expired before the mark is
                # lowered.
                self._transaction = self._begun(now - jump)
                while expiry.close_due(self._transaction, _DUE_AT_ONCE, self._facts):
                    pass
                expiry.close_approvals(self._transaction)
                expiry.close_access(self._transaction)
                closed = self._transaction.closed
                # The record of a used token may be pruned already, and by the lower clock that token has not expired.
                # Tokens that an earlier restore excludes stay excluded.
                floor = max(now, self._names.restored_at or 0)
                self._transaction.set(RESTORED, str(floor))
                self._names = self._file.names_at(named_at, str(floor))
                self._transaction = self._begun(now)
                self._transaction.closed = closed
            if jump:
                self._transaction.append(
                    "accept-clock",
                    {"jump": jump, "restored_at": self._names.restored_at if jump < 0 else None},
                )
            expiry.close_due(self._transaction, _DUE_AT_ONCE, self._facts)
        except BaseException as error:
            self._undo()
            if isinstance(error, FAULTS):
                raise translated(error) from error
            raise
        return self._transaction

    def _begun(self, now: int) -> Transaction:
        transaction = Transaction(self._db, self._names, now, self._by, self._file.known, self._members)
        transaction.changed_at = self._changed_at
        return transaction

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        assert self._transaction is not None
        if error is not None:
            self._undo()
            if isinstance(error, FAULTS):
                raise translated(error) from error
            return
        try:
            # Within one second the mark does not change, and one page less is written.
            if self._transaction.wrote and (
                self._transaction.now != self._marked_at or self._transaction.changed_at != self._changed_at
            ):
                boot, uptime = machine()
                self._db.execute(
                    "UPDATE clock_mark SET marked_at = ?, boot = ?, uptime = ?, changed_at = ?",
                    (self._transaction.now, boot, uptime, self._transaction.changed_at),
                )
            self._db.execute("COMMIT")
        except BaseException as failure:
            self._undo()
            if isinstance(failure, FAULTS):
                raise translated(failure) from failure
            raise
        self._file.lock.release()
        # Even if nothing was written: the answer may depend on a commit that another process is still syncing.
        self._file.log.sync()

    def _undo(self) -> None:
        try:
            _roll_back(self._db)
            # Rows that this transaction inserted are gone.
            self._file.known.forget()
        finally:
            self._file.lock.release()


def _roll_back(db: sqlite3.Connection) -> None:
    if db.in_transaction:
        db.execute("ROLLBACK")
