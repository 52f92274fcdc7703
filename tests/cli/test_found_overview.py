"""`trace` and `leak add` of many credentials at a terminal: a summary, one command, and nothing before a yes."""

from __future__ import annotations

import json
import re
import shlex
import time
from datetime import datetime
from pathlib import Path

import pytest

from tests.cli.test_terminal import Terminal
from tests.real import Shell, unfolded

PLAIN = {"NO_COLOR": "1"}


def tokens(output: str) -> str:
    """Return the tokens of credentials that were issued as JSON lines, one a line."""
    return "".join(f"{json.loads(line)['token']}\n" for line in output.splitlines())


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Return a shell with the tokens of 24 credentials of 12 tasks, and with those of 21 credentials of one task."""
    made = Shell(tmp_path)
    several = ""
    for number in range(12):
        task = ("issue", "--task", f"T-{number:02}", "--delegator", "alice", "--agent", f"agent-{number % 2}")
        several += tokens(made.good(*task, "-q", "--count", "2", "--kind", "opaque"))
    (tmp_path / "several.log").write_text(several)
    one = made.good("issue", "--task", "ONE", "--delegator", "bob", "--count", "21", "--kind", "opaque")
    (tmp_path / "one.log").write_text(tokens(one))
    return made


def live(shell: Shell) -> int:
    """Return the number of live credentials."""
    return len(shell.good("list", "--state", "active", "--field", "jti").split())


@pytest.mark.parametrize("verb", [("trace",), ("leak", "add")])
def test_many_credentials_are_summarised_at_a_terminal(verb: tuple[str, ...], shell: Shell) -> None:
    shell.good("retire", "T-00")
    status, shown = Terminal(shell, *verb, "several.log", more=PLAIN).end()
    assert status == 0, shown
    rows = [" ".join(row.split()) for row in shown.splitlines()]
    assert "24 credentials: 22 valid, 2 ended\n" in shown
    assert "task credentials valid ended" in rows
    assert "T-00 2 0 2" in rows
    assert "T-09 2 2 0" in rows
    assert "and 2 more tasks 4 4 0" in rows
    assert "T-10" not in shown
    assert "agent-1 12 12 0" in rows
    assert "user:alice 24 22 2" in rows
    words = " ".join(verb)
    assert f"\nto revoke them: jitid {words} several.log --revoke --dry-run\n" in shown
    assert "\nto list each credential: add --verbose, or --format tsv\n" in shown
    assert "jti_" not in shown
    for more in (("--verbose",), ("--format", "table"), ("--field", "jti")):
        assert "jti_" in Terminal(shell, *verb, "several.log", *more, more=PLAIN).end()[1], more


@pytest.mark.parametrize("verb", [("trace",), ("leak", "add")])
def test_the_proposed_commands_revoke_what_they_say(verb: tuple[str, ...], shell: Shell) -> None:
    """The found credentials alone, or all of their task, but not a task of that name of another delegator.

    Each is a dry run first. The line after it repeats all options, and a time is absolute.
    """
    shell.good("issue", "--task", "ONE", "--delegator", "mallory")
    shell.good("issue", "--task", "ONE", "--delegator", "bob", "--agent", "not-found")
    stated = ("--at", "1h", "--source", "a paste") if "leak" in verb else ()
    line = (*verb, "one.log", *stated)
    found, whole = commands(Terminal(shell, *line, more=PLAIN).end()[1])
    assert found[-2:] == ["--revoke", "--dry-run"]
    assert whole == ["revoke", "--task", "user:bob/ONE", "--dry-run"]
    assert "would revoke 22 live credentials" in shell.good(*whole)
    reason = ("--reason", "in a paste's log")
    (found, _) = commands(Terminal(shell, *line, *reason, "--revoke", "--dry-run", more=PLAIN).end()[1])
    assert found[-3:] == ["--revoke", "--max", "21"]
    if stated:
        reported = datetime.fromisoformat(found[found.index("--at") + 1])
        assert 3_500 < time.time() - reported.timestamp() < 3_900
        assert found[found.index("--source") + 1] == "a paste"
    shell.good(*found)
    event = json.loads(shell.good("audit", "log", "--operation", "revoke", "--json"))["items"][-1]
    assert event["reason"] == "in a paste's log"
    assert shell.good("list", "--live", "--task", "user:bob/ONE", "--field", "agent") == "not-found\n"
    assert shell.good("list", "--live", "--delegator", "mallory", "--field", "task") == "ONE\n"
    assert "to revoke" not in Terminal(shell, *verb, "one.log", more=PLAIN).end()[1]


@pytest.mark.parametrize("verb", [("trace",), ("leak", "add")])
def test_the_line_after_a_dry_run_without_a_limit_has_none(verb: tuple[str, ...], shell: Shell) -> None:
    """`--yes` excludes `--max`."""
    line = (*verb, "one.log", "--revoke", "--yes")
    found, _ = commands(Terminal(shell, *line, "--dry-run", more=PLAIN).end()[1])
    assert found == [*verb, "one.log", "--yes", "--revoke"]
    shell.good(*found)
    assert live(shell) == 24


def commands(shown: str) -> list[list[str]]:
    """Return the words of the proposed commands."""
    return [shlex.split(line) for line in re.findall("^(?:to|for) .*: jitid (.*)$", shown, re.MULTILINE)]


@pytest.mark.parametrize("verb", [("trace",), ("leak", "add")])
def test_tasks_of_one_name_are_counted_apart(verb: tuple[str, ...], shell: Shell) -> None:
    tokens = [
        shell.good("issue", "--task", "SAME", "--delegator", who, "--count", "12") for who in ("al", "bo")
    ]
    (shell.home / "same.log").write_text("".join(tokens))
    shown = Terminal(shell, *verb, "same.log", more=PLAIN).end()[1]
    rows = [" ".join(row.split()) for row in shown.splitlines()]
    assert {"user:al/SAME 12 12 0", "user:bo/SAME 12 12 0"} <= set(rows)
    assert len(commands(shown)) == 1


@pytest.mark.parametrize("verb", [("trace",), ("leak", "add")])
def test_a_dry_run_names_the_command_without_it(verb: tuple[str, ...], shell: Shell) -> None:
    line = (*verb, "several.log", "--revoke")
    shown = Terminal(shell, *line, "--dry-run", more=PLAIN).end()[1]
    assert f"\nto revoke them: jitid {' '.join(line)} --max 24\n" in shown
    assert live(shell) == 45
    status, shown = Terminal(shell, *line, "--max", "24", more=PLAIN).end()
    assert (status, live(shell)) == (0, 21), shown
    assert "24 credentials: 0 valid, 24 ended\n" in shown
    assert "to revoke" not in shown


@pytest.mark.parametrize("verb", [("trace",), ("leak", "add")])
def test_a_few_credentials_and_a_pipe_get_rows(verb: tuple[str, ...], shell: Shell) -> None:
    (shell.home / "few.log").write_text("".join((shell.home / "one.log").read_text().splitlines(True)[:20]))
    assert "jti_" in Terminal(shell, *verb, "few.log", more=PLAIN).end()[1]
    assert len(shell.good(*verb, "one.log").splitlines()) == 21


LINES = [
    ("trace", "several.log", "--revoke"),
    ("leak", "add", "several.log", "--revoke"),
    ("scan", "several.log", "--report", "--revoke"),
]


@pytest.mark.parametrize("line", LINES, ids=" ".join)
def test_nothing_is_printed_or_changed_before_a_confirmation(line: tuple[str, ...], shell: Shell) -> None:
    """Any other answer changes nothing: no credential is revoked, and no leak is recorded."""
    before = shell.good("audit", "verify", "--field", "head")
    terminal = Terminal(shell, *line, "--max", "5", more=PLAIN)
    terminal.until("any other answer revokes none")
    preview = unfolded(terminal.shown).splitlines()
    assert [
        one.startswith(("jitid: this would revoke 24 ", "jitid: type the number")) for one in preview
    ] == [
        True,
        True,
    ]
    terminal.type("y")
    status, shown = terminal.end()
    assert (status, live(shell)) == (2, 45), shown
    assert "not confirmed; nothing was changed" in shown
    assert "recorded" not in shown
    assert shell.good("audit", "verify", "--field", "head") == before
    terminal = Terminal(shell, *line, "--max", "5", more=PLAIN)
    terminal.until("any other answer revokes none")
    terminal.type("24")
    status, shown = terminal.end()
    assert (status, live(shell)) == (0, 21), shown
    recorded = shell.good("leak", "list", "--field", "jti").split()
    assert len(recorded) == (0 if line[0] == "trace" else 24)
