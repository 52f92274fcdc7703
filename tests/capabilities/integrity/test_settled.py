"""Reading the audit log from a number on: no event is missed, although a lower number may be committed later."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from jitid.capabilities.audit.audit_log import LogFilter
from jitid.capabilities.integrity.operations import FollowLog, ReadLog, SignHead, VerifyLog
from jitid.capabilities.sweep.finding import Finding, Thresholds
from jitid.capabilities.sweep.operations import Sweep
from jitid.errors import IntegrityError
from tests.backup.test_moving import DatabaseWorld
from tests.builders import Clock, make_database, open_postgres


@pytest.fixture
def world(tmp_path: Path, postgres_url: str) -> Iterator[DatabaseWorld]:
    """Return a ledger that accepts concurrent writers."""
    make_database(postgres_url, tmp_path / "home")
    with DatabaseWorld(tmp_path / "home", postgres_url) as world:
        yield world


def seqs(world: DatabaseWorld, after: int) -> list[int]:
    """Return the numbers of the events that `audit log --after` shows."""
    return [
        event["seq"] for event in world.authority.perform(ReadLog(chosen=LogFilter(after=after), limit=None))
    ]


def test_a_number_is_shown_once_nothing_can_come_before_it(world: DatabaseWorld, postgres_url: str) -> None:
    other = open_postgres(postgres_url, Clock())
    follow = FollowLog(chosen=LogFilter(after=1), limit=10)
    with other.write(shared=True) as slow:
        assert slow.next_seq() == 2
        with world.ledger.write(shared=True) as quick:
            assert quick.append("note", {}).seq == 3
        assert [event["seq"] for event in world.events()] == [1, 3]
        assert seqs(world, 1) == []
        page = world.authority.perform(follow)
        assert (page.events, page.seen) == ([], 1)
        slow.append("note", {})
    assert seqs(world, 1) == [2, 3]
    page = world.authority.perform(follow)
    assert ([event["seq"] for event in page.events], page.seen) == ([2, 3], 3)
    other.close()


def test_what_shuts_everybody_out_is_shown_at_once(world: DatabaseWorld, postgres_url: str) -> None:
    """The next transaction uses a number that was left free by a rollback."""
    other = open_postgres(postgres_url, Clock())
    with pytest.raises(ZeroDivisionError), other.write(shared=True) as slow:
        assert slow.next_seq() == 2
        with world.ledger.write(shared=True) as quick:
            quick.append("note", {})
        raise ZeroDivisionError
    made = world.issue(task="T1")
    world.revoke(made.id)
    assert seqs(world, 1) == [event["seq"] for event in world.events()][1:]
    other.close()


def test_a_head_is_run_through_whichever_chain_went_on(world: DatabaseWorld, postgres_url: str) -> None:
    heads = [world.authority.perform(SignHead())]
    others = [open_postgres(postgres_url, Clock()) for _ in range(3)]
    for ledger in others:
        with ledger.write(shared=True) as transaction:
            transaction.append("note", {})
        heads.append(world.authority.perform(SignHead()))
    with others[0].write(shared=True), others[1].write(shared=True) as transaction:
        transaction.append("note", {})
    heads.append(world.authority.perform(SignHead()))
    for head in heads:
        assert world.authority.perform(VerifyLog(expected_head=head)).events == 5
    for ledger in others:
        ledger.close()


def gaps(world: DatabaseWorld, head: str, *, reread: bool = False) -> list[str]:
    """Return the audit gaps that a sweep reports if it reads on from a kept head."""
    asking = Sweep(rules=("audit-gap",), limits=Thresholds(), heads=(("kept", head),), reread=reread)
    return [one.summary for one in world.authority.perform(asking) if isinstance(one, Finding)]


def tamper(address: str, *statements: str) -> None:
    """Change the database directly, without the ledger."""
    with psycopg.connect(address, options="-c search_path=jitid") as db:
        db.execute("ALTER TABLE audit_event DISABLE TRIGGER ALL")
        for statement in statements:
            db.execute(statement)


CUT = "DELETE FROM audit_event WHERE seq = (SELECT max(seq) FROM audit_event)"
TAMPERED = {
    "a tail that was cut": [CUT],
    "a tail that was cut with its chain": [
        CUT,
        "UPDATE chain SET length = 0, hash = sha256('') WHERE id = 4",
    ],
    "an event that was edited": ["UPDATE audit_event SET body = body || ' ' WHERE seq = 4"],
    "an event that was removed": ["DELETE FROM audit_event WHERE seq = 3"],
    "a chain that was removed": ["DELETE FROM chain WHERE id = 7"],
    "a chain that was shortened": ["UPDATE chain SET length = length - 1 WHERE id = 4"],
}


@pytest.mark.parametrize("how", TAMPERED)
def test_a_sweep_that_reads_on_finds_what_was_changed(
    world: DatabaseWorld, postgres_url: str, how: str
) -> None:
    world.issue(task="T1")
    head = world.authority.perform(SignHead())
    for _ in range(2):
        world.issue(task="T1")
    later = world.authority.perform(SignHead())
    assert gaps(world, head) == gaps(world, later) == gaps(world, later, reread=True) == []
    tamper(postgres_url, *TAMPERED[how])
    assert gaps(world, head, reread=True)
    assert gaps(world, later, reread=True)
    for kept in (None, later):
        with pytest.raises(IntegrityError):
            world.authority.perform(VerifyLog(expected_head=kept))
