"""A session with the database of a ledger. It connects when needed, and again after the connection was lost."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import psycopg

from jitid.errors import (
    ConflictError,
    IntegrityError,
    JitidError,
    LostConnectionError,
    NewerSchemaError,
    RefusedError,
    StorageError,
)
from jitid.ledger.postgres import address as postgres_address
from jitid.ledger.postgres.address import IDENTITY, Options
from jitid.ledger.postgres.connection import Connection
from jitid.ledger.postgres.failure import ConnectingError, connecting, is_refused_option, translated
from jitid.ledger.postgres.schema import POSTGRES_STEPS
from jitid.ledger.postgres.transaction import SeenByVersion, due, rows_of
from jitid.ledger.transaction import KnownRows
from jitid.model.ledger_rows import Names
from jitid.system import time_limit

_SCHEMA = """(SELECT n.nspname FROM pg_catalog.pg_class k JOIN pg_catalog.pg_namespace n ON n.oid = k.relnamespace
       WHERE k.oid = to_regclass('setting'))"""
"""The schema of the ledger's tables.

It differs from the current schema if only a later one of the path has the tables.
"""
_LEDGER = f"""SELECT (SELECT version FROM schema_version), name, value,
           (SELECT string_agg(CAST(id AS TEXT), ' ') FROM chain WHERE closed_at IS NULL),
           (SELECT max(epoch) FROM chain), {IDENTITY.replace("current_schema()", _SCHEMA)} FROM setting"""

_HIDDEN = f"""SELECT (SELECT count(*) FROM pg_catalog.pg_namespace WHERE current_schema() IS NULL
       AND nspname = trim(split_part(current_setting('search_path'), ',', 1))), {IDENTITY}"""
"""Whether the schema exists, but this user has no access to it."""


class NoLedgerError(StorageError):
    """The database holds no ledger."""


class DatabaseSession:
    """At most one connection, which belongs to one thread."""

    def __init__(
        self,
        address: str,
        timeout: float,
        clock: Callable[[], float] | None = None,
        *,
        migrates: bool = True,
    ) -> None:
        """Take an address, the maximum wait for others in seconds, and a clock that replaces the database's clock.

        With `migrates`, an older schema is migrated.
        """
        self._migrates = migrates
        self.address = address
        self.timeout = timeout
        self.clock = clock
        self.db: Connection | None = None
        self._names: Names | None = None
        self.chains: list[int] = []
        """The ids of the open chains."""
        self.epoch = 0
        """The epoch of the open chains; in a new epoch the ledger may have another issuer."""
        self.known = KnownRows({}, set())
        self.seen = SeenByVersion()
        self._closed_at = 0
        self._looked_at = 0.0

    @property
    def names(self) -> Names:
        """The ledger's UUID, issuer names and trust domain as last read."""
        if self._names is None:
            self.connection()
        assert self._names is not None
        return self._names

    def at(self, epoch: int) -> None:
        """Read names and chains again in the current view, if its `epoch` is a new one."""
        if epoch != self.epoch:
            self.look_again()

    def look_again(self) -> None:
        """Read names and chains again."""
        self._look(self.connection())

    def connection(self) -> Connection:
        """Return a connection to a database that holds this ledger; an older schema is migrated.

        Raises:
            NoLedgerError: the database holds no ledger.
            RefusedError: the database refuses this login.
            StorageError: it cannot be reached.

        """
        if self.db is None or self.db.raw.closed:
            self.db = None
            # A standby that took over may have another history of the same length.
            self.seen.forget()
            db = open_connection(self.address, self.timeout, looked_at=True)
            try:
                self._look(db)
            except BaseException:
                db.close()
                raise
            self.db = db
            if db.pooled:
                # Each transaction may reach another server with another history.
                db.ledger, db.renewed = self.names.uuid, self._forget
                self._forget()
            else:
                info = db.raw.info
                self.seen.rows = rows_of(self.address, info.host, info.hostaddr, str(info.port))
        return self.db

    def first(self, query: Callable[[Connection], Sequence[Any]]) -> Sequence[Any]:
        """Return the answer to the first query of a view. If the connection is lost, repeat the query over a new one.

        An idle connection may be lost, for instance by a restart of the server.
        """
        try:
            return query(self.connection())
        except LostConnectionError:
            self.drop()
            return query(self.connection())

    def time(self, reported: int) -> int:
        """Return the time to judge by: the database's time `reported`, unless the session has its own clock."""
        return reported if self.clock is None else int(self.clock())

    def is_due(self, now: int) -> bool:
        """Return whether credentials must be recorded as ended now; this is checked once a second."""
        if self._closed_at == now or (self.clock is None and time.monotonic() - self._looked_at < 1):
            return False
        self._looked_at = time.monotonic()
        if not due(self.connection(), now):
            return False
        self._closed_at = now
        return True

    def _look(self, db: Connection) -> None:
        rows = self._ledger_rows(db)
        settings = {row[1]: row[2] for row in rows}
        try:
            names = Names.of(settings)
        except KeyError as missing:
            raise IntegrityError(
                f"the ledger lacks its {missing.args[0]}", "restore the database from a backup"
            ) from None
        if self._names is not None and names.uuid != self._names.uuid:
            raise StorageError("another ledger has replaced this one", "repeat the command")
        version, _, _, chains, epoch, *_ = rows[0]
        if version > len(POSTGRES_STEPS) and self._migrates:
            raise NewerSchemaError(
                f"the ledger has schema {version}; this jitid supports {len(POSTGRES_STEPS)} at most",
                "upgrade jitid on this machine",
            )
        if version < len(POSTGRES_STEPS) and self._migrates:
            from jitid.ledger.postgres.create import migrate

            migrate(db)
        self._names = names
        self.chains = [int(chain_id) for chain_id in (chains or "").split()]
        self.epoch = epoch or 0

    def _ledger_rows(self, db: Connection) -> Sequence[Any]:
        """Return the rows of `_LEDGER`, read in the schema that the address names."""
        missing: psycopg.Error | None = None
        try:
            with db.own():
                rows = db.raw.execute(_LEDGER).fetchall()
            _, *identity, schema = rows[0][4:] if rows else [None] * 4
        except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName) as error:
            missing = error
            ((hidden, *identity, schema),) = db.execute(_HIDDEN).fetchall()
        except psycopg.Error as error:
            raise translated(error) from error
        if not db.owns(*identity):
            # The session was not the connection's own, and its schema may be another one.
            return self._ledger_rows(db)
        if missing is not None and hidden:
            raise RefusedError(
                "the database denies its user a right: USAGE on the ledger's schema",
                "grant to that user USAGE on the schema, and the rights on its tables",
            ) from missing
        if missing is not None or db.options.schema not in (None, schema):
            raise NoLedgerError(
                f"there is no ledger in {postgres_address.shown(self.address)} yet",
                "the first `jitid issue` creates it; to use another ledger: --ledger",
            ) from missing
        return rows

    def _forget(self) -> None:
        """Forget the rows of earlier transactions."""
        self.known.forget()
        self.seen.forget()
        self.seen.rows = {}

    def leave(self, error: BaseException | None) -> None:
        """End a transaction that has only read. Raises the translated error if `error` is the driver's."""
        db = self.db
        if db is None:
            return
        if error is None or isinstance(error, (JitidError, GeneratorExit)):
            try:
                if db.raw.info.transaction_status == psycopg.pq.TransactionStatus.INTRANS:
                    db.leave()
                    db.committed()
                    return
            except JitidError:
                self.drop()
                return
        self.undo()
        if isinstance(error, psycopg.Error):
            raise translated(error) from error

    def met(self, error: BaseException, deadline: float) -> None:
        """Record until when a failed transaction may be retried.

        Raises the translated error if `error` is the driver's.
        """
        if isinstance(error, psycopg.Error):
            jitid_error = translated(error)
            self._may_try_again(jitid_error, deadline)
            raise jitid_error from error
        self._may_try_again(error, deadline)

    def _may_try_again(self, error: BaseException, deadline: float) -> None:
        if isinstance(error, (ConflictError, LostConnectionError)):
            error.patience = max(0.0, deadline - time.monotonic())
            if isinstance(error, LostConnectionError):
                self.drop()

    def undo(self) -> None:
        """Roll back the transaction, if there is one."""
        if self.db is not None:
            self.db.roll_back()
        # Rows that the transaction inserted are gone.
        self.known.forget()
        self.seen.forget()

    def drop(self) -> None:
        """Close the connection; the next use opens a new one."""
        self.undo()
        db, self.db = self.db, None
        if db is not None:
            db.close()

    def close(self) -> None:
        """Close the connection."""
        if self.db is not None:
            self.db.close()


def _cut(connection: psycopg.Connection[Any]) -> None:
    """Shut down the socket of a connection, so that the thread that waits for its answer continues."""
    with (
        suppress(OSError, psycopg.Error),
        socket.socket(fileno=os.dup(connection.pgconn.socket)) as duplicate,
    ):
        duplicate.shutdown(socket.SHUT_RDWR)


def open_connection(address: str, timeout: float, *, looked_at: bool = False) -> Connection:
    """Return a new connection; after a temporary failure, retry for `timeout` seconds.

    `looked_at` means that the caller itself checks whether the connection has its own session (`Connection.owns`).

    Raises:
        ConfigurationError: the address is invalid, or a pooler does not support the requested settings.
        RefusedError: the database refuses this login.
        StorageError: it cannot be reached.

    """
    if time_limit.has_expired():
        raise StorageError(f"{time_limit.EXPIRED}; no request was sent to the database", time_limit.MORE)
    timeout = time_limit.usual(timeout)
    parameters: dict[str, Any] = postgres_address.parameters(address, timeout)
    options = Options.parse(parameters["options"])
    mark: str | None = os.urandom(8).hex()
    parameters["options"] = options.marked(str(mark))
    deadline = time.monotonic() + timeout
    while True:
        try:
            raw = psycopg.connect(**parameters, autocommit=True)
            # A server that hangs does not answer, and its own time limits have no effect.
            time_limit.at_end(partial(_cut, raw))
            break
        except psycopg.Error as error:
            if parameters["options"] and is_refused_option(error):
                # A pooler may refuse these settings when a client connects; then each transaction sets them.
                parameters["options"], mark = "", None
                continue
            jitid_error = connecting(error, parameters.get("password"))
            if (
                not (isinstance(jitid_error, ConnectingError) and jitid_error.passing)
                or time.monotonic() >= deadline
            ):
                raise jitid_error from error
        time.sleep(0.05)
    try:
        connection = Connection(raw, options, timeout, mark)
        if not looked_at:
            ((*identity, _),) = connection.execute(f"SELECT {IDENTITY}").fetchall()
            connection.owns(*identity)
    except BaseException:
        raw.close()
        raise
    return connection
