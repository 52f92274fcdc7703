"""A connection to PostgreSQL with the interface of a SQLite connection, with its own session or through a pooler.

The few statements of a plain issue are sent directly through libpq: a cursor would cost ten times as much.
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import TYPE_CHECKING, Any, Self

import psycopg
from psycopg import pq

from jitid.errors import ConfigurationError, JitidError, StorageError, UsageError
from jitid.ledger.postgres.address import Options
from jitid.ledger.postgres.dialect import TEMPORARY, PostgresDialect, adapt, translate
from jitid.ledger.postgres.failure import translated, translating
from jitid.values.record import Record

if TYPE_CHECKING:
    from psycopg.pq.abc import PGresult

_TYPES = {"int8": 20, "bytea": 17, "text": 25}
_BINARY = _TYPES["bytea"]
_NO_SUCH_STATEMENT = "26000"
_FAILED = (pq.ExecStatus.FATAL_ERROR, pq.ExecStatus.BAD_RESPONSE, pq.ExecStatus.NONFATAL_ERROR)


class Prepared(Record):
    """A statement that a session prepares once."""

    name: bytes
    sql: bytes
    types: list[int]
    """The types of its values, by PostgreSQL's numbers. Before psycopg 3.3, its compiled part accepts only lists."""
    formats: list[int]


def prepared(name: str, sql: str, types: Sequence[str] = ()) -> Prepared:
    """Return a statement whose values, `?`, have these types: `int8`, `bytea` or `text`."""
    parts = sql.split("?")
    assert len(parts) == len(types) + 1
    numbered = "".join([f"{part}${number}" for number, part in enumerate(parts[:-1], start=1)] + parts[-1:])
    oids = [_TYPES[type_name] for type_name in types]
    formats = [1 if oid == _BINARY else 0 for oid in oids]
    return Prepared(f"jitid_{name}".encode(), numbered.encode(), oids, formats)


class Lane:
    """A sender of prepared statements: it sends several together and waits for all answers, in one round trip."""

    def __init__(self, raw: psycopg.Connection[Any], patience: float) -> None:
        self._patience = patience
        self._pg = raw.pgconn
        self._known: dict[bytes, bytes] = {}
        """The name of each statement in this session."""
        self._generation = 0
        self.prepares = True
        """Whether the session keeps prepared statements; a pooler may give each transaction another session."""
        self._poll = select.poll()
        self._poll.register(self._pg.socket, select.POLLIN)

    def run(self, *statements: tuple[Prepared, Sequence[Any]]) -> list[PGresult]:
        """Return the answers to these statements with their values.

        Raises the translated error of the first failure.
        """
        pg = self._pg
        prepare_indexes: list[int] = []
        try:
            pg.enter_pipeline_mode()
            for index, (statement, values) in enumerate(statements):
                if not self.prepares:
                    pg.send_query_params(statement.sql, _written(values), statement.types, statement.formats)
                    continue
                name = self._known.get(statement.name)
                if name is None:
                    name = statement.name + b"_%d" % self._generation
                    pg.send_prepare(name, statement.sql, statement.types)
                    prepare_indexes.append(index + len(prepare_indexes))
                pg.send_query_prepared(name, _written(values), statement.formats)
            pg.pipeline_sync()
            answers = self._answers()
            pg.exit_pipeline_mode()
        except psycopg.Error as error:
            raise translated(error) from error
        for answer in answers:
            if answer.status in _FAILED:
                failure = psycopg.errors.error_from_result(answer)
                if prepare_indexes or failure.sqlstate == _NO_SUCH_STATEMENT:
                    # A pooler or the driver may have removed the prepared statements from the session.
                    self._known.clear()
                    self._generation += 1
                raise translated(failure)
        for statement, _ in statements if self.prepares else ():
            self._known.setdefault(statement.name, statement.name + b"_%d" % self._generation)
        return [answer for index, answer in enumerate(answers) if index not in prepare_indexes]

    def query(self, text: str) -> list[PGresult]:
        """Return the answers to statements without values, in one round trip. Raises psycopg's errors."""
        pg = self._pg
        pg.send_query(text.encode())
        self._flush()
        answers: list[PGresult] = []
        while True:
            self.await_input()
            answer = pg.get_result()
            if answer is None:
                break
            answers.append(answer)
        for answer in answers:
            if answer.status in _FAILED:
                raise psycopg.errors.error_from_result(answer)
        return answers

    def await_input(self) -> None:
        """Wait until libpq has an answer, while other threads continue; raises psycopg's errors.

        A server that is silent for the patience of this connection counts as lost.
        """
        pg = self._pg
        deadline = 0.0
        while pg.is_busy():
            if self._poll.poll(1_000):
                pg.consume_input()
                continue
            deadline = deadline or time.monotonic() + self._patience
            if time.monotonic() > deadline:
                raise psycopg.OperationalError("the server does not answer")

    def _answers(self) -> list[PGresult]:
        pg = self._pg
        answers: list[PGresult] = []
        self._flush()
        while True:
            self.await_input()
            answer = pg.get_result()
            if answer is None:
                if pg.status != pq.ConnStatus.OK:
                    raise psycopg.OperationalError(pg.get_error_message())
                continue
            if answer.status == pq.ExecStatus.PIPELINE_SYNC:
                return answers
            answers.append(answer)

    def _flush(self) -> None:
        while self._pg.flush():
            # The data fits into the socket's buffer, unless the connection is stalled.
            select.select([], [self._pg.socket], [], 1)


def _written(values: Sequence[Any]) -> list[bytes | None]:
    """Return values in the protocol's form: bytes unchanged, numbers and texts as text."""
    return [value if value is None or type(value) is bytes else str(value).encode() for value in values]


_WHICH = "SELECT value FROM setting WHERE name = 'uuid'"
_UNFIT = ("22023", "42704", "55P02")
"""SQLSTATEs for a setting that a transaction cannot have."""


class Rows(psycopg.Cursor[Any]):
    """The rows of a statement. As in SQLite, a statement without a result has no rows."""

    @property
    def rowcount(self) -> int:
        """The number of rows that a statement without a result has inserted or changed."""
        if super().rowcount < 0:
            # In a pipeline the number is known only after the answer was read.
            self._rows(super().fetchone)
        return super().rowcount

    def fetchone(self) -> Any:
        """Return the next row, or None."""
        return next(iter(self._rows(super().fetchone)), None)

    def fetchall(self) -> list[Any]:
        """Return all rows that are left."""
        return self._rows(super().fetchall, many=True)

    def __iter__(self) -> Self:
        """Return an iterator over the remaining rows; some may be read now, and others later."""
        return self

    def __next__(self) -> Any:
        """Return the next row."""
        row = self.fetchone()
        if row is None:
            raise StopIteration
        return row

    def _rows(self, fetch: Callable[[], Any], *, many: bool = False) -> list[Any]:
        try:
            result = fetch()
        except psycopg.ProgrammingError as error:
            if error.sqlstate is None and not isinstance(error, psycopg.errors.PipelineAborted):
                return []
            raise translated(error) from error
        except psycopg.Error as error:
            raise translated(error) from error
        if many:
            return list(result)
        return [] if result is None else [result]


class _Nothing:
    """The answer to a statement without a result."""

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
    """A connection to PostgreSQL with the methods of a SQLite connection that the ledger uses."""

    def __init__(
        self, raw: psycopg.Connection[Any], options: Options, patience: float = 30.0, mark: str | None = None
    ) -> None:
        """Take the driver's connection, and the settings that its transactions rely on.

        Args:
            raw: the driver's connection, outside of any transaction.
            options: the settings that were requested for it.
            patience: the maximum silence of the server during short statements, in seconds.
            mark: identifies its session; None for a connection without its own session.

        """
        adapt(raw)
        raw.cursor_factory = Rows
        self._raw = raw
        self._owed = False
        """Whether the answer to a COMMIT or ROLLBACK has not been read yet."""
        self.dialect = PostgresDialect()
        self._lane = Lane(raw, patience)
        self._pipeline: AbstractContextManager[psycopg.Pipeline] | None = None
        self.options = options
        self._mark = mark
        self.pooled = False
        """Whether each transaction may have another session, which lacks the earlier settings."""
        self.ledger: str | None = None
        """The UUID of the ledger that each transaction must find in the database."""
        self.renewed: Callable[[], None] = lambda: None
        """The callback at the beginning of a transaction that may have another session."""
        if mark is None:
            self._share()

    @property
    def raw(self) -> psycopg.Connection[Any]:
        """The driver's connection; an outstanding answer is read first."""
        if self._owed:
            self._settle()
        return self._raw

    @property
    def lane(self) -> Lane:
        """The sender of prepared statements over this connection; an outstanding answer is read first."""
        if self._owed:
            self._settle()
        return self._lane

    def owns(self, pid: int, mark: str | None) -> bool:
        """Return whether the connection has its own session; if not, its transactions rely on no session from now on.

        `pid` is the server process and `mark` the setting, as the session reports them. Raises ConfigurationError if
        the options contain arguments that are not settings.
        """
        if not self.pooled and (pid, mark) != (self._raw.pgconn.backend_pid, self._mark):
            self._share()
            return False
        return True

    def _share(self) -> None:
        self.options.must_be_settable()
        self.pooled = True
        self._lane.prepares = self.dialect.keeps = False
        self._raw.prepare_threshold = None

    def must_be_own(self, command: str) -> None:
        """Raise UsageError if the connection may share its session; `command` is its name in the message."""
        if self.pooled:
            raise UsageError(
                f"{command} needs its own session, but the database is behind a connection pooler; "
                "nothing was changed",
                "name the database server itself in the address",
            )

    def begin(self, modes: str = "", then: str = "") -> list[Any]:
        """Begin a transaction with these modes and execute `then`; return the first row of its last statement."""
        if not self.pooled:
            return self.script(f"BEGIN {modes}; {then}")
        self.enter(modes)
        return self.script(then) if then else []

    def begin_pipelined(self) -> None:
        """Begin a transaction in a pipeline: statements whose answer is not needed are sent without waiting."""
        if self.pooled:
            self.enter()
            self.begin_pipeline()
        else:
            self.begin_pipeline()
            self.execute("BEGIN")

    def enter(self, modes: str = "") -> None:
        """Begin a transaction in a session that is shared, and set everything in it that the ledger relies on.

        Raises:
            ConfigurationError: the pooler does not support transactions, or a setting is not possible there.
            IntegrityError: the ledger no longer exists there.
            StorageError: the database holds another ledger.

        """
        self.renewed()
        self.dialect.forget_all()
        identity_query = _WHICH if self.ledger else "SELECT NULL"
        try:
            *_, result = self.lane.query(f"{self.options.beginning(modes)}; {identity_query}")
            ledger = result.get_value(0, 0) if result.ntuples else None
            if self.ledger and ledger != self.ledger.encode():
                raise StorageError("another ledger has replaced this one", "repeat the command")
        except psycopg.Error as error:
            self.roll_back()
            if "statement pooling" in str(error):
                raise ConfigurationError(
                    "the connection pooler in front of the database pools single statements, not transactions",
                    "set its pool_mode to transaction or session, or name the database server itself",
                ) from error
            if error.sqlstate in _UNFIT:
                raise ConfigurationError(
                    "the connection pooler in front of the database refuses a setting: "
                    f"{error.diag.message_primary}",
                    "remove it from the address of the ledger, or name the database server itself",
                ) from error
            raise translated(error) from error
        except JitidError:
            self.roll_back()
            raise

    @contextmanager
    def own(self) -> Iterator[None]:
        """Provide the settings that the ledger relies on to statements of the block that are in no transaction."""
        if not self.pooled or self.pipelined or not self._is_idle():
            yield
            return
        self.enter()
        try:
            yield
        except BaseException:
            self.roll_back()
            raise
        self.leave()

    def _is_idle(self) -> bool:
        return self.raw.info.transaction_status == psycopg.pq.TransactionStatus.IDLE

    def leave(self) -> None:
        """End a transaction that has only read; the next statement reads the answer."""
        with translating():
            self._raw.pgconn.send_query(b"COMMIT")
            self._raw.pgconn.flush()
        self._owed = True

    def _settle(self) -> None:
        """Read the outstanding answer.

        If the connection is lost meanwhile, it is closed, and the next statement fails.
        """
        self._owed = False
        with suppress(psycopg.Error):
            # libpq would wait too, but would block all other threads.
            self._lane.await_input()
            while self._raw.pgconn.get_result() is not None:
                self._lane.await_input()

    def execute(self, sql: str, values: Mapping[str, Any] | Sequence[Any] = ()) -> Any:
        """Execute a statement and return its rows. Raises the translated error."""
        if sql.startswith("INSERT INTO"):
            self._note(sql)
        elif sql.startswith(TEMPORARY):
            table, _, columns = sql.removeprefix(TEMPORARY).partition(" ")
            self.dialect.temporaries(self, {table: columns.strip().removeprefix("(").removesuffix(")")})
            return _Nothing()
        try:
            if self.pooled:
                with self.own():
                    return self.raw.execute(translate(sql), values)
            return self.raw.execute(translate(sql), values)
        except psycopg.Error as error:
            raise translated(error) from error

    def executemany(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """Execute a statement for each row of values."""
        all_rows = list(rows)
        if not all_rows:
            return
        statement = translate(sql)
        with translating():
            if len(all_rows) == 1:
                self.raw.execute(statement, all_rows[0])
            else:
                self.raw.cursor().executemany(statement, all_rows)

    def _note(self, sql: str) -> None:
        """Record that a table has rows, if it is a temporary table."""
        table = sql.split(None, 3)[2]
        if table in self.dialect.made:
            self.dialect.filled.add(table)

    def script(self, sql: str) -> list[Any]:
        """Execute statements without values in one round trip; return the first row of the last one, if it has any."""
        with translating():
            cursor = self.raw.execute(sql)
            while cursor.nextset():
                pass
            return list(cursor.fetchone() or ()) if cursor.rowcount > 0 else []

    def begin_pipeline(self) -> None:
        """Begin a pipeline: from now on, statements whose answer is not needed are sent without waiting."""
        if self._pipeline is None:
            self._pipeline = self.raw.pipeline()
            self._pipeline.__enter__()

    def end_pipeline(self) -> None:
        """Wait for the answers to all statements. Raises the translated error of the first failure."""
        pipeline, self._pipeline = self._pipeline, None
        if pipeline is None:
            return
        with translating():
            pipeline.__exit__(None, None, None)

    @property
    def pipelined(self) -> bool:
        """Whether statements are sent without waiting."""
        return self._pipeline is not None

    def roll_back(self) -> None:
        """Roll back the transaction, if there is one and the connection is open; raises no errors."""
        # The failure was raised already, or does not matter any more.
        with suppress(JitidError, psycopg.Error):
            self.end_pipeline()
        self.dialect.forget_new()
        try:
            if not self.raw.closed and self.raw.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
                # Not by a cursor: after its own ROLLBACK the driver drops all prepared statements, the lane's too.
                self._raw.pgconn.send_query(b"ROLLBACK")
                self._raw.pgconn.flush()
                self._owed = True
        except psycopg.Error:
            self.raw.close()

    def committed(self) -> None:
        """Record that temporary tables created in the transaction remain."""
        self.dialect.keep_new()

    def close(self) -> None:
        """Close the connection without waiting for an outstanding answer."""
        self._owed = False
        self._raw.close()
