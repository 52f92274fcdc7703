"""Revoking and retiring: limited, idempotent and cascading. The log identifies each ended credential."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from jitid.capabilities.audit.audit_log import LogFilter
from jitid.capabilities.directory.operations import SuspendAgent
from jitid.capabilities.identity.revocation_result import Ended
from jitid.capabilities.identity.store import CredentialStore
from jitid.capabilities.integrity.operations import ReadLog
from jitid.capabilities.inventory.operations import Inspect, Retire, Revoke, ShowTask
from jitid.capabilities.issue.operations import AbandonRenewal
from jitid.capabilities.trust.operations import PublishKeys, RevokeKey, RotateKey
from jitid.errors import InvalidCredentialError, NotFoundError, PolicyDeniedError, UsageError
from jitid.model.ledger_rows import Selection
from jitid.operation.base import Operation
from jitid.values.secret import Secret, fingerprint
from tests.builders import NOW, Made, World, edit
from tests.capabilities.issue.test_lines import OVERLAP, attach, issue, renew, verify
from tests.values.hostile import NAUGHTY


def live(world: World, made: list[Made]) -> list[bool]:
    """Return whether each credential is active."""
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


@pytest.mark.parametrize(
    "by", ["ids", "trees", "tasks", "agents", "delegators", "fingerprints", "task of another"]
)
def test_a_search_of_the_log_finds_each_end(world: World, by: str) -> None:
    """By task, agent or delegator, with any selection in the request, but not the ends of others."""
    root = world.issue(agent="planner", task="T1")
    child = world.issue(parent=root.token, agent="coder", task=None, delegator=None)
    other = world.issue(agent="tester", task="T2", delegator="user:bob")
    values: dict[str, Any] = {
        "ids": child.id,
        "trees": root.id,
        "tasks": "user:alice/T1",
        "agents": "coder",
        "delegators": "user:alice",
        "fingerprints": fingerprint(root.token),
    }
    stated: dict[str, Any] = {by: (values[by],)} if by in values else {"ids": (other.id,)}
    done = world.authority.perform(Revoke(selection=Selection(**stated), most=None))

    def found(**chosen: Any) -> bool:
        log = world.authority.perform(ReadLog(chosen=LogFilter(operation="revoke", **chosen), limit=None))
        assert {event["seq"] for event in log} <= {done.event}
        return bool(log)

    expected = by in values
    for chosen in (
        {"task": "T1"},
        {"task": "user:alice/T1"},
        {"agent": "coder"},
        {"delegator": "user:alice"},
    ):
        assert found(**chosen) == expected
    for chosen in ({"task": "T2"}, {"task": "user:bob/T2"}, {"agent": "tester"}, {"delegator": "user:bob"}):
        assert found(**chosen) != expected
    assert not found(task="T1", after=done.event)
    assert not found(task="T3")


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
        assert list(snapshot.query("SELECT credentials, expires_at FROM honoured", {})) == [(1, 0)]


def test_a_forged_token_revokes_nothing(world: World) -> None:
    made = world.issue()
    forged = made.token[:-4] + "AAAA"
    with pytest.raises(InvalidCredentialError):
        world.authority.perform(Revoke(selection=Selection(), tokens=(Secret.single(forged),), most=None))
    assert live(world, [made]) == [True]


# An ended token still names its identity: a leaked token is often an old one.


def _superseded(world: World) -> tuple[Made, Made]:
    old = issue(world, ttl=600)
    change_key(world)
    new = renew(world, old, 900)
    world.clock.now += OVERLAP + 1
    return old, new


def _in_its_overlap(world: World) -> tuple[Made, Made]:
    old = issue(world, ttl=600)
    change_key(world)
    return old, renew(world, old, 900)


def _abandoned(world: World) -> tuple[Made, Made]:
    first = issue(world)
    change_key(world)
    second = renew(world, first, 900)
    world.authority.perform(AbandonRenewal(token=Secret.single(second.token)))
    return second, first


def _attached(world: World) -> tuple[Made, Made]:
    held = issue(world)
    change_key(world)
    beside = attach(world, held, ttl=60, kind="jwt")
    world.clock.now += 60
    return beside, held


def _successor_of_its_successor(world: World) -> tuple[Made, Made]:
    old, new = _superseded(world)
    change_key(world)
    newest = renew(world, new, 900)
    world.clock.now += OVERLAP + 1
    return old, newest


def change_key(world: World) -> None:
    """Rotate the key, so that another key signs later credentials."""
    world.authority.perform(RotateKey(algorithm="EdDSA"))


OLD = (_superseded, _in_its_overlap, _abandoned, _attached, _successor_of_its_successor)
"""Each function returns a token, and a live token of the same identity with another signing key."""


def _of(made: Made, kid: str, by: str) -> Operation[Any]:
    match by:
        case "key":
            return RevokeKey(kid=kid, most=None)
        case "kid":
            return Revoke(selection=Selection(kids=(kid,)), most=None)
        case "jti":
            return Revoke(selection=Selection(ids=(made.jti,)), most=None)
        case "tree":
            return Revoke(selection=Selection(trees=(made.jti,)), most=None)
        case "fingerprint":
            return Revoke(selection=Selection(fingerprints=(fingerprint(made.token),)), most=None)
        case _:
            return Revoke(selection=Selection(), tokens=(Secret.single(made.token),), most=None)


@pytest.mark.deep
@pytest.mark.parametrize("by", ["key", "kid", "jti", "tree", "fingerprint", "token"])
@pytest.mark.parametrize("make", OLD)
def test_what_has_ended_ends_all_of_its_identity(
    lenient: World, make: Callable[[World], tuple[Made, Made]], by: str
) -> None:
    world = lenient
    old, living = make(world)
    change_key(world)
    child = issue(world, parent=living.token, task="T1/2")
    below = issue(world, parent=child.token)
    apart = issue(world)
    with world.ledger.read() as snapshot:
        (row,) = CredentialStore(snapshot).find_given([old.jti], [])
    assert row.signed_by is not None
    for made in (living, child, below, apart):
        verify(world, made)
    world.authority.perform(_of(old, row.signed_by, by))
    for made in (old, living, child, below):
        with pytest.raises(InvalidCredentialError):
            verify(world, made)
    verify(world, apart)
    assert world.authority.perform(Inspect(id=old.id)).live_descendants == 0
    world.check()


def test_retiring_ends_the_task_with_all_that_descends_from_it(world: World) -> None:
    parent = world.issue(task="T1")
    child = world.issue(parent=parent.token, task="T1/2")
    other = world.issue(task="T1/2")
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


NOTHING_LIVES: dict[str, Callable[[World, Made], object]] = {
    "revoked": lambda world, made: world.revoke(made.id),
    "expired": lambda world, made: setattr(world.clock, "now", made.issued.expires_at),
    "suspended": lambda world, _: world.authority.perform(SuspendAgent(name="planner", most=None)),
}


@pytest.mark.parametrize("how", NOTHING_LIVES)
def test_a_task_of_which_nothing_lives_is_retired_all_the_same(world: World, how: str) -> None:
    """Otherwise new credentials could be issued on the task."""
    world.register()
    made = world.issue()
    NOTHING_LIVES[how](world, made)
    done = world.retire("T1")
    assert (done.credentials, done.task, done.event is not None) == (0, "T1", True)
    row = world.authority.perform(ShowTask(name="T1"))
    assert row.task.ended_at == world.clock.now
    with pytest.raises(PolicyDeniedError, match="task-ended"):
        world.issue(agent="other")
    assert world.retire("T1").event is None
    world.check()


@pytest.mark.parametrize("how", NOTHING_LIVES)
def test_a_key_of_which_nothing_lives_is_revoked_all_the_same(world: World, how: str) -> None:
    """Otherwise the key would still sign and be published."""
    world.register()
    made = world.issue()
    NOTHING_LIVES[how](world, made)
    (kid,) = [key["kid"] for key in world.authority.perform(PublishKeys())["keys"]]
    done = world.authority.perform(RevokeKey(kid=kid, most=None))
    assert done.event is not None
    assert [key["kid"] for key in world.authority.perform(PublishKeys())["keys"]] == [done.successor]
    assert world.verify(world.issue(agent="other").token).signed_by == done.successor
    assert world.authority.perform(RevokeKey(kid=kid, most=None)).event is None
    world.check()


def test_a_task_that_never_was_cannot_be_retired(world: World) -> None:
    with pytest.raises(NotFoundError):
        world.retire("T1")


@pytest.mark.deep
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
