"""A copied ledger: complete, verified, resumed after a kill, and unusable until it is complete."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from jitid.backup.transfer import Copy, copy
from jitid.capabilities.access.operations import Authenticate
from jitid.capabilities.identity.filter_store import Filter
from jitid.capabilities.identity.store import CredentialStore
from jitid.capabilities.integrity.operations import SignHead, VerifyLog
from jitid.capabilities.inventory.operations import Inspect
from jitid.capabilities.issue.operations import Issue, Renew
from jitid.capabilities.issue.token_operations import Introspect
from jitid.capabilities.trust.operations import MakePublication, PublishSshRevocations, RotateKey
from jitid.capabilities.trust.publication import Document
from jitid.crypto import jws
from jitid.errors import (
    BusyError,
    ExitStatus,
    IntegrityError,
    InvalidCredentialError,
    StorageError,
    UsageError,
)
from jitid.ledger import copy_rows
from jitid.ledger.copy_rows import CopiedTable
from jitid.ledger.sqlite import folder
from jitid.ledger.sqlite import ledger as sqlite_ledger
from jitid.ledger.sqlite.copy import SqliteSource, SqliteTarget
from jitid.model.request import RenewRequest
from jitid.values.secret import Secret
from tests.builders import NAMES, World, edit, request
from tests.capabilities.trust.test_own_issuer import IN_USE
from tests.capabilities.trust.test_own_issuer import NEW as SERVICE


class KilledError(BaseException):
    """A simulated kill of the process. No handler catches it."""


class Frail(SqliteTarget):
    """A target whose process is killed after a number of steps."""

    def __init__(self, path: str, steps: int) -> None:
        super().__init__(path)
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
def used(world: World) -> World:
    """Return a ledger with rows in many tables."""
    chain = world.chain(3, scopes=["db:read"])
    world.know("user:bob", groups=("crew",), aliases=("user:bobby",))
    world.register("planner", owner="user:bob")
    for number in range(7):
        world.issue(task=f"T{number}", kind="opaque")
    world.revoke(chain[1].id)
    world.retire("T3")
    world.check()
    return world


def copied(
    world: World, to: Path, target: SqliteTarget | None = None, issuer: str | None = None, **more: Any
) -> Copy:
    """Copy a ledger with its keys and its policy to a folder."""
    target = target or SqliteTarget(str(to))

    def furnish() -> None:
        for name, there in ((folder.KEYS, target.keys), (folder.POLICY, target.policy)):
            shutil.copytree(world.path / name, there, dirs_exist_ok=True)

    return copy(
        SqliteSource(str(world.path), 1, world.clock),
        target,
        by="tester",
        issuer=issuer,
        furnish=furnish,
        progress=lambda _table, _rows: None,
        **more,
    )


def twin(world: World, to: Path) -> World:
    """Return a second ledger with the same state, because a copy seals its source."""
    world.close()
    shutil.copytree(world.path, to)
    world.reopen()
    made = World(to)
    made.clock.now = world.clock.now
    return made


def rows(path: Path) -> dict[str, list[Any]]:
    """Return all rows of a ledger, except those of its chains, events and time mark."""
    db = sqlite3.connect(path / folder.DATABASE)
    names = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    found = {
        name: db.execute(f"SELECT * FROM {name}").fetchall()
        for name in names
        if name not in ("chain", "clock_mark", "audit_event")
    }
    db.close()
    return found


def test_all_of_it_arrives_and_goes_on_with_a_chain_of_its_own(used: World, tmp_path: Path) -> None:
    head = used.authority.perform(SignHead())
    before, before_head = rows(used.path), used.head()
    done = copied(used, tmp_path / "copy")
    assert (done.head, done.resumed) == (before_head, False)
    assert done.events == before_head.seq
    counts = {name: len(found) for name, found in before.items() if name != "setting"}
    assert {each.table: each.rows for each in done.tables} == {**counts, "audit_event": done.events}
    settings = before.pop("setting")
    after = rows(used.path)
    assert {name: found for name, found in after["setting"] if name != "sealed"} == dict(settings)
    assert {name: after[name] for name in before} == before, "nothing else of it was changed"
    with World(tmp_path / "copy") as other:
        assert other.authority.perform(VerifyLog(expected_head=head)).events == done.events + 1
        (told,) = other.events()[done.events :]
        assert (told["op"], told["from"], told["to"]) == ("ledger-copy", "sqlite", "sqlite")
        assert told["events"] == done.events
        assert (told["seq"], told["by"]) == (done.event, "tester")
        other.issue(task="LATER")
        other.check()
        differences = other.ledger.condition().schema().differences
        assert differences == other.ledger.condition().damage() == []
    after = rows(tmp_path / "copy")
    assert after["setting"] == settings
    for name, found in before.items():
        assert after[name][: len(found)] == found, name


def test_what_is_alive_stays_valid_and_what_is_dead_stays_dead(used: World, tmp_path: Path) -> None:
    alive, dead = used.issue(task="T1"), used.issue(task="T2")
    used.revoke(dead.id)
    copied(used, tmp_path / "copy")
    with World(tmp_path / "copy") as other:
        assert other.verify(alive.token).jti == alive.jti
        with pytest.raises(InvalidCredentialError):
            other.verify(dead.token)
        other.revoke(alive.id)
    with pytest.raises(IntegrityError, match="is sealed"):
        used.verify(alive.token)


@pytest.fixture
def in_small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commit three rows in each transaction."""
    monkeypatch.setattr(copy_rows, "_AT_ONCE", 3)


@pytest.mark.deep
@pytest.mark.usefixtures("in_small_pieces")
def test_a_copy_that_was_killed_is_gone_on_with(used: World, tmp_path: Path) -> None:
    """The copy can be killed at any step: there is no ledger before the last step, and a complete one after it."""
    to, steps = tmp_path / "copy", 0
    killed, events = True, used.check()
    while killed:
        killed = False
        with twin(used, tmp_path / f"from{steps}") as source:
            try:
                copied(source, to, Frail(str(to), steps))
            except KilledError:
                killed = True
                assert not folder.exists(str(to))
                # The time mark of the copy is then later than the mark at its beginning.
                source.clock.now += 60
                done = copied(source, to)
                assert done.resumed == (steps > 0) or steps == 0
            with World(to) as other:
                assert other.check() == events + 1
            must_be_sealed(source, to)
        shutil.rmtree(to)
        assert not [path.name for path in tmp_path.iterdir() if "copying" in path.name]
        steps += 1
    assert steps > 20


def test_a_copy_that_only_lacks_its_name_gets_it(
    used: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    to = tmp_path / "copy"

    def killed(*_: object) -> bool:
        raise KilledError

    with monkeypatch.context() as patch, pytest.raises(KilledError):
        patch.setattr(folder, "publish", killed)
        copied(used, to)
    assert not folder.exists(str(to))
    # The source was sealed before, so neither ledger is live.
    with pytest.raises(IntegrityError, match="is sealed") as caught:
        used.issue()
    assert f"repeat the copy if it is incomplete: jitid ledger copy --to {to}" in str(caught.value.hint)
    events = used.check()
    with pytest.raises(IntegrityError, match="is sealed"):
        copied(used, tmp_path / "elsewhere")
    with pytest.raises(IntegrityError, match="is sealed"):
        copied(used, to, issuer=NEW)
    assert copied(used, to).resumed
    with World(to) as other:
        assert other.check() == events
    must_be_sealed(used, to)


def _documents(world: World) -> Iterator[Document]:
    return world.authority.perform(MakePublication())


def test_a_copy_that_was_lost_before_it_was_published_is_made_anew(
    used: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    to = tmp_path / "copy"

    def killed(*_: object) -> bool:
        raise KilledError

    with monkeypatch.context() as patch, pytest.raises(KilledError):
        patch.setattr(folder, "publish", killed)
        copied(used, to)
    events = used.check()
    shutil.rmtree(tmp_path / ".copy.copying")
    assert not copied(used, to).resumed
    with World(to) as other:
        # The copy also has the event of the seal, but is not sealed itself.
        assert other.check() == events + 1
        other.issue(task="LATER")
    must_be_sealed(used, to)


def must_be_sealed(world: World, to: Path) -> None:
    """Check that a copied ledger cannot change, signs nothing, and can be read."""
    events = world.check()
    told = world.events()[-1]
    assert (told["op"], told["to"], told["done"]) == ("ledger-seal", str(to), True)
    with world.ledger.read() as snapshot:
        (live, *_) = CredentialStore(snapshot).credentials(
            Filter(), "id", descending=True, after=None, limit=1
        )
    with pytest.raises(IntegrityError, match=f"copied to `{to}`"):
        copied(world, to)
    refused: list[Callable[[], object]] = [
        lambda: world.issue(task="LATER"),
        lambda: world.revoke(live.id),
        lambda: world.retire("T1"),
        lambda: world.verify("x"),
        lambda: world.know("user:new"),
        lambda: world.authority.perform(Issue(requests=(request(),), dry_run=True)),
        lambda: world.authority.perform(Authenticate(bearer=Secret.single("x"))),
        lambda: world.authority.perform(Introspect(token=Secret.single("x"))),
        lambda: [*_documents(world)],
        lambda: world.authority.perform(PublishSshRevocations()),
        lambda: world.authority.perform(RotateKey(algorithm="EdDSA")),
        world.authority.check_issuing,
    ]
    for do in refused:
        with pytest.raises(IntegrityError, match="is sealed") as caught:
            do()
        assert caught.value.exit_status == ExitStatus.INTEGRITY
        assert str(to) in caught.value.message
    assert world.authority.perform(Inspect(id=live.id)).reason is not None
    world.authority.perform(SignHead())
    world.reopen()
    assert world.check() == events


def test_an_edit_of_a_seal_is_found(used: World, tmp_path: Path) -> None:
    copied(used, tmp_path / "copy")
    used.close()
    for change in (
        "DELETE FROM setting WHERE name = 'sealed'",
        "UPDATE setting SET value = 'x' WHERE name = 'sealed'",
    ):
        with twin(used, tmp_path / f"edited{len(change)}") as other:
            edit(other.path, change)
            other.reopen()
            with pytest.raises(IntegrityError):
                other.check()


@pytest.mark.usefixtures("in_small_pieces")
def test_an_older_attempt_is_begun_anew_once_the_ledger_has_changed(used: World, tmp_path: Path) -> None:
    to = tmp_path / "copy"
    with pytest.raises(KilledError):
        copied(used, to, Frail(str(to), 9))
    used.revoke(used.issue(task="T1").id)
    events = used.check()
    assert not copied(used, to).resumed
    with World(to) as other:
        assert other.check() == events + 1


def test_nobody_writes_while_it_is_copied(used: World) -> None:
    made = used.issue(task="T1")
    other = sqlite_ledger.connect(
        str(used.path / folder.DATABASE), str(used.path / folder.LOCK), by="", clock=used.clock, timeout=0.1
    )
    with SqliteSource(str(used.path), 1, used.clock) as source:
        with pytest.raises(StorageError, match="other writers held the ledger"), other.write():
            pass
        used.verify(made.token)
        assert source.head_now() == used.head()
    with other.write():
        pass
    other.close()


def test_whoever_has_written_all_the_same_is_noticed(used: World, tmp_path: Path) -> None:
    """A file system without locks allows such a write."""
    source = SqliteSource(str(used.path), 1, used.clock)
    db = sqlite3.connect(used.path / folder.DATABASE, isolation_level=None)
    target = SqliteTarget(str(tmp_path / "copy"))

    def write() -> None:
        db.execute(
            "INSERT INTO audit_event SELECT seq + 1, body, hash FROM audit_event ORDER BY seq DESC LIMIT 1"
        )

    index = target.index

    def late() -> None:
        write()
        index()

    target.index = late  # type: ignore[method-assign]
    with pytest.raises(StorageError, match="was changed during the copy"):
        copy(source, target, by="tester", furnish=lambda: None, progress=lambda _table, _rows: None)
    db.close()
    assert not folder.exists(str(tmp_path / "copy"))


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE credential SET scopes = 'db:*' WHERE id = 1",
        "UPDATE audit_event SET body = replace(body, 'alice', 'mallo') WHERE seq = 2",
        "DELETE FROM credential WHERE id = 2",
    ],
)
def test_a_ledger_that_was_tampered_with_is_not_copied(used: World, tmp_path: Path, change: str) -> None:
    edit(used.path, change)
    used.reopen()
    with pytest.raises(IntegrityError):
        copied(used, tmp_path / "copy")
    assert not folder.exists(str(tmp_path / "copy"))


def test_a_row_that_does_not_arrive_as_it_is_is_noticed(used: World, tmp_path: Path) -> None:
    target = SqliteTarget(str(tmp_path / "copy"))
    index = target.index

    def spoil() -> None:
        target._db.execute("UPDATE term SET text = 'other' WHERE id = 1")
        index()

    target.index = spoil  # type: ignore[method-assign]
    with pytest.raises(IntegrityError, match="table term differ in the copy"):
        copied(used, tmp_path / "copy", target)


def test_what_is_there_already_is_left_alone(used: World, tmp_path: Path) -> None:
    to = tmp_path / "copy"
    to.mkdir(mode=0o700)
    (to / "file").write_text("mine")
    with pytest.raises(UsageError, match="not empty"):
        copied(used, to)
    assert (to / "file").read_text() == "mine"


def test_two_do_not_copy_to_one_place(used: World, tmp_path: Path) -> None:
    with SqliteTarget(str(tmp_path / "copy")) as first:
        first.begin(NAMES, "mark", [], 1)
        with pytest.raises(BusyError, match="is in progress"):
            copied(used, tmp_path / "copy")


def test_a_copy_of_a_copy_knows_all_its_chains(used: World, tmp_path: Path) -> None:
    heads = [used.authority.perform(SignHead())]
    copied(used, tmp_path / "a")
    with World(tmp_path / "a") as first:
        first.issue(task="A")
        heads.append(first.authority.perform(SignHead()))
        copied(first, tmp_path / "b")
    with World(tmp_path / "b") as second:
        second.issue(task="B")
        heads.append(second.authority.perform(SignHead()))
        for head in heads:
            second.authority.perform(VerifyLog(expected_head=head))
        with second.ledger.read() as snapshot:
            assert [(chain.id, chain.epoch, chain.closed) for chain in snapshot.chains()] == [
                (1, 1, True),
                (2, 2, True),
                (3, 3, False),
            ]
    with pytest.raises(IntegrityError, match="older copy"):
        used.authority.perform(VerifyLog(expected_head=heads[2]))


NEW = "https://authority.example"


def test_under_another_issuer_what_was_issued_stays_valid(used: World, tmp_path: Path) -> None:
    parent, opaque = used.issue(task="T1", scopes=("repo:*",)), used.issue(task="T1", kind="opaque")
    head = used.authority.perform(SignHead())
    before = twin(used, tmp_path / "before")
    copied(used, tmp_path / "copy", issuer=NEW)
    with World(tmp_path / "copy") as other:
        assert other.ledger.names.issuers == (NEW, NAMES.issuer)
        made = other.issue(task="T1")
        child = other.issue(parent=parent.token, agent="coder", scopes=("repo:x",))
        for one in (parent, opaque, made, child):
            assert other.verify(one.token).jti == one.jti
        claims = {one.jti: jws.parse(one.token, types=jws.TOKENS).claims for one in (parent, made, child)}
        assert [claims[one.jti]["iss"] for one in (parent, made, child)] == [NAMES.issuer, NEW, NEW]
        assert claims[made.jti]["aud"] == NEW
        for one in (parent, made, child):
            told = other.authority.perform(Introspect(token=Secret.single(one.token)))
            assert told.issuer == claims[one.jti]["iss"]
        renewed = other.authority.perform(Renew(request=RenewRequest(Secret.single(parent.token))))
        assert jws.parse(renewed.credentials[0].secret.reveal(), types=jws.TOKENS).claims["iss"] == NEW
        other.authority.perform(VerifyLog(expected_head=head))
        assert other.events()[-4]["issuer"] == NEW
        other.revoke(parent.id)
        for one in (parent, child):
            with pytest.raises(InvalidCredentialError, match="revoked"):
                other.verify(one.token)
        copied(other, tmp_path / "back", issuer=NAMES.issuer)
    with World(tmp_path / "back") as back:
        assert back.ledger.names.issuers == (NAMES.issuer, NEW)
        assert back.verify(made.token).jti == made.jti
        back.check()
    with pytest.raises(InvalidCredentialError, match="another issuer"):
        before.verify(made.token)
    before.close()


def test_an_unknown_token_under_an_earlier_issuer_is_refused(used: World, tmp_path: Path) -> None:
    with twin(used, tmp_path / "before") as before:
        late = before.issue(task="T1")
    copied(used, tmp_path / "copy", issuer=NEW)
    with World(tmp_path / "copy") as other, pytest.raises(InvalidCredentialError, match="does not know"):
        other.verify(late.token)


@pytest.mark.parametrize("how", IN_USE)
def test_a_copy_does_not_take_the_name_of_a_service(world: World, tmp_path: Path, how: str) -> None:
    """In the copy, the authority would have the name of the service, and credentials for the service are live there."""
    IN_USE[how](world)
    before = world.head()
    with pytest.raises(UsageError, match="service"):
        copied(world, tmp_path / "copy", issuer=SERVICE)
    assert list(tmp_path.glob("*copy*")) == []
    # The source is neither copied nor sealed: it can issue, and be copied under another name.
    assert world.head() == before
    world.issue(task="T2")
    copied(world, tmp_path / "copy", issuer=NEW)
    with World(tmp_path / "copy") as copy:
        copy.clock.now = world.clock.now
        assert copy.ledger.names.issuer == NEW
        copy.check()
