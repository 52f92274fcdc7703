"""A delegator that a request states beside a parent: it changes nothing, or the request is refused."""

from __future__ import annotations

from typing import Any

import pytest

from jitid.capabilities.directory.operations import DisableDelegator
from jitid.capabilities.inventory.operations import Inspect
from jitid.errors import JitidError, PolicyDeniedError, UsageError
from jitid.model.credential import Credential
from tests.builders import Made, World

ALIASES = ("user:al", "https://id.example 00u1")


def child(world: World, parent: Made, **fields: Any) -> Credential:
    made = world.issue(
        **{"agent": "coder", "task": None, "parent": parent.token, "scopes": (), "delegator": None, **fields}
    )
    return row(world, made)


def row(world: World, made: Made) -> Credential:
    return world.authority.perform(Inspect(id=made.jti)).credential


def rights(credential: Credential) -> dict[str, Any]:
    """Return all properties of a credential but its own ids and digests."""
    own = {"id", "jti", "key", "identity_key", "line", "event", "fingerprint", "claims_hash"}
    return {name: value for name, value in credential._asdict().items() if name not in own}


@pytest.fixture
def parent(world: World) -> Made:
    world.know(aliases=ALIASES)
    world.know("user:bob")
    return world.issue(agent="planner", scopes=("repo:*",))


@pytest.mark.parametrize("stated", ["user:alice", "user:al"])
@pytest.mark.parametrize(
    "more", [{}, {"task": "the parent's"}, {"scopes": ("repo:read",)}, {"kind": "opaque"}]
)
def test_the_root_s_names_change_nothing(
    world: World, parent: Made, stated: str, more: dict[str, Any]
) -> None:
    """Neither the delegator nor its proof nor a right depends on the statement, also two levels below."""
    if "task" in more:
        more = {"task": row(world, parent).task}
    plain, named = child(world, parent, **more), child(world, parent, delegator=stated, **more)
    assert rights(named) == rights(plain)
    below = world.issue(agent="sub", task=None, parent=parent.token, delegator=stated)
    deeper = world.issue(agent="sub", task=None, parent=below.token, delegator=stated)
    assert (row(world, deeper).delegator, row(world, deeper).delegator_proof) == (
        "user:alice",
        row(world, parent).delegator_proof,
    )


@pytest.mark.parametrize(
    "stated", ["user:bob", "user:alice2", "system:alice", "agent:planner", "user:root", ALIASES[1]]
)
def test_any_other_name_is_a_usage_error(world: World, parent: Made, stated: str) -> None:
    events = world.events()
    with pytest.raises(UsageError, match="the delegator is `user:alice`, that of the parent"):
        child(world, parent, delegator=stated)
    assert world.events() == events


@pytest.mark.parametrize("stated", [None, "user:alice", "user:al"])
def test_a_disabled_root_is_refused_by_any_name(world: World, parent: Made, stated: str | None) -> None:
    world.authority.perform(DisableDelegator(name="user:alice", keep_live=True, most=None))
    with pytest.raises(PolicyDeniedError, match="was disabled"):
        child(world, parent, delegator=stated)


def test_a_name_that_the_root_has_lost_is_refused(world: World, parent: Made) -> None:
    child(world, parent, delegator="user:al")
    world.know(aliases=())
    world.know("user:bob", aliases=("user:al",))
    with pytest.raises(JitidError, match="the delegator is `user:alice`, that of the parent"):
        child(world, parent, delegator="user:al")
