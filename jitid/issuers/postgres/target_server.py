"""A PostgreSQL server as a target: its connections, its time limits, and the meaning of its errors."""

from __future__ import annotations

import os
import select
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import TransactionStatus

from jitid.errors import ConfigurationError, JitidError, RefusedError, StorageError
from jitid.ledger.postgres.failure import connecting
from jitid.model.target import Target
from jitid.system import time_limit
from jitid.system.files import check_private, read_regular
from jitid.values.text import foreign

Database = psycopg.Connection[tuple[Any, ...]]
"""A connection on which each statement is a separate transaction, except in a transaction block."""

_LONGEST_PASSWORD = 1_024
_SECRETS = ("password", "sslpassword", "oauth_client_secret")
_TLS = ("sslmode", "sslrootcert", "sslnegotiation", "channel_binding", "target_session_attrs")
"""Parameters that clients need as well."""


class TargetServer:
    """The server of one target. Several threads may use it: each gets a separate connection."""

    def __init__(self, target: Target, timeout: float) -> None:
        """Set the target, and the time limit of a call in seconds.

        Raises:
            ConfigurationError: the target's table is invalid.

        """
        self.name = target.name
        self.timeout = timeout
        self._options = target.options
        self._given = _given(target)
        self._idle: dict[str, list[Database]] = {}

    def call(self) -> ServerCall:
        """Begin a call; its time limit starts now."""
        return ServerCall(self, time.monotonic() + time_limit.left(self.timeout))

    @property
    def database(self) -> str:
        """The database in the target's own address; empty if libpq must choose it."""
        return str(self._given.get("dbname") or "")

    def client_parameters(self, database: str, host: str, port: int) -> dict[str, str]:
        """Return the parameters with which clients log in; `host` and `port` are where jitid reached the server."""
        host_list = str(self._given.get("host") or "")
        several = "," in host_list
        return {
            "host": str(self._options.get("host") or (host_list if several else host)),
            "port": str(self._options.get("port") or (self._given.get("port", "") if several else port)),
            "dbname": database,
            **{name: str(self._given[name]) for name in _TLS if name in self._given},
        }

    def parameters(self, database: str | None, seconds: float) -> dict[str, Any]:
        """Return the parameters for libpq (PostgreSQL manual, section 34.1.2).

        Raises:
            ConfigurationError: the password file cannot be used.
            IntegrityError: other users can read it.

        """
        parameters = dict(self._given)
        if database:
            parameters["dbname"] = database
        password = self._password()
        if password is not None:
            parameters["password"] = password
        milliseconds = max(1, round(self.timeout * 1_000))
        settings = {
            # Objects that an agent has put into a schema must not replace the server's own.
            "search_path": "pg_catalog",
            "statement_timeout": f"{milliseconds}ms",
            # A lock on one role must not use up the time for a thousand others.
            "lock_timeout": f"{max(1, milliseconds // 5)}ms",
            "idle_in_transaction_session_timeout": f"{milliseconds}ms",
            "default_transaction_read_only": "off",
            "client_min_messages": "warning",
        }
        options = [f"-c {name}={value}" for name, value in settings.items()]
        hosts = str(parameters.get("host") or os.environ.get("PGHOST", ""))
        if "," in hosts:
            parameters.setdefault("target_session_attrs", "read-write")
        return {
            "application_name": "jitid",
            "client_encoding": "UTF8",
            "tcp_user_timeout": milliseconds,
            "keepalives_idle": 10,
            **parameters,
            "connect_timeout": max(2, round(seconds / len(hosts.split(",")))),
            "options": " ".join([str(parameters.get("options", "")), *options]).strip(),
        }

    def _password(self) -> str | None:
        path = self._options.get("password_file")
        if path is None:
            return None
        label = f"the password file of target {self.name}"
        try:
            check_private(path, label)
            data = read_regular(path, _LONGEST_PASSWORD + 1)
        except FileNotFoundError:
            raise ConfigurationError(f"{label} does not exist: {path}") from None
        except OSError as error:
            raise ConfigurationError(f"{label}, {path}, cannot be read: {error.strerror}") from error
        text = data.decode("utf-8", "replace").removesuffix("\n").removesuffix("\r")
        if not text or len(data) > _LONGEST_PASSWORD or not text.isprintable():
            raise ConfigurationError(f"{label}, {path}, must contain a single line with the password")
        return text

    def take(self, database: str, seconds: float) -> Database:
        """Return an unused connection, or a new one."""
        # Threads share the list: taking from it is one step.
        with suppress(KeyError, IndexError):
            while True:
                connection = self._idle[database].pop()
                # Without a request, the server sends data only when it closes the connection.
                if not select.select([connection.fileno()], [], [], 0)[0]:
                    return connection
                connection.close()
        parameters = self.parameters(database, seconds)
        try:
            return psycopg.connect(**parameters, autocommit=True)
        except psycopg.Error as error:
            raise connecting(error, parameters.get("password")) from error

    def give_back(self, database: str, connection: Database) -> None:
        """Keep a connection for the next call."""
        self._idle.setdefault(database, []).append(connection)

    def close(self) -> None:
        """Close the unused connections."""
        for connections in self._idle.values():
            while connections:
                connections.pop().close()


class ServerCall:
    """One call, which ends within its time limit even if the server hangs."""

    def __init__(self, server: TargetServer, ends: float) -> None:
        self._server = server
        self._ends = ends

    @property
    def left(self) -> float:
        """The remaining seconds."""
        return self._ends - time.monotonic()

    @property
    def whole(self) -> float:
        """The time limit in seconds."""
        return self._server.timeout

    def check(self) -> None:
        """Raise StorageError if the time limit has passed."""
        if self.left <= 0:
            raise self._late()

    @contextmanager
    def connected(self, database: str | None = None) -> Iterator[Database]:
        """Provide a connection for the block; raise StorageError if the server exceeds the time limit.

        Raises:
            RefusedError: the server refuses this user.
            StorageError: it is unreachable, hangs or gives no clear answer.

        """
        self.check()
        database_name = database or self._server.database
        connection = self._server.take(database_name, self.left)
        watch = _ConnectionWatch(connection, self.left)
        try:
            yield connection
        except psycopg.Error as error:
            if watch.fired:
                raise self._late() from error
            raise meaning(error) from error
        finally:
            watch.end()
            if connection.closed or connection.info.transaction_status != TransactionStatus.IDLE:
                connection.close()
            else:
                self._server.give_back(database_name, connection)

    def _late(self) -> StorageError:
        return StorageError(
            f"target {self._server.name} did not answer within {self._server.timeout:g} seconds",
            'check the load of the database, or raise `timeout` of the target, as in: timeout = "30s"',
        )


class _ConnectionWatch:
    """A timer that cuts a connection at its deadline, since a server that hangs ends no statement."""

    def __init__(self, connection: Database, seconds: float) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._ended = False
        self.fired = False
        """Whether the timer has cut the connection."""
        self._timer = threading.Timer(max(0.0, seconds), self._cut)
        self._timer.daemon = True
        self._timer.start()

    def _cut(self) -> None:
        # Under the lock, so that the descriptor is still that of this connection.
        with self._lock:
            if self._ended or self._connection.closed:
                return
            self.fired = True
            with (
                suppress(OSError, psycopg.Error),
                socket.socket(fileno=os.dup(self._connection.fileno())) as connection_socket,
            ):
                connection_socket.shutdown(socket.SHUT_RDWR)

    def end(self) -> None:
        self._timer.cancel()
        with self._lock:
            self._ended = True


def meaning(error: psycopg.Error) -> JitidError:
    """Return the error for a failed statement at a target, by its SQLSTATE (PostgreSQL manual, appendix A)."""
    state = error.sqlstate
    text = server_message(error)
    if state is None:
        return StorageError(f"the connection to the database was lost: {text}", "try again")
    match state[:2]:
        case "28":
            return RefusedError(
                f"the database refuses this login: {text}", "check the user and the password of the target"
            )
        case "42" if state == "42501":
            return RefusedError(
                f"the database denies its user a right: {text}", "grant the missing right to that user"
            )
        case "42" | "22" | "0A" | "0L" | "0P" | "2B" | "3D" | "3F":
            return ConfigurationError(f"the database rejects a statement: {text}")
        case _:
            return StorageError(f"the database failed: {text}", "try again")


def server_message(error: psycopg.Error) -> str:
    """Return a server's error message as one harmless line."""
    diag = error.diag
    parts = [diag.message_primary or str(error), diag.message_detail or ""]
    lines = [line.strip() for part in parts for line in part.splitlines() if line.strip()]
    return foreign("; ".join(lines) or type(error).__name__)[:400]


def _given(target: Target) -> Mapping[str, Any]:
    label = f"the `dsn` of target {target.name}"
    try:
        parameters = conninfo_to_dict(str(target.options.get("dsn", "")))
    except psycopg.ProgrammingError:
        # libpq's message may repeat a part of the address, and that part may be a password.
        raise ConfigurationError(
            f"{label} is not the address of a database",
            "write it as in: postgresql://jitid@db.example.com/postgres",
        ) from None
    if any(parameters.get(name) for name in _SECRETS):
        raise ConfigurationError(
            f"{label} contains a password; nothing was sent",
            'put it into a private file, and name that: password_file = "/etc/jitid/db.password"',
        )
    return parameters
