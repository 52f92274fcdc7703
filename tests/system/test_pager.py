"""The pager: only for output longer than the terminal, only where a user can leave it, and with all of the output."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import sys
import termios
from pathlib import Path

import pytest

from jitid.system.pager import Pager, command
from tests.real import Shell, need, surroundings

LINES = 24


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"TERM": "xterm", "PAGER": "sh -c 'cat >x'"}, ["sh", "-c", "cat >x"]),
        ({"TERM": "xterm", "PAGER": "sh", "JITID_PAGER": "sh -x"}, ["sh", "-x"]),
        ({"TERM": "xterm", "PAGER": ""}, None),
        ({"TERM": "xterm", "PAGER": "cat"}, None),
        ({"TERM": "xterm", "PAGER": "'"}, None),
        ({"TERM": "xterm", "PAGER": "/no/such/pager"}, None),
        ({"TERM": "dumb", "PAGER": "sh"}, None),
        ({"PAGER": "sh"}, None),
    ],
)
def test_the_command_of_the_pager(environ: dict[str, str], words: list[str] | None) -> None:
    assert command(environ) == words


def test_short_output_needs_no_pager(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINES", "5")
    pager = Pager(["/no/such/pager"])
    pager.write("one\ntwo\n")
    pager.write("three\n")
    assert pager.close() == "one\ntwo\nthree\n"


def test_a_pager_that_cannot_start_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINES", "2")
    pager = Pager(["/no/such/pager"])
    text = "line\n" * 9
    pager.write(text)
    pager.write("last\n")
    assert pager.close() == f"{text}last\n"


def _at_terminal(shell: Shell, *arguments: str, pager: str, **more: str) -> str:
    """Return the output of a line at a separate terminal with 24 lines."""
    child, terminal = pty.fork()
    if not child:
        environment = surroundings(
            shell.home, TERM="xterm", PAGER=pager, COLUMNS="80", LINES=str(LINES), **more
        )
        os.execve(
            sys.executable,
            [sys.executable, "-m", "jitid", "--ledger", str(shell.ledger), *arguments],
            environment,
        )
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, 80, 0, 0))
    shown = b""
    try:
        while piece := os.read(terminal, 65_536):
            shown += piece
    except OSError:
        # Linux reports the end of a terminal as an error.
        pass
    os.waitpid(child, 0)
    os.close(terminal)
    return shown.decode().replace("\r\n", "\n")


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    need("sed")
    shell = Shell(tmp_path)
    shell.good("issue", "--task", "T", "--delegator", "alice", "--kind", "opaque", "--count", "40", "-q")
    return shell


MARKING = "sed 's/^/paged: /'"


def test_a_long_list_goes_through_the_pager(shell: Shell) -> None:
    shown = _at_terminal(shell, "list", pager=MARKING)
    lines = [line for line in shown.splitlines() if line.startswith("paged: ")]
    assert len(lines) == 41


def test_short_output_and_other_verbs_do_not(shell: Shell) -> None:
    assert "paged" not in _at_terminal(shell, "list", "--limit", "3", pager=MARKING)
    assert "paged" not in _at_terminal(shell, "list", "--no-pager", pager=MARKING)
    assert "paged" not in _at_terminal(shell, "list", pager="cat")
    # The output of a verb that issues is a secret.
    issued = _at_terminal(
        shell, "issue", "--task", "T", "--delegator", "alice", "--count", "40", pager=MARKING
    )
    assert "paged" not in issued
    assert issued.count('"token"') == 40


def test_a_note_comes_after_the_output(shell: Shell) -> None:
    """It is about the rows above it."""
    for limit in ("30", "3"):
        lines = _at_terminal(shell, "list", "--limit", limit, pager=MARKING).splitlines()
        notes = [number for number, line in enumerate(lines) if line.startswith("jitid: note: ")]
        assert len(notes) == 1
        assert all("jid_" not in line for line in lines[notes[0] + 1 :])


def test_the_pager_of_a_user_with_own_options_shows_colours(
    shell: Shell,
) -> None:
    pager = "sh -c 'cat >/dev/null; echo options=$LESS'"
    assert "options=-R -E\n" in _at_terminal(shell, "list", pager=pager, LESS="-E")


def test_less_starts_no_shell(shell: Shell) -> None:
    """An account may be for jitid alone."""
    pager = "sh -c 'cat >/dev/null; echo secure=$LESSSECURE'"
    assert "secure=1" in _at_terminal(shell, "list", pager=pager)


def test_a_pager_that_ends_early_is_no_error(shell: Shell) -> None:
    shown = _at_terminal(shell, "list", pager="head -3")
    assert shown.count("\n") == 3
    assert "error" not in shown


def test_a_pipe_gets_no_pager(shell: Shell) -> None:
    assert shell.good("list").count("\n") == 40


def test_a_question_comes_after_the_output_and_is_seen(shell: Shell) -> None:
    """Output that the pager holds back, and the question, are shown before the answer is read."""
    child, terminal = pty.fork()
    if not child:
        code = (
            "from jitid.system import output\n"
            "from jitid.cli.input_lines import answer\n"
            "output.use_pager(['cat'])\n"
            "output.write('held\\n')\n"
            "output.print_message('jitid: sure?')\n"
            "output.write('after ' + answer() + '\\n')\n"
        )
        os.execve(sys.executable, [sys.executable, "-c", code], surroundings(shell.home, TERM="xterm"))
    shown = b""
    while b"sure?" not in shown:
        shown += os.read(terminal, 65_536)
    assert shown.replace(b"\r\n", b"\n").startswith(b"held\njitid: sure?")
    os.write(terminal, b"yes\n")
    while b"after yes" not in shown:
        shown += os.read(terminal, 65_536)
    os.waitpid(child, 0)
    os.close(terminal)
