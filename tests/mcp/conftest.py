"""A fixture: an agent with its own credential."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.real import Shell

AUDIENCES = ("https://api.example", "https://db.example")


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Return a shell with an agent's token in `own.jwt` and a stranger's in `other.jwt`."""
    made = Shell(tmp_path)
    (tmp_path / "run").mkdir(mode=0o700)
    made.environment["XDG_RUNTIME_DIR"] = str(tmp_path / "run")
    common = ("-q", "issue", "--delegator", "alice", "--purpose", "find the leak")
    audiences = [word for audience in AUDIENCES for word in ("--may-audience", audience)]
    made.good(
        *common, "--task", "T1", "--agent", "planner", "--scope", "repo:*", *audiences, "--out", "own.jwt"
    )
    made.good(*common, "--task", "T2", "--agent", "stranger", *audiences, "--out", "other.jwt")
    return made
