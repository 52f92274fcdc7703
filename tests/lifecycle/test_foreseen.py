"""What was planned before the lock counts only if it is what would be planned inside it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from jitid import issuance
from jitid.authority import operations as ops
from jitid.errors import PolicyDeniedError
from jitid.issuance import Foreseen, Issued
from jitid.keyring import Keyring
from jitid.ledger import folder
from jitid.ledger.sqlite import SqliteLedger
from tests.builders import NOW, World, request


def _keyring(world: World) -> Keyring:
    return folder.keyring(str(world.path))


def _foresee(world: World, delegator: str = "user:alice", **fields: Any) -> Foreseen:
    asked = request(delegator=delegator, **fields)
    with world.ledger.read() as snapshot:
        foreseen = issuance.foresee(snapshot, world.ledger.names, asked, world.terms, _keyring(world))
    assert foreseen is not None
    return foreseen


def _issue(world: World, foreseen: Foreseen) -> Issued:
    with world.ledger.write() as transaction:
        (issued,) = issuance.issue(
            transaction,
            world.ledger.names,
            [foreseen.settled.request],
            world.terms,
            _keyring(world),
            foreseen,
        )
    return issued


def _token(issued: Issued) -> str:
    return issued.credentials[0].secret.reveal()


def _foreseen_token(foreseen: Foreseen) -> str:
    return foreseen.minted[0].secret.reveal()


def test_a_plan_that_still_holds_is_recorded_as_it_is(world: World) -> None:
    foreseen = _foresee(world)
    issued = _issue(world, foreseen)
    assert _token(issued) == _foreseen_token(foreseen)
    world.verify(_token(issued))


def _wait(world: World) -> None:
    world.clock.now += 1


def _rotate(world: World) -> None:
    world.authority.perform(ops.RotateKey(algorithm="EdDSA"))


def _open_the_task(world: World) -> None:
    world.issue()


def _know(world: World) -> None:
    world.know()


def _have_the_name_of_another(world: World) -> None:
    world.know("user:bob", aliases=("user:alice",))


def _register(world: World) -> None:
    world.register()


@pytest.mark.parametrize(
    "change", [_wait, _rotate, _open_the_task, _know, _have_the_name_of_another, _register]
)
def test_a_plan_that_no_longer_holds_is_made_again(world: World, change: Callable[[World], None]) -> None:
    foreseen = _foresee(world)
    change(world)
    issued = _issue(world, foreseen)
    assert _token(issued) != _foreseen_token(foreseen)
    world.verify(_token(issued))
    world.check()


def test_what_was_foreseen_for_a_task_that_has_ended_is_refused(world: World) -> None:
    world.issue()
    foreseen = _foresee(world)
    world.retire("T1")
    with pytest.raises(PolicyDeniedError):
        _issue(world, foreseen)


@pytest.mark.parametrize(
    "change",
    [
        {"disabled_at": NOW},
        {"sensitivity": "low"},
        {"groups": ("crew",)},
        {"manager": "user:bob"},
        {"entitlements": ()},
        {"aliases": ()},
        {"aliases": ("user:al",)},
    ],
    ids=str,
)
def test_a_plan_does_not_hold_for_a_delegator_who_has_changed(world: World, change: dict[str, Any]) -> None:
    """Proved by the login of the caller, under a name that is not their own."""
    world.know(aliases=("user:al", "user:tester"))
    foreseen = _foresee(world, "user:al")
    draft = foreseen.settled.plan.draft
    assert (draft.delegator, draft.delegator_proof) == ("user:alice", "os-user")
    world.know(**change)
    if change.keys() & {"disabled_at", "sensitivity"}:
        with pytest.raises(PolicyDeniedError, match="rule `delegator-"):
            _issue(world, foreseen)
        return
    issued = _issue(world, foreseen)
    assert _token(issued) != _foreseen_token(foreseen)
    known = change.get("aliases") != ()
    assert issued.delegator == ("user:alice" if known else "user:al")
    assert issued.delegator_proof == ("asserted" if "aliases" in change else "os-user")
    world.check()


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"suspended_at": NOW}, "agent-suspended"),
        ({"unregistered_at": NOW}, "agent-unregistered"),
        ({"review_at": NOW}, "agent-overdue"),
        ({"kinds": ("opaque",)}, "agent-kind"),
        ({"audiences": ("urn:other",)}, "agent-audience"),
        ({"concurrency": 0}, "agent-concurrency"),
    ],
)
def test_a_plan_does_not_hold_for_an_agent_whose_record_has_changed(
    world: World, change: dict[str, Any], rule: str
) -> None:
    world.register(audiences=("urn:a",))
    foreseen = _foresee(world, audiences=("urn:a",))
    world.register(**change)
    with pytest.raises(PolicyDeniedError, match=f"rule `{rule}`"):
        _issue(world, foreseen)


def test_a_plan_does_not_hold_once_the_agent_lives_as_often_as_it_may(world: World) -> None:
    world.register(concurrency=1)
    foreseen = _foresee(world)
    world.issue(task="T2")
    with pytest.raises(PolicyDeniedError, match="rule `agent-concurrency`"):
        _issue(world, foreseen)


def test_a_plan_holds_whoever_else_has_changed(world: World) -> None:
    world.know(aliases=("user:al",))
    world.register(concurrency=9)
    foreseen = _foresee(world, "user:al")
    world.know("user:bob", disabled_at=NOW)
    world.register("coder", suspended_at=NOW)
    assert _token(_issue(world, foreseen)) == _foreseen_token(foreseen)


def test_nothing_is_foreseen_below_a_parent(world: World) -> None:
    parent = world.issue()
    with world.ledger.read() as snapshot:
        child = request(parent=parent.token)
        assert issuance.foresee(snapshot, world.ledger.names, child, world.terms, _keyring(world)) is None


@pytest.mark.parametrize("slow", ["", "many copies", "many scopes", "a key at a target"])
def test_what_takes_long_is_planned_before_the_lock_also_where_nobody_else_writes(
    world: World, slow: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other writers can arrive meanwhile, and would wait for the lock."""
    world.issue()
    world.issue()
    planned = 0

    def spy(*asked: Any) -> Foreseen | None:
        nonlocal planned
        planned += 1
        return foresee(*asked)

    foresee = issuance.foresee
    monkeypatch.setattr(issuance, "foresee", spy)
    if slow == "a key at a target":
        monkeypatch.setattr(Keyring, "asks_targets", True)
    fields: dict[str, dict[str, Any]] = {
        "many copies": {"copies": 11},
        "many scopes": {"scopes": [f"repo:{number}" for number in range(10)]},
    }
    world.authority.perform(ops.Issue(requests=(request(**fields.get(slow, {})),)))
    assert planned == (isinstance(world.ledger, SqliteLedger) and slow != "")
    world.check()


@pytest.mark.parametrize(
    ("fields", "quick"),
    [
        ({}, True),
        ({"copies": 10}, True),
        ({"copies": 11}, False),
        ({"scopes": ["a"] * 9}, True),
        ({"scopes": ["a"] * 10}, False),
        ({"may_kind": ("jwt",) * 9}, True),
        ({"may_kind": ("jwt",) * 5, "scopes": ["a"] * 5}, False),
    ],
    ids=str,
)
def test_a_request_is_quick_by_its_copies_and_the_questions_to_the_policy(
    world: World, fields: dict[str, Any], quick: bool
) -> None:
    assert issuance.is_quick(request(**fields), world.terms, _keyring(world)) is quick


def test_a_keyring_knows_whether_a_signature_is_a_request(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.issue()
    keyring = world.authority._keyring
    assert not keyring.asks_targets
    (signer,) = keyring._signers.values()
    monkeypatch.setattr(signer, "elsewhere", "vault/key")
    assert keyring.asks_targets
