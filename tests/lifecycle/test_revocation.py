"""Revoking and retiring: guarded, idempotent, cascading, and each of the dead can be named."""

from __future__ import annotations

import pytest

from jitid.auditing import LogFilter
from jitid.authority.operations import Inspect, ReadLog, Retire, Revoke
from jitid.errors import InvalidCredentialError, NotFoundError, UsageError
from jitid.ledger.records import Selection
from jitid.revocation import Ended
from jitid.secret import Secret
from tests.builders import NOW, Made, World, edit
from tests.values.hostile import NAUGHTY


def live(world: World, made: list[Made]) -> list[bool]:
    """Return which of them are active."""
    return [world.authority.perform(Inspect(id=one.id)).active for one in made]


def test_revoking_leaves_no_live_descendant(world: World) -> None:
    chain = world.chain(4)
    world.revoke(chain[1].jti)
    assert live(world, chain) == [True, False, False, False]
    assert world.authority.perform(Inspect(id=chain[1].id)).live_descendants == 0


def test_revoking_twice_changes_nothing(world: World) -> None:
    made = world.issue()
    first, head = world.revoke(made.id), world.head()
    second = world.revoke(made.id)
    assert (first.credentials, second.credentials, second.event) == (1, 0, None)
    assert world.head() == head


def test_each_of_the_dead_can_be_named_from_the_log(world: World) -> None:
    chain = world.chain(3)
    done = world.revoke(chain[0].id, reason="leaked")
    (event,) = world.authority.perform(ReadLog(chosen=LogFilter(event=done.event), limit=None, members=True))
    assert event["members"] == [made.jti for made in chain]
    assert (event["count"], event["reason"]) == (3, "leaked")


def test_an_empty_selection_is_a_usage_error(world: World) -> None:
    world.issue()
    with pytest.raises(UsageError):
        world.revoke()


@pytest.mark.parametrize("tree", [False, True])
def test_an_unknown_id_among_known_ones_changes_nothing(world: World, *, tree: bool) -> None:
    made = world.issue()
    ids = (made.id, "jid_" + "0" * 26)
    with pytest.raises(NotFoundError):
        world.revoke(*(() if tree else ids), trees=ids if tree else ())
    assert live(world, [made]) == [True]


@pytest.mark.parametrize("selection", [Selection(tasks=("T9",)), Selection(agents=("x",), tasks=("T1",))])
def test_a_selection_that_matches_nothing_is_not_found(world: World, selection: Selection) -> None:
    world.issue()
    with pytest.raises(NotFoundError):
        world.authority.perform(Revoke(selection=selection, most=None))


def test_more_than_was_allowed_is_not_ended(world: World) -> None:
    chain = world.chain(3)
    with pytest.raises(UsageError, match="3 live credentials"):
        world.authority.perform(Revoke(selection=Selection(tasks=("T1",)), most=2))
    assert live(world, chain) == [True] * 3
    done = world.authority.perform(Revoke(selection=Selection(tasks=("T1",)), most=3))
    assert done.credentials == 3


def test_a_dry_run_tells_and_does_nothing(world: World) -> None:
    chain, head = world.chain(3), world.head()
    foreseen = world.authority.perform(
        Revoke(selection=Selection(ids=(chain[1].id,)), most=None, dry_run=True)
    )
    retiring = world.authority.perform(Retire(task="T1", dry_run=True))
    assert (foreseen.radius.credentials, retiring.radius.credentials) == (2, 3)
    assert foreseen.radius.offline_until == NOW + 900
    assert world.head() == head


def test_a_dry_run_does_not_count_what_has_expired(world: World) -> None:
    world.issue(ttl=60)
    world.issue(ttl=120)
    world.clock.now += 60
    foreseen = world.authority.perform(Revoke(selection=Selection(tasks=("T1",)), most=None, dry_run=True))
    assert foreseen.radius.credentials == 1


def test_a_token_names_its_identity(world: World) -> None:
    chain = world.chain(2, kind="opaque")
    world.authority.perform(Revoke(selection=Selection(), tokens=(Secret.single(chain[0].token),), most=None))
    assert live(world, chain) == [False, False]


def test_what_has_a_time_that_is_none_ends_all_the_same(world: World) -> None:
    made = world.issue()
    edit(world.path, "UPDATE credential SET expires_at = 'never'")
    assert world.authority.perform(Revoke(selection=Selection(ids=(made.id,)), most=None)).credentials == 1
    with world.ledger.read() as snapshot:
        assert list(snapshot.ask("SELECT credentials, expires_at FROM honoured", {})) == [(1, 0)]


def test_a_forged_token_revokes_nothing(world: World) -> None:
    made = world.issue()
    forged = made.token[:-4] + "AAAA"
    with pytest.raises(InvalidCredentialError):
        world.authority.perform(Revoke(selection=Selection(), tokens=(Secret.single(forged),), most=None))
    assert live(world, [made]) == [True]


def test_retiring_ends_the_task_with_all_that_descends_from_it(world: World) -> None:
    parent = world.issue(task="T1")
    child = world.issue(parent=parent.token, task="T2")
    other = world.issue(task="T2")
    done = world.retire("T1")
    assert (done.credentials, done.task) == (2, "T1")
    assert live(world, [parent, child, other]) == [False, False, True]


def test_retiring_twice_changes_nothing(world: World) -> None:
    world.issue()
    world.retire("T1")
    head = world.head()
    world.clock.now += 60
    assert world.retire("T1") == Ended(world.retire("T1").radius, 0, None, "T1")
    assert world.head() == head


def test_a_task_that_never_was_cannot_be_retired(world: World) -> None:
    with pytest.raises(NotFoundError):
        world.retire("T1")


def test_a_hostile_reason_comes_back_unchanged(world: World) -> None:
    for text in NAUGHTY:
        done = world.revoke(world.issue(kind="opaque").id, reason=text)
        (event,) = world.authority.perform(ReadLog(chosen=LogFilter(event=done.event), limit=None))
        assert event["reason"] == text
    world.check()


def test_half_a_character_is_no_reason(world: World) -> None:
    made = world.issue()
    with pytest.raises(UsageError):
        world.revoke(made.id, reason="\udcff")
    with pytest.raises(UsageError):
        world.authority.perform(Retire(task="T1", reason="\udcff"))
