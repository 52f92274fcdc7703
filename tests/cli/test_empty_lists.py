"""Lists without rows, and lists that --limit cuts, at a terminal and in a pipe."""

from __future__ import annotations

import pytest

from tests.cli.test_terminal import Terminal
from tests.real import Shell

PLAIN = {"NO_COLOR": "1"}
EMPTY = [
    "list --task NOTHING",
    "list --by task --state ended",
    "leak list",
    "adopt list",
    "approve list",
    "access list",
    "agent list",
    "delegator list --disabled",
    "audit log --operation sweep",
    "audit log --action read",
    "leak list --field jti",
    "list --task NOTHING --format tsv",
]


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """Return a shell with two of each kind of record that a list can be cut after."""
    made = Shell(tmp_path_factory.mktemp("home"))
    for number in "12":
        task = ("-q", "issue", "--task", f"T{number}", "--delegator", "alice", "--kind", "opaque")
        made.good(*task, "--out", f"token{number}")
        made.good("delegator", "add", f"person{number}")
        made.good("agent", "register", f"agent{number}", "--owner", "person1", "--purpose", "tests")
        made.good("access", "grant", f"user:person{number}", "--out", f"access{number}")
    return made


@pytest.mark.parametrize("line", EMPTY)
def test_a_list_without_rows_is_none_at_a_terminal_and_empty_in_a_pipe(
    line: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    shell = Shell(tmp_path_factory.mktemp("empty"))
    shell.good("issue", "--task", "T", "--delegator", "alice")
    assert Terminal(shell, *line.split(), more=PLAIN).end() == (0, "none\n")
    assert shell.good(*line.split()) == ""


def test_a_document_without_items_stays_a_document(shell: Shell) -> None:
    status, shown = Terminal(shell, "leak", "list", "--format", "json", more=PLAIN).end()
    assert (status, "none" in shown, '"items": []' in shown) == (0, False, True)


CUT = [
    ("list", "for the next ones: --after jti_"),
    ("list --by task", "for the next ones: --after user:alice/T"),
    ("delegator list", "continue with --after user:person1"),
    ("agent list", "continue with --after agent1"),
    ("access list", "for more: --limit N"),
    ("audit log --after 1", "for the next ones: --after 2"),
    ("audit log", "older events are not shown: the limit is 1; for more: --tail N"),
]


@pytest.mark.parametrize(("line", "note"), CUT)
def test_a_list_that_a_limit_cuts_ends_with_a_note(line: str, note: str, shell: Shell) -> None:
    """In a pipe, the caller who stated the limit gets no note."""
    words = (*line.split(), "--limit", "1")
    status, shown = Terminal(shell, *words, more=PLAIN).end()
    assert status == 0
    assert note in shown.splitlines()[-1]
    assert Terminal(shell, *words, "-q", more=PLAIN).end()[1].count("note") == 0
    assert shell.run(*words).stderr == ""


def test_a_list_of_leaks_that_a_limit_cuts_ends_with_a_note(shell: Shell) -> None:
    text = "".join((shell.home / f"token{number}").read_text() for number in "12")
    shell.good("leak", "add", "--source", "log", stdin=text)
    shown = Terminal(shell, "leak", "list", "--limit", "1", more=PLAIN).end()[1]
    assert shown.splitlines()[-1] == "jitid: note: there may be more than 1: for more: --limit N"
    assert "there may be more" not in Terminal(shell, "leak", "list", "--limit", "3", more=PLAIN).end()[1]
