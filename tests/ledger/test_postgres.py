"""Behaviour of PostgreSQL ledgers only: concurrent first uses, parallel writers, lost connections, and permissions."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from jitid.authority.local import LocalAuthority
from jitid.capabilities.identity import operations as identity_operations
from jitid.capabilities.identity.filter_store import Filter
from jitid.capabilities.identity.store import CredentialStore
from jitid.capabilities.integrity import operations as integrity_operations
from jitid.capabilities.inventory import operations as inventory_operations
from jitid.capabilities.issue import operations as issue_operations
from jitid.capabilities.trust import operations as trust_operations
from jitid.capabilities.trust.operations import PublishBundle, PublishRevocations
from jitid.errors import (
    ConfigurationError,
    ExitStatus,
    IntegrityError,
    JitidError,
    NewerSchemaError,
    PolicyDeniedError,
    RefusedError,
    StorageError,
)
from jitid.keys.keyring import Keyring
from jitid.ledger.postgres import create as postgres_create
from jitid.ledger.postgres import dialect, ledger_database
from jitid.ledger.postgres import schema as postgres_schema
from jitid.ledger.postgres.address import parameters, shown
from jitid.ledger.postgres.ledger import PostgresLedger
from jitid.ledger.postgres.session import DatabaseSession, open_connection
from jitid.ledger.signing_keys import KeyStore
from jitid.model.ledger_rows import Selection
from jitid.model.request import IssueRequest
from jitid.values.secret import Secret
from tests.builders import NAMES, Clock, World, make_database, open_postgres, put, put_chain, request
from tests.ledger.proxy import Proxy
from tests.postgres import Postgres
from tests.real import Shell


@pytest.fixture
def address(postgres_url: str, tmp_path: Path) -> str:
    """Return the address of a new ledger with its keys in `home`."""
    make_database(postgres_url, tmp_path / "home")
    return postgres_url


@pytest.fixture
def open_authority(tmp_path: Path) -> Iterator[Callable[..., LocalAuthority]]:
    """Return a function that opens an authority over a ledger, as another process or machine would."""
    with World(tmp_path / "terms") as world:
        terms = world.terms
    opened: list[LocalAuthority] = []

    def opening(address: str, keys: Path | None = None) -> LocalAuthority:
        keyring = ledger_database.home_keyring(str(keys or tmp_path / "home"))
        ledger = open_postgres(address, None, timeout=10)
        opened.append(LocalAuthority(ledger, keyring, terms=lambda: terms))
        return opened[-1]

    yield opening
    for one in opened:
        one.close()


def issue(authority: LocalAuthority, **fields: Any) -> Any:
    """Issue one credential."""
    wanted: IssueRequest = request(**fields)
    (issued,) = authority.perform(issue_operations.Issue(requests=(wanted,)))
    return issued.credentials[0]


def live(authority: LocalAuthority, **chosen: Any) -> list[str]:
    """Return the ids of the live credentials."""
    page = authority.perform(
        inventory_operations.ListCredentials(
            chosen=Filter(live=True, **chosen), sort="id", descending=False, after=None, limit=10_000
        )
    )
    return [one.id for one in page.credentials]


def test_first_uses_that_meet_make_one_ledger(postgres_url: str, tmp_path: Path) -> None:
    def first_use(number: int) -> bool:
        keys = tmp_path / str(number)
        keys.mkdir(mode=0o700)
        db = open_connection(postgres_url, 10)
        try:
            return postgres_create.create(db, NAMES, Keyring(str(keys)).create("EdDSA"), by="tester")
        finally:
            db.close()

    with ThreadPoolExecutor(6) as pool:
        made = list(pool.map(first_use, range(6)))
    assert sorted(made) == [False] * 5 + [True]
    ledger = open_postgres(postgres_url, None)
    with ledger.read() as snapshot:
        assert len(KeyStore(snapshot).signing_keys()) == 1
        assert snapshot.head().seq == 1
    ledger.close()


def test_sixty_four_issuers_lose_nothing(address: str, open_authority: Callable[..., LocalAuthority]) -> None:
    def work(number: int) -> list[str]:
        authority = open_authority(address)
        made = [
            issue(authority, task=f"T{number % 5}", kind=("opaque", "jwt")[number % 2]).id for _ in range(3)
        ]
        authority.close()
        return made

    with ThreadPoolExecutor(64) as pool:
        made = [id_ for found in pool.map(work, range(64)) for id_ in found]
    authority = open_authority(address)
    assert len(made) == 192
    assert set(live(authority)) == set(made)
    assert authority.perform(integrity_operations.VerifyLog()).events == 193


def test_revoking_while_children_are_issued_leaves_none_alive(
    address: str, open_authority: Callable[..., LocalAuthority]
) -> None:
    first = open_authority(address)
    root = issue(first, kind="opaque")
    begun = threading.Barrier(5)

    def delegate(_: int) -> int:
        authority = open_authority(address)
        begun.wait()
        for number in range(1_000):
            try:
                issue(authority, parent=root.secret, agent="child", kind="opaque", task=None, delegator=None)
            except JitidError:
                return number
        return -1

    with ThreadPoolExecutor(4) as pool:
        working = [pool.submit(delegate, number) for number in range(4)]
        begun.wait()
        while len(live(first)) < 20:
            assert not all(one.done() for one in working)
        first.perform(
            inventory_operations.Revoke(selection=Selection(ids=(root.id,)), reason=None, most=None)
        )
        assert all(one.result() >= 0 for one in working)
    assert live(first) == []
    assert first.perform(integrity_operations.VerifyLog()).events > 20


def test_writers_that_only_add_run_side_by_side(address: str) -> None:
    one, other = open_postgres(address, None), open_postgres(address, None)
    with one.write(shared=True) as first, other.write(shared=True) as second:
        first.append("note", {"number": 1})
        second.append("note", {"number": 2})
    with one.read() as snapshot:
        assert [event.seq for event in map(tuple_event, snapshot.events(1))] == [2, 3]
        assert snapshot.settled() == 3
    one.close()
    other.close()


def tuple_event(row: Any) -> Any:
    """Return an event from its row."""
    from jitid.model.event import Event

    return Event._make(row)


def test_what_must_be_alone_waits_for_all_others(address: str) -> None:
    one, other = open_postgres(address, None), open_postgres(address, None, timeout=0.2)
    with one.write(shared=True) as first:
        first.append("note", {})
        with pytest.raises(StorageError, match="other writers"), other.write():
            pass
    with other.write() as second:
        second.append("note", {})
    one.close()
    other.close()


@pytest.mark.parametrize("forwarded", [True, False])
def test_an_issue_whose_commit_is_in_doubt_is_resolved(
    address: str, open_authority: Callable[..., LocalAuthority], forwarded: bool
) -> None:
    proxy = Proxy(address, b"jitid_commit", forwarded=forwarded)
    authority = open_authority(proxy.address)
    before = issue(authority, kind="opaque").id
    proxy.armed = True
    made = issue(authority, kind="opaque").id
    assert proxy.cuts == 1
    assert set(live(authority)) == {before, made}
    proxy.close()


def test_an_issue_that_cannot_be_resolved_says_so(
    address: str, tmp_path: Path, open_authority: Callable[..., LocalAuthority]
) -> None:
    proxy = Proxy(address, b"jitid_commit", forwarded=True, closed=True)
    ledger = PostgresLedger(DatabaseSession(proxy.address, 0.5), "tester")
    with World(tmp_path / "terms") as world:
        terms = world.terms
    authority = LocalAuthority(
        ledger, ledger_database.home_keyring(str(tmp_path / "home")), terms=lambda: terms
    )
    issue(authority, kind="opaque")
    proxy.armed = True
    with pytest.raises(StorageError, match=r"it is unknown whether jti_\w+ was issued") as raised:
        issue(authority, kind="opaque")
    assert raised.value.unsure
    proxy.close()


def test_a_session_that_was_ended_is_begun_again(
    address: str, postgres_server: Postgres, open_authority: Callable[..., LocalAuthority]
) -> None:
    authority = open_authority(address)
    database = address.rpartition("/")[2]
    made = []
    for _ in range(3):
        made.append(issue(authority, kind="opaque").id)
        postgres_server.execute(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'"
        )
    assert set(live(authority)) == set(made)


def test_the_audit_log_is_append_only(address: str, postgres_server: Postgres) -> None:
    import psycopg

    database = address.rpartition("/")[2]
    for statement in (
        "UPDATE jitid.audit_event SET seq = 9",
        "DELETE FROM jitid.audit_event",
        "TRUNCATE jitid.audit_event",
    ):
        with pytest.raises(psycopg.Error, match="append-only"):
            postgres_server.execute(statement, database=database)


@pytest.mark.parametrize(
    "edit",
    [
        "UPDATE jitid.task SET ended_at = NULL WHERE name = 'T1'",
        "UPDATE jitid.signing_key SET revoked_at = NULL",
    ],
)
def test_what_was_edited_is_found_by_whoever_remembers_it_otherwise(
    address: str, postgres_server: Postgres, open_authority: Callable[..., LocalAuthority], edit: str
) -> None:
    authority = open_authority(address)
    issue(authority, kind="jwt", task="T1")
    authority.perform(inventory_operations.Retire(task="T1"))
    (key,) = authority.perform(trust_operations.ListKeys())
    authority.perform(trust_operations.RevokeKey(kid=key.key.kid, most=None))
    with pytest.raises(PolicyDeniedError):
        issue(authority, kind="opaque", task="T1")
    authority.perform(integrity_operations.VerifyLog())
    postgres_server.execute(edit, database=address.rpartition("/")[2])
    with pytest.raises(IntegrityError):
        authority.perform(integrity_operations.VerifyLog())


@pytest.mark.parametrize("undone", [False, True], ids=["committed", "undone"])
def test_a_session_does_not_keep_what_it_has_doomed(
    address: str, monkeypatch: pytest.MonkeyPatch, undone: bool
) -> None:
    """Autovacuum skips temporary tables: without a cleanup, each later revocation in the session would slow down."""
    monkeypatch.setattr(dialect, "_WORN", 16384)
    ledger = open_postgres(address, Clock())
    with ledger.write() as transaction:
        root = put_chain(transaction, 300)[0]
    small = Selection(ids=("jid_" + "0" * 26,))
    sizes = []
    for number in range(8):
        with suppress(LookupError), ledger.write() as transaction:
            CredentialStore(transaction).measure(Selection(ids=(root.id,)))
            CredentialStore(transaction).measure(small)
            ((size,),) = transaction.query("SELECT pg_relation_size('doomed')", {})
            sizes.append(size)
            if undone and number:
                raise LookupError
    ledger.close()
    assert 0 in sizes
    assert max(sizes[1:]) <= 2 * max(sizes[0], 16384)


def test_the_planner_expects_few_children_of_each(address: str, postgres_server: Postgres) -> None:
    """Otherwise, if one parent has most of the children, a bulk revocation would join all rows with all rows."""
    ledger = open_postgres(address, Clock())
    with ledger.write() as transaction:
        root = put(transaction)
        for _ in range(20):
            put(transaction, parent=root)
    ledger.close()
    database = address.rpartition("/")[2].partition("?")[0]
    postgres_server.execute("ANALYZE", database=database)
    found = postgres_server.ask(
        """SELECT n_distinct FROM pg_stats
            WHERE schemaname = 'jitid' AND tablename = 'identity' AND attname = 'parent'""",
        database,
    )
    assert found == [(-1.0,)]


def test_a_newer_schema_is_left_alone(address: str, postgres_server: Postgres) -> None:
    newer = len(postgres_schema.POSTGRES_STEPS) + 1
    postgres_server.execute(
        f"UPDATE jitid.schema_version SET version = {newer}", database=address.rpartition("/")[2]
    )
    with pytest.raises(NewerSchemaError):
        open_postgres(address, None)


def test_another_machine_signs_with_a_key_of_its_own(
    address: str, tmp_path: Path, open_authority: Callable[..., LocalAuthority]
) -> None:
    (tmp_path / "other" / "keys").mkdir(parents=True, mode=0o700)
    one, other = open_authority(address), open_authority(address, tmp_path / "other")
    mine = issue(one, kind="jwt")
    with pytest.raises(IntegrityError, match="this machine has none of") as refused:
        issue(other, kind="jwt")
    assert "jitid keys rotate" in str(refused.value.hint)
    change = other.perform(trust_operations.RotateKey(algorithm="EdDSA"))
    assert change.retired == ()
    theirs = issue(other, kind="jwt")
    for authority in (one, other):
        for made in (mine, theirs):
            assert (
                authority.perform(identity_operations.Verify(token=made.secret, audiences=())).id == made.id
            )
    assert other.perform(trust_operations.RotateKey(algorithm="EdDSA")).retired == (change.kid,)
    issue(one, kind="jwt")


def test_each_machine_is_an_x509_authority_of_its_own(
    address: str, tmp_path: Path, open_authority: Callable[..., LocalAuthority]
) -> None:
    """Both authorities are in the bundle. Each signs a list of the certificates that it issued."""
    (tmp_path / "other" / "keys").mkdir(parents=True, mode=0o700)
    one, other = open_authority(address), open_authority(address, tmp_path / "other")
    mine = issue(one, kind="x509-svid")
    with pytest.raises(
        IntegrityError, match="this machine has none of the ledger's keys for x509"
    ) as refused:
        issue(other, kind="x509-svid")
    assert "jitid keys rotate --use x509" in str(refused.value.hint)
    other.perform(trust_operations.RotateKey(algorithm="ES256", use="x509"))
    theirs = issue(other, kind="x509-svid")
    for authority in (one, other):
        assert len(authority.perform(PublishBundle()).roots) == 2
        for made in (mine, theirs):
            shown = Secret.single(made.secret.reveal("certificate"))
            assert authority.perform(identity_operations.Verify(token=shown, audiences=())).id == made.id
    one.perform(inventory_operations.Revoke(selection=Selection(ids=(mine.id, theirs.id)), most=None))
    for authority in (one, other):
        (listed,) = authority.perform(PublishRevocations())
        assert listed.revoked == 1


def test_a_denial_is_told_beside_others(address: str, open_authority: Callable[..., LocalAuthority]) -> None:
    authority = open_authority(address)
    with pytest.raises(PolicyDeniedError):
        issue(authority, scopes=("*",), sensitivity="critical")
    (denial,) = [
        event["op"]
        for event in authority.perform(integrity_operations.ReadLog(chosen=_everything(), limit=None))
        if event["op"] == "denial"
    ]
    assert denial == "denial"


def _everything() -> Any:
    from jitid.capabilities.audit.audit_log import LogFilter

    return LogFilter()


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        (lambda address: f"{address}_missing", StorageError, "the database does not exist"),
        (lambda address: address.replace("postgres@", "nobody@"), RefusedError, "refuses this login"),
        (
            lambda address: f"{address}?options=-c%20default_transaction_read_only%3Don",
            StorageError,
            "read-only",
        ),
        (lambda _: "postgresql://127.0.0.1:1/x", StorageError, "cannot be reached"),
        (lambda _: "postgresql://user:hidden@[::1/x", ConfigurationError, "cannot be used"),
        (lambda address: f"{address}?sslmode=require", StorageError, "SSL"),
    ],
)
def test_what_is_wrong_with_a_database_is_said(
    address: str, change: Callable[[str], str], error: type[JitidError], said: str
) -> None:
    with (
        pytest.raises(error, match=said) as raised,
        open_postgres(change(address), None, timeout=0.5).write(),
    ):
        pass
    assert "hidden" not in f"{raised.value.message} {raised.value.hint}"
    assert raised.value.exit_status in (ExitStatus.STORAGE, ExitStatus.REFUSED, ExitStatus.USAGE)


def test_a_user_without_rights_is_refused(address: str, postgres_server: Postgres) -> None:
    postgres_server.execute("DROP ROLE IF EXISTS guest", "CREATE ROLE guest LOGIN CONNECTION LIMIT 1")
    with pytest.raises(RefusedError, match="denies its user a right"):
        open_postgres(address.replace("postgres@", "guest@"), None)


def test_a_database_without_a_connection_left_is_told(address: str, postgres_server: Postgres) -> None:
    postgres_server.execute("DROP ROLE IF EXISTS crowd", "CREATE ROLE crowd LOGIN CONNECTION LIMIT 0")
    with pytest.raises(StorageError, match="no connection left"):
        open_postgres(address.replace("postgres@", "crowd@"), None, timeout=0.2)


@pytest.mark.parametrize(
    ("address", "safe"),
    [
        ("postgresql://u:p%40ss@h/d", "postgresql://u:****@h/d"),
        ("postgresql://u@h/d?password=secret&x=1", "postgresql://u@h/d?password=****&x=1"),
        ("postgres://h:1,h:2/d?sslpassword=s", "postgres://h:1,h:2/d?sslpassword=****"),
        ("postgresql:///?service=x", "postgresql:///?service=x"),
        # These are not encoded as they should be, or more than they must be.
        *((f"postgresql://u:pass{mark}word@h/d", "postgresql://u:****@h/d") for mark in "#?/@&:\n "),
        ("postgresql://u:12/3@h/d", "postgresql://u:****@h/d"),
        ("postgresql://u@h/d?%70assword=x#y&x=1", "postgresql://u@h/d?%70assword=****&x=1"),
        ("postgresql://h:5432/d?user=a@b", "postgresql://h:5432/d?user=a@b"),
    ],
)
def test_a_password_in_an_address_is_not_shown(address: str, safe: str) -> None:
    assert shown(address) == safe


def test_of_several_hosts_the_one_that_takes_writes_is_meant() -> None:
    assert parameters("postgresql://a,b,c/d", 5)["target_session_attrs"] == "read-write"
    assert parameters("postgresql://a,b/d?target_session_attrs=any", 5)["target_session_attrs"] == "any"
    assert "target_session_attrs" not in parameters("postgresql://a/d", 5)


def test_the_command_line_works_on_a_database(postgres_url: str, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    shell = Shell(tmp_path / "home", ledger=Path("unused"))
    shell.environment["JITID_LEDGER"] = postgres_url.replace("postgres@", "postgres:hidden@")
    assert shell.run("list").returncode == ExitStatus.STORAGE
    token = shell.good("issue", "--task", "INC-1", "--delegator", "alice")
    shell.good("verify", stdin=token)
    doctor = shell.run("doctor")
    assert doctor.returncode == 0, doctor.stdout + doctor.stderr
    shell.good("revoke", "--task", "INC-1")
    assert shell.run("verify", stdin=token).returncode == ExitStatus.INVALID
    assert shell.run("sweep").returncode == 0
    shell.good("audit", "verify")
    told = [shell.run("config", "show"), shell.run("--debug", "list"), doctor]
    assert not any("hidden" in one.stdout + one.stderr for one in told)
    folder = tmp_path / "home" / ".local" / "share" / "jitid" / "authority"
    assert {path.stat().st_mode & 0o077 for path in (folder, *folder.rglob("*"))} == {0}


@pytest.mark.parametrize("opened", ["before", "after"])
def test_a_ledger_without_an_open_chain_is_damaged(
    address: str, open_authority: Callable[..., LocalAuthority], opened: str
) -> None:
    """A user with write access to the tables can close all chains; the error must then name the damage."""
    authority = open_authority(address) if opened == "before" else None
    db = open_connection(address, 5.0)
    db.raw.execute("UPDATE chain SET closed_at = 1 WHERE closed_at IS NULL")
    db.close()
    with pytest.raises(IntegrityError, match="no open audit chain"):
        (authority or open_authority(address)).perform(issue_operations.Issue(requests=(request(),)))
