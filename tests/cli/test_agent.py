"""`jitid agent` as a process: concurrent registrations, lost output, hostile text, and suspension during issue."""

from __future__ import annotations

import json
import sqlite3
import subprocess
from itertools import count
from pathlib import Path

import pytest

from tests.cli.test_terminal import Terminal
from tests.real import Shell, command

REGISTER = ("agent", "register", "bot", "--owner", "alice", "--purpose", "triage")
TOKEN = "jitid_" + "aB3" * 12 + "x9"
"""A mistyped token: its checksum is wrong."""
ISSUE = ("issue", "--delegator", "alice", "--agent", "bot", "--task")


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Return a shell with a ledger that knows alice."""
    made = Shell(tmp_path)
    made.good("delegator", "add", "alice")
    return made


def _live(shell: Shell) -> list[str]:
    return shell.good("list", "--live", "--agent", "bot", "--field", "id").split()


def test_one_of_those_who_register_a_name_at_once_does(shell: Shell) -> None:
    for name in ("a", "b"):
        running = [shell.start("agent", "register", name, *REGISTER[3:]) for _ in range(4)]
        ended = [(process.communicate(timeout=60)[1], process.returncode) for process in running]
        assert sorted(status for _, status in ended) == [0, 2, 2, 2]
        assert sum("is registered already" in told for told, _ in ended) == 3
    assert shell.good("agent", "list", "--field", "agent").split() == ["a", "b"]
    assert shell.run("audit", "verify").returncode == 0


def test_nothing_is_alive_of_what_was_suspended_while_others_issued(shell: Shell) -> None:
    """An issue that was decided before the suspension but gets the lock after it is decided again."""
    shell.good(*REGISTER)
    tasks = count()
    running = [shell.start(*ISSUE, f"T{next(tasks)}") for _ in range(6)]
    suspended = shell.start("agent", "suspend", "bot", "--yes")
    running += [shell.start(*ISSUE, f"T{next(tasks)}") for _ in range(6)]
    assert suspended.communicate(timeout=60) is not None
    assert suspended.returncode == 0
    for process in running:
        _, told = process.communicate(timeout=60)
        assert process.returncode == 0 or "rule `agent-suspended`" in told
    assert _live(shell) == []
    assert shell.run(*ISSUE, "LATER").returncode == 4
    assert shell.run("audit", "verify").returncode == 0


def test_no_more_live_than_its_record_says_whoever_issues_at_once(shell: Shell) -> None:
    shell.good(*REGISTER, "--concurrency", "2")
    running = [shell.start(*ISSUE, f"T{number}") for number in range(8)]
    statuses = [process.communicate(timeout=60) and process.returncode for process in running]
    assert sorted(statuses) == [0, 0, 4, 4, 4, 4, 4, 4]
    assert len(_live(shell)) == 2


def test_the_next_agent_of_a_name_has_the_rights_of_the_name_elsewhere(shell: Shell) -> None:
    """The rule of a vendor knows the name, not the record; the registration reports that."""
    assert "an earlier agent" not in shell.run(*REGISTER).stderr
    shell.good("agent", "unregister", "bot", "--yes")
    done = shell.run(*REGISTER)
    assert done.returncode == 0, done.stderr
    assert "an earlier agent had the name bot: rules of vendors" in done.stderr


@pytest.mark.parametrize("verb", ["suspend", "unregister"])
def test_a_terminal_is_asked_before_much_ends(shell: Shell, verb: str) -> None:
    shell.good(*REGISTER)
    for number in range(2):
        shell.good(*ISSUE, f"T{number}")
    for answer, status, left in (("1", 2, 2), ("2", 0, 0)):
        terminal = Terminal(shell, "agent", verb, "bot", "--max", "1")
        terminal.until("to revoke them; any other answer revokes none")
        terminal.type(answer)
        assert terminal.end()[0] == status
        assert len(_live(shell)) == left


@pytest.mark.deep
@pytest.mark.parametrize(
    "arguments",
    [
        ("register", "new", "--owner", "alice", "--purpose", "x"),
        ("change", "bot", "--max-ttl", "1m"),
        ("review", "bot"),
        ("suspend", "bot"),
        ("unregister", "bot"),
    ],
)
def test_what_cannot_be_told_is_done_all_the_same(shell: Shell, arguments: tuple[str, ...]) -> None:
    """The record, unlike a token, can be shown again."""
    shell.good(*REGISTER)
    events = int(shell.good("audit", "verify", "--field", "events"))
    full = Path("/dev/full")
    with full.open("w") as out:
        done = subprocess.run(
            command("agent", *arguments), stdout=out, stderr=subprocess.PIPE, text=True, env=shell.environment
        )
    assert done.returncode == 74
    assert int(shell.good("audit", "verify", "--field", "events")) == events + 1


@pytest.mark.parametrize("arguments", [("list",), ("classify",), ("suggest", "bot"), ("show", "bot")])
def test_whoever_reads_no_further_ends_it_quietly(shell: Shell, arguments: tuple[str, ...]) -> None:
    shell.good(*REGISTER)
    shell.good(*ISSUE, "T1")
    line = subprocess.list2cmdline(command("agent", *arguments))
    done = subprocess.run(
        ["bash", "-c", f"{line} | true; exit ${{PIPESTATUS[0]}}"],
        capture_output=True,
        text=True,
        env=shell.environment,
        cwd=shell.home,
    )
    assert (done.returncode in (0, 74, 141), done.stderr) == (True, "")


HOSTILE = "\x1b[31mred\x1b]8;;https://evil.example\x07 \u202eevil\u200b [bold]x[/bold] =1+1"


def test_a_hostile_purpose_acts_on_no_terminal(shell: Shell) -> None:
    shell.good(*REGISTER[:-1], HOSTILE)
    shell.good("agent", "suspend", "bot", "--reason", HOSTILE)
    for line in (
        ("show", "bot"),
        ("list",),
        ("list", "--format", "csv"),
        ("show", "bot", "--format", "table"),
    ):
        shown = shell.good("agent", *line)
        assert "red" in shown
        assert not {"\x1b", "\u202e", "\u200b", "\x07"} & set(shown)
    told = json.loads(shell.good("agent", "show", "bot", "--format", "json"))
    assert (told["purpose"], told["suspended_as"]) == (HOSTILE, HOSTILE)
    refused = shell.run(*ISSUE, "T1")
    assert refused.returncode == 4
    assert "\x1b" not in refused.stderr


def test_a_hostile_purpose_of_a_task_is_quoted_in_the_command_that_registers(shell: Shell) -> None:
    for number in range(5):
        shell.good(*ISSUE, f"T{number}", "--purpose", "$(touch pwned) `touch pwned` '; touch pwned #")
    line = shell.good("agent", "classify", "bot", "--field", "command")
    script = "jitid() { " + subprocess.list2cmdline(command()) + ' "$@"; }\n' + line
    done = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, env=shell.environment, cwd=shell.home
    )
    assert done.returncode == 0, done.stderr
    assert not (shell.home / "pwned").exists()
    assert shell.good("agent", "show", "bot", "--field", "purpose").startswith("$(touch pwned)")


def _pasted(shell: Shell, line: str) -> subprocess.CompletedProcess[str]:
    """Run a line like a shell into which a user pastes it."""
    script = "jitid() { " + subprocess.list2cmdline(command()) + ' "$@"; }\n' + line
    return subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, env=shell.environment, cwd=shell.home
    )


@pytest.mark.deep
@pytest.mark.parametrize("purpose", [HOSTILE, "\x1b]0;x\x07\n\nrm -rf /", "\\x1b", "\x01" * 999])
def test_a_command_that_is_told_acts_on_no_terminal_and_registers(shell: Shell, purpose: str) -> None:
    for number in range(5):
        shell.good(*ISSUE, f"T{number}", "--purpose", purpose)
    terminal = Terminal(shell, "agent", "classify")
    status, shown = terminal.end()
    assert status == 0
    assert "jitid agent register bot" in shown
    assert not {"\u202e", "\u200b", "\x07", "\x01"} & set(shown)
    assert "\x1b]" not in shown
    assert "\x1b[31m" not in shown
    done = _pasted(shell, shell.good("agent", "classify", "bot", "--field", "command"))
    assert done.returncode == 0, done.stderr


@pytest.mark.deep
@pytest.mark.parametrize(
    "purpose",
    [
        "a | jitid $(touch pwned)",
        "it's | jitid `touch pwned`",
        "a \" | jitid b | jitid ' | jitid c; touch pwned",
    ],
)
def test_a_bar_in_a_purpose_is_no_pipe_in_the_command(tmp_path: Path, purpose: str) -> None:
    """The flags that chose the ledger appear once, in front, for any text between the quotes."""
    folder = tmp_path / "it's my ledger"
    shell = Shell(tmp_path, tmp_path / "none")
    given = ("--ledger", str(folder))
    shell.good(*given, "delegator", "add", "alice")
    for number in range(5):
        shell.good(*given, *ISSUE, f"T{number}", "--purpose", purpose)
    line = shell.good(*given, "agent", "classify", "bot", "--field", "command")
    assert line.count("--ledger") == 1
    done = _pasted(shell, line)
    assert done.returncode == 0, done.stderr
    assert not (shell.home / "pwned").exists()
    assert shell.good(*given, "agent", "show", "bot", "--field", "purpose") == f"{purpose}\n"


@pytest.mark.deep
@pytest.mark.parametrize("name", ["-x", "--help", "--yes"])
def test_what_is_told_of_a_name_that_begins_as_an_option_can_be_pasted(shell: Shell, name: str) -> None:
    for number in range(5):
        shell.good(
            "issue", "--delegator", "alice", f"--agent={name}", "--scope", "a:b", "--task", f"T{number}"
        )
    done = _pasted(shell, shell.good("agent", "classify", "--field", "command", "--", name))
    assert done.returncode == 0, done.stderr
    assert shell.good("agent", "list", "--field", "agent") == f"{name}\n"
    shell.good("delegator", "change", "alice", "--entitlement", "a:c")
    found = json.loads(shell.run("sweep", "--rule", "over-privileged", "--format", "json").stdout)
    (remedy,) = [each["remedy"] for each in found["findings"]]
    assert _pasted(shell, remedy).returncode == 0
    assert shell.good("agent", "show", "--field", "state", "--", name) == "suspended\n"
    refused = shell.run("issue", "--delegator", "alice", f"--agent={name}", "--task", "LATER")
    assert refused.returncode == 4
    told = refused.stderr.strip().rpartition("to resume the agent: ")[2]
    assert _pasted(shell, told).returncode == 0
    assert shell.good("agent", "show", "--field", "state", "--", name) == "registered\n"


@pytest.mark.deep
@pytest.mark.parametrize("text", ["", " ", "x" * 129, "a b", TOKEN, "ünïcode", "a\nb"])
def test_what_is_no_name_is_refused_and_no_token_repeated(shell: Shell, text: str) -> None:
    for verb in ("show", "review", "suspend", "resume", "unregister", "classify", "suggest"):
        done = shell.run("agent", verb, text)
        assert done.returncode == 2, verb
        assert TOKEN[6:] not in done.stdout + done.stderr


@pytest.mark.parametrize("name", ["-x", "--help", "a/b@c+d:e"])
def test_a_name_may_begin_as_an_option_does(shell: Shell, name: str) -> None:
    shell.good("agent", "register", *REGISTER[3:], "--", name)
    assert shell.good("agent", "show", "--field", "agent", "--", name) == f"{name}\n"


def test_a_ledger_of_which_a_record_was_cut_tells_so(shell: Shell) -> None:
    shell.good(*REGISTER)
    db = sqlite3.connect(shell.ledger / "ledger.db")
    db.execute("UPDATE agent SET review_at = 'soon'")
    db.commit()
    db.close()
    for line in (("agent", "show", "bot"), ("agent", "list"), ("agent", "classify"), (*ISSUE, "T1")):
        done = shell.run(*line)
        assert done.returncode == 7, (line, done.stderr)
        assert "Traceback" not in done.stderr


@pytest.mark.deep
@pytest.mark.parametrize(
    "edited", ["added_at = 'soon'", "sensitivity = 'very'", "scopes = x'00'", "manager = x'01'"]
)
def test_a_ledger_of_which_a_delegator_was_cut_tells_so(shell: Shell, edited: str) -> None:
    shell.good(*REGISTER)
    db = sqlite3.connect(shell.ledger / "ledger.db")
    db.execute(f"UPDATE delegator SET {edited}")
    db.commit()
    db.close()
    for line in (
        ("agent", "show", "bot"),
        ("delegator", "list"),
        ("delegator", "show", "alice"),
        (*ISSUE, "T1"),
    ):
        done = shell.run(*line)
        assert done.returncode == 7, (line, done.stderr)
        assert "Traceback" not in done.stderr
