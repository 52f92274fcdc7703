"""Repeated requests with the same idempotency key: at most one of their results is valid at any time."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from jitid.capabilities.access import grant as access
from jitid.capabilities.access import operations as accesses
from jitid.capabilities.access.grant import AccessRequest
from jitid.capabilities.identity.filter_store import Filter
from jitid.capabilities.identity.store import CredentialStore
from jitid.capabilities.issue import operations as issue_operations
from jitid.capabilities.issue.issue_result import Issued
from jitid.capabilities.issue.token_operations import Exchange
from jitid.errors import (
    ApprovalNeededError,
    InvalidCredentialError,
    JitidError,
    PolicyDeniedError,
    UnauthenticatedError,
    UsageError,
)
from jitid.ledger.idempotency import REMEMBERED, IdempotencyStore
from jitid.model.access import AccessState, Caller
from jitid.model.request import RenewRequest
from jitid.values.secret import Secret
from tests.authority.callers import ask, bearer, caller, issue, told
from tests.builders import World, policed, request

BOB = caller(key="k1")


def live(world: World) -> list[str]:
    """Return the ids of the live credentials, in the order of issue."""
    with world.ledger.read() as snapshot:
        found = CredentialStore(snapshot).credentials(
            Filter(live=True), "issued_at", descending=False, after=None, limit=99
        )
    return [one.jti for one in found]


def jtis(*issued: Issued) -> list[str]:
    """Return the ids of the issued credentials."""
    return [credential.jti for one in issued for credential in one.credentials]


def test_the_same_again_takes_the_place_of_the_first(world: World) -> None:
    first = issue(world, BOB, delegator=None)
    second = issue(world, BOB, delegator=None)
    assert live(world) == jtis(second)
    with pytest.raises(InvalidCredentialError):
        world.verify(bearer(first).reveal())
    assert told(world, "revoke")[-1]["reason"] == "the answer that had it was lost"
    third = issue(world, BOB, delegator=None)
    assert live(world) == jtis(third)
    assert world.check()


def test_another_key_or_none_is_another_request(world: World) -> None:
    made = [issue(world, caller(key=key), delegator=None) for key in ("a", "b", None, None)]
    assert live(world) == jtis(*made)


def test_a_key_is_its_callers(world: World) -> None:
    made = [issue(world, caller(name, key="k"), delegator=None) for name in ("user:bob", "user:eve")]
    assert live(world) == jtis(*made)


def test_agents_of_one_name_are_many(world: World) -> None:
    parents = [issue(world, caller(), delegator=None, scopes=("repo:read",)) for _ in range(2)]
    for parent in parents:
        (one,) = parent.credentials
        agent = Caller("agent:planner", frozenset(), credential=one.jti, agent="planner", key="k")
        issue(world, agent, parent=one.secret, agent="coder", scopes=("repo:read",))
    assert len(live(world)) == 4


def test_what_descends_from_it_ends_too(world: World) -> None:
    first = issue(world, BOB, delegator=None, scopes=("repo:read",))
    world.issue(parent=bearer(first).reveal(), agent="coder", scopes=("repo:read",))
    second = issue(world, BOB, delegator=None, scopes=("repo:read",))
    assert live(world) == jtis(second)


@pytest.mark.parametrize(
    "change",
    [
        {"task": "T2"},
        {"scopes": ("repo:read",)},
        {"delegator": "user:bob"},
        {"copies": 2},
    ],
)
def test_a_key_is_for_one_request(world: World, change: dict[str, Any]) -> None:
    first = issue(world, BOB, delegator=None)
    head = world.head()
    with pytest.raises(UsageError, match="used for another request"):
        issue(world, BOB, **{"delegator": None, **change})
    assert live(world) == jtis(first)
    assert world.head() == head


def test_a_renewal_is_no_issue_under_the_same_key(world: World) -> None:
    first = issue(world, BOB, delegator=None)
    with pytest.raises(UsageError):
        ask(world, BOB, issue_operations.Renew(request=RenewRequest(bearer(first))))


def test_all_copies_are_made_anew(world: World) -> None:
    requests = (request(delegator=None, copies=3), request(delegator=None, task="T2", copies=2))
    ask(world, BOB, issue_operations.Issue(requests=requests))
    between = world.issue(task="T3")
    second = ask(world, BOB, issue_operations.Issue(requests=requests))
    assert sorted(live(world)) == sorted([between.jti, *jtis(*second)])


def test_a_limit_of_one_counts_what_was_lost_no_longer(world: World) -> None:
    world.know("user:owner")
    world.register("planner", owner="user:owner", concurrency=1, users=("user:bob",))
    issue(world, BOB, delegator=None)
    second = issue(world, BOB, delegator=None)
    assert live(world) == jtis(second)


def test_what_is_refused_the_second_time_ends_all_the_same(world: World) -> None:
    issue(world, BOB, delegator=None)
    world.retire("T1")
    issue(world, caller(key="k2"), delegator=None, task="T2")
    world.know("user:bob", sensitivity="low")
    with pytest.raises(PolicyDeniedError):
        issue(world, caller(key="k2"), delegator=None, task="T2")
    assert live(world) == []


def test_what_was_approved_once_is_not_alive_after_a_lost_answer(world: World) -> None:
    """The approval is used up: the first credential is revoked, and the repeated request needs a new approval."""
    issue(world, BOB, delegator=None)
    asking = '@id("ask") @approval("crew") permit (principal, action, resource);'
    world.terms = policed(world.terms, [("p.cedar", asking)])
    world.reopen()
    with pytest.raises(ApprovalNeededError):
        issue(world, BOB, delegator=None)
    assert live(world) == []


def test_a_renewal_again_leaves_one_successor(world: World) -> None:
    token = bearer(issue(world, caller(), delegator=None))
    renew = issue_operations.Renew(request=RenewRequest(token))
    first = ask(world, BOB, renew)
    second = ask(world, BOB, renew)
    world.clock.now += world.terms.overlap
    world.issue(task="T9")
    assert jtis(second)[0] in live(world)
    assert jtis(first)[0] not in live(world)
    with pytest.raises(InvalidCredentialError):
        world.verify(token.reveal())


def test_a_renewal_asked_for_again_too_late_leaves_nothing(world: World) -> None:
    """The predecessor has ended by then, and is not made valid again."""
    token = bearer(issue(world, caller(), delegator=None))
    renew = issue_operations.Renew(request=RenewRequest(token))
    ask(world, BOB, renew)
    world.clock.now += world.terms.overlap + 1
    with pytest.raises(InvalidCredentialError):
        ask(world, BOB, renew)
    assert live(world) == []


def test_an_exchange_comes_again_though_nobody_named_its_task(world: World) -> None:
    parent = bearer(issue(world, caller(), delegator=None))
    exchange = Exchange(
        request=request(delegator=None, task=None, agent="bob"), subject=parent, subject_sort="jwt"
    )
    ask(world, BOB, exchange)
    second = ask(world, BOB, exchange)
    assert live(world)[1:] == jtis(second)


def test_access_is_granted_once(world: World) -> None:
    admin = caller("user:root", "admin", key="k")
    grant = accesses.GrantAccess(wanted=AccessRequest("user:alice", ("issuer",)))
    first, second = (ask(world, admin, grant) for _ in range(2))
    assert first.secret is not None
    assert second.secret is not None
    with pytest.raises(UnauthenticatedError):
        world.authority.perform(accesses.Authenticate(bearer=first.secret))
    assert world.authority.perform(accesses.Authenticate(bearer=second.secret)).name == "user:alice"


@pytest.mark.parametrize("own", [True, False])
def test_access_is_rotated_once(world: World, *, own: bool) -> None:
    old = world.authority.perform(accesses.GrantAccess(wanted=AccessRequest("user:alice")))
    who = caller("user:alice", credential=old.access.id, key="k")
    if not own:
        who = caller("user:root", "admin", key="k")
    rotate = accesses.RotateAccess(id=old.access.id)
    first, second = (ask(world, who, rotate) for _ in range(2))
    with world.ledger.read() as snapshot:
        states = [access.find(snapshot, one.access.id).state_at(snapshot.now) for one in (first, second)]
    assert states == [AccessState.REVOKED, AccessState.ACTIVE]


def test_a_key_is_forgotten_after_a_day(world: World) -> None:
    issue(world, BOB, delegator=None)
    world.clock.now += REMEMBERED
    with world.ledger.write() as transaction:
        assert IdempotencyStore(transaction).find("user:bob", "k1") is None
    issue(world, BOB, delegator=None, task="T2")
    with world.ledger.read() as snapshot:
        assert list(snapshot.query("SELECT count(*) FROM idempotency", {})) == [(1,)]


def test_nothing_of_the_request_is_kept(kept: World) -> None:
    parent = issue(kept, caller(), delegator=None)
    token = bearer(parent).reveal()
    issue(kept, BOB, parent=Secret.single(token), agent="coder")
    kept.close()
    for path in kept.path.rglob("*"):
        assert not path.is_file() or token.encode() not in path.read_bytes()


def test_many_that_ask_at_once_under_one_key_leave_one(kept: World) -> None:
    """Each thread has a separate connection, like the processes of an authority."""
    kept.issue(task="T0")
    barrier = threading.Barrier(8)
    failures: list[JitidError] = []

    def work() -> None:
        with World(kept.path) as other:
            barrier.wait()
            try:
                issue(other, BOB, delegator=None)
            except JitidError as error:
                failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert len(live(kept)) == 2
    assert kept.check()
