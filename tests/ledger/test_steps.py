"""Ending a few credentials costs the same among many others, measured in steps of SQLite instead of time."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from jitid.capabilities.inventory.operations import Retire, Revoke
from jitid.capabilities.issue.operations import Issue
from jitid.model.ledger_rows import Selection
from tests.builders import World, request

EVERY = 50
"""Steps of SQLite's virtual machine between two counts."""


def _steps(world: World, done: Callable[[], object]) -> int:
    count = 0

    def step() -> int:
        nonlocal count
        count += 1
        return 0

    # Count the SQLite steps of all statements that the operation runs.
    db: sqlite3.Connection = world.ledger._db  # type: ignore[attr-defined]  # only the connection counts SQLite's steps
    db.set_progress_handler(step, EVERY)
    try:
        done()
    finally:
        db.set_progress_handler(None, 0)
    return count


def _cost(folder: Path, others: int, end: Callable[[World], object]) -> int:
    """Return the number of steps that ending one task takes, among live credentials of another person."""
    with World(folder) as world:
        for number in range(others // 100):
            other = request(kind="opaque", task=f"O{number}", delegator="user:other", copies=100)
            world.authority.perform(Issue(requests=(other,)))
        world.issue(kind="opaque", task="MINE")
        return _steps(world, lambda: end(world))


ENDS: dict[str, Callable[[World], object]] = {
    "revoke": lambda world: world.authority.perform(
        Revoke(selection=Selection(delegators=(request().delegator or "",)), most=None, reason="incident")
    ),
    "retire": lambda world: world.authority.perform(Retire(task="MINE", reason=None)),
}


@pytest.mark.parametrize("end", ENDS)
def test_ending_one_task_reads_no_more_among_many_others(tmp_path: Path, end: str) -> None:
    few, many = (_cost(tmp_path / str(others), others, ENDS[end]) for others in (200, 4_000))
    assert many <= 2 * few + 20
