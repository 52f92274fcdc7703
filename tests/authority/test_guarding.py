"""Duties of operations: an operation without a duty is refused, and a caller may settle its own revocations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from jitid.authority import operation_act
from jitid.authority.wire.codec import operations
from jitid.capabilities.access.operations import Authenticate
from jitid.capabilities.directory import operations as directory_operations
from jitid.capabilities.inventory import operations as inventory_operations
from jitid.capabilities.issue import operations as issue_operations
from jitid.capabilities.issue.token_operations import Exchange
from jitid.capabilities.targets import operations as targets
from jitid.errors import RefusedError
from jitid.model.access import BOOTSTRAP, ROLES
from jitid.model.ledger_rows import Selection
from jitid.operation import base as ops
from jitid.operation.base import READS
from jitid.values.secret import Secret
from tests.authority import rules
from tests.authority.callers import FOUND_OUT, ask, bearer, caller, issue
from tests.builders import World, request
from tests.programs import Shop


def test_only_the_serving_process_performs_what_no_caller_may() -> None:
    """The callers of the others are in `rules.py`."""
    closed = {
        name for name, kind in operations().items() if not (kind.roles or kind.for_anybody or kind.for_own)
    }
    assert closed == {"Authenticate", "BootstrapAccess", "FindClientKeys", "FindLogin", "UseAssertion"}


def test_the_declared_roles_and_effects_are_those_of_the_rules() -> None:
    without_role = {*" ".join(rules.WITHOUT_ROLE.values()).split()}
    reading = {*" ".join([*rules.READS.values(), rules.WITHOUT_ROLE["everybody"], "FindLogin"]).split()}
    for name, kind in operations().items():
        if name not in without_role:
            roles = {role for role in ROLES if rules.has_role(name, role)}
            assert {*kind.roles} - {BOOTSTRAP} == roles, name
        assert (kind.effect == READS) == (name in reading), name


def test_what_nobody_decided_on_is_refused(world: World) -> None:
    class Strange(ops.Operation[None]):
        """An operation without a duty."""

    with pytest.raises(RefusedError, match="no role allows `user:bob` to strange"):
        ask(world, caller("user:bob", *ROLES), Strange())


@pytest.mark.parametrize(
    ("roles", "operation", "message"),
    [
        (
            ("issuer",),
            inventory_operations.Revoke(selection=Selection(delegators=("user:eve",)), most=None),
            "permission denied: `user:bob` needs the role `responder` to revoke; nothing was changed",
        ),
        (
            (),
            directory_operations.EnableDelegator(name="user:eve"),
            "permission denied: `user:bob` needs the role `admin` to enable a delegator; nothing was changed",
        ),
        (
            ("issuer",),
            directory_operations.ListDelegators(limit=10),
            "permission denied: `user:bob` needs the role `admin`, `auditor` or `responder` to list delegators",
        ),
    ],
)
def test_a_refusal_names_the_missing_role_and_the_act(
    world: World, roles: tuple[str, ...], operation: ops.Operation[Any], message: str
) -> None:
    """It mentions unchanged data only if the operation would change some."""
    with pytest.raises(RefusedError) as refused:
        ask(world, caller("user:bob", *roles), operation)
    assert refused.value.message == message
    held_roles = ", ".join(roles) or "none"
    assert (
        refused.value.hint
        == f"the roles of this caller: {held_roles}; an admin grants roles: jitid access grant"
    )


def test_each_act_is_that_of_an_operation() -> None:
    assert operation_act.ACTS.keys() <= operations().keys()
    assert operation_act.act_of(inventory_operations.ListTasks) == "list tasks"


@pytest.mark.parametrize("at", [0, 1, 2])
@pytest.mark.parametrize("field", FOUND_OUT)
def test_no_request_of_many_says_itself_whom_a_token_proves(kept: World, field: str, at: int) -> None:
    requests = [request(agent="planner") for _ in range(3)]
    requests[at] = requests[at]._replace(delegator=None, **{field: FOUND_OUT[field]})
    for who in (caller(), caller("system:launcher", *ROLES), caller("agent:a", agent="a")):
        asked: tuple[ops.Operation[Any], ...] = (
            issue_operations.Issue(requests=tuple(requests)),
            Exchange(request=requests[at], subject=Secret.single("x.y.z")),
        )
        for operation in asked:
            with pytest.raises(RefusedError, match="may not set the result of a token check"):
                ask(kept, who, operation)
    assert {event["op"] for event in kept.events()} == {"init", "denial"}


def test_who_has_ended_something_may_see_to_its_end_at_its_target(tmp_path: Path) -> None:
    """Other callers need a role for it."""
    shop = Shop(tmp_path / "shop")
    with World(tmp_path / "served", targets=[shop.target()]) as world:
        launcher, other = caller("system:launcher", "issuer"), caller("system:other", "issuer")
        asked = issue_operations.Issue(requests=(request(kind="exec:shop"),))
        (issued,) = ask(world, launcher, asked)
        ended = ask(
            world,
            launcher,
            inventory_operations.Revoke(selection=Selection(ids=(issued.credentials[0].id,)), most=None),
        )
        assert ended.unsettled == 1
        for operation in (targets.Settle(event=ended.event), targets.Settle()):
            with pytest.raises(RefusedError):
                ask(world, other, operation)
        with pytest.raises(RefusedError):
            ask(world, launcher, targets.Settle())
        assert ask(world, launcher, targets.Settle(event=ended.event)).done == 1
        assert shop.made == {}


def test_whoever_may_end_something_sees_to_its_end_at_its_target(tmp_path: Path) -> None:
    """This includes credentials that the caller's agent issued, and excludes credentials of others."""
    shop = Shop(tmp_path / "shop")
    with World(tmp_path / "served", targets=[shop.target()]) as world:
        alice = caller("user:alice")
        token = bearer(issue(world, alice, delegator=None, agent="worker", may_kind=("exec:shop",)))
        bot = world.authority.perform(Authenticate(bearer=token))
        below = request(parent=token, delegator=None, task=None, agent="another", kind="exec:shop")
        (child,) = ask(world, bot, issue_operations.Issue(requests=(below,)))
        ids = (child.credentials[0].jti,)
        world.revoke(child.credentials[0].id)
        with pytest.raises(RefusedError):
            ask(world, caller("user:eve"), targets.Settle(ids=ids))
        assert ask(world, alice, targets.Settle(ids=ids)).done == 1
        assert shop.made == {}
