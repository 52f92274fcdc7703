"""Attachment: a further credential of an identity. The policy decides again, and the new right is never wider."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jitid.capabilities.identity.operations import Verify
from jitid.capabilities.inventory.operations import Inspect, Retire, Revoke
from jitid.capabilities.issue.issue_result import Issued
from jitid.capabilities.issue.operations import Attach
from jitid.capabilities.targets.operations import Settle
from jitid.errors import InvalidCredentialError, PolicyDeniedError, UsageError
from jitid.model.ledger_rows import Selection
from jitid.model.request import AttachRequest
from jitid.values.secret import Secret
from tests.builders import KINDS, World
from tests.programs import Shop

POLICY = f"""{KINDS}@id("all") permit(principal, action, resource);
@id("no-parts") forbid(principal, action, resource) when {{ context.template == "shop/parts" }};
@id("opaque-short") @max_ttl("5m") permit(principal, action == Action::"issue", resource)
when {{ context.kind == "opaque" }};
"""


MAY = ("jwt", "opaque", "exec:shop")
both_ledgers = pytest.mark.usefixtures("kept_in")


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path / "shop")


@pytest.fixture
def world(tmp_path: Path, shop: Shop) -> Iterator[World]:
    with World(tmp_path / "ledger", policy=[("p.cedar", POLICY)], targets=[shop.target()]) as world:
        yield world


def attach(world: World, token: str, kind: str = "exec:shop", **fields: Any) -> Issued:
    """Attach a credential by the right of a token."""
    return world.authority.perform(Attach(request=AttachRequest(Secret.single(token), kind, **fields)))


@both_ledgers
def test_it_is_of_the_same_identity_and_replaces_nothing(world: World, shop: Shop) -> None:
    held = world.issue(scopes=("db:read", "db:write"), ttl=600, may_audience=("urn:a",), may_kind=MAY)
    issued = attach(world, held.token)
    (made,) = issued.credentials
    assert made.id == held.id
    assert issued.scopes == ("db:read", "db:write")
    assert list(shop.made.values()) == [{"token": made.secret.reveal()}]
    again = attach(world, held.token, "opaque", audiences=("urn:a",))
    shown = Verify(token=again.credentials[0].secret, audiences=("urn:a",))
    assert world.authority.perform(shown).id == held.id
    assert world.authority.perform(Verify(token=Secret.single(held.token))).jti == held.jti
    world.check()


@both_ledgers
def test_all_of_it_ends_with_the_identity(world: World, shop: Shop) -> None:
    held = world.issue(may_audience=("urn:a",), may_kind=MAY)
    opaque = attach(world, held.token, "opaque", audiences=("urn:a",)).credentials[0].secret
    attach(world, held.token)
    ended = world.authority.perform(Revoke(selection=Selection(ids=(held.id,)), most=None))
    assert ended.credentials == 3
    assert world.authority.perform(Settle(event=ended.event)).done == 1
    assert shop.made == {}
    with pytest.raises(InvalidCredentialError):
        world.authority.perform(Verify(token=opaque))
    world.check()


def test_the_policy_is_asked_about_this_kind(world: World, shop: Shop) -> None:
    held = world.issue(ttl=600, may_audience=("urn:a",), may_kind=MAY)
    with pytest.raises(PolicyDeniedError, match="no-parts"):
        world.issue(may_kind=("exec:shop:parts",))
    with pytest.raises(PolicyDeniedError, match="attenuation"):
        attach(world, held.token, template="parts")
    assert shop.made == {}
    issued = attach(world, held.token, "opaque", ttl=3_600, audiences=("urn:a",))
    assert issued.expires_at - issued.issued_at == 300
    world.check()


@pytest.mark.parametrize("fields", [{"scopes": ("db:write",)}, {"audiences": ("urn:other",)}])
def test_it_holds_no_more_than_what_was_presented(world: World, fields: dict[str, Any]) -> None:
    held = world.issue(scopes=("db:read",), may_kind=MAY)
    with pytest.raises(PolicyDeniedError, match="attenuation"):
        attach(world, held.token, **fields)
    world.check()


def test_it_may_hold_less(world: World) -> None:
    held = world.issue(scopes=("db:read", "db:write"), may_audience=("urn:a", "urn:b"))
    issued = attach(world, held.token, "opaque", scopes=("db:read",), audiences=("urn:b",))
    assert (issued.scopes, issued.audiences) == (("db:read",), ("urn:b",))


def test_who_has_nothing_gets_nothing(world: World, shop: Shop) -> None:
    held = world.issue(may_kind=MAY)
    world.authority.perform(Retire(task="T1"))
    for token in (held.token, "x.y.z", "jitid_nothing"):
        with pytest.raises(InvalidCredentialError):
            attach(world, token)
    with pytest.raises(UsageError):
        attach(world, world.issue(task="T2").token, "exec:none")
    assert shop.made == {}


def test_a_mint_that_fails_leaves_the_identity_alive(world: World, shop: Shop) -> None:
    held = world.issue(may_kind=MAY)
    shop.fail("down", "mint")
    with pytest.raises(Exception, match="status 5"):
        attach(world, held.token)
    assert world.authority.perform(Inspect(id=held.jti)).active
    assert shop.made == {}
    world.check()
