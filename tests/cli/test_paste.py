"""`trace` and `leak add` at a terminal: a pasted secret is read without being shown."""

from __future__ import annotations

import os
import pty
import sys
import termios
from pathlib import Path

import pytest

from tests.real import Shell, surroundings, unfolded

END = b"\x04"
INTERRUPT = b"\x03"


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def pasted(shell: Shell, *arguments: str, text: bytes) -> tuple[int, str, bool]:
    """Paste a text at the prompt; return the exit status, the shown text, and whether echo is on again."""
    # `held` stays open here: a terminal keeps its settings after its last process.
    terminal, held = pty.openpty()
    child = os.fork()
    if not child:
        os.login_tty(os.dup(held))
        words = [sys.executable, "-m", "jitid", "--ledger", str(shell.ledger), *arguments]
        os.execve(sys.executable, words, surroundings(shell.home, TERM="xterm", PAGER="cat"))
    shown = b""
    while b"not shown" not in shown:
        shown += os.read(terminal, 65_536)
    # The prompt comes first, then echo is switched off.
    while termios.tcgetattr(held)[3] & termios.ECHO:
        os.sched_yield()
    remaining = memoryview(text)
    while remaining:
        remaining = remaining[os.write(terminal, remaining[:1024]) :]
    _, status = os.waitpid(child, 0)
    echo = bool(termios.tcgetattr(held)[3] & termios.ECHO)
    os.close(held)
    try:
        while piece := os.read(terminal, 65_536):
            shown += piece
    except OSError:
        # Linux reports the end of a terminal as an error.
        pass
    os.close(terminal)
    return os.waitstatus_to_exitcode(status), unfolded(shown.decode()), echo


def test_a_pasted_token_is_found_and_not_shown(shell: Shell) -> None:
    """Also in a line longer than the 4,095 characters that a terminal collects."""
    token = shell.good("issue", "--task", "T1", "--delegator", "alice", "--field", "token").strip()
    for before in ("", "log line\n", "x" * 9_000 + " "):
        status, shown, echo = pasted(shell, "trace", "-", text=f"{before}{token}\n".encode() + END)
        assert (status, echo) == (0, True), shown
        assert "T1" in shown
        assert token not in shown
        assert "xxx" not in shown


def test_a_pasted_leak_is_recorded(shell: Shell) -> None:
    token = shell.good("issue", "--task", "T1", "--delegator", "alice", "--field", "token").strip()
    status, shown, _ = pasted(shell, "leak", "add", "--source", "chat", text=token.encode() + END)
    assert status == 0, shown
    assert token not in shown
    assert shell.good("leak", "list", "--field", "source") == "chat\n"


def test_an_interrupt_gives_the_terminal_back(shell: Shell) -> None:
    shell.good("issue", "--task", "T1", "--delegator", "alice")
    status, _, echo = pasted(shell, "trace", "-", text=b"some" + INTERRUPT)
    assert (status, echo) == (130, True)


def test_a_text_that_is_too_long_names_another_way(shell: Shell) -> None:
    shell.good("issue", "--task", "T1", "--delegator", "alice")
    status, shown, echo = pasted(shell, "trace", "-", text=b"y" * (1 << 20) + b"yy")
    assert (status, echo) == (2, True)
    assert "save it to a file" in shown
