"""Names in place of ids, times as durations, and the options that many verbs have."""

from __future__ import annotations

from pathlib import Path

import pytest

from jitid.errors import ExitStatus
from tests.real import Shell


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Return a ledger with a task REL-9, on which the agent `planner` works, and a task of the name `planner`."""
    shell = Shell(tmp_path)
    shell.good("issue", "--task", "REL-9", "--delegator", "alice", "--agent", "planner", "--out", "t.jwt")
    shell.good("issue", "--task", "planner", "--delegator", "bob", "--agent", "tester")
    return shell


def refused(shell: Shell, *line: str, status: ExitStatus = ExitStatus.USAGE) -> list[str]:
    """Run a line that is refused without a change, and return its message and its hint."""
    before = shell.good("audit", "log", "--field", "hash")
    done = shell.run(*line)
    assert (done.returncode, done.stdout) == (status, "")
    assert shell.good("audit", "log", "--field", "hash") == before
    return [said.split(": ", 2)[-1] for said in done.stderr.splitlines()]


@pytest.mark.parametrize("word", ["REL-9", "user:alice/REL-9", "alice", "user:alice"])
@pytest.mark.parametrize("verb", [("list",), ("inspect",)])
def test_a_verb_that_reads_takes_a_name(verb: tuple[str, ...], word: str, shell: Shell) -> None:
    shown = shell.good(*verb, word)
    assert "REL-9" in shown
    assert "tester" not in shown


def test_a_tree_takes_the_name_of_a_task(shell: Shell) -> None:
    shown = shell.good("list", "--tree", "REL-9")
    assert "planner" in shown
    assert "tester" not in shown


@pytest.mark.parametrize(
    ("line", "message", "hint"),
    [
        ("revoke REL-9", "`REL-9` is a task, not an id", "jitid revoke --task REL-9"),
        ("revoke alice", "`user:alice` is a delegator, not an id", "jitid revoke --delegator user:alice"),
        ("revoke t.jwt", None, "for the token in that file: --token-file t.jwt"),
    ],
)
def test_a_verb_that_changes_names_the_option_for_a_name(
    line: str, message: str | None, hint: str, shell: Shell
) -> None:
    said = refused(shell, *line.split())
    assert said[-1] == hint
    if message is not None:
        assert said[0] == f"{message}; nothing was changed"


def test_a_task_that_is_none_is_unknown(shell: Shell) -> None:
    message, hint = refused(shell, "retire", "alice", status=ExitStatus.NOT_FOUND)
    assert message == "`user:alice` is a delegator, not a task; nothing was changed"
    assert hint == "to see its tasks: jitid list --delegator user:alice"


@pytest.mark.parametrize("verb", ["list", "inspect"])
def test_a_name_of_several_objects_is_taken_for_none_of_them(verb: str, shell: Shell) -> None:
    """Agents choose the names of their sub-agents: one named like a task must not be shown in its place."""
    message, hint = refused(shell, verb, "planner")
    assert message == "`planner` is the name of several objects: task and agent"
    assert hint == "select one: jitid list --task planner, or jitid list --agent planner"


@pytest.mark.parametrize("verb", ["list", "inspect"])
def test_an_unknown_name_is_an_error(verb: str, shell: Shell) -> None:
    message, _ = refused(shell, verb, "nobody")
    assert message == "`nobody` is not an id, a file, or the name of a task, an agent or a delegator"


def test_a_time_may_be_a_duration(shell: Shell) -> None:
    """Ago where a time is in the past, from now where it is in the future."""
    tasks = "REL-9\nplanner\n"
    assert shell.good("list", "--since", "1h", "--sort", "task", "--field", "task") == tasks
    assert shell.good("list", "--until", "1h", "--field", "task") == ""
    assert shell.good("list", "--expires-before", "1h", "--sort", "task", "--field", "task") == tasks
    assert shell.good("list", "--expires-before", "1m", "--field", "task") == ""
    assert shell.good("audit", "log", "--since", "1h", "--operation", "issue", "--field", "seq") == "2\n3\n"
    assert shell.good("audit", "log", "--until", "1h", "--field", "seq") == ""


def test_the_tail_of_the_log_is_in_its_order_in_a_pipe(shell: Shell) -> None:
    assert shell.good("audit", "log", "--tail", "2", "--field", "seq") == "2\n3\n"
    assert shell.good("audit", "log", "--tail", "9", "--field", "seq", "--field", "op") == (
        "1\tinit\n2\tissue\n3\tissue\n"
    )


def test_several_fields_are_columns_in_the_order_of_the_line(shell: Shell) -> None:
    line = ("list", "--task", "REL-9", "--field", "agent", "--field", "task")
    assert shell.good(*line) == "planner\tREL-9\n"


@pytest.mark.parametrize("line", ["list --json --format csv", "list --format csv --json"])
def test_json_is_one_format(line: str, shell: Shell) -> None:
    message, _ = refused(shell, *line.split())
    assert message == "--json and --format cannot be combined"
    assert shell.good("list", "--json") == shell.good("list", "--format", "json")
