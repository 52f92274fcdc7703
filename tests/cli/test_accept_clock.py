"""--accept-clock with a clock that is days behind: a read-only verb changes nothing, and a changing verb works."""

from __future__ import annotations

import json
import shutil
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from jitid.ledger.sqlite import folder
from tests.builders import World
from tests.real import Shell

AHEAD = 300_000


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """Return a ledger whose time mark is ahead of the clock."""
    shell = Shell(tmp_path_factory.mktemp("accept"))
    with World(shell.ledger, now=int(time.time()) + AHEAD) as world:
        token = world.issue(kind="opaque").token
        world.issue()
        world.know("user:bob")
        world.register("bot", owner="user:bob")
    (shell.home / "token").touch(0o600)
    (shell.home / "token").write_text(f"{token}\n")
    return shell


@pytest.fixture
def shell(made: Shell, tmp_path: Path) -> Iterator[Shell]:
    """Return a copy of that ledger."""
    shutil.copytree(made.home, tmp_path, dirs_exist_ok=True)
    yield Shell(tmp_path)


def _database(shell: Shell) -> sqlite3.Connection:
    return sqlite3.connect(shell.ledger / folder.DATABASE, isolation_level=None)


def _state(shell: Shell) -> tuple[int, list[str]]:
    db = _database(shell)
    ((mark,),) = db.execute("SELECT marked_at FROM clock_mark").fetchall()
    events = [json.loads(body)["op"] for (body,) in db.execute("SELECT body FROM audit_event ORDER BY seq")]
    db.close()
    return mark, events


def _kid(shell: Shell) -> str:
    ((kid,),) = _database(shell).execute("SELECT kid FROM signing_key LIMIT 1").fetchall()
    return str(kid)


LOOKS = (
    "issue --task T2 --delegator alice --dry-run",
    "retire T1 --dry-run",
    "revoke --task T1 --dry-run",
    "keys revoke KID --dry-run",
    "trace token",
    "trace token --revoke --dry-run",
    "leak add token --dry-run",
    "sweep --dry-run --fix --fail-on critical",
    "sweep --fix --dry-run --yes --fail-on critical",
    "report",
    "prune --dry-run",
    "delegator disable bob --dry-run",
    "agent suspend bot --dry-run",
    "agent unregister bot --dry-run",
    "scan token",
    "ledger backup backup",
)
CHANGES = (
    "issue --task T2 --delegator alice",
    "retire T1",
    "revoke --task T1",
    "keys revoke KID",
    "keys rotate",
    "trace token --revoke",
    "leak add token",
    "leak add token --revoke",
    "sweep --fail-on critical",
    "sweep --fix --yes --fail-on critical",
    "delegator disable bob",
    "agent suspend bot",
    "agent review bot",
    "task share T1 --with bob",
    "ledger issuer set https://id.example --yes",
    "access grant user:bob --role admin",
)


def _line(shell: Shell, line: str) -> list[str]:
    return line.replace("KID", _kid(shell)).split()


@pytest.mark.deep
@pytest.mark.parametrize("line", LOOKS)
def test_a_look_works_and_changes_nothing(shell: Shell, line: str) -> None:
    before = _state(shell)
    done = shell.run(*_line(shell, line), "--accept-clock", "--no-input")
    assert done.returncode in (0, 10), done.stderr
    assert _state(shell) == before


@pytest.mark.deep
@pytest.mark.parametrize("line", CHANGES)
def test_a_change_works_and_accepts_the_clock(shell: Shell, line: str) -> None:
    mark, events = _state(shell)
    done = shell.run(*_line(shell, line), "--accept-clock", "--no-input")
    assert done.returncode in (0, 10), done.stderr
    after, recorded = _state(shell)
    assert after < mark - AHEAD // 2
    assert "accept-clock" in recorded[len(events) :]


@pytest.mark.parametrize(
    "line", ["ledger issuer set https://id.example", "retire NONE", "revoke --task T1 --max 0"]
)
def test_a_change_that_is_refused_accepts_nothing(shell: Shell, line: str) -> None:
    before = _state(shell)
    done = shell.run(*_line(shell, line), "--accept-clock", "--no-input")
    assert done.returncode in (2, 3), done.stderr
    assert _state(shell) == before
