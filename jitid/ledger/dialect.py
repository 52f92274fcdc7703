"""The pieces of SQL that differ between SQLite and PostgreSQL, and how a connection uses them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any


class Dialect:
    """The pieces of SQL for SQLite."""

    rebuilds_indexes = True
    """Whether ending a large part of a ledger is faster without the indexes on live credentials."""
    event_bodies = "(SELECT seq, CAST(body AS TEXT) AS told FROM audit_event) AS events"
    """The audit events with their documents as text; SQLite would read a blob as binary JSON."""
    ordered_key = " WITHOUT ROWID"
    """The SQL after the columns of a temporary table that keeps its rows in the order of the key."""

    def member(self, *names: str) -> str:
        """Return the expression for a member of an event (`told`); for several members, a JSON array of them."""
        paths = ", ".join(f"'$.{name}'" for name in names)
        return f"json_extract(told, {paths})"

    def number(self, name: str) -> str:
        """Return the expression for a member of an event whose value is a number."""
        return self.member(name)

    def listed(self, name: str) -> str:
        """Return the query for the texts in the JSON array that is bound as `name`."""
        return f"SELECT value FROM json_each(:{name})"

    def fenced(self, query: str) -> str:
        """Return the query as a table whose columns are computed once per row, not once per use."""
        return f"({query} LIMIT -1)"

    def joined_bytes(self, expression: str, order: str) -> str:  # noqa: ARG002 - the method of PostgreSQL needs it
        """Return the aggregate that joins bytes in the order of a column; NULL adds nothing.

        The rows must be stored in that order.
        """
        # The rows are in order already, and `ORDER BY` would sort them again. SQLite joins text and bytes alike.
        return f"CAST(group_concat({expression}, '') AS BLOB)"

    def joined(self, db: Any, query: str, values: Mapping[str, Any]) -> Iterable[tuple[int, int]]:
        """Return the first `seq` and the sum of `n` for each value of the query's column `asked`, ordered by `seq`."""
        # GROUP BY would sort, in a gigabyte of memory for 1.5 million events.
        db.execute("DROP TABLE IF EXISTS temp.alike")
        db.execute(
            "CREATE TEMPORARY TABLE alike (asked TEXT PRIMARY KEY, n INTEGER, first INTEGER) WITHOUT ROWID"
        )
        db.execute(
            f"""INSERT INTO alike {query}
                ON CONFLICT (asked) DO UPDATE SET n = n + excluded.n""",
            values,
        )
        rows: Iterable[tuple[int, int]] = db.execute("SELECT first, n FROM alike ORDER BY first")
        return rows

    def temporaries(self, db: Any, tables: Mapping[str, str]) -> None:
        """Create empty temporary tables with these names and columns.

        Existing tables have the same columns and are emptied.
        """
        for table, columns in tables.items():
            # Such a row is only its key; a table with row ids would store the key twice.
            ordered = " WITHOUT ROWID" if columns.endswith((" BLOB PRIMARY KEY", " TEXT PRIMARY KEY")) else ""
            db.execute(f"CREATE TEMPORARY TABLE IF NOT EXISTS {table} ({columns}){ordered}")
            db.execute(f"DELETE FROM {table}")

    def give(self, db: Any, table: str, values: Iterable[Any]) -> None:
        """Insert values into a temporary table with a single column, without duplicates."""
        db.executemany(f"INSERT OR IGNORE INTO {table} VALUES (?)", ((value,) for value in values))

    def counted(self, db: Any, table: str) -> None:
        """Update the planner's statistics of a temporary table, where the database needs that."""

    @contextmanager
    def by_index(self, db: Any) -> Iterator[None]:  # noqa: ARG002 - PostgreSQL's dialect executes settings on it
        """Make the statements of the block look up each row by an index; SQLite does so by itself."""
        yield

    def stream(
        self, db: Any, sql: str, values: Mapping[str, Any] | Sequence[Any] = ()
    ) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a query, which may be more than fit into memory."""
        rows: Iterator[tuple[Any, ...]] = db.execute(sql, values)
        return rows

    def insert(self, db: Any, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Insert any number of rows."""
        db.executemany(_insertion(table, tuple(columns)), rows)


@lru_cache(maxsize=64)
def _insertion(table: str, columns: tuple[str, ...]) -> str:
    placeholders = ", ".join("?" * len(columns))
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({placeholders})"


SQLITE = Dialect()


def dialect_of(db: Any) -> Dialect:
    """Return the dialect of a connection."""
    dialect: Dialect = getattr(db, "dialect", SQLITE)
    return dialect
