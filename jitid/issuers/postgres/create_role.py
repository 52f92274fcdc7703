"""Creation of a PostgreSQL role, with its rights, in one transaction."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from random import uniform
from typing import Any, LiteralString

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.sql import SQL, Composable, Identifier, Literal

from jitid.errors import ConfigurationError, RefusedError, StorageError
from jitid.issuers.postgres.target_server import Database, meaning, server_message
from jitid.model.target import TargetRecord
from jitid.values.text import quote

_CONCURRENT_UPDATE = "tuple concurrently updated"
"""PostgreSQL's error for the second of two concurrent grants on the same object (SQLSTATE XX000)."""
_ATTEMPTS = 10

CONNECTIONS = 10
"""Default of the template's `connection_limit`: a role's maximum number of simultaneous sessions."""

_NOW = "SELECT CAST(extract(epoch FROM pg_catalog.clock_timestamp()) AS double precision)"
_CREATE: LiteralString = (
    "CREATE ROLE {role} LOGIN INHERIT NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS"
    " CONNECTION LIMIT {limit} PASSWORD {verifier} VALID UNTIL {until}"
)


def make(db: Database, record: TargetRecord, template: Mapping[str, Any], password: str, comment: str) -> str:
    """Make the role of a record from its template, and return its expiry by the server's clock.

    Raises:
        ConfigurationError: the database does not accept the template.
        RefusedError: it refuses.
        StorageError: its effect is unknown.

    """
    try:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return _make(db, record, template, password, comment)
            except psycopg.errors.InternalError_ as error:
                if _CONCURRENT_UPDATE not in str(error) or attempt == _ATTEMPTS:
                    raise
                time.sleep(attempt * uniform(0.01, 0.03))  # noqa: S311 - that two do not come back together
    except psycopg.errors.DuplicateObject as error:
        raise RefusedError(f"the database refuses it: {server_message(error)}; it is as it was") from error
    except psycopg.Error as error:
        failure = meaning(error)
        if isinstance(failure, ConfigurationError):
            template_of = "" if record.template is None else f"template {record.template} of "
            raise ConfigurationError(
                f"{template_of}target {record.target} cannot be used: {server_message(error)}; no role was made"
            ) from error
        raise failure from error
    raise AssertionError("the last attempt returns or raises")


def _make(
    db: Database, record: TargetRecord, template: Mapping[str, Any], password: str, comment: str
) -> str:
    with db.transaction():
        # The application name identifies a session that is still making a role after its answer was lost. The next
        # statements are sent only after the server has confirmed the name.
        db.execute(SQL("SET LOCAL application_name = {}").format(Literal(record.name)))
        ((now,),) = db.execute(_NOW).fetchall()
        until = _until(now, record)
        verifier = db.pgconn.encrypt_password(
            password.encode(), record.name.encode(), b"scram-sha-256"
        ).decode()
        _refuse_superuser(db, template)
        db.execute(SQL("; ").join(_statements(record, template, verifier, until, comment)))
        # For names without a schema in a grant.
        db.execute("SET LOCAL search_path = public")
        for statement in template.get("grants", ()):
            _grant(db, statement, record.name)
    return until


def _statements(
    record: TargetRecord, template: Mapping[str, Any], verifier: str, until: str, comment: str
) -> Iterator[Composable]:
    role = Identifier(record.name)
    create = SQL(_CREATE).format(
        role=role,
        limit=Literal(int(template.get("connection_limit", CONNECTIONS))),
        # The verifier that the server would compute: its log must not contain the password.
        verifier=Literal(verifier),
        until=Literal(until),
    )
    if members := template.get("member_of", ()):
        create += SQL(" IN ROLE ") + SQL(", ").join(Identifier(name) for name in members)
    yield create
    yield SQL("COMMENT ON ROLE {} IS {}").format(role, Literal(comment))
    for name, value in template.get("settings", {}).items():
        yield SQL("ALTER ROLE {} SET {} = {}").format(role, Identifier(name), _value(name, value))


def _value(name: str, value: str) -> Composable:
    """Return the value of a setting; the value of search_path is a list."""
    values = value.split(",") if name == "search_path" else [value]
    return SQL(", ").join(Literal(part.strip()) for part in values)


def _until(now: float, record: TargetRecord) -> str:
    """Return the time until which a role may log in, for a server whose clock says `now`.

    The role gets the remaining lifetime of the credential, and never more than its whole lifetime. So a wrong clock
    on this machine cannot extend it.
    """
    remaining = min(record.expires_at - time.time(), record.expires_at - record.issued_at)
    if remaining <= 0:
        raise StorageError(
            f"the time of {record.jti} is over before it was made; no role was made",
            "if that cannot be, the clock of this machine is not that of the ledger",
        )
    moment = datetime.fromtimestamp(now + remaining, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _refuse_superuser(db: Database, template: Mapping[str, Any]) -> None:
    heir = template.get("reassign_to")
    if heir is None:
        return
    rows = db.execute("SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = %s", [heir]).fetchall()
    if not rows:
        raise ConfigurationError(
            f"`reassign_to` names role {quote(heir)}, which there is not; no role was made"
        )
    if rows[0][0]:
        raise ConfigurationError(
            f"`reassign_to` names the superuser {quote(heir)}: what an agent made would run with all rights; no role "
            "was made",
            "name a role without rights of its own",
        )


def _grant(db: Database, statement: str, name: str) -> None:
    if "{role}" not in statement:
        raise ConfigurationError(
            f"the grant {quote(statement)} does not name {{role}}; no role was made",
            "such as GRANT … TO {role}",
        )
    filled = statement.replace("{role}", Identifier(name).as_string(db))
    # The extended protocol refuses more than one statement.
    db.execute(SQL(filled), binary=True)
    if db.info.transaction_status != TransactionStatus.INTRANS:
        raise ConfigurationError(f"the grant {quote(statement)} ends the transaction that it stands in")
