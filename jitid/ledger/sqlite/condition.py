"""The condition of a SQLite ledger: damage, schema, size and clock, found without changing anything."""

from __future__ import annotations

import os
import sqlite3
from collections import deque
from collections.abc import Callable
from shlex import quote as word
from typing import Any

from jitid.errors import IntegrityError
from jitid.ledger.sqlite.clock import read_clock
from jitid.ledger.sqlite.lock import translating
from jitid.ledger.sqlite.schema import APPLICATION_ID, LIVE_INDEXES, SQLITE_STEPS
from jitid.model.ledger_condition import ClockReading, ConditionRemark, Schema, Size

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
        return [f"row {row} of {table} refers to a missing row of {parent}" for table, row, parent in orphans]

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
                "the database is not a ledger of jitid", "jitid ledger restore --replace BACKUP"
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
                differences.append(f"its {name} does not belong to a ledger")
            elif actual[name] != expected[name]:
                differences.append(f"its {name} was changed")
        return differences

    def size(self) -> Size:
        """Return its size."""
        path = self._path()
        file_system = os.statvfs(os.path.dirname(path) or "/")
        return Size(
            size_of(path),
            size_of(f"{path}-wal"),
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


def size_of(path: str) -> int:
    """Return the size of a file; 0 if it does not exist."""
    try:
        return os.stat(path, follow_symlinks=False).st_size
    except FileNotFoundError:
        return 0
