"""A ledger in PostgreSQL as the source or the target of a copy. A target is filled in a separate schema."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import count
from types import TracebackType
from typing import Any, Self

import psycopg

from jitid.errors import BusyError, ClockError, RefusedError, UsageError
from jitid.ledger.contract import Seal, record_seal
from jitid.ledger.copy_rows import OWN, CopiedTable, Stage, in_order
from jitid.ledger.postgres import address as postgres_address
from jitid.ledger.postgres.connection import Connection
from jitid.ledger.postgres.failure import translated, translating
from jitid.ledger.postgres.schema import FORMER_INDEXES, OPEN_CHAINS, POSTGRES_STEPS
from jitid.ledger.postgres.session import DatabaseSession, open_connection
from jitid.ledger.postgres.transaction import CHAIN, CLOCK, PostgresTransaction, number_after
from jitid.ledger.transaction import KnownRows, Transaction, open_epoch
from jitid.ledger.view import View
from jitid.model.chain import Chain
from jitid.model.event import Head
from jitid.model.ledger_rows import Names

_FOREVER = "SET idle_in_transaction_session_timeout = 0"
_COLUMNS = """
    SELECT c.table_name, c.column_name, c.data_type, k.ordinal_position
      FROM information_schema.columns c
      JOIN information_schema.tables t ON t.table_schema = c.table_schema AND t.table_name = c.table_name
      LEFT JOIN information_schema.table_constraints p
        ON p.table_schema = c.table_schema AND p.table_name = c.table_name AND p.constraint_type = 'PRIMARY KEY'
      LEFT JOIN information_schema.key_column_usage k
        ON k.constraint_schema = p.constraint_schema AND k.constraint_name = p.constraint_name
       AND k.table_name = c.table_name AND k.column_name = c.column_name
     WHERE c.table_schema = current_schema() AND t.table_type = 'BASE TABLE'
     ORDER BY c.table_name, c.ordinal_position"""
_MARK = "copying"
_TOLERANCE = 5
"""Seconds that the two clocks may differ."""


class _Store:
    """The tables of a schema of PostgreSQL."""

    _db: Connection
    _cursors = count()

    def tables(self) -> dict[str, CopiedTable]:
        """Return the tables that are copied row by row; no constraint of a table refers to another one."""
        columns: dict[str, list[str]] = {}
        keys: dict[str, list[tuple[int, str]]] = {}
        for table, column, _, position in self._run(_COLUMNS):
            columns.setdefault(table, []).append(column)
            if position is not None:
                keys.setdefault(table, []).append((position, column))
        tables = {
            table: CopiedTable(
                table, tuple(names), tuple([column for _, column in sorted(keys.get(table, ()))])
            )
            for table, names in columns.items()
            if table not in OWN and table != _MARK
        }
        return in_order(tables, {})

    def rows(self, table: CopiedTable, after: Sequence[Any] | None) -> Iterator[tuple[Any, ...]]:
        """Yield rows in key order: all rows, or only rows after the key `after`."""
        query = table.query(after=after is not None).replace("?", "%s")
        with translating(), self._db.raw.cursor(f"copied_{next(self._cursors)}", withhold=True) as cursor:
            cursor.itersize = 10_000
            cursor.execute(query, after or None)
            for row in cursor:
                yield tuple(row)

    def _run(self, sql: str, values: Sequence[Any] | Mapping[str, Any] | None = None) -> list[Any]:
        with translating():
            cursor = self._db.raw.execute(sql, values)
            return cursor.fetchall() if cursor.description else []


class PostgresSource(_Store):
    """A ledger in PostgreSQL; all its chains are locked during the whole `with` block."""

    kind = "postgresql"

    def __init__(self, address: str, timeout: float, clock: Callable[[], float] | None = None) -> None:
        self._holding = DatabaseSession(address, timeout)
        self._reading = DatabaseSession(address, timeout, clock)
        self._stack = ExitStack()
        self.names = self._reading.names

    def __enter__(self) -> Self:
        with self._stack as stack:
            stack.callback(self._holding.close)
            stack.callback(self._reading.close)
            holding = self._holding.connection()
            self._db = self._reading.connection()
            for db in (holding, self._db):
                db.must_be_own("jitid ledger copy")
                db.script(_FOREVER)
            holding.script("BEGIN")
            holding.execute(f"{CHAIN} WHERE closed_at IS NULL ORDER BY id FOR UPDATE").fetchall()
            # The snapshot must begin after the locks were granted: it would lack the commits that they waited for.
            self._db.script("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            ((now,),) = self._run(f"SELECT {CLOCK}")
            self.snapshot = View(self._db, self.names, self._reading.time(now))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._holding.undo()
        self._stack.__exit__(kind, error, trace)

    def head_now(self) -> Head:
        """Return the current audit head."""
        return View(self._holding.connection(), self.names, self.snapshot.now).head()

    def seal(self, seal: Seal, by: str) -> None:
        """Seal the ledger and release the chains; durable when this returns."""
        holding = self._holding.connection()
        with translating():
            if holding.raw.info.transaction_status == psycopg.pq.TransactionStatus.IDLE:
                holding.script("BEGIN")
            holding.script("SET LOCAL synchronous_commit = on")
            rows = holding.execute(f"{CHAIN} WHERE closed_at IS NULL ORDER BY id FOR UPDATE").fetchall()
            transaction = PostgresTransaction(
                holding, self.names, seal.at, by, KnownRows({}, set()), {}, rows
            )
            record_seal(transaction, seal)
            transaction.commit()


class PostgresTarget(_Store):
    """A schema that becomes a ledger."""

    kind = "postgresql"

    def __init__(self, address: str, timeout: float, clock: Callable[[], float] | None = None) -> None:
        self._shown = self.place = postgres_address.shown(address)
        self._clock = clock
        self._db = open_connection(address, timeout)
        self._lock = open_connection(address, timeout)
        self._schema = self._aside = ""
        self._names = Names("", "", "")
        self._now = 0
        self._transaction: PostgresTransaction | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for db in (self._db, self._lock):
            db.roll_back()
            db.close()

    def begin(self, names: Names, mark: str, chains: Sequence[Chain], now: int) -> Stage:
        """Begin a copy, or continue a copy with the same `mark`."""
        self._db.must_be_own("jitid ledger copy")
        self._run(_FOREVER)
        self._run("SET synchronous_commit = off")
        ((search_path, clock),) = self._run(f"SELECT current_setting('search_path'), {CLOCK}")
        clock = clock if self._clock is None else int(self._clock())
        self._schema = search_path.split(",")[0].strip().strip('"')
        self._aside = f"{self._schema}_copy"
        if self._has(self._schema, "setting"):
            raise UsageError(
                f"{self._shown} already has a ledger; nothing was copied",
                "name an empty database, or another schema: ?options=-csearch_path%3DSCHEMA",
            )
        if now > clock + _TOLERANCE:
            raise ClockError(
                f"the database's clock is {now - clock} s behind the ledger's time; nothing was copied",
                "correct the clocks: by an earlier time, expired credentials would be valid again",
            )
        self._names, self._now = names, max(now, clock)
        if self._has(self._aside, _MARK):
            self._use_aside()
            self._hold()
            if self._run(f"SELECT mark, version FROM {_MARK}") == [(mark, len(POSTGRES_STEPS))]:
                has_new_epoch = len(View(self._db, self._names, self._now).chains()) > len(chains)
                return Stage.COMPLETE if has_new_epoch else Stage.PARTIAL
            self._lock.roll_back()
        self._make(names, mark, chains, now)
        self._hold()
        return Stage.NEW

    def _has(self, schema: str, table: str) -> bool:
        return bool(
            self._run(
                "SELECT 1 FROM pg_catalog.pg_tables WHERE schemaname = %s AND tablename = %s", (schema, table)
            )
        )

    def _use_aside(self) -> None:
        for db in (self._db, self._lock):
            db.raw.execute(f'SET search_path TO "{self._aside}"')

    def _hold(self) -> None:
        """Lock the schema aside against other copies to the same place."""
        self._lock.script(_FOREVER)
        self._lock.script("BEGIN")
        try:
            self._lock.raw.execute(f"SELECT mark FROM {_MARK} FOR UPDATE NOWAIT")
        except psycopg.errors.LockNotAvailable as error:
            raise BusyError(
                f"another copy to {self._shown} is in progress", "wait for it to end, and repeat the command"
            ) from error
        except psycopg.Error as error:
            raise translated(error) from error

    def _make(self, names: Names, mark: str, chains: Sequence[Chain], now: int) -> None:
        raw = self._db.raw
        try:
            with raw.transaction():
                raw.execute(f'DROP SCHEMA IF EXISTS "{self._aside}" CASCADE')
                raw.execute(f'CREATE SCHEMA "{self._aside}"')
                self._use_aside()
                raw.execute(
                    "CREATE TABLE schema_version (id BIGINT PRIMARY KEY CHECK (id = 1), version BIGINT NOT NULL)"
                )
                raw.execute("INSERT INTO schema_version VALUES (1, %s)", (len(POSTGRES_STEPS),))
                for statement in _statements(indexes=False):
                    raw.execute(statement)
                raw.cursor().executemany(
                    "INSERT INTO setting VALUES (%s, %s)", list(names.settings().items())
                )
                raw.cursor().executemany(
                    """INSERT INTO chain (id, epoch, start, stride, length, hash, closed_at)
                       VALUES (%s, %s, %s, %s, %s, %s, %s)""",
                    [(*chain[:6], now if chain.closed else None) for chain in chains],
                )
                raw.execute(f"CREATE TABLE {_MARK} (mark TEXT NOT NULL, version BIGINT NOT NULL)")
                raw.execute(f"INSERT INTO {_MARK} VALUES (%s, %s)", (mark, len(POSTGRES_STEPS)))
        except psycopg.errors.DuplicateSchema as error:
            raise BusyError(
                f"another copy to {self._shown} is in progress", "wait for it to end, and repeat the command"
            ) from error
        except psycopg.Error as error:
            jitid_error = translated(error)
            if isinstance(jitid_error, RefusedError):
                jitid_error.hint = "grant that user CREATE on the database for the time of the copy"
            raise jitid_error from error

    def last(self, table: CopiedTable) -> Sequence[Any] | None:
        """Return the key of the last row that was copied."""
        rows = self._run(table.last)
        return tuple(rows[0]) if rows else None

    def load(self, table: CopiedTable, rows: Sequence[Sequence[Any]]) -> None:
        """Insert rows, all or none."""
        with translating(), self._db.raw.cursor().copy(f"COPY {table.into} FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)

    def index(self) -> None:
        """Build the indexes, which would have slowed down each insertion, and update the planner's statistics."""
        existing = {
            name
            for (name,) in self._run("SELECT indexname FROM pg_indexes WHERE schemaname = current_schema()")
        }
        for statement in _statements(indexes=True):
            words = statement.split()
            if words[words.index("INDEX") + 1] not in existing:
                self._run(statement)
        self._run("ANALYZE")

    def open(self, by: str) -> Transaction:
        """Close all audit chains, open those of the next epoch, and return a transaction that appends to them."""
        self._db.script("BEGIN")
        chains = View(self._db, self._names, self._now).chains()
        open_epoch(self._db, self._names.uuid, chains, OPEN_CHAINS, self._now, counted=True)
        numbered = [table.name for table in self.tables().values() if table.key == ("id",)]
        maxima = ", ".join(f"(SELECT max(id) FROM {name})" for name in numbered)
        # Each number is assigned once, in the order of time; new numbers must be higher than the copied ones.
        ((highest_id,),) = self._run(f"SELECT coalesce(greatest({maxima}), 0)")
        for (chain_id,) in self._run("SELECT id FROM chain WHERE closed_at IS NULL"):
            self._run(
                "UPDATE chain SET last_id = %s WHERE id = %s", (number_after(highest_id, chain_id), chain_id)
            )
        rows = self._run(f"{CHAIN} WHERE closed_at IS NULL ORDER BY id")
        self._transaction = PostgresTransaction(
            self._db, self._names, self._now, by, KnownRows({}, set()), {}, rows
        )
        return self._transaction

    def complete(self) -> None:
        """Commit the transaction of `open`; durable when this returns."""
        if self._transaction is not None:
            self._run("SET LOCAL synchronous_commit = on")
            self._transaction.commit()

    def publish(self) -> None:
        """Give the complete copy its final name, in one transaction."""
        self._lock.roll_back()
        self._db.script("BEGIN")
        self._run("SET LOCAL synchronous_commit = on")
        self._run(f"DROP TABLE {_MARK}")
        exists = self._run("SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = %s", (self._schema,))
        if not exists:
            self._run(f'ALTER SCHEMA "{self._aside}" RENAME TO "{self._schema}"')
        else:
            self._move()
        self._run(f'SET search_path TO "{self._schema}"')
        self._run("COMMIT")

    def _move(self) -> None:
        """Move everything into an existing schema; indexes and triggers move with their tables."""
        for kind, name in self._run(
            """SELECT 'TABLE', quote_ident(tablename) FROM pg_catalog.pg_tables WHERE schemaname = current_schema()
                UNION ALL SELECT 'FUNCTION', CAST(p.oid AS regprocedure)::text FROM pg_catalog.pg_proc p
                  JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = current_schema()"""
        ):
            self._run(f'ALTER {kind} {name} SET SCHEMA "{self._schema}"')
        self._run(f'DROP SCHEMA "{self._aside}"')


def _statements(*, indexes: bool) -> Iterator[str]:
    for step in POSTGRES_STEPS:
        for statement in step:
            if statement.startswith("DROP INDEX") or any(f" {name} " in statement for name in FORMER_INDEXES):
                continue
            if statement.startswith(("CREATE INDEX", "CREATE UNIQUE INDEX")) is indexes:
                yield statement
