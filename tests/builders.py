"""Builders of valid objects: an open ledger with a clock that the test sets, an authority, rows, requests, tokens."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

from jitid.authority.local import LocalAuthority
from jitid.capabilities.access.grant import Granted
from jitid.capabilities.access.operations import LogIn
from jitid.capabilities.directory import delegators
from jitid.capabilities.directory.store import DirectoryChanges, DirectoryStore
from jitid.capabilities.identity import operations as identity_operations
from jitid.capabilities.identity.revocation_result import Ended
from jitid.capabilities.identity.task_store import TaskChanges, TaskStore
from jitid.capabilities.integrity import operations as integrity_operations
from jitid.capabilities.inventory import operations as inventory_operations
from jitid.capabilities.issue import operations as issue_operations
from jitid.capabilities.issue.issue_result import Issued
from jitid.issuers.targets import Targets
from jitid.ledger.contract import Ledger
from jitid.ledger.postgres import ledger_database
from jitid.ledger.sqlite import folder
from jitid.ledger.sqlite import ledger as sqlite_ledger
from jitid.ledger.transaction import Transaction
from jitid.model import event as audit
from jitid.model.access import OidcIssuer
from jitid.model.credential import Credential
from jitid.model.directory import Agent, Delegator
from jitid.model.ledger_rows import CredentialRow, IdentityRow, Names, Selection, SigningKey
from jitid.model.request import IssueRequest
from jitid.model.target import StatedTarget
from jitid.operation.context import Terms
from jitid.policy.default import default_files
from jitid.policy.evaluate import Policy
from jitid.values import strict_json
from jitid.values.ids import credential_id, identity_id
from jitid.values.scope import parse_scope
from jitid.values.secret import Secret, fingerprint
from tests.identity_provider import SEED

if TYPE_CHECKING:
    from jitid.ledger.postgres.ledger import PostgresLedger
    from tests.postgres import Postgres

NOW = 1_795_521_600  # 2026-11-24T12:00:00Z
DAY = 86_400
NAMES = Names("5e0c2f7e-0000-4000-8000-000000000000", "urn:jitid:test", "jitid.test")
KINDS = """@id("kinds") permit(principal, action == Action::"issue", resource)
unless { context.kind == "jwt" || context.kind == "opaque" };
"""
"""A rule that names every kind, for tests of other parts of a policy."""
PERMIT_ALL = (("all.cedar", f'@id("all") permit (principal, action, resource);\n{KINDS}'),)
DEFAULT_POLICY = Policy(default_files())


def policed(terms: Terms, files: Sequence[tuple[str, str]]) -> Terms:
    """Return the terms with another policy."""
    return terms._replace(policy=Policy(files), policy_text=strict_json.dumps(list(files)))


_numbers = itertools.count(1)


class Clock:
    """A clock that does not move until the test moves it."""

    def __init__(self, now: int = NOW) -> None:
        self.now = now

    def __call__(self) -> float:
        return float(self.now)


class Row(NamedTuple):
    """The fields of a credential that a test has put into a ledger."""

    key: int
    identity: int
    id: str
    jti: str
    print: bytes
    event: int
    depth: int


def put(
    transaction: Transaction,
    *,
    task: str = "T1",
    agent: str = "agent",
    delegator: str = "user:alice",
    parent: Row | None = None,
    depth: int | None = None,
    kind: str = "opaque",
    scopes: str = "",
    audiences: str = NAMES.issuer,
    details: str | None = None,
    sensitivity: str = "moderate",
    proof: str = "asserted",
    purpose: str | None = None,
    ttl: int = 900,
    signed_by: SigningKey | None = None,
    pending: bool = False,
    public: bytes | None = None,
    line: int | None = None,
    subject: str | None = None,
) -> Row:
    """Record a new identity with one credential and the event that issued it."""
    number = next(_numbers)
    uid, jti = number.to_bytes(16), (number + (1 << 100)).to_bytes(16)
    identity, key = transaction.next_keys()
    found, opened = TaskStore(transaction).find_task(task), {}
    if found is None:
        found = TaskChanges(transaction).open_task(
            task, purpose, "moderate", transaction.now + DAY, delegator
        )
        opened = {
            "task": task,
            "delegator": delegator,
            "purpose": purpose,
            "opened": {"sensitivity": "moderate", "deadline": found.deadline},
        }
    if depth is None:
        depth = 0 if parent is None else parent.depth + 1
    print_ = fingerprint(f"token {number}")
    who, by, meant_for = map(transaction.term, (agent, delegator, audiences))
    event = transaction.next_seq()
    transaction.add(
        [
            IdentityRow(
                identity,
                uid,
                parent and parent.identity,
                depth,
                by,
                proof,
                who,
                found.key,
                sensitivity,
                parent and parent.key,
            )
        ],
        [
            CredentialRow(
                key,
                jti,
                identity,
                kind,
                scopes,
                meant_for,
                details,
                transaction.now,
                transaction.now + ttl,
                None if pending else print_,
                None if signed_by is None else fingerprint(f"claims {number}"),
                signed_by and signed_by.key,
                event,
                found.key,
                by,
                public=public,
                line=line,
                proved_subject=None if subject is None else transaction.term(subject),
            )
        ],
    )
    digest = audit.issued_digest([(jti, None if pending else print_)])
    transaction.append(
        "issue",
        {
            "jti": credential_id(jti),
            "issued": digest,
            "certified": audit.certified_digest([public]),
            **opened,
        },
    )
    return Row(key, identity, identity_id(uid), credential_id(jti), print_, event, depth)


def put_chain(transaction: Transaction, length: int, **fields: Any) -> list[Row]:
    """Record a chain of delegations, the root first."""
    chain: list[Row] = []
    for depth in range(length):
        chain.append(put(transaction, parent=chain[-1] if chain else None, depth=depth, **fields))
    return chain


def delegator(name: str = "user:alice", **fields: Any) -> Delegator:
    """Return a delegator who may delegate everything, with some fields changed."""
    plain = Delegator(
        key=0,
        name=name,
        sensitivity="critical",
        entitlements=None,
        groups=(),
        manager=None,
        aliases=(),
        imported=False,
        added_at=NOW,
        disabled_at=None,
    )
    return plain._replace(**{"disabled_last": fields.get("disabled_at"), **fields})


def put_delegator(transaction: Transaction, name: str = "user:alice", **fields: Any) -> Delegator:
    """Record a delegator, or change some fields of an existing one; the event is that of an import."""
    found = DirectoryStore(transaction).find_delegator(name) or delegator(name, added_at=transaction.now)
    DirectoryChanges(transaction).put_delegators([found._replace(**fields)])
    transaction.append(
        "delegator-import",
        {
            "directory": delegators.digest(DirectoryStore(transaction)),
            "digests": delegators.FORM,
        },
    )
    now_there = DirectoryStore(transaction).find_delegator(name)
    assert now_there is not None
    return now_there


def recurring_agent(name: str = "planner", **fields: Any) -> Agent:
    """Return a registered agent of user:alice with the right to every scope, with some fields changed."""
    plain = Agent(
        key=0,
        name=name,
        owner="user:alice",
        purpose="nightly triage",
        scopes=("*", "*:*", "*:*:*"),
        audiences=(),
        kinds=("jwt", "opaque"),
        max_ttl=DAY,
        concurrency=None,
        review_at=NOW + 90 * DAY,
        registered_at=NOW,
        reviewed_at=None,
        suspended_at=None,
        suspended_as=None,
        unregistered_at=None,
    )
    return plain._replace(**fields)


def put_agent(transaction: Transaction, name: str = "planner", **fields: Any) -> Agent:
    """Record a recurring agent, or change some fields of an existing one, without an event."""
    now = transaction.now
    found = DirectoryStore(transaction).find_agent(name) or recurring_agent(
        name, registered_at=now, review_at=now + 90 * DAY
    )
    DirectoryChanges(transaction).put_agents([found._replace(**fields)])
    now_there = DirectoryStore(transaction).find_agent(name)
    assert now_there is not None
    return now_there


def know(path: Path, *names: str) -> None:
    """Add delegators to the directory of the ledger in a folder, beside other writers."""
    ledger = open_sqlite(path, time.time)
    with ledger.write() as transaction:
        for name in names:
            put_delegator(transaction, name)
    ledger.close()


def make_folder(path: Path, *, policy: Iterable[tuple[str, str]] = (), now: int = NOW) -> Path:
    """Make a ledger's folder, as the first use of jitid does."""
    folder.create(str(path), NAMES, list(policy) or default_files(), by="tester", now=now)
    return path


def open_sqlite(
    path: Path, clock: Callable[[], float], *, timeout: float = 5.0
) -> sqlite_ledger.SqliteLedger:
    """Open the SQLite ledger in the folder `path`."""
    return sqlite_ledger.connect(
        str(path / folder.DATABASE),
        str(path / folder.LOCK),
        by="tester",
        clock=clock,
        timeout=timeout,
    )


def make_database(address: str, home: Path, *, now: int = NOW) -> None:
    """Make a ledger in the empty database at `address`, with its keys in the folder `home`."""
    from jitid.keys.keyring import Keyring
    from jitid.ledger.postgres import create as postgres_create
    from jitid.ledger.postgres import session as postgres_session

    (home / folder.KEYS).mkdir(parents=True, mode=0o700)
    home.chmod(0o700)
    signer = Keyring(str(home / folder.KEYS)).create("EdDSA")
    db = postgres_session.open_connection(address, 5)
    assert postgres_create.create(db, NAMES, signer, by="tester", now=now)
    db.close()


def open_postgres(address: str, clock: Callable[[], float] | None, *, timeout: float = 5.0) -> PostgresLedger:
    """Open the ledger in the database at `address`."""
    from jitid.ledger.postgres.ledger import PostgresLedger
    from jitid.ledger.postgres.session import DatabaseSession

    session = DatabaseSession(address, timeout, clock)
    session.connection()
    return PostgresLedger(session, "tester")


def request(**fields: Any) -> IssueRequest:
    """Return a small request that the default policy permits, with some fields changed; scopes may be texts."""
    plain: dict[str, Any] = {"task": "T1", "delegator": "user:alice", "agent": "planner"}
    values = {**plain, **fields}
    if values.get("parent") is not None:
        values["delegator"] = fields.get("delegator")
        values["task"] = fields.get("task")
        if isinstance(values["parent"], str):
            values["parent"] = Secret.single(values["parent"])
    values["scopes"] = tuple(parse_scope(text) for text in values.get("scopes", ()))
    values["details"] = tuple(
        text if isinstance(text, str) else strict_json.dumps(text) for text in values.get("details", ())
    )
    return IssueRequest(**values)


class Made(NamedTuple):
    """A credential with its token."""

    token: str
    id: str
    jti: str
    issued: Issued


class Database:
    """The databases in which worlds have their ledgers when tests run a second time, on PostgreSQL."""

    server: Postgres | None = None
    """None if ledgers are in folders."""
    addresses: ClassVar[dict[Path, str]] = {}
    """The address of each database, by the folder in which its world has the keys."""
    _patterns: ClassVar[dict[tuple[Postgres, int], tuple[str, Path]]] = {}

    @classmethod
    def make(cls, path: Path, now: int) -> str:
        """Make a ledger with its keys in the folder `path`, and return its address."""
        server = cls.server
        assert server is not None
        # A copy of a prepared database takes a fifth of the time of making a new one.
        pattern = cls._patterns.get((server, now))
        if pattern is None:
            keys = Path(tempfile.mkdtemp())
            pattern = cls._patterns[server, now] = (server.new_database(lasting=True), keys / "home")
            make_database(server.url(pattern[0]), pattern[1], now=now)
        database, keys = pattern
        shutil.copytree(keys, path)
        return server.url(server.new_database(database))


class World:
    """A ledger in a folder, an authority over it, and a clock that the test sets."""

    def __init__(
        self,
        path: Path,
        *,
        policy: Sequence[tuple[str, str]] = (),
        oidc: Sequence[OidcIssuer] = (),
        audiences: Sequence[str] = (),
        now: int = NOW,
        targets: Sequence[StatedTarget] = (),
        **terms: Any,
    ) -> None:
        if targets and not policy:
            # The default policy does not name kinds of targets.
            policy = [*default_files(), ("kinds.cedar", KINDS)]
        self.path = path
        self.targets = targets
        self.clock = Clock(now)
        self._oidc = tuple(oidc)
        self._audiences = tuple(audiences)
        self.terms = Terms(
            Policy(policy) if policy else DEFAULT_POLICY,
            strict_json.dumps(list(policy or default_files())),
            "tester",
            self._audiences,
            targets=self.supply_targets,
        )._replace(**terms)
        if not path.exists():
            if Database.server is None:
                # pytest reuses the folder of a test that has passed, for another test whose name begins alike.
                Database.addresses.pop(path, None)
                make_folder(path, policy=policy, now=now)
            else:
                Database.addresses[path] = Database.make(path, now)
        self._open()

    def _open(self) -> None:
        address = Database.addresses.get(self.path)
        self.ledger: Ledger = (
            open_sqlite(self.path, self.clock) if address is None else open_postgres(address, self.clock)
        )
        self.authority = self._new_authority()

    def _new_authority(self) -> LocalAuthority:
        address = Database.addresses.get(self.path)
        return LocalAuthority(
            self.ledger,
            folder.keyring(str(self.path))
            if address is None
            else ledger_database.home_keyring(str(self.path)),
            terms=lambda: self.terms,
            audiences=self._audiences,
            oidc=lambda: self._oidc,
            timeout=5,
            targets=self.supply_targets,
        )

    def log_in(self, issuer: OidcIssuer, id_token: Secret, holder: str) -> Granted:
        """Log a person in beside the ledger, as a system user."""
        oidc, terms = self._oidc, self.terms
        self._oidc, self.terms = (issuer,), terms._replace(holder=holder)
        try:
            # An authority keeps the terms that it has read.
            return self._new_authority().perform(LogIn(token=id_token, authority=NAMES.issuer, seed=SEED))
        finally:
            self._oidc, self.terms = oidc, terms

    def supply_targets(self) -> Targets:
        """Return the current targets."""
        return Targets(self.targets, self.ledger.names.issuer)

    def close(self) -> None:
        """Release the ledger."""
        self.authority.close()

    def reopen(self) -> None:
        """Close the ledger and open it again, as another process would."""
        self.close()
        self._open()

    def issue(self, **fields: Any) -> Made:
        """Issue one credential."""
        more = {name: fields.pop(name) for name in ("delegator_token", "accept_clock") if name in fields}
        (issued,) = self.authority.perform(issue_operations.Issue(requests=(request(**fields),), **more))
        (credential,) = issued.credentials
        return Made(
            credential.secret.reveal(credential.secret.names[0]), credential.id, credential.jti, issued
        )

    def know(self, name: str = "user:alice", **fields: Any) -> Delegator:
        """Add a delegator to the directory, or change some of their fields."""
        with self.ledger.write() as transaction:
            return put_delegator(transaction, name, **fields)

    def register(self, name: str = "planner", **fields: Any) -> Agent:
        """Register a recurring agent, or change some fields of its record; record all of it in events."""
        with self.ledger.write() as transaction:
            agent = put_agent(transaction, name, **{"registered_at": transaction.now, **fields})
            stated = {
                field: getattr(agent, field) for field in ("owner", "purpose", "max_ttl", "concurrency")
            }
            stated |= {
                field: list(getattr(agent, field)) for field in ("scopes", "audiences", "kinds", "users")
            }
            transaction.append("agent-register", {"agent": name, **stated, "review": agent.review_at})
            if agent.suspended_at is not None:
                transaction.append("agent-suspend", {"agent": name, "reason": agent.suspended_as, "kept": 0})
            if agent.unregistered_at is not None:
                transaction.append("agent-unregister", {"agent": name, "kept": 0})
            return agent

    def chain(self, length: int, **fields: Any) -> list[Made]:
        """Issue a root and its chain of delegations, `length` credentials in all."""
        made = [self.issue(**fields)]
        kept = {name: fields[name] for name in ("scopes", "kind", "ttl", "may_audience") if name in fields}
        for depth in range(1, length):
            made.append(self.issue(parent=made[-1].token, agent=f"agent-{depth}", **kept))
        return made

    def verify(self, token: str, *audiences: str) -> Credential:
        """Verify a token as `jitid verify` does."""
        return self.authority.perform(
            identity_operations.Verify(token=Secret.single(token), audiences=audiences)
        )

    def revoke(self, *ids: str, reason: str | None = None, **selection: Any) -> Ended:
        """Revoke by ids or by a selection."""
        return self.authority.perform(
            inventory_operations.Revoke(selection=Selection(ids=ids, **selection), reason=reason, most=None)
        )

    def retire(self, task: str) -> Ended:
        """Retire a task."""
        return self.authority.perform(inventory_operations.Retire(task=task))

    def events(self) -> list[dict[str, Any]]:
        """Return the whole audit log."""
        from jitid.capabilities.audit.audit_log import LogFilter

        return self.authority.perform(integrity_operations.ReadLog(chosen=LogFilter(), limit=None))

    def check(self) -> int:
        """Verify the audit log; return the number of its events."""
        return self.authority.perform(integrity_operations.VerifyLog()).events

    def head(self) -> audit.Head:
        """Return the last link of the chain."""
        with self.ledger.read() as snapshot:
            return snapshot.head()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def edit(path: Path, *statements: str) -> None:
    """Change the ledger's database directly, as an attacker with access to the disk could."""
    import sqlite3

    if path in Database.addresses:
        import psycopg

        with psycopg.connect(Database.addresses[path], options="-c search_path=jitid") as connection:
            connection.execute("ALTER TABLE audit_event DISABLE TRIGGER USER")
            for statement in statements:
                connection.execute(in_postgres(statement))
        return
    db = sqlite3.connect(path / folder.DATABASE, isolation_level=None)
    try:
        db.execute("DROP TRIGGER IF EXISTS audit_event_is_kept")
        db.execute("DROP TRIGGER IF EXISTS audit_event_is_final")
        for statement in statements:
            db.execute(statement)
    finally:
        db.close()


def in_postgres(statement: str) -> str:
    """Return a statement of SQLite's in PostgreSQL's dialect, where an inserted row does not number itself."""
    numbering = re.match(r"INSERT INTO (leak|action|task) \((?!id)", statement)
    if numbering:
        number = f"(SELECT coalesce(max(id), 0) + 1 FROM {numbering[1]})"
        begun, how, rest = re.split(r"(VALUES \(|SELECT )", statement, maxsplit=1)
        statement = f"{begun.replace('(', '(id, ', 1)}{how}{number}, {rest}"
    translated = re.sub(r"\bx'([0-9a-fA-F]*)'", r"'\\x\1'::bytea", statement)
    return re.sub(
        r"replace\(body, ('[^']*'), ('[^']*')\)",
        r"convert_to(replace(convert_from(body, 'UTF8'), \1, \2), 'UTF8')",
        translated,
    )


def modes(path: Path) -> dict[str, int]:
    """Return the permissions of everything in a folder, the folder itself as `.`."""
    found = {".": path.stat().st_mode & 0o7777}
    for where, folders, files in os.walk(path):
        for name in (*folders, *files):
            entry = Path(where, name)
            found[str(entry.relative_to(path))] = entry.lstat().st_mode & 0o7777
    return found
