"""Long work shows its step on standard error at a terminal, and erases it at its end."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.builders import World
from tests.cli.test_terminal import Terminal
from tests.real import Shell

PLAIN = {"NO_COLOR": "1"}
FILLER = b"2026-11-24T12:00:00Z info job fetch request_id=0f8b2d job done in 12ms\n" * 3_000
ERASED = "\r\x1b[K"


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Return a shell with a token in `token`, and an open pipe `pipe`."""
    made = Shell(tmp_path)
    made.good("-q", "issue", "--task", "T", "--delegator", "alice", "--kind", "opaque", "--out", "token")
    os.mkfifo(tmp_path / "pipe")
    return made


@contextmanager
def busy(shell: Shell) -> Iterator[None]:
    """Keep all other writers waiting."""
    with World(shell.ledger, now=int(time.time())) as world, world.ledger.write():
        yield


def ended(terminal: Terminal, status: int = 0) -> str:
    """Return the text after the progress, which is erased before any result."""
    done, shown = terminal.end()
    assert done == status, shown
    progress, _, result = shown.rpartition(ERASED)
    assert progress.startswith(ERASED)
    assert "\r" not in result
    return result


@pytest.mark.parametrize("verb", [("trace",), ("leak", "add")])
def test_a_search_shows_its_step(verb: tuple[str, ...], shell: Shell) -> None:
    terminal = Terminal(shell, *verb, "pipe", "--field", "jti", more=PLAIN)
    with (shell.home / "pipe").open("wb") as pipe:
        pipe.write(FILLER)
        pipe.flush()
        terminal.until("searching the text: ")
        pipe.write((shell.home / "token").read_bytes())
    assert ended(terminal).startswith("jti_")


def test_a_list_of_delegators_shows_that_it_is_read(shell: Shell) -> None:
    terminal = Terminal(shell, "delegator", "import", "pipe", "--as", "csv", more=PLAIN)
    with (shell.home / "pipe").open("wb") as pipe:
        pipe.write(b"name\nellen\n")
        pipe.flush()
        terminal.until("reading the list: ")
    assert "added 1" in ended(terminal)


def test_a_verification_shows_its_step(shell: Shell) -> None:
    exported = shell.good("audit", "export")
    terminal = Terminal(shell, "audit", "verify", "--file", "pipe", more=PLAIN)
    with (shell.home / "pipe").open("w") as pipe:
        pipe.write(exported[:200])
        pipe.flush()
        terminal.until("verifying the audit chain: ")
        pipe.write(exported[200:])
    assert "the audit chain is intact" in ended(terminal)


@pytest.mark.parametrize(
    ("line", "step"),
    [
        (("revoke", "--task", "T", "--max", "9"), "revoking the credentials"),
        (("retire", "T"), "retiring the task"),
        (("leak", "add", "token", "--field", "jti"), "recording the leaks"),
        (("ledger", "prune"), "deleting expired records"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_a_change_shows_its_step(line: tuple[str, ...], step: str, shell: Shell) -> None:
    with busy(shell):
        terminal = Terminal(shell, *line, "--timeout", "60s", more=PLAIN)
        terminal.until(f"{step}: ")
    ended(terminal)


def test_a_pipe_and_quiet_show_no_progress(shell: Shell) -> None:
    with busy(shell):
        done = shell.run("revoke", "--task", "T", "--timeout", "2s")
        assert (done.returncode, "revoking" in done.stderr) == (5, False)
        quiet = Terminal(shell, "revoke", "--task", "T", "--timeout", "2s", "-q").end()
        assert (quiet[0], "revoking" in quiet[1]) == (5, False)
