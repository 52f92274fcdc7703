"""The shortest steps to each known difference, which must still exist; delete the entry of a fixed one."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.machine import drivers
from tests.machine.features import KNOWN
from tests.machine.model import LEDGER, MayAct, Request
from tests.machine.world import GATEWAY, OPERATOR, DifferenceError, World

ALICE = "user:alice"
API, DB = "https://api.example.com", "https://db.example.com"
WIDE = frozenset({"repo:*", "db:*"})
NARROW = frozenset({"repo:read"})


def _issue(world: World, scopes: frozenset[str] = WIDE, **more: object) -> str:
    reach = None if "audiences" in more else frozenset({API})
    request = Request("planner", scopes, task="alice-T0", delegator=ALICE, may_audience=reach)
    caller = ALICE if world.driver.wire else LEDGER
    world.perform("issue", caller=caller, request=request._replace(**more))  # type: ignore[arg-type]
    return world.steps[-1].key


def _delegate(world: World, parent: str, scopes: frozenset[str], **more: object) -> str:
    request = Request("coder", scopes, parent=parent)
    world.perform("issue", caller=LEDGER, request=request._replace(**more))  # type: ignore[arg-type]
    return world.steps[-1].key


def _attach(world: World, to: str, scopes: frozenset[str] | None, kind: str = "jwt") -> str:
    audiences = frozenset({API})
    world.perform("attach", caller=OPERATOR, to=to, kind=kind, scopes=scopes, audiences=audiences, ttl=None)
    return world.steps[-1].key


def _renew(
    world: World, of: str, *, caller: str = LEDGER, ttl: int | None = None, narrower: bool = False
) -> str:
    world.perform("renew", caller=caller, of=of, ttl=ttl, allow_narrower=narrower)
    return world.steps[-1].key


def _narrow_attachment(world: World) -> None:
    wide = _issue(world)
    narrow = _attach(world, wide, NARROW)
    _renew(world, wide)
    _delegate(world, narrow, frozenset({"db:drop"}))


def _renewal_supersedes_others(world: World) -> None:
    wide = _issue(world)
    narrow = _attach(world, wide, NARROW)
    _renew(world, narrow)
    world.perform("clock", seconds=31)


def _narrowed_head(world: World) -> None:
    wide = _issue(world)
    _attach(world, wide, None, "opaque")
    _delegate(world, wide, frozenset({"db:drop"}))
    world.perform("entitle", caller=LEDGER, name=ALICE, entitlements=frozenset({"repo:*"}))
    _renew(world, wide, narrower=True)


def _second_renewal(world: World) -> None:
    first = _issue(world)
    _renew(world, first)
    _renew(world, first)


def _attachment_outlives(world: World) -> None:
    _attach(world, _issue(world, ttl=20), None)


def _renewal_outlives(world: World) -> None:
    _renew(world, _issue(world, ttl=20), ttl=900)


def _proof_of_child(world: World) -> None:
    _delegate(world, _issue(world), NARROW)


def _sensitivity_of_child(world: World) -> None:
    _delegate(world, _issue(world), NARROW, task="alice-S0", sensitivity="high", purpose=True)


def _shown_token(world: World) -> None:
    _renew(world, _issue(world, audiences=frozenset({API})), caller="system:svc")


def _registration_ends(world: World) -> None:
    _issue(world, agent="deploy-bot")
    world.perform("register", caller=LEDGER, name="deploy-bot", owner=ALICE, scopes=WIDE)


def _exchange_as_gateway(world: World, subject: str) -> None:
    world.perform("exchange", caller=GATEWAY, subject=subject, actor=None, audience=DB, scope=min(NARROW))


def _register(world: World, name: str, **more: object) -> None:
    both = frozenset({API, DB})
    world.perform("register", caller=LEDGER, name=name, owner=ALICE, scopes=WIDE, audiences=both, **more)


def _shown_name(world: World) -> None:
    _register(world, "gateway")
    may = (MayAct(GATEWAY, frozenset({DB})),)
    _exchange_as_gateway(world, _issue(world, agent="gateway", audiences=frozenset({API}), may_act=may))


def _shown_listed_name(world: World) -> None:
    _register(world, "planner")
    _register(world, "gateway", may_use=frozenset({"agent:planner"}))
    may = (MayAct(GATEWAY, frozenset({DB})),)
    _exchange_as_gateway(world, _issue(world, audiences=frozenset({API}), may_act=may))


SEQUENCES: dict[str, Callable[[World], None]] = {
    "narrow-attachment": _narrow_attachment,
    "renewal-supersedes-others": _renewal_supersedes_others,
    "narrowed-head": _narrowed_head,
    "second-renewal": _second_renewal,
    "attachment-outlives": _attachment_outlives,
    "renewal-outlives": _renewal_outlives,
    "proof-of-child": _proof_of_child,
    "sensitivity-of-child": _sensitivity_of_child,
    "shown-token": _shown_token,
    "registration-ends": _registration_ends,
    "shown-name": _shown_name,
    "shown-listed-name": _shown_listed_name,
}


def test_each_known_difference_is_still_there(monkeypatch: pytest.MonkeyPatch) -> None:
    mended = []
    with drivers.running("sqlite") as backend:
        for name in sorted(KNOWN):
            world = World(backend.new())
            with monkeypatch.context() as patch:
                patch.delitem(KNOWN, name)
                try:
                    SEQUENCES[name](world)
                except DifferenceError:
                    continue
                finally:
                    world.driver.close()
            mended.append(name)
    assert not mended, f"mended: delete these entries of KNOWN in features.py: {mended}"


@pytest.mark.deep
def test_each_difference_that_was_mended_is_none() -> None:
    with drivers.running("sqlite") as backend:
        for name in sorted(SEQUENCES.keys() - KNOWN.keys()):
            world = World(backend.new())
            try:
                SEQUENCES[name](world)
            finally:
                world.driver.close()
