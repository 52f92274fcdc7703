"""Translation of PostgreSQL's errors into jitid's errors, by SQLSTATE (PostgreSQL manual, appendix A)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from jitid.errors import (
    BusyError,
    ConfigurationError,
    ConflictError,
    DamagedError,
    IntegrityError,
    JitidError,
    LostConnectionError,
    RefusedError,
    StorageError,
)
from jitid.system import time_limit
from jitid.values.text import foreign

_REPEAT = "repeat the command"
_UNCHANGED = "nothing was changed"
_LOGIN = re.compile(
    r"password authentication failed|no password supplied|no pg_hba\.conf entry|pg_hba\.conf rejects"
    r"|authentication failed|no such user|role .* does not exist|not permitted to log in"
)
_STARTING = re.compile(r"starting up|shutting down|in recovery mode|not yet accepting|is in hot standby mode")
_READ_ONLY = re.compile(
    r"session is read-only|server is in hot standby|not accept(ing)? (writes|connections)"
)
_FULL = re.compile(
    r"too many clients|no more connections allowed|too many connections|connection slots are reserved|connection limit"
)
_MISSING = re.compile(
    r"definition of service .* not found|service file .* not found"
    r"|(root certificate|certificate|private key) file .* does not exist"
)
_IMPOSTOR = re.compile(
    r"certificate verify failed|does not match host name"
    r"|could not get server's host name from server certificate"
)
_CERTIFICATE = re.compile(r"certificate|SSL|TLS", re.IGNORECASE)


_REFUSED_PARAMETER = re.compile(r"unsupported startup parameter( in options)?: (\S+)")


class ConnectingError(StorageError):
    """The error of a failed connection attempt; `passing` means that the reason may be temporary."""

    passing = False


@contextmanager
def translating() -> Iterator[None]:
    """Raise jitid's error for an error of the driver in the block."""
    try:
        yield
    except psycopg.Error as error:
        raise translated(error) from error


def translated(error: psycopg.Error) -> JitidError:
    """Return jitid's error for the failure of a statement."""
    state = error.sqlstate
    if state is None:
        if not isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError)):
            return IntegrityError(f"the database rejects a value: {_first(error)}; {_UNCHANGED}")
        return _lost(error)
    match state:
        case "26000":
            return ConflictError(f"the database session lost a prepared statement; {_UNCHANGED}", _REPEAT)
        case "40001" | "40P01":
            return ConflictError(
                f"another transaction changed the same rows at the same time; {_UNCHANGED}", _REPEAT
            )
        case "23505" if error.diag.constraint_name == "task_name_opener_key":
            return ConflictError(
                f"another transaction opened the same task at the same time; {_UNCHANGED}", _REPEAT
            )
        case "23505" if error.diag.constraint_name == "status_pkey":
            return ConflictError(
                f"another transaction used the same place in a status list; {_UNCHANGED}", _REPEAT
            )
        case "55P03":
            return BusyError(
                f"other writers held the ledger for too long; {_UNCHANGED}",
                time_limit.MORE,
            )
        case "57014":
            return StorageError(f"the database cancelled a statement: {_first(error)}; {_UNCHANGED}", _REPEAT)
        case "53100":
            return StorageError(
                f"the database's disk is full; {_UNCHANGED}", "free disk space there, and repeat the command"
            )
        case "53300":
            return BusyError(
                f"the database has no connection left; {_UNCHANGED}",
                "repeat the command, or raise max_connections of the database",
            )
        case "25006":
            return LostConnectionError(
                f"the database is read-only; {_UNCHANGED}",
                "name the primary server, or all servers: postgresql://HOST,HOST/DATABASE",
            )
        case "42501":
            return RefusedError(
                f"the database denies its user a right: {_first(error)}; {_UNCHANGED}",
                "grant the missing right to that user, or run the command once as the schema's owner",
            )
        case "25P02":
            return StorageError(f"an earlier statement of the transaction failed; {_UNCHANGED}", _REPEAT)
        case "58030" | "58P01" | "53200" | "53000" | "53400":
            return StorageError(f"the database failed: {_first(error)}; {_UNCHANGED}", _REPEAT)
    return _by_class(state, error)


def _by_class(state: str, error: psycopg.Error) -> JitidError:
    match state[:2]:
        case "08" | "57":
            return _lost(error)
        case "25" if state == "25P03":
            return _lost(error)
        case "28":
            return RefusedError(
                f"the database refuses this login: {_first(error)}",
                "check the user and the password in the address of the ledger",
            )
        case "XX" | "22":
            return DamagedError(
                f"the ledger's database is damaged: {_first(error)}", "restore the database from a backup"
            )
        case _:
            return IntegrityError(
                f"the ledger gave an unexpected answer: {_first(error)}", "run: jitid audit verify"
            )


def _lost(error: psycopg.Error) -> LostConnectionError:
    if time_limit.has_expired():
        # This process has cut the connection (`session.py`); libpq reports that like a failure of the server.
        return LostConnectionError(f"{time_limit.EXPIRED}; the database did not answer", time_limit.MORE)
    return LostConnectionError(f"the connection to the database was lost: {_first(error)}", _REPEAT)


def is_refused_option(error: psycopg.Error) -> bool:
    """Return whether a pooler has refused the settings that a client sends in `options` when it connects."""
    match = _REFUSED_PARAMETER.search(str(error))
    return match is not None and (match[1] is not None or match[2] == "options")


def connecting(error: psycopg.Error, password: str | None) -> JitidError:
    """Return jitid's error for a failed connection attempt; libpq gives the reason only in words."""
    jitid_error = _connecting(error, password)
    jitid_error.inward = True
    return jitid_error


def _connecting(error: psycopg.Error, password: str | None) -> JitidError:
    message = _first(error, password)
    if error.sqlstate is not None and error.sqlstate[:2] == "28":
        return RefusedError(
            f"the database refuses this login: {message}",
            "check the user and the password in the address of the ledger",
        )
    if _REFUSED_PARAMETER.search(message):
        return ConfigurationError(
            f"the connection pooler in front of the database refuses a parameter of the address: {message}",
            "remove it from the address and the environment, or name the database server itself",
        )
    if (
        "does not exist" in message and "database" in message and "role" not in message
    ) or "no such database" in message:
        return StorageError(f"the database does not exist: {message}", "create it with: createdb DATABASE")
    if _LOGIN.search(message):
        return RefusedError(
            f"the database refuses this login: {message}",
            "check the user and the password; a password can be in ~/.pgpass (0600) or in PGPASSFILE",
        )
    if "invalid" in message and ("sslmode" in message or "option" in message or "service" in message):
        return ConfigurationError(f"the address of the database is invalid: {message}")
    if _MISSING.search(message):
        return ConfigurationError(
            f"the address of the database names a missing file or service: {message}; nothing was sent",
            "correct the address of the ledger",
        )
    if _IMPOSTOR.search(message):
        # A retry would not help: another server answers there, or the certificate is wrong.
        return IntegrityError(
            f"the identity of the database server is unverified: {message}; nothing was sent",
            "check sslrootcert, the server's name in its certificate, and any proxy in between",
        )
    failure = ConnectingError(
        f"the database cannot be reached: {message}",
        "check that it is running, and the address of the ledger",
    )
    if _FULL.search(message):
        failure = ConnectingError(f"the database has no connection left: {message}", _REPEAT)
        failure.passing = True
    elif _STARTING.search(message) or _READ_ONLY.search(message):
        failure.hint = _REPEAT
        failure.passing = True
    elif _CERTIFICATE.search(message):
        failure.hint = "check sslmode, sslrootcert and the server's name in its certificate"
    return failure


def _first(error: psycopg.Error, password: str | None = None) -> str:
    """Return the database's message as one harmless line, without a password that it may repeat."""
    primary = error.diag.message_primary
    message = primary or str(error).strip() or type(error).__name__
    if password:
        message = message.replace(password, "****")
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    return foreign("; ".join(lines))[:400]
