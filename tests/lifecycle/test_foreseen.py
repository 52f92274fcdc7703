"""What was planned before the lock counts only if it is what would be planned inside it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from jitid import issuance
from jitid.authority import operations as ops
from jitid.errors import PolicyDeniedError
from jitid.issuance import Foreseen, Issued
from jitid.keyring import Keyring
from jitid.ledger import folder
from tests.builders import World, request


def _keyring(world: World) -> Keyring:
    return folder.keyring(str(world.path))


def _foresee(world: World) -> Foreseen:
    with world.ledger.read() as snapshot:
        foreseen = issuance.foresee(snapshot, world.ledger.names, request(), world.terms, _keyring(world))
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


@pytest.mark.parametrize("change", [_wait, _rotate, _open_the_task])
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


def test_nothing_is_foreseen_below_a_parent(world: World) -> None:
    parent = world.issue()
    with world.ledger.read() as snapshot:
        child = request(parent=parent.token)
        assert issuance.foresee(snapshot, world.ledger.names, child, world.terms, _keyring(world)) is None
