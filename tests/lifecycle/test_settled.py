"""Whoever reads the audit log on from a number misses nothing, though a lower number may be committed later."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from jitid.auditing import LogFilter
from jitid.authority.operations import FollowLog, ReadLog, SignHead, VerifyLog
from tests.builders import Clock, make_database, open_postgres
from tests.lifecycle.test_moving import DatabaseWorld


@pytest.fixture
def world(tmp_path: Path, postgres_url: str) -> Iterator[DatabaseWorld]:
    """Return a ledger to which many write at a time."""
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
    """A number that an undone transaction left free is taken by the next one."""
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
