"""Which roles each operation needs: every operation has its row, and nobody has two duties by one role."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jitid.access import BOOTSTRAP
from jitid.authority import access_operations as access
from jitid.authority import guarding
from jitid.authority import operations as ops
from jitid.authority import target_operations as targets
from jitid.authority.token_operations import Exchange
from jitid.caller import ROLES
from jitid.errors import InvalidCredentialError, RefusedError
from jitid.ledger.leak import LeakFilter
from jitid.ledger.records import Selection
from jitid.request import AttachRequest
from jitid.secret import Secret
from tests.authority.callers import FOUND_OUT, ask, caller
from tests.builders import World, request
from tests.programs import Shop

ABSTRACT = {
    ops.DirectoryOperation,
    ops.PolicyOperation,
    ops.PublicationOperation,
    ops.UseOperation,
    ops.ApprovalOperation,
    ops.TokenOperation,
    ops.TargetOperation,
    ops.CertificateOperation,
    ops.AccessOperation,
    ops.AdoptionOperation,
}
BESIDE_THE_LEDGER = {
    access.BootstrapAccess,
    access.Authenticate,
    access.FindClientKeys,
    access.UseAssertion,
}


def every(base: type[Any] = ops.Operation) -> Iterator[type[ops.Operation[Any]]]:
    """Yield all operations that there are."""
    for one in base.__subclasses__():
        if one.__module__.startswith("jitid."):
            if one not in ABSTRACT:
                yield one
            yield from every(one)


def test_every_operation_has_its_duty() -> None:
    """A new one is refused to everybody until somebody decides whose it is."""
    assert set(every()) == set(guarding.DUTIES)
    for name, duty in guarding.DUTIES.items():
        assert duty.roles - {BOOTSTRAP} <= set(ROLES), name
        assert bool(duty.roles or duty.anybody or duty.own) == (name not in BESIDE_THE_LEDGER), name
    assert [name for name, duty in guarding.DUTIES.items() if BOOTSTRAP in duty.roles] == [access.GrantAccess]


def test_what_nobody_decided_on_is_refused(world: World) -> None:
    class Strange(ops.Operation[None]):
        """An operation without a row."""

    with pytest.raises(RefusedError, match="none that there is"):
        ask(world, caller("user:bob", *ROLES), Strange())


@pytest.mark.parametrize(
    ("role", "may"),
    [
        ("verifier", {"Verify", "Authorize", "Introspect", "MakePublication", "MakeStatusList"}),
        (
            "sweeper",
            {
                "Sweep",
                "ForeseeFix",
                "Fix",
                "MakeReport",
                "ProveLeaks",
                "Settle",
                "FlyCanaries",
                "AdoptedShapes",
            },
        ),
        ("issuer", {"Attach", "Issue", "Renew", "Exchange"}),
    ],
)
def test_a_role_is_one_duty(role: str, may: set[str]) -> None:
    assert {name.__name__ for name, duty in guarding.DUTIES.items() if role in duty.roles} == may


def test_what_an_admin_changes_nobody_else_does() -> None:
    """Keys, the directory, what is kept and who has access; what others may do as well is named here."""
    shared = {
        name.__name__: sorted(duty.roles)
        for name, duty in guarding.DUTIES.items()
        if "admin" in duty.roles and not duty.reads and duty.roles != {"admin"}
    }
    assert shared == {
        "Settle": ["admin", "responder", "sweeper"],
        "FlyCanaries": ["admin", "sweeper"],
        "EndAdopted": ["admin", "responder"],
        "GrantAccess": ["admin", BOOTSTRAP],
        "RevokeAccess": ["admin", "responder"],
    }


def test_an_auditor_only_reads() -> None:
    assert [
        name.__name__ for name, duty in guarding.DUTIES.items() if "auditor" in duty.roles and not duty.reads
    ] == []


def test_what_ends_something_is_for_responders_sweepers_and_admins_alone() -> None:
    for role in ("issuer", "verifier", "auditor"):
        for one in (ops.Revoke, ops.Retire, ops.Fix, ops.RevokeKey):
            assert role not in guarding.DUTIES[one].roles


def test_who_has_no_role_reads_nothing(world: World) -> None:
    """But the keys, which are for everybody."""
    world.issue()
    asked: tuple[ops.Operation[Any], ...] = (
        ops.ListLeaks(chosen=LeakFilter(), limit=10),
        ops.ExportLog(),
        ops.VerifyLog(),
    )
    for operation in asked:
        with pytest.raises(RefusedError):
            ask(world, caller(), operation)
    assert ask(world, caller(), ops.PublishKeys())["keys"]


@pytest.mark.parametrize("at", [0, 1, 2])
@pytest.mark.parametrize("field", FOUND_OUT)
def test_no_request_of_many_says_itself_whom_a_token_proves(kept: World, field: str, at: int) -> None:
    requests = [request(agent="planner") for _ in range(3)]
    requests[at] = requests[at]._replace(delegator=None, **{field: FOUND_OUT[field]})
    for who in (caller(), caller("system:launcher", *ROLES), caller("agent:a", agent="a")):
        asked: tuple[ops.Operation[Any], ...] = (
            ops.Issue(requests=tuple(requests)),
            Exchange(request=requests[at], subject=Secret.single("x.y.z")),
        )
        for operation in asked:
            with pytest.raises(RefusedError, match="may not say itself"):
                ask(kept, who, operation)
    assert {event["op"] for event in kept.events()} == {"init", "denial"}


@pytest.mark.parametrize(
    ("kind", "refusal"),
    [("jwt", "gives no right here"), ("opaque", "gives no right here"), ("jwt-svid", "carries no right")],
)
def test_who_was_merely_shown_a_token_gets_nothing_more_by_it(world: World, kind: str, refusal: str) -> None:
    """A service that verifies tokens which are meant for it would come by a host of the agent's."""
    shown = world.issue(kind=kind, audiences=("https://orders.example",))
    held = world.issue(may_kind=("ssh-cert",))

    def attach(name: str, *roles: str, token: str = shown.token) -> object:
        wanted = AttachRequest(Secret.single(token), "ssh-cert")
        return ask(world, caller(name, *roles), targets.Attach(request=wanted))

    for roles in ((), ("verifier",), ("responder",), ("issuer",), ("admin",)):
        with pytest.raises((InvalidCredentialError, RefusedError), match=refusal):
            attach("system:orders", *roles)
    assert attach("system:orders", token=held.token)


def test_who_has_ended_something_may_see_to_its_end_at_its_target(tmp_path: Path) -> None:
    """And nobody else without a role for it."""
    shop = Shop(tmp_path / "shop")
    with World(tmp_path / "served", targets=[shop.target()]) as world:
        launcher, other = caller("system:launcher", "issuer"), caller("system:other", "issuer")
        asked = ops.Issue(requests=(request(kind="exec:shop"),))
        (issued,) = ask(world, launcher, asked)
        ended = ask(
            world, launcher, ops.Revoke(selection=Selection(ids=(issued.credentials[0].id,)), most=None)
        )
        assert ended.unsettled == 1
        for operation in (targets.Settle(event=ended.event), targets.Settle()):
            with pytest.raises(RefusedError):
                ask(world, other, operation)
        with pytest.raises(RefusedError):
            ask(world, launcher, targets.Settle())
        assert ask(world, launcher, targets.Settle(event=ended.event)).done == 1
        assert shop.made == {}
