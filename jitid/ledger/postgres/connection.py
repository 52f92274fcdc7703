"""A connection to PostgreSQL that answers as one of SQLite does, over a session of its own or by a pooler."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any, Self

import psycopg

from jitid.errors import ConfigurationError, JitidError, StorageError, UsageError
from jitid.ledger.postgres.dialect import TEMPORARY, PostgresDialect, adapt, translate
from jitid.ledger.postgres.failure import translated
from jitid.ledger.postgres.fast_path import Lane
from jitid.ledger.postgres.options import Options

_WHICH = "SELECT value FROM setting WHERE name = 'uuid'"
_UNFIT = ("22023", "42704", "55P02")
"""SQLSTATEs of a setting that no transaction can have."""


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

    def __init__(
        self, raw: psycopg.Connection[Any], options: Options, patience: float = 30.0, mark: str | None = None
    ) -> None:
        """Take the driver's connection, and what its transactions rely on.

        Args:
            raw: outside of any transaction.
            options: the settings that it was asked for.
            patience: for how many seconds a server may be silent where it has little to do.
            mark: tells its session from others; None for a connection without a session of its own.

        """
        adapt(raw)
        raw.cursor_factory = Rows
        self._raw = raw
        self._owed = False
        """Whether the answer to a COMMIT was not waited for."""
        self.dialect = PostgresDialect()
        self._lane = Lane(raw, patience)
        self._pipeline: AbstractContextManager[psycopg.Pipeline] | None = None
        self.options = options
        self._mark = mark
        self.pooled = False
        """Whether each transaction may have another session, in which nothing is as it was left."""
        self.ledger: str | None = None
        """The ledger that each transaction must find there, by its UUID."""
        self.renewed: Callable[[], None] = lambda: None
        """Is called as a transaction begins in what may be another session."""
        if mark is None:
            self._share()

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

    def owns(self, pid: int, mark: str | None) -> bool:
        """Return whether its session is its own, by what that says; if not, transactions rely on no session from now.

        `pid` is the process of the server, and `mark` the setting that was given to the session. Raises
        ConfigurationError for options that are no settings.
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

    def must_be_own(self, what: str) -> None:
        """Raise UsageError if `what` is to be done over a connection without a session of its own."""
        if self.pooled:
            raise UsageError(
                f"a connection pooler stands before the database, and {what} needs a session of its own; "
                "nothing was changed",
                "name the database server itself in the address",
            )

    def begin(self, modes: str = "", then: str = "") -> list[Any]:
        """Begin a transaction of these modes; return the first row of the last of the statements that follow."""
        if not self.pooled:
            return self.script(f"BEGIN {modes}; {then}")
        self.enter(modes)
        return self.script(then) if then else []

    def begin_pipelined(self) -> None:
        """Begin a transaction whose statements without an answer are sent without waiting."""
        if self.pooled:
            self.enter()
            self.begin_pipeline()
        else:
            self.begin_pipeline()
            self.execute("BEGIN")

    def enter(self, modes: str = "") -> None:
        """Begin a transaction in a session that is anybody's, and set in it all that the ledger relies on.

        Raises:
            ConfigurationError: a setting cannot be had there.
            IntegrityError: the ledger is not there any more.
            StorageError: another ledger is there.

        """
        self.renewed()
        self.dialect.forget_all()
        which = _WHICH if self.ledger else "SELECT NULL"
        try:
            *_, found = self.lane.ask(f"{self.options.beginning(modes)}; {which}")
            ledger = found.get_value(0, 0) if found.ntuples else None
            if self.ledger and ledger != self.ledger.encode():
                raise StorageError("the ledger was replaced by another", "start again")
        except psycopg.Error as error:
            self.roll_back()
            if "statement pooling" in str(error):
                raise ConfigurationError(
                    "the connection pooler before the database takes no transactions: it pools single statements",
                    "set its pool_mode to transaction or session, or name the database server itself",
                ) from error
            if error.sqlstate in _UNFIT:
                raise ConfigurationError(
                    "a connection pooler stands before the database, and a setting cannot be had there: "
                    f"{error.diag.message_primary}",
                    "take it out of the address of the ledger, or name the database server itself",
                ) from error
            raise translated(error) from error
        except JitidError:
            self.roll_back()
            raise

    @contextmanager
    def own(self) -> Iterator[None]:
        """Let statements of the block that are in no transaction find the settings that the ledger relies on."""
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
        """End a transaction that has only read; its answer is awaited with the next statement."""
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
        """Send statements without an answer from now on without waiting."""
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
        """Whether statements are sent without waiting."""
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
