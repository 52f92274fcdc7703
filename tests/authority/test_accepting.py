"""Operations that accept a clock, with a clock that is behind: reads and dry runs do not change the ledger."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from jitid.authority.wire.codec import fields_of, operations
from jitid.capabilities.sweep import operations as sweep_operations
from jitid.capabilities.sweep.finding import Thresholds
from jitid.errors import ClockError
from jitid.operation import base as ops
from tests.authority import examples
from tests.authority.scene import Scene
from tests.builders import DAY, NOW

KINDS: Mapping[str, type] = operations()
LOOKS = ("ForeseeFix", "MakeReport")
"""Operations that never write; `accept_clock` only lets them read."""
FIELDS: dict[str, Mapping[str, Any]] = {name: fields_of(kind) for name, kind in KINDS.items()}
ACCEPTING = sorted(name for name, fields in FIELDS.items() if "accept_clock" in fields)
DRY = [name for name in ACCEPTING if "dry_run" in FIELDS[name]]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Return one world for all operations, restored after each of them."""
    scene = Scene(tmp_path_factory.mktemp("accepting"))
    yield scene
    scene.world.close()


def _examples(scene: Scene, name: str) -> list[ops.Operation[Any]]:
    held = scene.tokens["head"]
    every = (
        examples.plain(scene),
        examples.roots(),
        examples.by_token(scene, held, scene.callers["agent"]),
        examples.about(scene, held, "agent"),
        examples.on_task("user:alice/INC-1"),
        examples.on_approval(scene.approvals["owner"]),
    )
    return [one for group in every for one in group.values() if type(one).__name__ == name]


def _performed(scene: Scene, operation: ops.Operation[Any]) -> tuple[object, int, set[str]]:
    """Perform an operation with a clock that is behind; return its answer, the time mark's change, and its events."""
    mark = scene.world.ledger.condition().clock().mark
    before = scene.world.head().seq
    scene.world.clock.now = mark - 2 * DAY
    try:
        answer = scene.perform(None, operation)
    finally:
        after = scene.world.ledger.condition().clock().mark - mark
        scene.world.clock.now = NOW
    recorded = {event["op"] for event in scene.world.events() if event["seq"] > before}
    scene.restore()
    return answer, after, recorded


@pytest.mark.parametrize("name", ACCEPTING)
def test_without_being_accepted_such_a_clock_is_refused(scene: Scene, name: str) -> None:
    for operation in _examples(scene, name):
        answer, moved, recorded = _performed(scene, operation)
        assert isinstance(answer, ClockError), operation
        assert (moved, recorded) == (0, set()), operation


@pytest.mark.parametrize("name", [*DRY, *LOOKS])
def test_a_look_with_an_accepted_clock_changes_nothing(scene: Scene, name: str) -> None:
    for operation in _examples(scene, name):
        dry = {"dry_run": True} if name in DRY else {}
        expected = scene.perform(None, operation.replace(**dry))
        answer, moved, recorded = _performed(scene, operation.replace(accept_clock=True, **dry))
        assert (moved, recorded) == (0, set()), operation
        assert type(answer) is type(expected), operation


@pytest.mark.parametrize("name", [name for name in ACCEPTING if name not in LOOKS])
def test_a_change_accepts_the_clock_with_its_first_event(scene: Scene, name: str) -> None:
    found = _examples(scene, name)
    assert found, name
    for operation in found:
        answer, moved, recorded = _performed(scene, operation.replace(accept_clock=True))
        assert not isinstance(answer, ClockError), operation
        # An operation that changes nothing, or fails before its first change, does not move the mark.
        assert (moved == -2 * DAY) == ("accept-clock" in recorded) == bool(recorded), operation


def test_a_sweep_accepts_the_clock_even_if_nothing_is_due(scene: Scene) -> None:
    """An error about the clock names this command."""
    _, moved, recorded = _performed(
        scene, sweep_operations.Sweep(rules=(), limits=Thresholds(), accept_clock=True)
    )
    assert (moved, "accept-clock" in recorded) == (-2 * DAY, True)
