"""PostgreSQL roles, one for each credential: made from a template with the task's rights, dropped with the task."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote as percent

import psycopg

from jitid.errors import ConfigurationError
from jitid.issuers.postgres import role_statements
from jitid.issuers.postgres.role_statements import DoomedRole
from jitid.issuers.postgres.target_server import ServerCall, TargetServer, server_message
from jitid.issuers.target_issuer import OutsideIssuer, TargetOption, agent_of, task_of
from jitid.model.credential import Kind
from jitid.model.target import (
    EndOutcome,
    Existing,
    Life,
    MadeCredential,
    Probe,
    Target,
    TargetRecord,
    jti_of,
    prefix_of,
)
from jitid.values import strict_json
from jitid.values.secret import Secret
from jitid.values.text import quote

OPTIONS: Mapping[str, TargetOption] = {
    "dsn": TargetOption(
        "text",
        "the address of a database, with the role that creates roles, without a password",
        True,
    ),
    "password_file": TargetOption(
        "place", "the private file with its password (default: libpq's password file)"
    ),
    "prefix": TargetOption("text", "the prefix of role names (default: `jitid_`)"),
    "host": TargetOption("text", "the server's host for clients, if it differs from `dsn`"),
    "port": TargetOption("count", "the server's port for clients"),
}
TEMPLATE_OPTIONS: Mapping[str, TargetOption] = {
    "database": TargetOption("text", "the database for grants and clients (default: that of `dsn`)"),
    "grants": TargetOption("texts", "GRANT statements for the role, with `{role}` as its name"),
    "member_of": TargetOption("texts", "roles whose rights the new role inherits"),
    "connection_limit": TargetOption(
        "count", f"maximum number of its sessions at a time (default: {role_statements.CONNECTIONS})"
    ),
    "settings": TargetOption("table", "settings of its sessions, such as statement_timeout"),
    "reassign_to": TargetOption(
        "text",
        "the role that takes over its objects when it ends (default: they are dropped). It should have no rights, "
        "and must not be a superuser: an agent's functions and views run with the rights of their owner",
    ),
}

_COMMENT = "jitid "
_LONGEST_NAME = 63
_PASSWORD_BYTES = 24

_STATE = """SELECT shobj_description(oid, 'pg_authid'), rolcanlogin,
           coalesce(rolvaliduntil <= clock_timestamp(), false),
           (SELECT count(*) FROM pg_stat_activity WHERE usesysid = r.oid)
      FROM pg_roles r WHERE rolname = %s"""
_INVENTORY = """SELECT rolname, shobj_description(oid, 'pg_authid') AS comment,
           rolcanlogin AND coalesce(rolvaliduntil > clock_timestamp(), true)
           OR EXISTS (SELECT 1 FROM pg_stat_activity WHERE usesysid = r.oid)
      FROM pg_roles r WHERE starts_with(rolname, %s) OR starts_with(shobj_description(oid, 'pg_authid'), %s)
           OR rolname = ANY(%s)
     ORDER BY rolname"""


class PostgresRoleIssuer(OutsideIssuer):
    """The roles of one ledger on one server."""

    def __init__(self, target: Target, *, timeout: float, issuer: str) -> None:
        """Set the target, the time limit of a call in seconds, and the ledger's `iss`.

        Raises:
            ConfigurationError: the target's table is invalid.

        """
        self._target = target
        self._issuer = issuer
        self._prefix = _prefix(target)
        self._server = TargetServer(target, timeout)
        self._adopted: frozenset[str] = frozenset()
        """The names of the adopted roles in the ledger."""

    def mint(self, record: TargetRecord, remember: Callable[[str], None]) -> MadeCredential:  # noqa: ARG002 - the name identifies the role
        """Make a role that may log in until the record's expiry, in one transaction with its rights.

        The server enforces the expiry by its own clock. So the expiry is the server's time plus the credential's
        remaining lifetime here, and the clocks may differ.
        """
        template = self._template(record)
        call = self._server.call()
        password = secrets.token_urlsafe(_PASSWORD_BYTES)
        with call.connected(_text(template, "database")) as db:
            valid_until = role_statements.make(db, record, template, password, self._comment(record))
            parameters = self._server.client_parameters(db.info.dbname, db.info.host, db.info.port)
        return MadeCredential(
            Secret(
                {
                    "username": record.name,
                    "password": password,
                    "url": _url(parameters, record.name, password),
                }
            ),
            facts={
                "url": _url(parameters, record.name, None),
                "host": parameters["host"],
                "port": parameters["port"],
                "database": parameters["dbname"],
                "valid_until": valid_until,
            },
        )

    def _comment(self, record: TargetRecord) -> str:
        about = {"iss": self._issuer, "jti": record.jti, "task": task_of(record), "agent": agent_of(record)}
        return _COMMENT + strict_json.dumps(about)

    def revoke(self, records: Sequence[TargetRecord]) -> list[EndOutcome]:
        """Lock the roles, end their sessions, remove their objects and rights, and drop them."""
        return role_statements.drop_roles(
            self._server.call(), [self._doomed_role(record) for record in records]
        )

    def _doomed_role(self, record: TargetRecord) -> DoomedRole:
        if record.kind == Kind.ADOPTED:
            return DoomedRole(
                record.name, lambda comment: self._jti_of_comment(comment) is None, None, kept=True
            )
        template = self._target.templates.get(record.template or "", {})
        return DoomedRole(
            record.name,
            lambda comment: self._jti_of_comment(comment) == record.jti,
            _text(template, "reassign_to"),
        )

    def probe(self, record: TargetRecord, secret: Secret | None = None) -> Probe:
        """Check the role; with its secret, first log in as its holder would."""
        call = self._server.call()
        refusal = None
        if secret is not None:
            refusal = self._login(call, record, secret)
            if refusal is None:
                return Probe(Life.LIVE, f"a login as role {record.name} succeeded")
        with call.connected() as db:
            rows = db.execute(_STATE, [record.name]).fetchall()
        if not rows:
            return Probe(Life.DEAD, f"there is no role {record.name}")
        comment, may_log_in, expired, sessions = rows[0]
        role_jti = self._jti_of_comment(comment)
        if role_jti is not None if record.kind == Kind.ADOPTED else role_jti != record.jti:
            return Probe(Life.UNKNOWN, f"role {record.name} was not made by this ledger")
        if sessions:
            return Probe(Life.LIVE, f"role {record.name} has {sessions} open session{'s' * (sessions > 1)}")
        if not may_log_in:
            return Probe(Life.DEAD, f"role {record.name} is locked and has no session")
        if expired:
            return Probe(Life.DEAD, f"role {record.name} has expired and has no session")
        if refusal is not None:
            return Probe(Life.UNKNOWN, f"role {record.name} may log in, but a login failed: {refusal}")
        return Probe(Life.LIVE, f"role {record.name} may log in")

    def _login(self, call: ServerCall, record: TargetRecord, secret: Secret) -> str | None:
        """Return the reason why a login with the secret failed; None if it succeeded."""
        template = self._target.templates.get(record.template or "", {})
        # Use jitid's own address of the server: the clients' address may work only in their network.
        parameters = self._server.parameters(_text(template, "database"), call.left)
        parameters |= {
            "user": secret.reveal("username"),
            "password": secret.reveal("password"),
            "application_name": "jitid probe",
        }
        try:
            psycopg.connect(**parameters, autocommit=True).close()
        except psycopg.Error as error:
            return server_message(error)
        return None

    def expect(self, names: Collection[str]) -> None:
        """Set the names in the ledger; names that are not derived from a jti belong to adopted roles."""
        self._adopted = frozenset(name for name in names if jti_of(self._target, name) is None)

    def inventory(self) -> Iterator[Existing]:
        """Yield adopted roles, roles with this ledger's comment, and roles with jitid's names and without a comment."""
        with self._server.call().connected() as db:
            rows = db.execute(_INVENTORY, [self._prefix, f"{_COMMENT}{{", sorted(self._adopted)]).fetchall()
        for name, comment, live in rows:
            jti = self._jti_of_comment(comment)
            if jti is None and name in self._adopted:
                yield Existing(name, None, live, detail="an adopted role")
                continue
            if jti is None and comment is not None:
                continue
            if jti is None:
                jti = jti_of(self._target, name)
                if jti is None:
                    continue
            yield Existing(name, jti, live, detail="" if comment else "the role has lost its comment")

    def _jti_of_comment(self, comment: str | None) -> str | None:
        """Return the jti in the comment of a role of this ledger; None for any other comment."""
        if comment is None or not comment.startswith(_COMMENT):
            return None
        try:
            about = strict_json.loads(comment.removeprefix(_COMMENT), "the comment")
        except strict_json.StrictJSONError:
            return None
        if not isinstance(about, dict) or about.get("iss") != self._issuer:
            return None
        jti = about.get("jti")
        return jti if isinstance(jti, str) else None

    def close(self) -> None:
        """Close the connections."""
        self._server.close()

    def _template(self, record: TargetRecord) -> Mapping[str, Any]:
        if record.template is None:
            return {}
        try:
            return self._target.templates[record.template]
        except KeyError:
            raise ConfigurationError(
                f"target {self._target.name} has no template {record.template}"
            ) from None


def _prefix(target: Target) -> str:
    prefix = prefix_of(target)
    plain = prefix.isascii() and prefix.replace("_", "").isalnum() and prefix == prefix.lower()
    if not plain or prefix.startswith("pg_") or len(prefix) + len("0" * 26) > _LONGEST_NAME:
        raise ConfigurationError(
            f"`prefix` of target {target.name} is invalid: {quote(prefix)}",
            "use up to 37 lower-case letters, digits and underscores, not beginning with pg_",
        )
    return prefix


def _text(table: Mapping[str, Any], name: str) -> str | None:
    value = table.get(name)
    return None if value is None else str(value)


def _url(parameters: Mapping[str, str], user: str, password: str | None) -> str:
    """Return an address in libpq's format (PostgreSQL manual, section 34.1.1.2)."""
    other_parameters = {
        name: value for name, value in parameters.items() if name not in ("host", "port", "dbname")
    }
    secret = "" if password is None else f":{percent(password, safe='')}"
    hosts = parameters["host"].split(",")
    ports = parameters["port"].split(",")
    if any(host.startswith(("/", "@")) for host in hosts) or len(ports) not in (1, len(hosts)):
        other_parameters = {"host": parameters["host"], "port": parameters["port"], **other_parameters}
        addresses = ""
    else:
        ports = ports * len(hosts) if len(ports) == 1 else ports
        bracketed_hosts = [f"[{host}]" if ":" in host else host for host in hosts]
        addresses = ",".join(
            f"{host}:{port}" if port else host for host, port in zip(bracketed_hosts, ports, strict=True)
        )
    query = "&".join(
        f"{name}={percent(value, safe='/,')}" for name, value in other_parameters.items() if value
    )
    database = percent(parameters["dbname"], safe="")
    return f"postgresql://{percent(user, safe='')}{secret}@{addresses}/{database}" + (
        f"?{query}" if query else ""
    )
