"""The SQLite databases in which agents keep chats: their values are searched without a lock and without a change.

A chat's client may have the database open. Nothing here blocks it, writes to it, or makes a file beside it.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING
from urllib.parse import quote

from jitid.capabilities.scan import archives
from jitid.capabilities.scan.hits import Item

if TYPE_CHECKING:
    from jitid.capabilities.scan.hits import Searcher

MAGIC = b"SQLite format 3\0"
"""The beginning of each SQLite database (fileformat2, section 1.3)."""
CHANGED = "databases that changed while they were read: only their bytes were searched"
LOCKED = "databases in the middle of a change: only their bytes were searched"
DAMAGED = "databases that SQLite cannot read: only their bytes were searched"
LARGE = "databases with values that are too large: only their bytes were searched"
_LONGEST = 1 << 27
"""Maximum bytes of a value that is read."""
_MOST_RATIO = 8
"""Maximum bytes of all values for each byte of the file: a damaged database could have a row any number of times."""
_FREE = 1 << 24
_LEAST = 2
"""Bytes of the smallest row (fileformat2, section 2.1)."""
_WINDOW = 1 << 20
"""Bytes of short values that are searched together."""
_KEYS = ("key", "id", "rowid")
"""Columns that name a row, the best first."""
_LONGEST_KEY = 200


class UnreadableError(Exception):
    """The values of a database cannot be read; the message is the reason."""


def is_database(beginning: bytes) -> bool:
    """Return whether a file with this beginning is an SQLite database."""
    return beginning.startswith(MAGIC)


def search(searcher: Searcher, descriptor: int, item: Item) -> Iterator[None]:
    """Search the values of an open database, then its bytes, which have deleted rows too.

    Strings that were found in values are not kept again. A part that cannot be read is reported to the tally.
    """
    searcher.note()
    items = searcher.tally.items
    try:
        try:
            yield from _values(searcher, descriptor, item)
        except UnreadableError as reason:
            searcher.tally.miss(str(reason), item.place)
        except sqlite3.Error as error:
            large = "too big" in str(error)
            searcher.tally.miss(LARGE if large else DAMAGED, item.place)
        # The database is one file, however many values it has.
        searcher.tally.items = items + 1
        yield from archives.raw_bytes(searcher, descriptor, item)
    finally:
        searcher.unnote()


def _values(searcher: Searcher, descriptor: int, item: Item) -> Iterator[None]:
    path = os.path.realpath(f"/proc/self/fd/{descriptor}")
    before, has_log = _mark(descriptor), not _is_without_log(path)
    with closing(connected(path)) as connection:
        room = before[1] * _MOST_RATIO + _FREE
        together = _Together(searcher)
        for table, columns in tables(connection):
            for row in rows(connection, table, columns):
                inside = _named(table, columns, row)
                # A damaged tree may have a row without a text any number of times.
                room -= _LEAST
                for value in row:
                    if isinstance(value, int | float) or not value:
                        continue
                    raw = value if isinstance(value, bytes) else value.encode("utf-8", "surrogateescape")
                    room -= len(raw)
                    together.add(item._replace(inside=inside), raw)
                if room < 0:
                    raise UnreadableError(DAMAGED)
                yield
        together.flush()
    if not has_log and (_mark(descriptor) != before or not _is_without_log(path)):
        raise UnreadableError(CHANGED)


class _Together:
    """Short values that are searched together, each up to its end."""

    def __init__(self, searcher: Searcher) -> None:
        self._searcher = searcher
        self._window = bytearray(_WINDOW)
        self._end = 0
        self._starts: list[int] = []
        self._items: list[Item] = []

    def add(self, item: Item, value: bytes) -> None:
        """Search a value, now or with later ones."""
        if len(value) >= _WINDOW // 4:
            self._searcher.begin(item)
            self._searcher.feed(value)
            self._searcher.end()
            return
        if self._end + len(value) >= _WINDOW:
            self.flush()
        self._starts.append(self._end)
        self._items.append(item)
        self._window[self._end : self._end + len(value) + 1] = value + b"\0"
        self._end += len(value) + 1

    def flush(self) -> None:
        """Search the values that wait."""
        if self._items:
            self._searcher.whole(self._window, self._end, self._starts, self._items, _same)
        self._end = 0
        self._starts.clear()
        self._items.clear()


def _same(item: Item) -> Item:
    return item


def connected(path: str) -> sqlite3.Connection:
    """Return a connection that reads a database. Raises UnreadableError if it is in the middle of a change.

    A write-ahead log is read with its index, which must be there already: SQLite would make it. A database without one
    is read without any lock, as if nothing could change it: the caller compares it before and after.
    """
    if _size(f"{path}-journal"):
        raise UnreadableError(LOCKED)
    if _is_without_log(path):
        options = "mode=ro&immutable=1"
    elif _size(f"{path}-shm"):
        options = "mode=ro&readonly_shm=1"
    else:
        raise UnreadableError(LOCKED)
    connection = sqlite3.connect(
        f"file:{quote(path)}?{options}", uri=True, timeout=0, isolation_level=None, cached_statements=0
    )
    connection.text_factory = bytes
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST)
    connection.execute("PRAGMA trusted_schema=OFF")
    connection.execute("PRAGMA cell_size_check=ON")
    connection.execute("PRAGMA query_only=ON")
    return connection


def tables(connection: sqlite3.Connection) -> Iterator[tuple[str, list[str]]]:
    """Yield each table with its stored columns; virtual tables have others in which their content is."""
    listed = connection.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'table'").fetchall()
    for name, sql in listed:
        table = _text(name)
        if table.startswith("sqlite_") or b"VIRTUAL" in (sql or b"")[:20].upper():
            continue
        info = connection.execute(f"PRAGMA table_xinfo({_quoted(table)})").fetchall()
        # Columns that are computed could take any time.
        columns = [_text(each[1]) for each in info if each[6] == 0]
        if columns:
            yield table, columns


def rows(
    connection: sqlite3.Connection, table: str, columns: list[str]
) -> Iterator[tuple[bytes | int | float | None, ...]]:
    """Yield the rows of a table."""
    names = ", ".join(map(_quoted, columns))
    return connection.execute(f"SELECT {names} FROM {_quoted(table)}")


def row(connection: sqlite3.Connection, table: str, key: str) -> dict[str, bytes | int | float | None]:
    """Return the row of a table with a key, by column; empty if there is none."""
    for name, columns in tables(connection):
        column = next((each for each in _KEYS if each in columns), None)
        if name == table and column is not None:
            names = ", ".join(map(_quoted, columns))
            statement = f"SELECT {names} FROM {_quoted(table)} WHERE {_quoted(column)} = ? LIMIT 1"
            for value in (key, key.encode("utf-8", "surrogateescape")):
                for values in connection.execute(statement, (value,)):
                    return dict(zip(columns, values, strict=True))
    return {}


def _named(table: str, columns: list[str], row: tuple[object, ...]) -> str:
    """Return the table, and the key of the row if it has a short one."""
    for name in _KEYS:
        if name in columns:
            key = row[columns.index(name)]
            text = key.decode("utf-8", "surrogateescape") if isinstance(key, bytes) else str(key)
            return f"{table}/{text}" if len(text) <= _LONGEST_KEY else table
    return table


def _mark(descriptor: int) -> tuple[int, int, bytes]:
    """Return values that a change of the database changes: its time, its size and its counter of changes."""
    status = os.fstat(descriptor)
    return status.st_mtime_ns, status.st_size, os.pread(descriptor, 100, 0)


def _is_without_log(path: str) -> bool:
    return not _size(f"{path}-wal")


def _size(path: str) -> int:
    try:
        return os.lstat(path).st_size
    except OSError:
        return 0


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
