"""A ledger behind PgBouncer: each pool mode serves the existing ledger or is refused, and none creates a second one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest

from jitid.authority.local import LocalAuthority
from jitid.authority.open_local import open_local, open_or_create_local
from jitid.capabilities.identity import operations as identity_operations
from jitid.capabilities.identity.filter_store import Filter
from jitid.capabilities.identity.task_store import TaskStore
from jitid.capabilities.integrity import operations as integrity_operations
from jitid.capabilities.inventory import operations as inventory_operations
from jitid.capabilities.issue import operations as issue_operations
from jitid.capabilities.sweep import operations as sweep_operations
from jitid.capabilities.sweep.finding import Finding, Thresholds
from jitid.capabilities.sweep.rules import NAMES as RULES
from jitid.config import effective
from jitid.errors import ExitStatus, IntegrityError, InvalidCredentialError, JitidError, StorageError
from jitid.ledger.postgres import ledger_database
from jitid.ledger.postgres.condition import vacuum
from jitid.ledger.postgres.copy import PostgresSource, PostgresTarget
from jitid.ledger.postgres.ledger import PostgresLedger
from jitid.ledger.postgres.session import DatabaseSession, open_connection
from jitid.model.ledger_rows import Names, Selection
from jitid.model.request import RenewRequest
from jitid.values.secret import Secret
from tests import pgbouncer, postgres
from tests.builders import put_chain, request
from tests.pgbouncer import IGNORING, PgBouncer
from tests.postgres import SUPERUSER, Postgres
from tests.real import Shell

USERS = ("jitid", "app")
"""Users of the databases. The first has the name of the ledger's schema, so that `"$user"` finds it by chance."""
WAYS = {
    f"{mode}-{how}": f"pool_mode = {mode}\n{lines}"
    for mode in ("session", "transaction")
    for how, lines in (("shipped", ""), ("ignoring", IGNORING))
}
ONE_CONNECTION = "pool_mode = transaction\ndefault_pool_size = 1\n"


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """Return a server with the users of this module."""
    with postgres.running() as found:
        found.execute(*(f"CREATE ROLE {user} LOGIN" for user in USERS))
        yield found


@pytest.fixture(scope="module")
def pools(server: Postgres) -> Iterator[Callable[[str], PgBouncer]]:
    """Return a function that returns a pooler with given settings; all poolers stop with the module."""
    opened: dict[str, PgBouncer] = {}
    with ExitStack() as stack:

        def open_one(settings: str) -> PgBouncer:
            if settings not in opened:
                opened[settings] = stack.enter_context(
                    pgbouncer.running(server, users=(SUPERUSER, *USERS), settings=settings)
                )
            return opened[settings]

        yield open_one


@pytest.fixture
def database(server: Postgres) -> Iterator[Callable[[str], str]]:
    """Return a function that creates a database for a user and returns its name."""
    made: list[str] = []

    def make(owner: str) -> str:
        made.append(server.new_database())
        server.execute(f"ALTER DATABASE {made[-1]} OWNER TO {owner}")
        return made[-1]

    yield make
    for name in made:
        server.drop(name)


def ledgers(server: Postgres, database: str) -> list[str]:
    """Return the schemas of a database that hold a complete or partial ledger."""
    found = server.ask("SELECT DISTINCT schemaname FROM pg_tables WHERE tablename = 'setting'", database)
    return [name for (name,) in found]


def direct(server: Postgres, database: str, user: str) -> str:
    """Return the address of a database without a pooler."""
    return server.url(database).replace(f"{SUPERUSER}@", f"{user}@")


def opening(address: str, folder: Path) -> LocalAuthority:
    """Return the authority over a ledger, as the command line opens it. The first use creates the ledger."""
    return open_or_create_local(settings(address, folder), lambda _: None)


def settings(address: str, folder: Path) -> effective.Config:
    """Return the configuration of a machine with its keys in a folder."""
    environ = {"HOME": str(folder), "JITID_HOME": str(folder / "home")}
    return effective.load(flags={"ledger": address}, environ=environ)


def issue(authority: LocalAuthority, **fields: Any) -> Any:
    """Issue one credential."""
    (issued,) = authority.perform(issue_operations.Issue(requests=(request(**fields),)))
    return issued.credentials[0]


def live(authority: LocalAuthority) -> set[str]:
    """Return the ids of the live credentials."""
    asked = inventory_operations.ListCredentials(
        chosen=Filter(live=True), sort="id", descending=False, after=None, limit=10_000
    )
    return {one.id for one in authority.perform(asked).credentials}


def token(made: Any) -> Secret:
    """Return the token of a credential."""
    return Secret.single(made.secret.reveal(made.secret.names[0]))


def revoke(authority: LocalAuthority, id_: str) -> None:
    """Revoke an identity and its descendants."""
    authority.perform(inventory_operations.Revoke(selection=Selection(ids=(id_,)), reason=None, most=None))


def work(authority: LocalAuthority) -> str:
    """Issue, delegate, renew, revoke, sweep and verify; return the id of the identity that is still live."""
    root = issue(authority, task="T1", kind="opaque")
    child = issue(
        authority, parent=token(root), agent="coder", kind="opaque", task=None, delegator=None, scopes=()
    )
    kept = issue(authority, task="T2")
    renewed = authority.perform(issue_operations.Renew(request=RenewRequest(token=token(kept))))
    for one in (root, child, renewed.credentials[0]):
        assert authority.perform(identity_operations.Verify(token=token(one), audiences=())).id == one.id
    revoke(authority, root.id)
    for one in (root, child):
        with pytest.raises(InvalidCredentialError, match="revoked"):
            authority.perform(identity_operations.Verify(token=token(one), audiences=()))
    found = authority.perform(sweep_operations.Sweep(rules=tuple(RULES), limits=Thresholds(), most=100))
    assert not [one.rule for one in found if isinstance(one, Finding) and one.rule == "audit-gap"]
    assert authority.perform(integrity_operations.VerifyLog()).events >= 5
    return str(kept.id)


def found_in(address: str, query: str) -> tuple[Any, ...]:
    """Return the row of a query, in a transaction that writes to a ledger."""
    with (
        closing(PostgresLedger(DatabaseSession(address, 30), "tester")) as ledger,
        ledger.write() as transaction,
    ):
        (row,) = transaction.query(query, {})
    return tuple(row)


def must_leave_nothing(pooler: PgBouncer, user: str, database: str) -> None:
    """Check that another client of the pool finds a session without remains of the ledger."""
    with pooler.connect(user, database) as other:
        (path,) = other.execute("SHOW search_path").fetchone() or ("",)
        assert path == '"$user", public'
        (tables,) = other.execute(
            "SELECT count(*) FROM pg_class WHERE relpersistence = 't' AND pg_table_is_visible(oid)"
        ).fetchone() or (None,)
        assert tables == 0
        (prepared,) = other.execute(
            "SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE '%chain%'"
        ).fetchone() or (None,)
        assert prepared == 0
        (locks,) = other.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'").fetchone() or (
            None,
        )
        assert locks == 0


@pytest.mark.parametrize("existing", [False, True], ids=["first", "existing"])
@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("way", WAYS)
def test_behind_a_pooler_there_is_one_ledger(
    server: Postgres,
    pools: Callable[[str], PgBouncer],
    database: Callable[[str], str],
    tmp_path: Path,
    way: str,
    user: str,
    existing: bool,
) -> None:
    name, pooler = database(user), pools(WAYS[way])
    before = set()
    if existing:
        with_session = opening(direct(server, name, user), tmp_path)
        before = {issue(with_session, task="T0").id}
        with_session.close()
    pooled = opening(pooler.url(user, name), tmp_path)
    alive = {work(pooled)} | before
    assert live(pooled) == alive
    pooled.close()
    with_session = opening(direct(server, name, user), tmp_path)
    assert live(with_session) == alive
    assert with_session.perform(integrity_operations.VerifyLog()).events
    with_session.close()
    assert ledgers(server, name) == ["jitid"]
    must_leave_nothing(pooler, user, name)


@pytest.mark.parametrize("way", ["transaction-shipped", "transaction-ignoring"])
def test_the_command_line_works_behind_a_pooler(
    server: Postgres,
    pools: Callable[[str], PgBouncer],
    database: Callable[[str], str],
    tmp_path: Path,
    way: str,
) -> None:
    name = database("app")
    shell = Shell(tmp_path)
    shell.environment["JITID_LEDGER"] = pools(WAYS[way]).url("app", name)
    made = shell.run("issue", "--task", "T1", "--delegator", "alice")
    assert "first use" in made.stderr
    shell.good("verify", stdin=made.stdout)
    doctor = shell.run("doctor")
    assert doctor.returncode == 0, doctor.stdout + doctor.stderr
    assert "a connection pooler" in doctor.stdout
    shell.good("renew", stdin=made.stdout)
    shell.good("sweep")
    shell.good("revoke", "--task", "T1")
    assert shell.run("verify", stdin=made.stdout).returncode == ExitStatus.INVALID
    shell.good("audit", "verify")
    for refused in (("ledger", "vacuum"), ("ledger", "copy", "--to", "copied")):
        done = shell.run(*refused)
        assert done.returncode == ExitStatus.USAGE
        assert "connection pooler" in done.stderr
        assert "database server itself" in done.stderr
    assert not (tmp_path / "copied").exists()
    assert ledgers(server, name) == ["jitid"]


@pytest.mark.parametrize("size", [1, 2])
def test_clients_at_once_share_few_sessions(
    server: Postgres,
    pools: Callable[[str], PgBouncer],
    database: Callable[[str], str],
    tmp_path: Path,
    size: int,
) -> None:
    """Each client revokes its own credentials; another client's temporary table would make it revoke others."""
    name = database("app")
    address = pools(f"pool_mode = transaction\ndefault_pool_size = {size}\n").url("app", name)
    opening(address, tmp_path).close()

    def client(number: int) -> set[str]:
        authority = opening(address, tmp_path)
        kept = set()
        for turn in range(5):
            root = issue(authority, task=f"T{number}-{turn}", kind="opaque")
            kept.add(issue(authority, task=f"K{number}-{turn}", kind=("opaque", "jwt")[turn % 2]).id)
            revoke(authority, root.id)
            with pytest.raises(InvalidCredentialError, match="revoked"):
                authority.perform(identity_operations.Verify(token=token(root), audiences=()))
        authority.close()
        return kept

    with ThreadPoolExecutor(3) as pool:
        kept = set().union(*pool.map(client, range(3)))
    authority = opening(direct(server, name, "app"), tmp_path)
    assert len(kept) == 15
    assert live(authority) == kept
    authority.perform(integrity_operations.VerifyLog())
    authority.close()
    assert ledgers(server, name) == ["jitid"]


def test_what_another_client_left_in_the_session_changes_nothing(
    server: Postgres, pools: Callable[[str], PgBouncer], database: Callable[[str], str], tmp_path: Path
) -> None:
    name, pooler = database("app"), pools(ONE_CONNECTION)
    authority = opening(pooler.url("app", name), tmp_path)
    alive = issue(authority, task="T0", kind="opaque")
    with pooler.connect("app", name) as other:
        other.execute("SET search_path = public")
        other.execute("SET synchronous_commit = off")
        other.execute("SET statement_timeout = '1h'")
        other.execute("SET lock_timeout = 0")
        other.execute("SET standard_conforming_strings = off")
        other.execute("SET bytea_output = escape")
        other.execute("SET default_transaction_isolation = serializable")
        # A table with a name of the ledger's, and a table that a revocation fills with the credentials to end.
        other.execute("CREATE TEMPORARY TABLE task (id BIGINT)")
        other.execute("CREATE TEMPORARY TABLE doomed (identity BIGINT)")
        other.execute("CREATE TABLE public.setting (name TEXT, value TEXT)")
    relied = ("synchronous_commit", "search_path", "statement_timeout", "lock_timeout")
    asked = ", ".join(f"current_setting('{setting}')" for setting in relied)
    assert found_in(pooler.url("app", name), f"SELECT {asked}") == ("on", "jitid, pg_temp", "0", "30s")
    kept = work(authority)
    assert live(authority) == {kept, alive.id}
    authority.close()
    server.execute("DROP TABLE public.setting", database=name)
    assert ledgers(server, name) == ["jitid"]


def test_a_session_of_its_own_is_taken_for_one(server: Postgres, database: Callable[[str], str]) -> None:
    address = direct(server, database("app"), "app")
    with_session = open_connection(address, 5)
    assert not with_session.pooled
    pid, mark, _ = with_session.execute(
        "SELECT pg_backend_pid(), current_setting('jitid.session'), 1"
    ).fetchone()
    assert with_session.owns(pid, mark)
    # A second session is another session, even with the same settings.
    assert not with_session.owns(pid + 1, mark)
    assert with_session.pooled
    with_session.close()


REFUSED: dict[str, tuple[str, dict[str, str], str]] = {
    "single statements": ("pool_mode = statement\n", {}, "not transactions"),
    "an option that is no setting": ("pool_mode = session\n", {"options": "-e"}, "drops the option -e"),
    "a setting of a connection": (
        "pool_mode = transaction\n",
        {"options": "-clog_connections%3Don"},
        "cannot be set after connection start",
    ),
}


@pytest.mark.parametrize("why", REFUSED)
def test_what_cannot_work_is_refused_with_its_cause(
    server: Postgres,
    pools: Callable[[str], PgBouncer],
    database: Callable[[str], str],
    tmp_path: Path,
    why: str,
) -> None:
    lines, parameters, said = REFUSED[why]
    name = database("app")
    with pytest.raises(JitidError, match=said) as refused:
        opening(pools(lines).url("app", name, **parameters), tmp_path)
    assert "pooler" in refused.value.message
    assert "database server itself" in (refused.value.hint or "")
    assert refused.value.exit_status is ExitStatus.USAGE
    assert ledgers(server, name) == []
    assert not ledger_database.has_keys(str(tmp_path / "home"))


def test_what_needs_a_session_is_refused(
    server: Postgres, pools: Callable[[str], PgBouncer], database: Callable[[str], str], tmp_path: Path
) -> None:
    name = database("app")
    address = pools(ONE_CONNECTION).url("app", name)
    opening(address, tmp_path).close()
    target = PostgresTarget(pools(WAYS["session-shipped"]).url("app", database("app")), 5)
    needing: list[Callable[[], Any]] = [
        lambda: vacuum(address, 5, lambda _: None),
        lambda: PostgresSource(address, 5).__enter__(),
        lambda: target.begin(Names("", "", ""), "mark", [], 0),
    ]
    for do in needing:
        with pytest.raises(JitidError, match="needs its own session") as refused:
            do()
        assert refused.value.exit_status is ExitStatus.USAGE
    target.__exit__(None, None, None)


def test_settings_of_the_address_are_settings_of_each_transaction(
    pools: Callable[[str], PgBouncer], database: Callable[[str], str], tmp_path: Path
) -> None:
    pooler, name = pools(WAYS["transaction-ignoring"]), database("app")
    stated = "-csearch_path%3Dledger%20--default-transaction-isolation%3Dserializable%20-cwork_mem%3D5MB"
    authority = opening(pooler.url("app", name, options=stated), tmp_path)
    work(authority)
    asked = "SELECT current_schema(), current_setting('transaction_isolation'), current_setting('work_mem')"
    assert found_in(pooler.url("app", name, options=stated), asked) == ("ledger", "serializable", "5MB")
    authority.close()
    read_only = pooler.url("app", name, options=f"{stated}%20-cdefault_transaction_read_only%3Don")
    frozen = open_local(settings(read_only, tmp_path))
    assert live(frozen)
    with pytest.raises(StorageError, match="read-only"):
        issue(frozen)
    frozen.close()


def test_another_ledger_behind_the_same_address_is_noticed(
    server: Postgres, pools: Callable[[str], PgBouncer], database: Callable[[str], str], tmp_path: Path
) -> None:
    """The pooler keeps a client's connection while its database is dropped and created again."""
    name, pooler = database("app"), pools(ONE_CONNECTION)
    session = opening(pooler.url("app", name), tmp_path)
    issue(session, task="T0", kind="opaque")
    server.execute("ALTER SCHEMA jitid RENAME TO former", database=name)
    with pytest.raises(IntegrityError):
        issue(session, task="T1", kind="opaque")
    other = opening(direct(server, name, "app"), tmp_path / "other")
    for do in (partial(issue, session, task="T1", kind="opaque"), partial(live, session)):
        with pytest.raises(StorageError, match="another ledger has replaced this one"):
            do()
    assert live(other) == set()
    server.execute("DROP SCHEMA jitid CASCADE", "ALTER SCHEMA former RENAME TO jitid", database=name)
    issue(session, task="T1", kind="opaque")
    session.close()
    other.close()


def test_a_ledger_that_an_older_jitid_made_in_another_schema_is_named(
    server: Postgres, pools: Callable[[str], PgBouncer], database: Callable[[str], str], tmp_path: Path
) -> None:
    name, pooler = database("app"), pools(WAYS["transaction-ignoring"])
    opening(pooler.url("app", name, options="-csearch_path%3Dpublic"), tmp_path).close()
    with pytest.raises(IntegrityError, match="has no ledger") as refused:
        opening(pooler.url("app", name), tmp_path)
    assert "search_path%3Dpublic" in (refused.value.hint or "")
    assert ledgers(server, name) == ["public"]


def test_a_pooler_that_ends_a_connection_is_connected_to_again(
    server: Postgres, pools: Callable[[str], PgBouncer], database: Callable[[str], str], tmp_path: Path
) -> None:
    name = database("app")
    authority = opening(pools(ONE_CONNECTION).url("app", name), tmp_path)
    made = set()
    for turn in range(3):
        made.add(issue(authority, task=f"T{turn}", kind="opaque").id)
        server.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
    assert live(authority) == made
    authority.close()


def test_rows_are_read_anew_in_each_transaction(
    pools: Callable[[str], PgBouncer], database: Callable[[str], str], tmp_path: Path
) -> None:
    """The server behind a pooler may have been replaced by one with a different history of the same length."""
    name = database("app")
    address = pools(ONE_CONNECTION).url("app", name)
    opening(address, tmp_path).close()
    ledger = PostgresLedger(DatabaseSession(address, 5), "tester")
    with ledger.write() as transaction:
        put_chain(transaction, 3)
    with ledger.read() as snapshot:
        assert TaskStore(snapshot).find_task("T1", "user:alice") is not None
    with psycopg.connect(address.replace("app@", f"{SUPERUSER}@"), autocommit=True) as db:
        db.execute("UPDATE jitid.task SET name = 'T9'")
    for opened in (ledger.read, ledger.glance, partial(ledger.write, shared=True)):
        with opened() as snapshot:
            assert TaskStore(snapshot).find_task("T1", "user:alice") is None
    ledger.close()
