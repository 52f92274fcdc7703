"""A clock that is before the time of issue: every operation refuses a credential of any kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jitid.capabilities.inventory import operations as inventory_operations
from jitid.capabilities.issue.token_operations import Introspect
from jitid.capabilities.use.authorization import UseRequest
from jitid.capabilities.use.operations import Authorize
from jitid.errors import InvalidCredentialError
from jitid.values.scope import Scope
from jitid.values.secret import Secret
from tests.builders import DAY, Made, World


@pytest.fixture
def world(kept_in: str, tmp_path: Path) -> Iterator[World]:
    """Return a ledger of each kind."""
    del kept_in
    with World(tmp_path / "ledger") as world:
        yield world


def _set_back(world: World, seconds: int) -> None:
    """Set the clock back, and the time mark if the ledger has one."""
    world.clock.now -= seconds
    with world.ledger.write(accept_clock=True):
        pass


def _verify(world: World, made: Made) -> bool:
    try:
        world.verify(made.token)
    except InvalidCredentialError:
        return False
    return True


def _inspect(world: World, made: Made) -> bool:
    return bool(world.authority.perform(inventory_operations.Inspect(id=made.jti)).active)


def _introspect(world: World, made: Made) -> bool:
    try:
        world.authority.perform(Introspect(token=Secret.single(made.token)))
    except InvalidCredentialError:
        return False
    return True


def _authorize(world: World, made: Made) -> bool:
    asked = (UseRequest(Secret.single(made.token), Scope("repo:read"), "x"),)
    return bool(world.authority.perform(Authorize(asked=asked)).verdicts[0].allowed)


def _delegate(world: World, made: Made) -> bool:
    try:
        world.issue(parent=Secret.single(made.token), agent="below", task=None, delegator=None)
    except InvalidCredentialError:
        return False
    return True


DOORS: tuple[Callable[[World, Made], bool], ...] = (_verify, _inspect, _introspect, _authorize, _delegate)


@pytest.mark.parametrize("kind", ["jwt", "opaque"])
@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.__name__[1:])
def test_what_is_issued_later_is_valid_at_no_door(
    world: World, kind: str, door: Callable[[World, Made], bool]
) -> None:
    made = world.issue(kind=kind, scopes=("repo:read",))
    assert door(world, made)
    world.clock.now += 3600
    assert not door(world, made)
    _set_back(world, 3 * DAY)
    assert not door(world, made)


@pytest.mark.parametrize("kind", ["jwt", "opaque"])
def test_in_the_second_of_its_issue_it_is_valid(world: World, kind: str) -> None:
    made = world.issue(kind=kind)
    assert _verify(world, made)
