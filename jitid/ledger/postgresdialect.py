"""A connection to PostgreSQL that takes the SQL of this folder, with the values and rows that SQLite has."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import lru_cache
from itertools import count, islice
from typing import Any, Self

import psycopg
from psycopg.abc import Buffer
from psycopg.adapt import Dumper, Loader
from psycopg.types.numeric import Int8BinaryDumper
from psycopg.types.string import StrBinaryDumper

from jitid.errors import JitidError
from jitid.ledger.dialect import Dialect
from jitid.ledger.postgresfailure import translated
from jitid.ledger.postgreslane import Lane

_PIECE = re.compile(r"'(?:[^']|'')*'|::|:([a-z_][a-z0-9_]*)|\?|%")
_JOINED = re.compile(r"\bCROSS JOIN (\w+(?: (?:AS )?\w+)?) ON\b")
_COLUMN = re.compile(r"\b(INTEGER|BLOB|TEXT)\b")
_TYPES = {"INTEGER": "BIGINT", "BLOB": "BYTEA", "TEXT": 'TEXT COLLATE "C"'}
_TEMPORARY = "CREATE TEMPORARY TABLE IF NOT EXISTS "
_GIVEN = 50_000
"""So many values are given at once."""
_FEW = 500
"""From so many on, the planner is told how many they are."""
_FETCHED = 5_000
"""So many rows come at once of a query that is streamed."""
_PLANS = """SELECT set_config('enable_hashjoin', :other, TRUE), set_config('enable_mergejoin', :other, TRUE),
           set_config('enable_seqscan', :other, TRUE), set_config('enable_hashagg', :other, TRUE),
           set_config('work_mem', :memory, TRUE)"""
"""Disables plans that read a whole table, until the transaction ends; NULL restores the settings of the session.
`work_mem` matters since a recursive query clears all the memory that its estimate asks for: 0.3 s for 64 MB. With 4 MB,
a hash aggregate of 200,000 rows spills to disk and takes a minute, so that the planner must sort instead."""
_EMPTYING = """DO 'BEGIN IF pg_relation_size(''{table}'') > {most} THEN TRUNCATE {table};
    ELSE DELETE FROM {table}; END IF; END'"""
"""Empties a temporary table. Autovacuum skips these, so that each later query would read the deleted rows again."""
_WORN = 1 << 18
"""The size in bytes above which a temporary table is truncated. Below it, deleting the rows is cheaper."""
_COPIED = 100
"""From so many rows on, COPY is quicker than inserting them."""


class _Truth(Dumper):
    """Truth values as SQLite has them: numbers."""

    oid = psycopg.adapters.types["int8"].oid

    def dump(self, obj: bool) -> Buffer:
        return b"1" if obj else b"0"


class _Whole(Loader):
    """Sums of numbers, which PostgreSQL gives as `numeric`: whole ones here."""

    def load(self, data: Buffer) -> int:
        return int(bytes(data))


def adapt(connection: psycopg.Connection[Any]) -> None:
    """Let a connection take and give values as SQLite does: each type of Python has one of PostgreSQL."""
    adapters = connection.adapters
    adapters.register_dumper(int, Int8BinaryDumper)
    adapters.register_dumper(str, StrBinaryDumper)
    adapters.register_dumper(bool, _Truth)
    adapters.register_loader("numeric", _Whole)


def _columns(text: str) -> str:
    """Return columns of a temporary table with PostgreSQL's types."""
    return _COLUMN.sub(lambda match: _TYPES[match[1]], text)


@lru_cache(maxsize=2048)
def translate(sql: str) -> str:
    """Return SQL of this folder as the driver takes it."""
    found = _JOINED.sub(r"JOIN \1 ON", sql)

    def replaced(match: re.Match[str]) -> str:
        text = match[0]
        if match[1]:
            return f"%({match[1]})s"
        return "%s" if text == "?" else text.replace("%", "%%")

    return _PIECE.sub(replaced, found)


class Rows(psycopg.Cursor[Any]):
    """What has the rows of a statement; of one that gives none, as SQLite has it, it has none."""

    @property
    def rowcount(self) -> int:
        """How many rows a statement has made or changed that gives none."""
        if super().rowcount < 0:
            # In a pipeline that is known once the answer was read.
            self._rows(super().fetchone)
        return super().rowcount

    def fetchone(self) -> Any:
        """Return the next row, or None."""
        return next(iter(self._rows(super().fetchone)), None)

    def fetchall(self) -> list[Any]:
        """Return all rows that are left."""
        return self._rows(super().fetchall, many=True)

    def __iter__(self) -> Self:
        """Return what gives the rows that are left, one by one: some may be taken now, and the others later."""
        return self

    def __next__(self) -> Any:
        """Return the next row."""
        row = self.fetchone()
        if row is None:
            raise StopIteration
        return row

    def _rows(self, fetch: Callable[[], Any], *, many: bool = False) -> list[Any]:
        try:
            found = fetch()
        except psycopg.ProgrammingError as error:
            if error.sqlstate is None and not isinstance(error, psycopg.errors.PipelineAborted):
                return []
            raise translated(error) from error
        except psycopg.Error as error:
            raise translated(error) from error
        if many:
            return list(found)
        return [] if found is None else [found]


class _Nothing:
    """The answer of a statement that gives no rows."""

    rowcount = 0

    def fetchone(self) -> None:
        """Return None."""

    def fetchall(self) -> list[Any]:
        """Return no row."""
        return []

    def __iter__(self) -> Iterator[Any]:
        """Yield no row."""
        return iter(())


class Connection:
    """Answers as a connection of SQLite does, as far as this folder asks."""

    def __init__(self, raw: psycopg.Connection[Any], patience: float = 30.0) -> None:
        """Take the driver's connection, and for how many seconds a server may be silent where it has little to do."""
        adapt(raw)
        raw.cursor_factory = Rows
        self._raw = raw
        self._owed = False
        """Whether the answer to a COMMIT was not waited for."""
        self.dialect = PostgresDialect()
        self._lane = Lane(raw, patience)
        self._pipeline: AbstractContextManager[psycopg.Pipeline] | None = None

    @property
    def raw(self) -> psycopg.Connection[Any]:
        """The driver's own connection, when it owes no answer."""
        if self._owed:
            self._settle()
        return self._raw

    @property
    def lane(self) -> Lane:
        """What sends prepared statements over this connection, when it owes no answer."""
        if self._owed:
            self._settle()
        return self._lane

    def leave(self) -> None:
        """End a transaction that has only read: nobody waits for the answer, until something else is asked."""
        try:
            self._raw.pgconn.send_query(b"COMMIT")
            self._raw.pgconn.flush()
        except psycopg.Error as error:
            raise translated(error) from error
        self._owed = True

    def _settle(self) -> None:
        """Take the answer that is owed. A connection that is lost meanwhile is closed then, which says enough."""
        self._owed = False
        with suppress(psycopg.Error):
            # libpq would wait too, and no other thread could do anything meanwhile.
            self._lane.await_input()
            while self._raw.pgconn.get_result() is not None:
                self._lane.await_input()

    def execute(self, sql: str, values: Mapping[str, Any] | Sequence[Any] = ()) -> Any:
        """Execute a statement and return what has its rows. Raises what the failure means."""
        if sql.startswith("INSERT INTO"):
            self._note(sql)
        elif sql.startswith(_TEMPORARY):
            table, _, columns = sql.removeprefix(_TEMPORARY).partition(" ")
            self.dialect.temporaries(self, {table: columns.strip().removeprefix("(").removesuffix(")")})
            return _Nothing()
        try:
            return self.raw.execute(translate(sql), values)
        except psycopg.Error as error:
            raise translated(error) from error

    def executemany(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """Execute a statement for each row of values."""
        given = list(rows)
        if not given:
            return
        text = translate(sql)
        try:
            if len(given) == 1:
                self.raw.execute(text, given[0])
            else:
                self.raw.cursor().executemany(text, given)
        except psycopg.Error as error:
            raise translated(error) from error

    def _note(self, sql: str) -> None:
        """Note that a table has rows, if it is a temporary one."""
        table = sql.split(None, 3)[2]
        if table in self.dialect.made:
            self.dialect.filled.add(table)

    def script(self, sql: str) -> list[Any]:
        """Execute statements without values in one round trip; return the first row of the last one, if it has any."""
        try:
            cursor = self.raw.execute(sql)
            while cursor.nextset():
                pass
            return list(cursor.fetchone() or ()) if cursor.rowcount > 0 else []
        except psycopg.Error as error:
            raise translated(error) from error

    def begin_pipeline(self) -> None:
        """From now on, statements whose answer nobody reads wait for nobody."""
        if self._pipeline is None:
            self._pipeline = self.raw.pipeline()
            self._pipeline.__enter__()

    def end_pipeline(self) -> None:
        """Wait for the answers to all statements. Raises what the first failure means."""
        pipeline, self._pipeline = self._pipeline, None
        if pipeline is None:
            return
        try:
            pipeline.__exit__(None, None, None)
        except psycopg.Error as error:
            raise translated(error) from error

    @property
    def pipelined(self) -> bool:
        """Whether statements wait for nobody."""
        return self._pipeline is not None

    def roll_back(self) -> None:
        """Undo the transaction, if there is one and the connection lives; raises nothing."""
        # What failed was told already, or is of no interest any more.
        with suppress(JitidError, psycopg.Error):
            self.end_pipeline()
        self.dialect.forget_new()
        try:
            if not self.raw.closed and self.raw.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
                # Not by a cursor: after a ROLLBACK of its own the driver throws away all that is prepared, and what the
                # lane has prepared with it.
                self._raw.pgconn.send_query(b"ROLLBACK")
                self._raw.pgconn.flush()
                self._owed = True
        except psycopg.Error:
            self.raw.close()

    def committed(self) -> None:
        """Note that temporary tables which were made in the transaction stay."""
        self.dialect.keep_new()

    def close(self) -> None:
        """Release it; an answer that is owed is not waited for."""
        self._owed = False
        self._raw.close()


class PostgresDialect(Dialect):
    """The pieces as PostgreSQL has them; of one connection, since temporary tables are its own."""

    rebuilds_indexes = False
    told = "(SELECT seq, convert_from(body, 'UTF8')::jsonb AS told FROM audit_event) AS events"
    ordered_key = ""

    def __init__(self) -> None:
        self.made: set[str] = set()
        """The temporary tables that there are."""
        self.filled: set[str] = set()
        """Those that may have rows."""
        self._new: set[str] = set()
        self._cursors = count()

    def member(self, *names: str) -> str:
        """Return the expression of a member of an event (`told`); of several the JSON array."""
        paths = [f"told #> '{{{name.replace('.', ',')}}}'" for name in names]
        if len(paths) > 1:
            return f"jsonb_build_array({', '.join(paths)})::text"
        return f"(told #>> '{{{names[0].replace('.', ',')}}}')"

    def number(self, name: str) -> str:
        """Return the expression of a member of an event that is a number."""
        return f"{self.member(name)}::bigint"

    def listed(self, name: str) -> str:
        """Return the query for the texts of a JSON array, which is the value of that name."""
        return f"SELECT jsonb_array_elements_text(CAST(:{name} AS jsonb))"

    def fenced(self, query: str) -> str:
        """Return a table whose columns are reckoned once a row, and not wherever they are named."""
        return f"({query} OFFSET 0) AS fenced"

    def joined(self, db: Any, asked: str, values: Mapping[str, Any]) -> Iterable[tuple[int, int]]:
        """Return for each `asked` of a query the first `seq` and the sum of `n`, in the order of the former."""
        found: Iterable[tuple[int, int]] = db.execute(
            f"SELECT min(seq), sum(n) FROM ({asked}) AS told GROUP BY asked ORDER BY 1", values
        )
        return found

    def temporaries(self, db: Any, tables: Mapping[str, str]) -> None:
        """Make empty temporary tables of these names and columns; those that are there have the same columns."""
        # Made once a session: each would be rows of the catalogue that come and go.
        lacking = [table for table in tables if table not in self.made]
        statements = [_EMPTYING.format(table=table, most=_WORN) for table in tables if table in self.filled]
        statements += [f"CREATE TEMPORARY TABLE {table} ({_columns(tables[table])})" for table in lacking]
        if db.pipelined:
            for statement in statements:
                db.execute(statement)
        elif statements:
            db.script("; ".join(statements))
        self.made.update(lacking)
        self._new.update(lacking)
        self.filled.difference_update(tables)

    def give(self, db: Any, table: str, values: Iterable[Any]) -> None:
        """Put values into a temporary table that has a single column, each once."""
        left = iter(values)
        while chunk := list(islice(left, _GIVEN)):
            kind = {int: "BIGINT", bytes: "BYTEA"}.get(type(chunk[0]), "TEXT")
            db.execute(
                f"INSERT INTO {table} SELECT unnest(CAST(:given AS {kind}[])) ON CONFLICT DO NOTHING",
                {"given": chunk},
            )
            if len(chunk) > _FEW:
                self.counted(db, table)

    def counted(self, db: Any, table: str) -> None:
        """Let the planner know how long a temporary table is by now."""
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
        """Forget the tables of a transaction that was undone; the others have what they had before it."""
        self.made -= self._new
        self._new = set()
        self.filled = set(self.made)

    def keep_new(self) -> None:
        """Keep those of a transaction that was committed."""
        self._new = set()

    def stream(
        self, db: Connection, sql: str, values: Mapping[str, Any] | Sequence[Any] = ()
    ) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a query that may have more of them than fit into memory."""
        # The driver has no cursors of the server within a pipeline.
        db.end_pipeline()
        try:
            with db.raw.cursor(f"rows_{next(self._cursors)}") as cursor:
                cursor.itersize = _FETCHED
                yield from cursor.execute(translate(sql), values)
        except psycopg.Error as error:
            raise translated(error) from error

    def insert(
        self, db: Connection, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]
    ) -> None:
        """Insert rows, however many there are."""
        given = list(rows)
        if table in self.made:
            self.filled.add(table)
        if len(given) < _COPIED:
            super().insert(db, table, columns, given)
            return
        pipelined = db.pipelined
        if pipelined:
            # The protocol has no COPY within a pipeline.
            db.end_pipeline()
        try:
            with db.raw.cursor().copy(f"COPY {table} ({', '.join(columns)}) FROM STDIN") as copy:
                for row in given:
                    copy.write_row(row)
        except psycopg.Error as error:
            raise translated(error) from error
        if pipelined:
            db.begin_pipeline()
