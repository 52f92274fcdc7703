"""A caller behind a request for approval can neither approve it nor present an approver's token.

The tests combine each way to take part in an identity, alone or two in a row, with each part of the identity in a
request. No table lists the combinations that count: all do.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from jitid.capabilities.access.operations import Authenticate
from jitid.capabilities.directory.operations import AddDelegator, DisableDelegator, EnableDelegator
from jitid.capabilities.directory.roster.roster_entry import StatedDelegator
from jitid.capabilities.issue import approval_request
from jitid.capabilities.issue import operations as issue_operations
from jitid.capabilities.issue.approval_operations import FindApprovals, GrantApproval
from jitid.capabilities.issue.approval_request import _MOST_IDENTITIES
from jitid.capabilities.issue.approval_store import ApprovalStore
from jitid.capabilities.issue.issue_result import Issued
from jitid.capabilities.issue.token_operations import Exchange
from jitid.capabilities.use.authorization import UseRequest, check_action, check_resource
from jitid.capabilities.use.operations import Authorize
from jitid.errors import ApprovalNeededError, InvalidCredentialError, PolicyDeniedError
from jitid.model.access import Caller, OidcIssuer, TokenType
from jitid.model.approval import ApprovalState
from jitid.model.request import RenewRequest
from jitid.values.secret import Secret
from tests.authority.callers import ask, bearer, caller, issue
from tests.authority.test_presenting import ISSUER, POLICY, foreign
from tests.builders import World, request
from tests.capabilities.integrity.test_retention import prune, wait
from tests.crypto.signed import P256, jwk

GATE, MALLORY, ROOT = caller("system:gate"), caller("user:mallory"), caller("user:root", "admin")
WIDE = ("*:out",)
"""Scopes that need no approval, although a child with a narrower scope does."""


class Hand(NamedTuple):
    """A person, or an identity with its token."""

    who: Caller
    token: Secret | None = None


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Return a ledger with the approvers alice and bob; its authority trusts the ID tokens of an issuer."""
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps({"keys": [jwk(P256, kid="k")]}))
    keys.chmod(0o644)
    issuer = OidcIssuer(ISSUER, str(keys), "jitid", names=("*@example.com",))
    with World(tmp_path / "ledger", oidc=(issuer,), policy=[("p.cedar", POLICY)]) as made:
        for name in ("alice", "bob", "sam"):
            groups = () if name == "sam" else ("security",)
            made.know(f"user:{name}", groups=groups, aliases=(f"{ISSUER} {name}@example.com",))
        made.register("alice@example.com", owner="user:alice")
        yield made


_numbers = count()


def _wanted(**fields: Any) -> Any:
    return request(**{"agent": "worker", "delegator": None, "task": f"T-{next(_numbers)}", **fields})


def _by_id_token(
    world: World,
    hand: Hand,
    scopes: tuple[str, ...] = WIDE,
    proves: str = "sam@example.com",
    **more: Any,
) -> Issued:
    operation = issue_operations.Issue(
        requests=(_wanted(scopes=scopes, **more),), delegator_token=foreign(proves)
    )
    return ask(world, hand.who, operation)[0]


def _delegated(
    world: World, hand: Hand, scopes: tuple[str, ...] = WIDE, who: Caller | None = None, **more: Any
) -> Issued:
    (made,) = ask(
        world,
        who or hand.who,
        issue_operations.Issue(requests=(_wanted(parent=hand.token, task=None, scopes=scopes, **more),)),
    )
    return made


def _as_actor(world: World, hand: Hand, scopes: tuple[str, ...] = WIDE) -> Issued:
    actor = hand.token or foreign("alice@example.com")
    wanted = _wanted(scopes=scopes, agent=None)
    sort: TokenType = "access_token" if hand.token else "id_token"
    return ask(
        world,
        GATE,
        Exchange(request=wanted, subject=foreign("sam@example.com"), actor=actor, actor_sort=sort),
    )


def _renewed(world: World, hand: Hand) -> Issued:
    innocent = issue(world, caller("user:sam"), **_wanted(scopes=WIDE)._asdict())
    world.clock.now += 60
    return ask(world, hand.who, issue_operations.Renew(request=RenewRequest(bearer(innocent))))


OF_PERSONS: dict[str, Callable[[World, Hand], Issued]] = {
    "delegates": lambda world, hand: issue(world, hand.who, **_wanted(scopes=WIDE)._asdict()),
    "issues by a role": lambda world, hand: issue(
        world, caller(hand.who.name, "issuer"), **_wanted(delegator="user:sam", scopes=WIDE)._asdict()
    ),
}
OF_ALL: dict[str, Callable[[World, Hand], Issued]] = {
    "issues by an ID token": _by_id_token,
    "acts in an exchange": _as_actor,
    "renews": _renewed,
}
OF_IDENTITIES: dict[str, Callable[[World, Hand], Issued]] = {"delegates to another": _delegated}
PARTS: dict[str, Callable[[World, Hand], Issued]] = {
    "asks by an ID token": lambda world, hand: _by_id_token(world, hand, ("pay:out",)),
    "asks for a child": lambda world, hand: _delegated(world, hand, ("pay:out",)),
    "is the parent for another caller": lambda world, hand: _delegated(world, hand, ("pay:out",), MALLORY),
    "is the actor": lambda world, hand: _as_actor(world, hand, ("pay:out",)),
}


def _identity(world: World, made: Issued) -> Hand:
    return Hand(world.authority.perform(Authenticate(bearer=bearer(made))), bearer(made))


def _requested(asks: Callable[[], object]) -> str:
    with pytest.raises(ApprovalNeededError) as needed:
        asks()
    return needed.value.requests[0]


def _must_not_approve(world: World, id_: str, who: Caller) -> None:
    with pytest.raises(PolicyDeniedError, match="approver-requester"):
        ask(world, who, GrantApproval(id=id_))
    with pytest.raises(PolicyDeniedError, match="approver-requester"):
        ask(world, who, GrantApproval(id=id_, approver_token=foreign("bob@example.com")))


@pytest.mark.deep
@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("then", ["", *OF_ALL, *OF_IDENTITIES])
@pytest.mark.parametrize("first", [*OF_PERSONS, *OF_ALL])
def test_who_had_a_hand_in_an_identity_does_not_approve_of_what_it_has_a_part_in(
    world: World, first: str, then: str, part: str
) -> None:
    alice, bob = caller("user:alice"), caller("user:bob")
    hand = _identity(world, {**OF_PERSONS, **OF_ALL}[first](world, Hand(alice)))
    if then:
        hand = _identity(world, {**OF_ALL, **OF_IDENTITIES}[then](world, hand))
    id_ = _requested(lambda: PARTS[part](world, hand))
    _must_not_approve(world, id_, alice)
    ask(world, bob, GrantApproval(id=id_))
    assert world.check()


@pytest.mark.parametrize("part", ["asks by an ID token", "is the actor"])
def test_who_asks_does_not_approve_themselves(world: World, part: str) -> None:
    id_ = _requested(lambda: PARTS[part](world, Hand(caller("user:alice"))))
    _must_not_approve(world, id_, caller("user:alice"))
    ask(world, caller("user:bob"), GrantApproval(id=id_))


def test_what_too_much_led_to_nobody_approves(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each poll examines the whole history, under a lock that blocks all other requests."""
    made = issue(world, caller("user:sam"), **_wanted(scopes=WIDE)._asdict())
    for _ in range(50):
        world.clock.now += 2
        made = ask(
            world, _identity(world, made).who, issue_operations.Renew(request=RenewRequest(bearer(made)))
        )
    hand = _identity(world, made)
    id_ = _requested(lambda: _delegated(world, hand, ("pay:out",)))
    with monkeypatch.context() as patched:
        patched.setattr(approval_request, "_MOST_BYTES", 20_000)
        with pytest.raises(PolicyDeniedError, match="its history is too long"):
            ask(world, caller("user:bob"), GrantApproval(id=id_))
    ask(world, caller("user:bob"), GrantApproval(id=id_))


def test_whose_rows_were_pruned_may_be_anybody(world: World) -> None:
    alice = Hand(caller("user:alice"))
    short = _identity(world, _by_id_token(world, alice, ttl=60))
    hand = _identity(world, _by_id_token(world, short, ttl=4 * 3600))
    wait(world, 2 * 3600)
    id_ = _requested(lambda: _delegated(world, hand, ("pay:out",)))
    with pytest.raises(PolicyDeniedError, match="approver-requester"):
        ask(world, alice.who, GrantApproval(id=id_))
    assert prune(world, rows_after=3600).rows["credentials"] == 1
    for who in (alice.who, caller("user:bob")):
        with pytest.raises(PolicyDeniedError, match="rows were pruned"):
            ask(world, who, GrantApproval(id=id_))


def test_what_too_many_identities_led_to_nobody_approves(world: World) -> None:
    """Each poll follows all identities, under a lock that blocks all other requests."""
    held = issue(world, caller("user:sam"), **_wanted(scopes=WIDE)._asdict())
    hand = above = _identity(world, held)
    for _ in range(_MOST_IDENTITIES):
        hand = _identity(world, _delegated(world, above, who=hand.who))
    id_ = _requested(lambda: _delegated(world, hand, ("pay:out",)))
    with pytest.raises(PolicyDeniedError, match="its history is too long"):
        ask(world, caller("user:bob"), GrantApproval(id=id_))


def test_who_is_known_by_a_subject_later_does_not_approve_of_what_they_delegated_before(world: World) -> None:
    """The person's entitlements limit the identity too, and disabling the person ends it."""
    hand = _identity(world, _by_id_token(world, Hand(GATE), proves="zoe@example.com"))
    early = _requested(lambda: _delegated(world, hand, ("pay:out",)))
    added = AddDelegator(
        stated=StatedDelegator(
            "", "user:zoe", imported=False, groups=("security",), aliases=(f"{ISSUER} zoe@example.com",)
        )
    )
    known = ask(world, ROOT, added).delegator
    assert known.aliases == (f"{ISSUER} zoe@example.com",)
    late = _requested(lambda: _delegated(world, hand, ("pay:out",), agent="other"))
    for id_ in (early, late):
        _must_not_approve(world, id_, caller("user:zoe"))
    world.know("user:zoe", entitlements=("log:*",))
    assert hand.token is not None
    asked = UseRequest(hand.token, check_action("repo:out"), check_resource("web"))
    (one,) = world.authority.perform(Authorize(asked=(asked,))).verdicts
    assert one.rules == ("delegator-entitlement",)
    with pytest.raises(PolicyDeniedError, match="delegator-entitlement"):
        _delegated(world, hand)
    with pytest.raises(PolicyDeniedError, match="delegator-entitlement"):
        ask(world, hand.who, issue_operations.Renew(request=RenewRequest(hand.token)))
    ask(world, ROOT, DisableDelegator(name="user:zoe", most=None))
    with pytest.raises(InvalidCredentialError):
        _delegated(world, hand, who=MALLORY)
    assert world.check()


def test_no_agent_takes_the_place_of_others_who_ask(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Revoking the agent makes room for other agents. Its delegator has room anyway."""
    monkeypatch.setattr(approval_request, "_MOST_OPEN", 2)
    sam = caller("user:sam")
    rogue, other = (_identity(world, issue(world, sam, **_wanted(scopes=WIDE)._asdict())) for _ in range(2))
    ids = [_requested(partial(_delegated, world, rogue, ("pay:out",), agent=name)) for name in ("a", "b")]
    assert len({*ids}) == 2
    for hand in (rogue, other):
        with pytest.raises(PolicyDeniedError, match="2 open requests already"):
            _delegated(world, hand, ("pay:out",), agent="c")
    _requested(lambda: issue(world, sam, **_wanted(scopes=("pay:out",))._asdict()))
    assert rogue.who.identity is not None
    world.revoke(rogue.who.identity)
    _requested(lambda: _delegated(world, other, ("pay:out",), agent="c"))
    # The requests of a revoked agent are withdrawn: no agent gets more open requests by revoking itself.
    with world.ledger.read() as snapshot:
        states = {found.id: found.ended_as for found in ApprovalStore(snapshot).all()}
    assert [states[id_] for id_ in ids] == ["withdrawn", "withdrawn"]
    assert [one for one in states.values() if one is None] == [None, None]
    assert [event["requests"] for event in world.events() if event["op"] == "approval-withdraw"] == [2]
    assert world.check()


def test_a_batch_counts_the_dead_no_more_than_one_does(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the revoked agent's request there would be room for one more request, without it for two."""
    monkeypatch.setattr(approval_request, "_MOST_OPEN", 2)
    sam = caller("user:sam")
    dead, other = (_identity(world, issue(world, sam, **_wanted(scopes=WIDE)._asdict())) for _ in range(2))
    _requested(partial(_delegated, world, dead, ("pay:out",), agent="a"))
    assert dead.who.identity is not None
    world.revoke(dead.who.identity)
    token = other.token
    assert token is not None
    both = [_wanted(parent=token, task=None, scopes=("pay:out",), agent=name) for name in "bc"]
    with pytest.raises(ApprovalNeededError) as caught:
        ask(world, other.who, issue_operations.Issue(requests=tuple(both)))
    assert len(caught.value.requests) == 2


def test_a_root_is_not_that_of_whoever_has_its_name_by_now(world: World) -> None:
    """The directory now binds the name to another subject, so no token of the old subject proves it."""
    hand = _identity(world, _by_id_token(world, Hand(GATE), proves="zoe@example.com"))
    token = hand.token
    assert token is not None
    world.know("user:zoe@example.com", aliases=(f"{ISSUER} another",))
    doors: dict[str, Callable[[], object]] = {
        "a new one": lambda: _by_id_token(world, Hand(GATE), proves="zoe@example.com"),
        "a child": lambda: _delegated(world, hand),
        "a renewal": lambda: ask(world, hand.who, issue_operations.Renew(request=RenewRequest(token))),
    }
    for door in doors.values():
        with pytest.raises(PolicyDeniedError, match="delegator-subject"):
            door()
    asked = UseRequest(token, check_action("repo:out"), check_resource("web"))
    (one,) = world.authority.perform(Authorize(asked=(asked,))).verdicts
    assert one.rules == ("delegator-subject",)
    assert world.check()


def test_an_approval_from_before_the_actor_was_disabled_is_withdrawn(world: World) -> None:
    def asks() -> Issued:
        return _as_actor(world, Hand(caller("user:alice")), ("pay:out",))

    id_ = _requested(asks)
    ask(world, caller("user:bob"), GrantApproval(id=id_))
    ask(world, ROOT, DisableDelegator(name="user:alice", most=None))
    ask(world, ROOT, EnableDelegator(name="user:alice"))
    page = world.authority.perform(FindApprovals(ids=(id_,)))
    assert page.approvals[0].state_at(page.now) is ApprovalState.WITHDRAWN
    assert world.check()
