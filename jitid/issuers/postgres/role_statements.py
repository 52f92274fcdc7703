"""Creation and removal of PostgreSQL roles, with their rights, sessions and objects."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from random import uniform
from typing import Any, LiteralString

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.sql import SQL, Composable, Composed, Identifier, Literal

from jitid.errors import ConfigurationError, JitidError, RefusedError, StorageError
from jitid.issuers.postgres.target_server import Database, ServerCall, meaning, server_message
from jitid.model.target import EndOutcome, Settlement, TargetRecord
from jitid.values.record import Record
from jitid.values.text import quote, safe

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
        raise RefusedError(
            f"the database refuses it: {server_message(error)}; nothing was changed"
        ) from error
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
            f"{record.jti} expired before its role was made; no role was made",
            "try again; if it fails again, check the clock of this machine",
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
            f"`reassign_to` names role {quote(heir)}, which does not exist; no role was made"
        )
    if rows[0][0]:
        raise ConfigurationError(
            f"`reassign_to` names the superuser {quote(heir)}; no role was made",
            "name a role without rights: an agent's functions would run with all rights of a superuser",
        )


def _grant(db: Database, statement: str, name: str) -> None:
    if "{role}" not in statement:
        raise ConfigurationError(
            f"the grant {quote(statement)} lacks the placeholder {{role}}; no role was made",
            "write GRANT … TO {role}",
        )
    filled = statement.replace("{role}", Identifier(name).as_string(db))
    # The extended protocol refuses more than one statement.
    db.execute(SQL(filled), binary=True)
    if db.info.transaction_status != TransactionStatus.INTRANS:
        raise ConfigurationError(f"the grant {quote(statement)} must not end the transaction")


_BATCH = 200
"""Maximum number of roles that one transaction changes.

Each change to an object that many of them have rights to leaves a row version that the next change must skip. Each
change also takes an entry in the server's lock table.
"""
_PAUSE = 0.02
"""Seconds between two checks of sessions that the server must end."""

_ROLES = "SELECT rolname, oid, shobj_description(oid, 'pg_authid'), rolcanlogin FROM pg_roles WHERE rolname = ANY(%s)"
_MAKERS = """SELECT pid FROM pg_stat_activity
     WHERE application_name = ANY(%s) AND usename = session_user AND pid <> pg_backend_pid()"""
_SESSIONS = "SELECT pid, usesysid FROM pg_stat_activity WHERE usesysid = ANY(%s::oid[])"
_TERMINATE = "SELECT pg_terminate_backend(pid) FROM unnest(%s::int[]) pid"
_PREPARED = "SELECT owner, gid, database FROM pg_prepared_xacts WHERE owner = ANY(%s) ORDER BY prepared"
_HELD = """SELECT d.refobjid, coalesce(b.datname, ''), coalesce(b.datallowconn, true)
      FROM pg_shdepend d LEFT JOIN pg_database b ON b.oid = d.dbid
     WHERE d.refclassid = 'pg_authid'::regclass AND d.refobjid = ANY(%s::oid[]) GROUP BY 1, 2, 3"""
_DEFINERS = "SELECT oid::regprocedure::text FROM pg_proc WHERE prosecdef AND proowner = ANY(%s::oid[])"
_SUPERUSERS = "SELECT rolname FROM pg_roles WHERE rolsuper AND rolname = ANY(%s)"
_SELF = "SELECT session_user"
_AM_SUPERUSER = "SELECT rolsuper FROM pg_roles WHERE rolname = current_user"


class DoomedRole(Record):
    """A role that must be removed."""

    name: str
    is_ours: Callable[[str | None], bool]
    """A function that returns whether a role of that name is the intended one, by its comment."""
    heir: str | None
    """The role that gets its objects; without one they are dropped."""
    kept: bool = False
    """Whether the role is adopted: other users may need its objects, so it is locked and not dropped."""


class _Role(Record):
    name: str
    oid: int
    heir: str | None
    locked: bool
    kept: bool


def drop_roles(call: ServerCall, doomed: Sequence[DoomedRole]) -> list[EndOutcome]:
    """Return the outcome for each role, in their order; a lost server raises no error either."""
    ending = _RoleEnding(call, doomed)
    try:
        ending.run()
    except JitidError as error:
        for role in doomed:
            ending.outcomes.setdefault(role.name, EndOutcome(Settlement.UNAVAILABLE, error.message))
    return [ending.outcomes[role.name] for role in doomed]


class _RoleEnding:
    def __init__(self, call: ServerCall, doomed: Sequence[DoomedRole]) -> None:
        self._call = call
        self._doomed = doomed
        self.outcomes: dict[str, EndOutcome] = {}
        self._sessions_ended: Counter[int] = Counter()
        """Number of ended sessions, by the role's OID."""

    def run(self) -> None:
        """Run all steps. Raises JitidError if the server does not answer."""
        with self._call.connected() as db:
            self._stop_makers(db)
            roles = self._look(db)
            # From here on the roles cannot log in, even if a later step fails.
            roles = self._each(db, roles, _lock)
            roles = self._end_sessions(db, roles)
            roles = self._keep(db, roles)
            roles = self._without_prepared(db, roles)
            roles = self._empty(db, roles)
            roles = self._each(db, roles, _drop)
            self._confirm(db, roles)

    def _stop_makers(self, db: Database) -> None:
        """End sessions that are still making one of the roles: they may commit after their answer was lost."""
        names = [role.name for role in self._doomed]
        while pids := [pid for (pid,) in db.execute(_MAKERS, [names])]:
            db.execute(_TERMINATE, [pids])
            self._pause()

    def _look(self, db: Database) -> list[_Role]:
        ((own_role,),) = db.execute(_SELF).fetchall()
        existing = {
            name: columns for name, *columns in db.execute(_ROLES, [[role.name for role in self._doomed]])
        }
        roles = []
        for role in self._doomed:
            if role.name not in existing:
                self.outcomes[role.name] = EndOutcome(Settlement.DONE, f"there is no role {role.name}")
                continue
            oid, comment, may_log_in = existing[role.name]
            if role.kept and role.name == own_role:
                predicate = "is the login role of the target itself; it was not changed"
                self._report(role.name, Settlement.STUCK, predicate)
            elif not role.is_ours(comment):
                owner = "has no comment" if comment is None else f"has the comment {quote(comment, 120)}"
                predicate = f"{owner}, so this ledger did not make it; it was not changed"
                self._report(role.name, Settlement.STUCK, predicate)
            else:
                roles.append(_Role(role.name, oid, role.heir, not may_log_in, role.kept))
        return roles

    def _report(self, name: str, settlement: Settlement, predicate: str) -> None:
        """Set the outcome of a role; `predicate` follows its name in the proof."""
        self.outcomes[name] = EndOutcome(settlement, f"role {name} {predicate}")

    def _sessions_text(self, role: _Role) -> str:
        """Return the words for the number of ended sessions of a role; empty without any."""
        count = self._sessions_ended[role.oid]
        return {0: "", 1: ", 1 session ended"}.get(count, f", {count} sessions ended")

    def _each(
        self, db: Database, roles: Sequence[_Role], change: Callable[[Database, Sequence[_Role]], None]
    ) -> list[_Role]:
        """Change all roles, one transaction for each batch, and return the roles that were changed."""
        changed: list[_Role] = []
        # The last batch comes first.
        batches = [roles[start : start + _BATCH] for start in range(0, len(roles), _BATCH)][::-1]
        while batches:
            batch = batches.pop()
            try:
                with db.transaction():
                    change(db, batch)
                changed += batch
            except psycopg.Error as error:
                if _is_lost(error):
                    raise
                if len(batch) == 1:
                    self.outcomes[batch[0].name] = _failure_outcome(batch[0], error)
                else:
                    # One of the roles prevents the change; changing each alone shows which.
                    batches += [[role] for role in reversed(batch)]
        return changed

    def _end_sessions(self, db: Database, roles: Sequence[_Role]) -> list[_Role]:
        """End the sessions of roles, and return the roles that have none left."""
        oids = [role.oid for role in roles]
        seen_sessions: dict[int, int] = {}
        open_sessions: dict[int, int]
        while open_sessions := dict(db.execute(_SESSIONS, [oids]).fetchall()):
            seen_sessions |= open_sessions
            db.execute(_TERMINATE, [list(open_sessions)])
            if self._call.left < self._call.whole / 4:
                break
            self._pause()
        self._sessions_ended += Counter(seen_sessions.values())
        remaining = Counter(open_sessions.values())
        for role in roles:
            if count := remaining[role.oid]:
                sessions_left = "1 session has" if count == 1 else f"{count} sessions have"
                predicate = f"is locked, but {sessions_left} not ended yet"
                self._report(role.name, Settlement.UNAVAILABLE, predicate)
        return [role for role in roles if role.oid not in remaining]

    def _keep(self, db: Database, roles: Sequence[_Role]) -> list[_Role]:
        """Record the outcome of roles that are only locked, and return the others."""
        kept_roles = [role for role in roles if role.kept]
        # A login may have begun before the lock.
        for role in self._end_sessions(db, kept_roles) if kept_roles else ():
            predicate = f"is locked and has no password{self._sessions_text(role)}; its objects were kept"
            self._report(role.name, Settlement.DONE, predicate)
        return [role for role in roles if not role.kept]

    def _without_prepared(self, db: Database, roles: Sequence[_Role]) -> list[_Role]:
        """Return the roles without a prepared transaction; an operator must decide about each prepared one."""
        waiting: dict[str, tuple[str, str]] = {}
        for owner, gid, database in db.execute(_PREPARED, [[role.name for role in roles]]):
            waiting.setdefault(owner, (gid, database))
        for name, (gid, database) in waiting.items():
            predicate = (
                f"is locked, but has the prepared transaction {quote(gid)} in database "
                f"{safe(database)}: finish it there with ROLLBACK PREPARED or COMMIT PREPARED"
            )
            self._report(name, Settlement.STUCK, predicate)
        return [role for role in roles if role.name not in waiting]

    def _empty(self, db: Database, roles: Sequence[_Role]) -> list[_Role]:
        """Remove the objects and rights of roles in each database that has any, and return the roles without any."""
        by_oid = {role.oid: role for role in roles}
        rows = db.execute(_HELD, [list(by_oid)]).fetchall()
        heirs = {heir for oid, *_ in rows if (heir := by_oid[oid].heir)}
        superuser_heirs = {name for (name,) in db.execute(_SUPERUSERS, [list(heirs)])} if heirs else set()
        roles_by_database: dict[str, list[_Role]] = {}
        for oid, database, accepts_connections in rows:
            role = by_oid[oid]
            if role.heir in superuser_heirs:
                # Views and triggers of the agent would run with a superuser's rights from then on.
                predicate = f"owns objects, and `reassign_to` names the superuser {role.heir}"
                self._report(role.name, Settlement.STUCK, predicate)
            elif not accepts_connections:
                predicate = (
                    f"has objects or rights in database {safe(database)}, which accepts no connections"
                )
                self._report(role.name, Settlement.STUCK, predicate)
            else:
                # Shared objects belong to no database, and can be removed from any.
                roles_by_database.setdefault(database, []).append(role)
        for database, members in roles_by_database.items():
            self._empty_in(db, database, members)
        return self._left(roles)

    def _empty_in(self, db: Database, database: str, roles: Sequence[_Role]) -> None:
        roles = self._left(roles)
        if not database or database == db.info.dbname:
            self._each(db, roles, _disown)
            return
        try:
            with self._call.connected(database) as other_db:
                self._each(other_db, roles, _disown)
        except JitidError as error:
            refused = isinstance(error, (RefusedError, ConfigurationError))
            settlement = Settlement.STUCK if refused else Settlement.UNAVAILABLE
            for role in self._left(roles):
                predicate = (
                    f"is locked, but has objects or rights in database {safe(database)}: {error.message}"
                )
                self._report(role.name, settlement, predicate)

    def _left(self, roles: Sequence[_Role]) -> list[_Role]:
        return [role for role in roles if role.name not in self.outcomes]

    def _confirm(self, db: Database, roles: Sequence[_Role]) -> None:
        """End sessions from logins that began before the lock, and check that the roles are gone."""
        self._end_sessions(db, roles)
        existing_names = {name for name, *_ in db.execute(_ROLES, [[role.name for role in roles]])}
        for role in self._left(roles):
            if role.name in existing_names:
                self._report(role.name, Settlement.UNAVAILABLE, "exists again")
            else:
                self._report(role.name, Settlement.DONE, f"dropped{self._sessions_text(role)}")

    def _pause(self) -> None:
        time.sleep(min(_PAUSE, max(0.0, self._call.left)))
        self._call.check()


def _names(roles: Iterable[_Role]) -> Composed:
    return SQL(", ").join(Identifier(role.name) for role in roles)


def _lock(db: Database, roles: Sequence[_Role]) -> None:
    change = SQL("ALTER ROLE {} NOLOGIN PASSWORD NULL CONNECTION LIMIT 0 VALID UNTIL '-infinity'")
    statements = [change.format(Identifier(role.name)) for role in roles if role.kept or not role.locked]
    if not db.execute(_AM_SUPERUSER).fetchall()[0][0]:
        # Without superuser rights, only a member of the role can end its sessions and remove its objects.
        statements.append(SQL("GRANT {} TO CURRENT_USER").format(_names(roles)))
    if statements:
        db.execute(SQL("; ").join(statements))


def _disown(db: Database, roles: Sequence[_Role]) -> None:
    heirs: dict[str, list[_Role]] = {}
    for role in roles:
        if role.heir is not None:
            heirs.setdefault(role.heir, []).append(role)
    for heir, members in heirs.items():
        # A function that runs with its owner's rights must not run with the heir's.
        for (routine,) in db.execute(_DEFINERS, [[role.oid for role in members]]).fetchall():
            db.execute(SQL("ALTER ROUTINE {} SECURITY INVOKER").format(SQL(routine)))
        db.execute(SQL("REASSIGN OWNED BY {} TO {}").format(_names(members), Identifier(heir)))
    # This also revokes rights. It fails if objects of other roles depend on the dropped ones, which must not be lost.
    db.execute(SQL("DROP OWNED BY {}").format(_names(roles)))


def _drop(db: Database, roles: Sequence[_Role]) -> None:
    db.execute(SQL("DROP ROLE {}").format(_names(roles)))


def _is_lost(error: psycopg.Error) -> bool:
    """Return whether the server failed, and not only one statement."""
    return error.sqlstate is None or error.sqlstate[:2] in ("08", "28") or error.sqlstate[:3] == "57P"


def _failure_outcome(role: _Role, error: psycopg.Error) -> EndOutcome:
    """Return the outcome for a role after a failed statement, by its SQLSTATE (manual, appendix A)."""
    state = error.sqlstate or ""
    stuck = state[:2] in ("0A", "0L", "0P", "22", "2B", "3D", "3F", "42") or state == "55006"
    # Another session may just have dropped the role; the next attempt shows it.
    if state == "42704" and role.heir is None:
        stuck = False
    reason = f"role {role.name} could not be removed: {server_message(error)}"
    return EndOutcome(Settlement.STUCK if stuck else Settlement.UNAVAILABLE, reason)
