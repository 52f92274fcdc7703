"""Roles of a real PostgreSQL as credentials: their rights, obstacles to their revocation, and remains."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from jitid.errors import ConfigurationError, IntegrityError, RefusedError, StorageError
from jitid.issuers.postgres.role import PostgresRoleIssuer
from jitid.model.target import EndOutcome, Life, MadeCredential, Settlement, TargetRecord
from tests.issuers.places import make
from tests.issuers.postgresplace import TEMPLATES, PostgresPlace
from tests.real import module, until

if TYPE_CHECKING:
    import psycopg


@pytest.fixture
def roles(postgres_roles: PostgresPlace) -> PostgresPlace:
    """Return the server."""
    return postgres_roles


@pytest.fixture
def issuer(roles: PostgresPlace) -> Iterator[PostgresRoleIssuer]:
    """Return an issuer of the server, as the superuser."""
    issuer = roles.open()
    yield issuer
    issuer.close()


def login(made: MadeCredential) -> psycopg.Connection[tuple[Any, ...]]:
    """Return a session of the role."""
    driver = module("psycopg", "postgres")
    session: psycopg.Connection[tuple[Any, ...]] = driver.connect(made.secret.reveal("url"), autocommit=True)
    return session


def is_open(session: psycopg.Connection[tuple[Any, ...]]) -> bool:
    """Return whether a session still answers."""
    driver = module("psycopg", "postgres")
    try:
        session.execute("SELECT 1")
    except driver.Error:
        return False
    return True


def ended(issuer: PostgresRoleIssuer, record: TargetRecord) -> EndOutcome:
    """Revoke one role."""
    (outcome,) = issuer.revoke([record])
    return outcome


@contextmanager
def database(roles: PostgresPlace) -> Iterator[str]:
    """Make another database for the duration of the block."""
    name = roles.server.new_database()
    roles.server.execute("GRANT CREATE ON SCHEMA public TO PUBLIC", database=name)
    yield name
    roles.server.drop(name)


def test_a_role_may_what_its_template_says_and_no_more(
    roles: PostgresPlace, issuer: PostgresRoleIssuer
) -> None:
    driver = module("psycopg", "postgres")
    record, made = make(issuer, roles.record())
    with login(made) as session:
        assert session.execute("SELECT what FROM orders").fetchall() == [("tea",)]
        with pytest.raises(driver.errors.InsufficientPrivilege):
            session.execute("DELETE FROM orders")
        with pytest.raises(driver.errors.InsufficientPrivilege):
            session.execute("CREATE ROLE another")
    assert ended(issuer, record).settlement is Settlement.DONE


def test_the_server_is_told_what_is_made_of_the_password_alone(
    roles: PostgresPlace, issuer: PostgresRoleIssuer
) -> None:
    record, made = make(issuer, roles.record())
    ended(issuer, record)
    log = (roles.server.folder / "log").read_text()
    assert f'CREATE ROLE "{record.name}"' in log
    assert "SCRAM-SHA-256" in log
    assert made.secret.reveal("password") not in log


def test_the_comment_says_whose_role_it_is(roles: PostgresPlace, issuer: PostgresRoleIssuer) -> None:
    record, _ = make(issuer, roles.record())
    ((comment,),) = roles.server.ask(
        f"SELECT shobj_description(oid, 'pg_authid') FROM pg_roles WHERE rolname = '{record.name}'"
    )
    for part in (record.jti, record.task, record.agent, "urn:jitid:test"):
        assert part in comment
    ended(issuer, record)


@pytest.mark.parametrize(
    ("begun", "left"),
    [(0, 600), (-240, 600), (240, 360)],
    ids=["same clock", "ours is ahead", "ours is behind"],
)
def test_a_role_never_lives_longer_than_its_credential(
    roles: PostgresPlace, issuer: PostgresRoleIssuer, begun: int, left: int
) -> None:
    """The role expires by the server's clock, after the rest of the lifetime and at most the whole lifetime."""
    now = int(time.time())
    record, _ = make(issuer, roles.record(issued_at=now + begun, expires_at=now + 600))
    ((seconds,),) = roles.server.ask(
        f"SELECT extract(epoch FROM rolvaliduntil - now()) FROM pg_roles WHERE rolname = '{record.name}'"
    )
    assert left - 60 < seconds <= left
    ended(issuer, record)


def test_what_is_past_its_time_is_not_made(roles: PostgresPlace, issuer: PostgresRoleIssuer) -> None:
    record = roles.record(expires_at=int(time.time()) - 1)
    with pytest.raises(StorageError, match="expired before its role was made"):
        make(issuer, record)
    assert not roles.exists(record)


def test_sessions_end_with_their_role(roles: PostgresPlace, issuer: PostgresRoleIssuer) -> None:
    """VALID UNTIL does not end an open session. One of the two sessions is in a transaction."""
    record, made = make(issuer, roles.record())
    with login(made) as idle, login(made) as busy:
        busy.execute("BEGIN")
        busy.execute("LOCK TABLE orders IN ACCESS SHARE MODE")
        outcome = ended(issuer, record)
        assert outcome == EndOutcome(Settlement.DONE, f"role {record.name} dropped, 2 sessions ended")
        assert not is_open(idle)
        assert not is_open(busy)


def test_a_session_makes_an_expired_role_live(roles: PostgresPlace, issuer: PostgresRoleIssuer) -> None:
    record, made = make(issuer, roles.record())
    with login(made):
        roles.server.execute(f"ALTER ROLE {record.name} VALID UNTIL '-infinity'")
        assert issuer.probe(record, made.secret).life is Life.LIVE
        assert record.name in {each.name for each in issuer.inventory() if each.live}
    until(lambda: issuer.probe(record, made.secret).life is Life.DEAD, "the session has not ended")
    assert record.name in {each.name for each in issuer.inventory() if not each.live}
    ended(issuer, record)


def test_what_a_role_owns_is_dropped_with_it(roles: PostgresPlace, issuer: PostgresRoleIssuer) -> None:
    record, made = make(issuer, roles.record(template="builder"))
    with login(made) as session:
        session.execute("CREATE TABLE mine (id int)")
        session.execute("CREATE VIEW seen AS SELECT * FROM mine")
        session.execute("SELECT lo_create(0)")
    assert ended(issuer, record).settlement is Settlement.DONE
    assert roles.server.ask("SELECT to_regclass('public.mine'), to_regclass('public.seen')") == [(None, None)]


def test_what_a_role_owns_goes_to_its_heir_without_rights(
    roles: PostgresPlace, issuer: PostgresRoleIssuer
) -> None:
    """A function with SECURITY DEFINER must not get the rights of the role that inherits it."""
    record, made = make(issuer, roles.record(template="bequeather"))
    with login(made) as session:
        session.execute("CREATE TABLE left_over (id int)")
        session.execute("CREATE FUNCTION trap() RETURNS int SECURITY DEFINER LANGUAGE sql AS 'SELECT 1'")
    assert ended(issuer, record).settlement is Settlement.DONE
    owners = roles.server.ask(
        "SELECT relowner::regrole::text, prosecdef, proowner::regrole::text FROM pg_class, pg_proc"
        " WHERE relname = 'left_over' AND proname = 'trap'"
    )
    assert owners == [("heir", False, "heir")]
    roles.server.execute("DROP TABLE left_over", "DROP FUNCTION trap")


def test_a_superuser_inherits_nothing(roles: PostgresPlace) -> None:
    issuer = roles.open(templates={"reader": {"reassign_to": "postgres"}})
    record = roles.record()
    with pytest.raises(ConfigurationError, match="superuser"):
        make(issuer, record)
    assert not roles.exists(record)
    issuer.close()


def test_other_databases_are_emptied_too(roles: PostgresPlace) -> None:
    with database(roles) as other:
        issuer = roles.open(
            templates={"reader": {"database": other, "grants": ["GRANT CREATE ON SCHEMA public TO {role}"]}}
        )
        record, made = make(issuer, roles.record())
        assert made.facts["database"] == other
        with login(made) as session:
            session.execute("CREATE TABLE there (id int)")
        roles.server.execute(f"GRANT SELECT ON orders TO {record.name}")
        assert ended(issuer, record).settlement is Settlement.DONE
        assert roles.server.ask("SELECT to_regclass('public.there')", other) == [(None,)]
        issuer.close()


def test_what_others_built_on_it_is_left_and_named(roles: PostgresPlace, issuer: PostgresRoleIssuer) -> None:
    record, made = make(issuer, roles.record(template="builder"))
    with login(made) as session:
        session.execute("CREATE TABLE base (id int)")
    roles.server.execute("CREATE VIEW of_others AS SELECT * FROM base")
    outcome = ended(issuer, record)
    assert outcome.settlement is Settlement.STUCK
    assert "of_others" in outcome.proof
    with pytest.raises(module("psycopg", "postgres").OperationalError):
        login(made)
    assert issuer.probe(record, made.secret).life is Life.DEAD
    roles.server.execute("DROP VIEW of_others")
    assert ended(issuer, record).settlement is Settlement.DONE


def test_a_prepared_transaction_is_named(roles: PostgresPlace, issuer: PostgresRoleIssuer) -> None:
    record, made = make(issuer, roles.record(template="builder"))
    with login(made) as session:
        session.execute("BEGIN")
        session.execute("CREATE TABLE later (id int)")
        session.execute("PREPARE TRANSACTION 'kept'")
    outcome = ended(issuer, record)
    assert outcome.settlement is Settlement.STUCK
    assert "`kept`" in outcome.proof
    assert issuer.probe(record).life is Life.DEAD
    roles.server.execute("ROLLBACK PREPARED 'kept'")
    assert ended(issuer, record).settlement is Settlement.DONE


def test_one_that_is_held_keeps_no_other(roles: PostgresPlace) -> None:
    """Another session has locked a table of one of the three roles."""
    issuer = roles.open(2.0)
    made = [make(issuer, roles.record(template="builder")) for _ in range(3)]
    with login(made[1][1]) as session:
        session.execute("CREATE TABLE held (id int)")
    records = [record for record, _ in made]
    with roles.server.connect() as somebody, somebody.transaction():
        somebody.execute("LOCK TABLE held")
        outcomes = issuer.revoke(records)
    assert [each.settlement for each in outcomes] == [
        Settlement.DONE,
        Settlement.UNAVAILABLE,
        Settlement.DONE,
    ]
    assert issuer.probe(records[1], made[1][1].secret).life is Life.DEAD
    assert ended(issuer, records[1]).settlement is Settlement.DONE
    issuer.close()


def test_a_role_that_was_dropped_by_hand_is_done(roles: PostgresPlace, issuer: PostgresRoleIssuer) -> None:
    record, _ = make(issuer, roles.record(template=None))
    roles.server.execute(f"DROP ROLE {record.name}")
    assert ended(issuer, record) == EndOutcome(Settlement.DONE, f"there is no role {record.name}")


@pytest.mark.parametrize("comment", ["NULL", "'the payroll'", "'jitid {}'"])
def test_a_role_without_our_comment_is_never_touched(
    roles: PostgresPlace, issuer: PostgresRoleIssuer, comment: str
) -> None:
    record = roles.record()
    roles.server.execute(f"CREATE ROLE {record.name} LOGIN", f"COMMENT ON ROLE {record.name} IS {comment}")
    assert ended(issuer, record).settlement is Settlement.STUCK
    assert issuer.probe(record).life is Life.UNKNOWN
    assert roles.server.ask(f"SELECT rolcanlogin FROM pg_roles WHERE rolname = '{record.name}'") == [(True,)]
    with pytest.raises(RefusedError):
        make(issuer, record)
    roles.server.execute(f"DROP ROLE {record.name}")


def test_a_role_that_was_there_before_is_locked_and_keeps_what_it_owns(
    roles: PostgresPlace, issuer: PostgresRoleIssuer
) -> None:
    """An adopted role owns the tables of an application; only its password is the secret."""
    roles.server.execute(
        "CREATE ROLE payroll LOGIN PASSWORD 'a word'",
        "CREATE TABLE wages (id int)",
        "ALTER TABLE wages OWNER TO payroll",
    )
    record = roles.record(template=None)._replace(name="payroll", reference="payroll", kind="adopted")
    issuer.expect([record.name])
    assert issuer.probe(record).life is Life.LIVE
    assert [one.live for one in issuer.inventory() if one.name == "payroll"] == [True]
    outcome = ended(issuer, record)
    assert outcome == EndOutcome(
        Settlement.DONE, "role payroll is locked and has no password; its objects were kept"
    )
    assert ended(issuer, record).settlement is Settlement.DONE
    assert issuer.probe(record).life is Life.DEAD
    assert [one.live for one in issuer.inventory() if one.name == "payroll"] == [False]
    owner = roles.server.ask("SELECT tableowner FROM pg_tables WHERE tablename = 'wages'")
    assert owner == [("payroll",)]
    roles.server.execute("DROP TABLE wages", "DROP ROLE payroll")
    assert ended(issuer, record) == EndOutcome(Settlement.DONE, "there is no role payroll")


def test_the_role_of_the_target_itself_is_never_locked(
    roles: PostgresPlace, issuer: PostgresRoleIssuer
) -> None:
    ((own,),) = roles.server.ask("SELECT session_user::text")
    record = roles.record(template=None)._replace(name=own, reference=own, kind="adopted")
    assert ended(issuer, record).settlement is Settlement.STUCK


def test_a_role_that_was_made_here_is_not_one_that_was_there_before(
    roles: PostgresPlace, issuer: PostgresRoleIssuer
) -> None:
    record, _ = make(issuer, roles.record(template=None))
    adopted = roles.record(template=None)._replace(name=record.name, kind="adopted")
    assert ended(issuer, adopted).settlement is Settlement.STUCK
    assert issuer.probe(adopted).life is Life.UNKNOWN
    assert ended(issuer, record).settlement is Settlement.DONE


def test_the_roles_of_another_ledger_are_not_ours(roles: PostgresPlace, issuer: PostgresRoleIssuer) -> None:
    theirs = roles.open(issuer="urn:jitid:another")
    record, _ = make(theirs, roles.record())
    bare = roles.record()
    roles.server.execute(f"CREATE ROLE {bare.name} LOGIN", "CREATE ROLE jitid_is_not_an_id LOGIN")
    ours = {each.name: each.jti for each in issuer.inventory()}
    assert record.name not in ours
    assert ours[bare.name] == bare.jti, "it bears our name, and nobody's comment"
    assert "jitid_is_not_an_id" not in ours
    assert {each.name for each in theirs.inventory()} >= {record.name}
    assert ended(issuer, record).settlement is Settlement.STUCK
    assert ended(theirs, record).settlement is Settlement.DONE
    theirs.close()
    roles.server.execute(f"DROP ROLE {bare.name}", "DROP ROLE jitid_is_not_an_id")


def test_roles_of_another_prefix_are_known_by_their_comment(
    roles: PostgresPlace, issuer: PostgresRoleIssuer
) -> None:
    """The `prefix` option may have changed since the role was made."""
    record, _ = make(issuer, roles.record())
    changed = roles.open(prefix="agents_")
    assert record.name in {each.name for each in changed.inventory()}
    assert ended(changed, record).settlement is Settlement.DONE
    changed.close()


@pytest.mark.parametrize(
    "grant",
    [
        "GRANT SELECT ON no_such_table TO {role}",
        "GRANT SELECT ON orders TO PUBLIC",
        "GRANT SELECT ON orders TO {role}; GRANT SELECT ON orders TO {role}",
        "GRANT {role}",
    ],
)
def test_a_template_that_cannot_be_meant_leaves_nothing(roles: PostgresPlace, grant: str) -> None:
    issuer = roles.open(templates={"reader": {"grants": [grant]}})
    record = roles.record()
    with pytest.raises(ConfigurationError):
        make(issuer, record)
    assert not roles.exists(record)
    issuer.close()


def test_one_that_is_still_being_made_is_stopped(roles: PostgresPlace, issuer: PostgresRoleIssuer) -> None:
    """The process that makes the role may have crashed: its transaction must not commit later."""
    record = roles.record(template="waiting")
    other = roles.open(templates={"waiting": {"grants": ["GRANT SELECT ON orders TO {role}"]}})
    waits = f"SELECT 1 FROM pg_stat_activity WHERE application_name = '{record.name}' AND wait_event_type = 'Lock'"
    with ThreadPoolExecutor(1) as pool, roles.server.connect() as somebody:
        with somebody.transaction():
            somebody.execute("SELECT FROM pg_class WHERE relname = 'orders' FOR UPDATE")
            somebody.execute("COMMENT ON TABLE orders IS 'busy'")
            somebody.execute("GRANT SELECT ON orders TO heir")
            making = pool.submit(make, other, record)
            until(lambda: bool(roles.server.ask(waits)), "nobody waits")
            assert ended(issuer, record).settlement is Settlement.DONE
        with pytest.raises(StorageError):
            making.result()
    assert not roles.exists(record)
    other.close()


def test_a_server_that_hangs_is_waited_for_no_longer_than_allowed(roles: PostgresPlace) -> None:
    """The connection is open, but the server does not answer."""
    issuer = roles.open(2.0)
    record, _ = make(issuer, roles.record())
    roles.server.freeze()
    try:
        assert ended(issuer, record).settlement is Settlement.UNAVAILABLE
    finally:
        roles.server.thaw()
    assert roles.exists(record)
    issuer.close()
    patient = roles.open()
    assert ended(patient, record).settlement is Settlement.DONE
    patient.close()


def test_a_connection_that_was_lost_meanwhile_is_made_again(
    roles: PostgresPlace, issuer: PostgresRoleIssuer
) -> None:
    record, _ = make(issuer, roles.record())
    roles.server.execute(
        "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE application_name = 'jitid'"
    )
    assert ended(issuer, record).settlement is Settlement.DONE


def test_whoever_makes_roles_need_be_no_superuser(roles: PostgresPlace, tmp_path: Path) -> None:
    """CREATEROLE is enough, also to end sessions and to reassign objects."""
    roles.server.execute(
        "CREATE ROLE maker LOGIN CREATEROLE PASSWORD 'a word'",
        "GRANT ALL ON SCHEMA public TO maker WITH GRANT OPTION",
        "GRANT heir TO maker",
    )
    secret = tmp_path / "password"
    secret.write_text("a word\n")
    secret.chmod(0o600)
    address = roles.server.url().replace("postgres@", "maker@")
    issuer = roles.open(dsn=address, password_file=str(secret))
    record, made = make(issuer, roles.record(template="bequeather"))
    with login(made) as session:
        session.execute("CREATE TABLE made_there (id int)")
        assert issuer.probe(record, made.secret).life is Life.LIVE
        assert ended(issuer, record).settlement is Settlement.DONE
    assert roles.server.ask("SELECT relowner::regrole::text FROM pg_class WHERE relname = 'made_there'") == [
        ("heir",)
    ]
    issuer.close()
    roles.server.execute("DROP TABLE made_there", "DROP OWNED BY maker", "DROP ROLE maker")


def test_a_password_file_is_for_its_owner_alone(roles: PostgresPlace, tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("a word\n")
    secret.chmod(0o644)
    with pytest.raises(IntegrityError, match="open to others"):
        make(roles.open(password_file=str(secret)), roles.record())
    secret.unlink()
    with pytest.raises(ConfigurationError, match="does not exist"):
        make(roles.open(password_file=str(secret)), roles.record())


def test_a_password_has_no_place_in_the_address(roles: PostgresPlace) -> None:
    with pytest.raises(ConfigurationError) as raised:
        roles.open(dsn="postgresql://jitid:hunter2@127.0.0.1/postgres")
    assert "hunter2" not in f"{raised.value} {raised.value.hint}"


@pytest.mark.parametrize("prefix", ["pg_x", "Big", "a-b", "a" * 38, ""])
def test_a_prefix_is_that_of_a_role(roles: PostgresPlace, prefix: str) -> None:
    with pytest.raises(ConfigurationError, match="prefix"):
        roles.open(prefix=prefix)


def test_clients_are_told_where_the_server_is_for_them(roles: PostgresPlace) -> None:
    issuer = roles.open(
        host="db.example.com",
        port=5432,
        dsn=roles.server.url(sslmode="prefer"),
        templates={
            **TEMPLATES,
            "reader": {"settings": {"statement_timeout": "7s", "search_path": "a, b"}},
        },
    )
    record, made = make(issuer, roles.record())
    assert made.facts["url"] == f"postgresql://{record.name}@db.example.com:5432/postgres?sslmode=prefer"
    ((settings,),) = roles.server.ask(
        "SELECT setconfig FROM pg_db_role_setting s JOIN pg_roles r ON r.oid = s.setrole"
        f" WHERE rolname = '{record.name}'"
    )
    assert settings == ["statement_timeout=7s", "search_path=a, b"]
    assert ended(issuer, record).settlement is Settlement.DONE
    issuer.close()
