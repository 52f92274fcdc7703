"""The ledger's SQL for PostgreSQL, with the same values as in SQLite."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from itertools import count, islice
from typing import Any

import psycopg
from psycopg.abc import Buffer
from psycopg.adapt import Dumper, Loader
from psycopg.types.numeric import Int8BinaryDumper
from psycopg.types.string import StrBinaryDumper

from jitid.ledger.postgres.failure import translating
from jitid.ledger.select import Dialect

_PIECE = re.compile(r"'(?:[^']|'')*'|::|:([a-z_][a-z0-9_]*)|\?|%")
_JOINED = re.compile(r"\bCROSS JOIN (\w+(?: (?:AS )?\w+)?) ON\b")
_COLUMN = re.compile(r"\b(INTEGER|BLOB|TEXT)\b")
_TYPES = {"INTEGER": "BIGINT", "BLOB": "BYTEA", "TEXT": 'TEXT COLLATE "C"'}
TEMPORARY = "CREATE TEMPORARY TABLE IF NOT EXISTS "
_GIVEN = 50_000
"""The maximum number of values in one statement."""
_FEW = 500
"""Above this number of values, the planner's statistics are updated."""
_FETCHED = 5_000
"""The number of rows that a streamed query fetches at once."""
_PLANS = """SELECT set_config('enable_hashjoin', :other, TRUE), set_config('enable_mergejoin', :other, TRUE),
           set_config('enable_seqscan', :other, TRUE), set_config('enable_hashagg', :other, TRUE),
           set_config('work_mem', :memory, TRUE)"""
"""Disables plans that read a whole table, until the transaction ends; NULL restores the settings of the session.

`work_mem` matters since a recursive query clears all the memory of its estimate: 0.3 s for 64 MB. With 4 MB, a hash
aggregate of 200,000 rows spills to disk and takes a minute, so that the planner must sort instead.
"""
_EMPTYING = """DO 'BEGIN IF pg_relation_size(''{table}'') > {most} THEN TRUNCATE {table};
    ELSE DELETE FROM {table}; END IF; END'"""
"""Empties a temporary table. Autovacuum skips these, so that each later query would read the deleted rows again."""
_WORN = 1 << 18
"""The size in bytes above which a temporary table is truncated. Below it, deleting the rows is cheaper."""
_COPIED = 100
"""From this number of rows on, COPY is faster than INSERT."""


class _Truth(Dumper):
    """Dumps truth values as SQLite has them: 1 and 0."""

    oid = psycopg.adapters.types["int8"].oid

    def dump(self, obj: bool) -> Buffer:
        return b"1" if obj else b"0"


class _Number(Loader):
    """Loads truth values as SQLite has them: 1 and 0."""

    def load(self, data: Buffer) -> int:
        return int(bytes(data) == b"t")


class _Whole(Loader):
    """Loads sums of integers, which PostgreSQL returns as `numeric`, as integers."""

    def load(self, data: Buffer) -> int:
        return int(bytes(data))


def adapt(connection: psycopg.Connection[Any]) -> None:
    """Let a connection accept and return the same Python values as SQLite."""
    adapters = connection.adapters
    adapters.register_dumper(int, Int8BinaryDumper)
    adapters.register_dumper(str, StrBinaryDumper)
    adapters.register_dumper(bool, _Truth)
    adapters.register_loader("numeric", _Whole)
    adapters.register_loader("bool", _Number)


def _columns(text: str) -> str:
    """Return columns of a temporary table with PostgreSQL's types."""
    return _COLUMN.sub(lambda match: _TYPES[match[1]], text)


@lru_cache(maxsize=2048)
def translate(sql: str) -> str:
    """Return the ledger's SQL with the driver's placeholders and PostgreSQL's joins."""
    joined = _JOINED.sub(r"JOIN \1 ON", sql)

    def replaced(match: re.Match[str]) -> str:
        piece = match[0]
        if match[1]:
            return f"%({match[1]})s"
        return "%s" if piece == "?" else piece.replace("%", "%%")

    return _PIECE.sub(replaced, joined)


class PostgresDialect(Dialect):
    """The pieces of SQL for PostgreSQL. Each connection has its own object, since temporary tables belong to it."""

    rebuilds_indexes = False
    event_bodies = "(SELECT seq, convert_from(body, 'UTF8')::jsonb AS told FROM audit_event) AS events"
    ordered_key = ""

    def __init__(self) -> None:
        self.made: set[str] = set()
        """The temporary tables that exist."""
        self.filled: set[str] = set()
        """The temporary tables that may have rows."""
        self._new: set[str] = set()
        self.keeps = True
        """Whether a session keeps its temporary tables for later transactions."""
        self._cursors = count()

    def member(self, *names: str) -> str:
        """Return the expression for a member of an event (`told`); for several members, a JSON array of them."""
        paths = [f"told #> '{{{name.replace('.', ',')}}}'" for name in names]
        if len(paths) > 1:
            return f"jsonb_build_array({', '.join(paths)})::text"
        return f"(told #>> '{{{names[0].replace('.', ',')}}}')"

    def number(self, name: str) -> str:
        """Return the expression for a member of an event whose value is a number."""
        return f"{self.member(name)}::bigint"

    def listed(self, name: str) -> str:
        """Return the query for the texts in the JSON array that is bound as `name`."""
        return f"SELECT jsonb_array_elements_text(CAST(:{name} AS jsonb))"

    def fenced(self, query: str) -> str:
        """Return the query as a table whose columns are computed once per row, not once per use."""
        return f"({query} OFFSET 0) AS fenced"

    def joined_bytes(self, expression: str, order: str) -> str:
        """Return the aggregate that joins bytes, in the order of a column; NULL adds nothing."""
        return f"string_agg({expression}, ''::bytea ORDER BY {order})"

    def joined(self, db: Any, query: str, values: Mapping[str, Any]) -> Iterable[tuple[int, int]]:
        """Return the first `seq` and the sum of `n` for each value of the query's column `asked`, ordered by `seq`."""
        rows: Iterable[tuple[int, int]] = db.execute(
            f"SELECT min(seq), sum(n) FROM ({query}) AS told GROUP BY asked ORDER BY 1", values
        )
        return rows

    def temporaries(self, db: Any, tables: Mapping[str, str]) -> None:
        """Create empty temporary tables with these names and columns. Existing ones have the same columns."""
        # Created once per session: each creation adds rows to the system catalogue, which are deleted later.
        missing = [table for table in tables if table not in self.made]
        statements = [_EMPTYING.format(table=table, most=_WORN) for table in tables if table in self.filled]
        for table in missing:
            if not self.keeps:
                # Another client may have left a table with that name in the session.
                statements.append(f"DROP TABLE IF EXISTS pg_temp.{table}")
            suffix = "" if self.keeps else " ON COMMIT DROP"
            statements.append(f"CREATE TEMPORARY TABLE {table} ({_columns(tables[table])}){suffix}")
        if db.pipelined:
            for statement in statements:
                db.execute(statement)
        elif statements:
            db.script("; ".join(statements))
        self.made.update(missing)
        self._new.update(missing)
        self.filled.difference_update(tables)

    def give(self, db: Any, table: str, values: Iterable[Any]) -> None:
        """Insert values into a temporary table with a single column, without duplicates."""
        remaining = iter(values)
        while chunk := list(islice(remaining, _GIVEN)):
            kind = {int: "BIGINT", bytes: "BYTEA"}.get(type(chunk[0]), "TEXT")
            db.execute(
                f"INSERT INTO {table} SELECT unnest(CAST(:given AS {kind}[])) ON CONFLICT DO NOTHING",
                {"given": chunk},
            )
            if len(chunk) > _FEW:
                self.counted(db, table)

    def counted(self, db: Any, table: str) -> None:
        """Update the planner's statistics of a temporary table."""
        db.execute(f"ANALYZE {table}")

    @contextmanager
    def by_index(self, db: Any) -> Iterator[None]:
        """Make the statements of the block look up each row by an index.

        If one parent has most of the children, the planner expects the same of each other parent, and reads the whole
        table instead.
        """
        db.execute(_PLANS, {"other": "off", "memory": "4MB"})
        yield
        # Not after an exception: a failed transaction accepts no statement, and its settings end with it.
        db.execute(_PLANS, {"other": None, "memory": None})

    def forget_new(self) -> None:
        """Forget the tables of a transaction that was rolled back; the other tables have their earlier rows again."""
        self.made -= self._new
        self._new = set()
        self.filled = set(self.made)

    def forget_all(self) -> None:
        """Forget all tables: they belong to another session."""
        self.made, self.filled, self._new = set(), set(), set()

    def keep_new(self) -> None:
        """Keep the tables of a transaction that was committed."""
        self._new = set()

    def stream(
        self, db: Any, sql: str, values: Mapping[str, Any] | Sequence[Any] = ()
    ) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a query, which may be more than fit into memory."""
        # The driver has no server-side cursors within a pipeline.
        db.end_pipeline()
        with translating(), db.raw.cursor(f"rows_{next(self._cursors)}") as cursor:
            cursor.itersize = _FETCHED
            yield from cursor.execute(translate(sql), values)

    def insert(self, db: Any, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Insert any number of rows."""
        all_rows = list(rows)
        if table in self.made:
            self.filled.add(table)
        if len(all_rows) < _COPIED:
            super().insert(db, table, columns, all_rows)
            return
        pipelined = db.pipelined
        if pipelined:
            # The protocol has no COPY within a pipeline.
            db.end_pipeline()
        with translating(), db.raw.cursor().copy(f"COPY {table} ({', '.join(columns)}) FROM STDIN") as copy:
            for row in all_rows:
                copy.write_row(row)
        if pipelined:
            db.begin_pipeline()
