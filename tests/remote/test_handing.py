"""What an authority elsewhere hands out: as many credentials as beside the ledger, and each is live."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.real import Shell


def rows(told: str) -> list[dict[str, object]]:
    """Return the JSON lines of an output."""
    return [json.loads(line) for line in told.splitlines()]


@pytest.fixture(params=["local", "remote"])
def shell(request: pytest.FixtureRequest, tmp_path: Path) -> Shell:
    """Return a command line beside a ledger, and one that asks an authority."""
    if request.param == "local":
        return Shell(tmp_path)
    found: Shell = request.getfixturevalue("client")
    return found


def live(shell: Shell) -> list[str]:
    """Return the ids of the live credentials of the ledger."""
    return shell.good("list", "--live", "--limit", "1000", "--field", "jti").split()


@pytest.mark.parametrize("count", [1, 2, 3, 600])
def test_copies_are_handed_out(shell: Shell, count: int) -> None:
    words = ("issue", "--task", "T1", "--delegator", "bob", "--count", str(count))
    assert [row["count"] for row in rows(shell.good(*words, "--dry-run"))] == [count]
    made = rows(shell.good(*words))
    assert sorted(str(row["jti"]) for row in made) == sorted(live(shell))
    assert len(made) == count
