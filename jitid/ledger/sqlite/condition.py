"""The condition of a SQLite ledger: damage, schema, size and clock, found without changing anything; and vacuuming."""

from __future__ import annotations

import os
import sqlite3
from collections import deque
from collections.abc import Callable
from shlex import quote as word
from typing import Any

from jitid.errors import IntegrityError, StorageError
from jitid.ledger.place import Vacuumed
from jitid.ledger.sqlite import folder
from jitid.ledger.sqlite.clock import read_clock
from jitid.ledger.sqlite.lock import FAULTS, FairLock, translated, translating
from jitid.ledger.sqlite.schema import APPLICATION_ID, LIVE_INDEXES, SQLITE_STEPS
from jitid.model.ledger_condition import ClockReading, ConditionRemark, Schema, Size
from jitid.values.text import quote

_MOST = 5
"""The maximum number of damages to look for: one is a reason to restore a backup."""


class SqliteCondition:
    """The condition of the database of a connection."""

    def __init__(self, db: sqlite3.Connection, clock: Callable[[], float]) -> None:
        self._db = db
        self._clock = clock

    def damage(self, *, indexes: bool = True) -> list[str]:
        """Return descriptions of damage, a few at most. Raises DamagedError if the database is too damaged for that.

        Without `indexes`, the indexes are not compared with their tables, which takes most of the time. Use that
        before the indexes are rebuilt.
        """
        # `quick_check` does not compare indexes with their tables, and queries read both.
        check = "integrity_check" if indexes else "quick_check"
        texts = [str(text) for (text,) in self._rows(f"PRAGMA {check}({_MOST})")]
        if texts != ["ok"]:
            lines = [line for text in texts for line in text.splitlines() if not line.startswith("***")]
            return lines or texts
        self._read_texts()
        orphans = self._rows(f'SELECT "table", rowid, parent FROM pragma_foreign_key_check LIMIT {_MOST}')
        return [
            f"row {row} of {table} belongs to a row of {parent} that is missing"
            for table, row, parent in orphans
        ]

    def _read_texts(self) -> None:
        """Read every text once.

        Raises DamagedError for text that is not UTF-8: SQLite itself accepts any bytes as text.
        """
        columns = self._rows(
            """SELECT t.name, c.name FROM sqlite_master t, pragma_table_info(t.name) c
                WHERE t.type = 'table' AND c.type = 'TEXT'"""
        )
        tables: dict[str, list[str]] = {}
        for table, column in columns:
            tables.setdefault(table, []).append(_identifier(column))
        for table, texts in tables.items():
            with translating():
                # Each row is read, and none is kept.
                deque(self._db.execute(f"SELECT {', '.join(texts)} FROM {_identifier(table)}"), maxlen=0)

    def reindexing(self) -> str | None:
        """Return the command that repairs damage if indexes alone disagree with their tables; None otherwise."""
        if self._rows("PRAGMA quick_check(1)") != [("ok",)]:
            return None
        return f"sqlite3 {word(self._path())} REINDEX"

    def schema(self) -> Schema:
        """Return the schema of the ledger. Raises IntegrityError if the database is not a ledger."""
        if self._number("PRAGMA application_id") != APPLICATION_ID:
            raise IntegrityError(
                "the database is no ledger of jitid", "jitid ledger restore --replace BACKUP"
            )
        version = self._number("PRAGMA user_version")
        known_version = len(SQLITE_STEPS)
        return Schema(version, known_version, self._differences() if version == known_version else [])

    def _differences(self) -> list[str]:
        reference_db = sqlite3.connect(":memory:")
        try:
            for statement in (*(sql for step in SQLITE_STEPS for sql in step), *LIVE_INDEXES.values()):
                reference_db.execute(statement)
            expected = _objects(reference_db)
        finally:
            reference_db.close()
        with translating():
            actual = _objects(self._db)
        differences = []
        for name in sorted(actual.keys() | expected.keys()):
            if name not in actual:
                differences.append(f"its {name} is missing")
            elif name not in expected:
                differences.append(f"its {name} is none of a ledger's")
            elif actual[name] != expected[name]:
                differences.append(f"its {name} is not as jitid makes it")
        return differences

    def size(self) -> Size:
        """Return its size."""
        path = self._path()
        file_system = os.statvfs(os.path.dirname(path) or "/")
        return Size(
            _bytes(path),
            _bytes(f"{path}-wal"),
            file_system.f_bavail * file_system.f_frsize,
            self._number("SELECT count(*) FROM credential"),
            self._number("SELECT count(*) FROM task"),
            self._number("SELECT count(*) FROM audit_event"),
        )

    def clock(self) -> ClockReading:
        """Return the clock and its time mark."""
        with translating():
            reading = read_clock(self._db, self._clock, writes=True, accept=True)
        return ClockReading(int(self._clock()), reading.mark, reading.jump)

    def remarks(self) -> list[ConditionRemark]:
        """Return no remarks: there is no server."""
        return []

    def _path(self) -> str:
        return str(self._rows("PRAGMA database_list")[0][2])

    def _rows(self, sql: str) -> list[Any]:
        with translating():
            return self._db.execute(sql).fetchall()

    def _number(self, sql: str) -> int:
        ((number,),) = self._rows(sql)
        return int(number)


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _objects(db: sqlite3.Connection) -> dict[str, str]:
    """Return the objects of a database with the statements that create them: `table credential` -> SQL."""
    rows = db.execute(
        "SELECT type, name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
    )
    return {f"{kind} {name}": sql for kind, name, sql in rows}


def _bytes(path: str) -> int:
    try:
        return os.stat(path, follow_symlinks=False).st_size
    except FileNotFoundError:
        return 0


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
    size_before = _bytes(database) + _bytes(f"{database}-wal")
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
    log_left = _bytes(f"{database}-wal")
    return Vacuumed(size_before, _bytes(database) + log_left, log_left)
