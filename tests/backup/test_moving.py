"""A ledger copied into PostgreSQL, out of it, and between databases, with interruptions at any step."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import psycopg
import pytest

from jitid.authority.local import LocalAuthority
from jitid.backup.transfer import Copy, copy
from jitid.capabilities.integrity.audit_export import verify_export
from jitid.capabilities.integrity.operations import ExportLog, SignHead, VerifyLog
from jitid.capabilities.issue.operations import Issue
from jitid.capabilities.sweep.finding import Thresholds
from jitid.capabilities.sweep.operations import Sweep
from jitid.capabilities.sweep.rules import NAMES as RULES
from jitid.capabilities.targets.operations import Settle
from jitid.capabilities.trust.operations import RotateKey
from jitid.errors import (
    BusyError,
    ClockError,
    IntegrityError,
    InvalidCredentialError,
    StorageError,
    UsageError,
)
from jitid.ledger import contract, copy_rows
from jitid.ledger.contract import refuse_if_sealed
from jitid.ledger.copy_rows import CopiedTable, CopySource
from jitid.ledger.postgres import address as postgres_address
from jitid.ledger.postgres import ledger_database
from jitid.ledger.postgres.copy import PostgresSource, PostgresTarget
from jitid.ledger.postgres.schema import POSTGRES_STEPS
from jitid.ledger.postgres.session import DatabaseSession, NoLedgerError
from jitid.ledger.sqlite import folder
from jitid.ledger.sqlite.copy import SqliteSource, SqliteTarget
from jitid.policy.default import default_files
from tests.backup.test_copy_ledger import twin
from tests.builders import KINDS, NOW, World, open_postgres, policed, request
from tests.postgres import Postgres
from tests.programs import Shop

CHAINS = 16


class DatabaseWorld(World):
    """A `World` with its ledger in a database and its keys in a folder."""

    def __init__(self, keys: Path, address: str, now: int = NOW) -> None:
        self._address = address
        super().__init__(keys, now=now)

    def _open(self) -> None:
        self.ledger = open_postgres(self._address, self.clock)
        self.authority = LocalAuthority(
            self.ledger,
            ledger_database.home_keyring(str(self.path)),
            terms=lambda: self.terms,
            timeout=5,
            targets=self.supply_targets,
        )


@pytest.fixture
def used(world: World) -> World:
    """Return a ledger with rows in many tables."""
    chain = world.chain(3, scopes=["db:read"])
    world.know("user:bob", groups=("crew",), aliases=("user:bobby",))
    world.register("nightly", owner="user:bob")
    for number in range(7):
        world.issue(task=f"P{number}", kind="opaque", purpose="Zürich\n\t\\N")
    world.revoke(chain[1].id)
    world.retire("P3")
    shop = Shop(world.path.parent / "shop")
    world.targets = [shop.target()]
    world.terms = policed(world.terms, [*default_files(), ("kinds.cedar", KINDS)])
    world.reopen()
    for task, template in (("S1", "parts"), ("S2", None), ("S3", None)):
        world.authority.perform(
            Issue(requests=(request(task=task, kind="exec:shop", template=template, scopes=()),))
        )
    world.retire("S2")
    world.authority.perform(Settle())
    world.retire("S3")
    world.check()
    return world


@pytest.fixture
def addresses(postgres_server: Postgres) -> Iterator[Callable[[], str]]:
    """Return a function that creates another empty database and returns its address."""
    made: list[str] = []

    def another() -> str:
        made.append(postgres_server.new_database())
        return postgres_server.url(made[-1])

    yield another
    for database in made:
        postgres_server.drop(database)


def transfer(source: CopySource, target: PostgresTarget | SqliteTarget, world: World) -> Copy:
    """Copy a ledger; a folder gets the keys of `world`."""

    def furnish() -> None:
        if isinstance(target, SqliteTarget):
            for path in (world.path / folder.KEYS).iterdir():
                there = Path(target.keys) / path.name
                there.touch(0o600)
                there.write_bytes(path.read_bytes())

    return copy(source, target, by="tester", furnish=furnish, progress=lambda _table, _rows: None)


def into(world: World, address: str) -> Copy:
    """Copy the ledger of a folder into a database."""
    return transfer(
        SqliteSource(str(world.path), 1, world.clock), PostgresTarget(address, 5, world.clock), world
    )


def into_after_a_kill(world: World, address: str) -> Copy:
    """Copy a ledger as `into` does, as soon as the server has noticed that the earlier copier is gone."""
    end = time.monotonic() + 30
    while True:
        try:
            return into(world, address)
        except BusyError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


def test_there_and_back_again(used: World, tmp_path: Path, addresses: Callable[[], str]) -> None:
    """In each copy, live credentials verify, revoked ones do not, and every signed head still verifies."""
    parent, dead = used.issue(task="T1", scopes=("repo:*",)), used.issue(task="T1")
    used.revoke(dead.id)
    heads, tokens = [used.authority.perform(SignHead())], [parent.token]
    first, second = addresses(), addresses()
    head = used.head()
    done = into(used, first)
    assert (done.events, done.head) == (head.seq, head)
    with DatabaseWorld(used.path, first) as there:
        tokens.append(there.issue(parent=parent.token, agent="coder", scopes=("repo:x",)).token)
        there.authority.perform(Issue(requests=(request(task="MANY", kind="opaque", copies=5),)))
        heads.append(there.authority.perform(SignHead()))
        transfer(PostgresSource(first, 5, there.clock), PostgresTarget(second, 5, there.clock), there)
    with DatabaseWorld(used.path, second) as there:
        tokens.append(there.issue(task="T2").token)
        heads.append(there.authority.perform(SignHead()))
        transfer(PostgresSource(second, 5, there.clock), SqliteTarget(str(tmp_path / "back")), there)
    with World(tmp_path / "back", targets=used.targets) as back:
        # Each copy knows which revocations are still due at a target.
        assert back.authority.perform(Settle(waiting=True)).done == 1
        tokens.append(back.issue(task="T4").token)
        heads.append(back.authority.perform(SignHead()))
        assert len([back.verify(token) for token in tokens]) == 4
        with pytest.raises(InvalidCredentialError, match="revoked"):
            back.verify(dead.token)
        for signed in heads:
            back.authority.perform(VerifyLog(expected_head=signed))
        assert verify_export(exported(back), heads[1]).head == back.head()
        with back.ledger.read() as snapshot:
            epochs = [(chain.epoch, chain.closed) for chain in snapshot.chains()]
        assert epochs == [(1, True), *[(2, True)] * CHAINS, *[(3, True)] * CHAINS, (4, False)]
        assert back.ledger.condition().schema().differences == back.ledger.condition().damage() == []
        assert [event["op"] for event in back.events()].count("ledger-copy") == 3
        back.revoke(parent.id)
        with pytest.raises(InvalidCredentialError):
            back.verify(tokens[1])
        back.check()


def test_a_sweep_of_the_copy_finds_the_same(used: World, addresses: Callable[[], str]) -> None:
    address = addresses()
    asking = Sweep(rules=tuple(RULES), limits=Thresholds(), most=100)

    def found(world: World) -> list[Any]:
        return [
            one for one in world.authority.perform(asking) if hasattr(one, "rule") and hasattr(one, "subject")
        ]

    used.clock.now += 3_600
    with twin(used, used.path.parent / "other") as other:
        other.targets = used.targets
        before = [(one.rule, one.subject) for one in found(other)]
    assert before
    into(used, address)
    with DatabaseWorld(used.path, address, now=used.clock.now) as there:
        there.targets = used.targets
        assert [(one.rule, one.subject) for one in found(there)] == before


def test_numbers_of_the_copy_come_after_those_that_were_copied(
    used: World, addresses: Callable[[], str]
) -> None:
    first, second = addresses(), addresses()
    into(used, first)
    with DatabaseWorld(used.path, first) as there:
        for _ in range(3):
            there.issue(task="T1")
        transfer(PostgresSource(first, 5, there.clock), PostgresTarget(second, 5, there.clock), there)
    with DatabaseWorld(used.path, second) as there:
        with there.ledger.read() as snapshot:
            ((before,),) = snapshot.query("SELECT max(id) FROM credential", {})
        there.issue(task="T1")
        with there.ledger.read() as snapshot:
            ((after,),) = snapshot.query("SELECT max(id) FROM credential", {})
            ((new,),) = snapshot.query(
                "SELECT count(*) FROM credential WHERE id > :before", {"before": before}
            )
        assert after > before
        assert new == 1


def exported(world: World) -> list[str]:
    """Return the lines of an export."""
    lines = world.authority.perform(ExportLog())
    return list(lines)


class KilledError(BaseException):
    """A simulated kill of the process. No handler catches it."""


class Frail(PostgresTarget):
    """A target whose process is killed after a number of steps."""

    def __init__(self, address: str, world: World, steps: int) -> None:
        super().__init__(address, 5, world.clock)
        self._left = steps

    def _step(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise KilledError

    def load(self, table: CopiedTable, rows: Sequence[Sequence[Any]]) -> None:
        self._step()
        super().load(table, rows)

    def index(self) -> None:
        self._step()
        super().index()
        self._step()

    def publish(self) -> None:
        self._step()
        super().publish()


@pytest.fixture
def _in_small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copy_rows, "_AT_ONCE", 10)


@pytest.mark.usefixtures("_in_small_pieces")
def test_a_copy_that_was_killed_is_no_ledger_and_is_gone_on_with(
    used: World, addresses: Callable[[], str]
) -> None:
    events = used.check()
    for steps in range(0, 100, 3):
        address, source = addresses(), twin(used, used.path.parent / f"from{steps}")
        try:
            transfer(SqliteSource(str(source.path), 1, source.clock), Frail(address, source, steps), source)
            break
        except KilledError:
            with pytest.raises(NoLedgerError):
                DatabaseSession(address, 5).connection()
        assert into_after_a_kill(source, address).resumed
        with DatabaseWorld(source.path, address) as there:
            assert there.check() == events + 1
        must_be_sealed(source, address)
        source.close()
    assert steps > 9
    with psycopg.connect(address) as db:
        rows = db.execute(
            "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'jitid%' ORDER BY 1"
        ).fetchall()
    assert rows == [("jitid",)]


@pytest.mark.usefixtures("_in_small_pieces")
def test_an_attempt_of_another_state_is_begun_anew(used: World, addresses: Callable[[], str]) -> None:
    address = addresses()
    with pytest.raises(KilledError):
        transfer(SqliteSource(str(used.path), 1, used.clock), Frail(address, used, 9), used)
    used.issue(task="T1")
    events = used.check()
    assert not into_after_a_kill(used, address).resumed
    with DatabaseWorld(used.path, address) as there:
        assert there.check() == events + 1


def test_into_a_schema_that_is_there(used: World, addresses: Callable[[], str]) -> None:
    """A user that may not create schemas later finds the tables in the given schema."""
    address = addresses()
    with psycopg.connect(address) as db:
        db.execute("CREATE TABLE other (id int)")
    placed = f"{address}{'&' if '?' in address else '?'}options=-csearch_path%3Dpublic"
    events = used.check()
    other = twin(used, used.path.parent / "other")
    into(used, placed)
    with DatabaseWorld(used.path, placed) as there:
        assert there.check() == events + 1
        there.issue(task="T1")
        assert there.ledger.condition().schema().differences == []
    with pytest.raises(UsageError, match=r"postgresql:.* already has a ledger"):
        into(other, placed)
    other.close()


def must_be_sealed(world: World, address: str) -> None:
    """Check that a copied ledger cannot change and signs nothing, while its sessions are still open."""
    world.check()
    for do in (lambda: world.issue(task="LATER"), lambda: world.verify("x"), lambda: world.revoke("jid_x")):
        with pytest.raises(IntegrityError, match="is sealed"):
            do()
    told = world.events()[-1]
    assert (told["op"], told["to"], told["done"]) == ("ledger-seal", postgres_address.shown(address), True)


def test_a_database_that_was_copied_is_sealed_for_whoever_has_it_open(
    used: World, addresses: Callable[[], str]
) -> None:
    first, second = addresses(), addresses()
    into(used, first)
    with DatabaseWorld(used.path, first) as there, DatabaseWorld(used.path, first) as also:
        alive = there.issue(task="T1")
        for world in (there, also):
            assert world.verify(alive.token).jti == alive.jti
            with world.ledger.glance() as snapshot:
                assert contract.find_seal(snapshot) is None
        transfer(PostgresSource(first, 5, there.clock), PostgresTarget(second, 5, there.clock), there)
        for world in (there, also):
            must_be_sealed(world, second)
            with pytest.raises(IntegrityError, match="is sealed"):
                world.verify(alive.token)
            with world.ledger.glance() as snapshot, pytest.raises(IntegrityError, match="is sealed"):
                refuse_if_sealed(snapshot)
    with DatabaseWorld(used.path, second) as there:
        assert there.verify(alive.token).jti == alive.jti
        there.issue(task="T2")
        there.check()


def test_a_copy_that_only_lacks_its_name_gets_it(used: World, addresses: Callable[[], str]) -> None:
    """The source is sealed before its copy is live. A repeated copy makes the copy live."""
    first, second = addresses(), addresses()
    into(used, first)

    class Nameless(PostgresTarget):
        def publish(self) -> None:
            raise KilledError

    with DatabaseWorld(used.path, first) as there:
        events = there.check()
        with pytest.raises(KilledError):
            transfer(PostgresSource(first, 5, there.clock), Nameless(second, 5, there.clock), there)
        with pytest.raises(NoLedgerError):
            DatabaseSession(second, 5).connection()
        with pytest.raises(IntegrityError, match="is sealed"):
            there.issue(task="T1")
        assert transfer(
            PostgresSource(first, 5, there.clock), PostgresTarget(second, 5, there.clock), there
        ).resumed
        must_be_sealed(there, second)
    with DatabaseWorld(used.path, second) as there:
        assert there.check() == events + 1
        there.issue(task="T2")


def test_two_do_not_copy_to_one_database(used: World, addresses: Callable[[], str]) -> None:
    address = addresses()
    with PostgresTarget(address, 5, used.clock) as first, used.ledger.read() as snapshot:
        first.begin(used.ledger.names, "mark", snapshot.chains(), NOW)
        with pytest.raises(BusyError, match="is in progress"):
            into(used, address)


def test_a_database_whose_clock_is_behind_gets_no_copy(used: World, addresses: Callable[[], str]) -> None:
    used.clock.now += 60
    used.issue(task="T1")
    target = PostgresTarget(addresses(), 5, lambda: float(NOW))
    with pytest.raises(ClockError, match="60 s behind"):
        transfer(SqliteSource(str(used.path), 1, used.clock), target, used)


def test_nobody_writes_to_a_database_that_is_copied(used: World, addresses: Callable[[], str]) -> None:
    address = addresses()
    into(used, address)
    other = open_postgres(address, used.clock, timeout=1)
    with PostgresSource(address, 5, used.clock) as source:
        head = source.snapshot.head()
        for shared in (True, False):
            with pytest.raises(StorageError), other.write(shared=shared):
                pass
        with other.read() as snapshot:
            assert snapshot.head() == source.head_now() == head
    with other.write() as transaction:
        transaction.append("note", {})
    other.close()


def test_both_have_the_same_tables(addresses: Callable[[], str], used: World) -> None:
    address = addresses()
    into(used, address)
    with (
        PostgresSource(address, 5, used.clock) as theirs,
        SqliteSource(str(used.path), 1, used.clock) as ours,
    ):
        assert {table.name for table, _ in copy_rows.shared(ours, theirs)} == ours.tables().keys()
        with psycopg.connect(address) as db:
            row = db.execute("SELECT version FROM jitid.schema_version").fetchone()
    assert row == (len(POSTGRES_STEPS),)


def test_keys_that_are_not_here_sign_nothing_more_in_a_folder(
    used: World, tmp_path: Path, addresses: Callable[[], str]
) -> None:
    """Other machines that sign for a database have their own keys."""
    address = addresses()
    into(used, address)
    (tmp_path / "home2" / folder.KEYS).mkdir(parents=True, mode=0o700)
    with DatabaseWorld(tmp_path / "home2", address) as elsewhere:
        kid = elsewhere.authority.perform(RotateKey(algorithm="EdDSA")).kid
        token = elsewhere.issue(task="T1").token
    mine = ledger_database.home_keyring(str(used.path))
    target = SqliteTarget(str(tmp_path / "back"))

    def furnish() -> None:
        for key in (used.path / folder.KEYS).iterdir():
            there = Path(target.keys) / key.name
            there.touch(0o600)
            there.write_bytes(key.read_bytes())

    copy(
        PostgresSource(address, 5, used.clock),
        target,
        by="tester",
        signs=lambda key: mine.holds(key.kid),
        furnish=furnish,
        progress=lambda _table, _rows: None,
    )
    with World(tmp_path / "back") as back:
        assert back.verify(token).task == "T1"
        back.issue(task="T1")
        assert back.events()[-2]["retired"] == [kid]
        back.check()


def test_numbers_of_the_copy_are_given_out_once(used: World, addresses: Callable[[], str]) -> None:
    """This holds even if its clock is not past the last copied number, from which many chains continue."""
    first, second = addresses(), addresses()
    into(used, first)
    with DatabaseWorld(used.path, first) as there:
        for number in range(CHAINS + 1):
            there.issue(task=f"N{number}")
        transfer(PostgresSource(first, 5, there.clock), PostgresTarget(second, 5, there.clock), there)
    with DatabaseWorld(used.path, second, NOW - 4) as there:
        for number in range(2 * CHAINS):
            there.issue(task=f"M{number}")
        there.check()
