"""Sessions of coding agents: an identity for each session and each subagent, which ends with it."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.client_process import ClientProcess, client_process
from tests.components.helping import is_for
from tests.real import Shell, faked, libfaketime

LLM = "https://llm.example"
REACH = ("--may-audience", "https://*.example")
ID = "e5352525-52af-4ad5-ba67-a954d9481ebe"
START = {
    "hook_event_name": "SessionStart",
    "session_id": ID,
    "source": "startup",
    "transcript_path": "/t/s.jsonl",
}
OTHER = {**START, "session_id": "other", "source": "clear"}
END = {"hook_event_name": "SessionEnd", "session_id": ID, "reason": "other"}


def _subagent(number: int, event: str = "SubagentStart", session: str = ID) -> dict[str, Any]:
    return {
        "hook_event_name": event,
        "session_id": session,
        "agent_id": f"a{number}",
        "agent_type": "general-purpose",
    }


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Return a shell with a ledger."""
    made = Shell(tmp_path)
    made.good("issue", "--task", "FIRST", "--delegator", "alice", "--ttl", "1s")
    return made


def _live(shell: Shell, *options: str) -> list[dict[str, Any]]:
    """Return the live identity tokens."""
    text = shell.good("list", "--live", "--json", *options)
    rows: list[dict[str, Any]] = json.loads(text)["items"]
    return [row for row in rows if row["task"] != "FIRST" and row["audiences"][0].startswith("urn:")]


def test_a_session_and_its_subagents_are_identities(shell: Shell) -> None:
    """Children of the session, which end with it; the tree shows the three."""
    with client_process(shell) as client:
        assert client.hook("start", START).status == 0
        for number in range(2):
            assert client.hook("start", _subagent(number)).status == 0
        tree = json.loads(shell.good("list", "--tree", "--json"))["trees"]
        (session,) = [node for node in tree if node["agent"] == "claude-code"]
        assert [child["agent"] for child in session["children"]] == ["claude-code/general-purpose"] * 2
        assert client.hook("stop", _subagent(0, "SubagentStop")).status == 0
        assert len(_live(shell)) == 2
        assert client.hook("stop", END).status == 0
        assert _live(shell) == []


def test_the_ledger_has_the_name_of_the_session_and_its_transcript(shell: Shell) -> None:
    """Of a subagent, its own transcript when it stops; free texts are shown harmless."""
    with client_process(shell) as client:
        client.good("helper", "token", "--audience", LLM)
        client.hook("start", {**START, "transcript_path": "/t/\x1b]0;x\x07s.jsonl"})
        client.hook("start", _subagent(1))
        session, child = sorted(_live(shell), key=lambda row: int(row["depth"]))
        shown = json.loads(shell.good("inspect", session["id"], "--json"))["session"]
        transcript = "/t/\x1b]0;x\x07s.jsonl"
        stated = {"client": "claude-code", "name": ID, "stated_by": "client"}
        assert shown == {**stated, "subagent": None, "transcript": transcript}
        assert "\x1b" not in shell.good("inspect", session["id"])
        client.hook("stop", {**_subagent(1, "SubagentStop"), "agent_transcript_path": "/t/a1.jsonl"})
        shown = json.loads(shell.good("inspect", child["id"], "--json"))["session"]
        assert shown == {**stated, "subagent": "a1", "transcript": "/t/a1.jsonl"}
    shell.good("audit", "verify")
    with sqlite3.connect(shell.ledger / "ledger.db") as db:
        db.execute("UPDATE session SET transcript = '/elsewhere' WHERE subagent IS NULL")
    assert shell.run("audit", "verify").returncode == 7


def test_the_delegator_is_the_user_of_the_system(shell: Shell) -> None:
    """The task is a new one. The line may state others."""
    with client_process(shell) as client:
        client.hook("start", START)
        (row,) = _live(shell)
        assert row["delegator_proof"] == "os-user"
        assert row["task"].startswith(f"session/claude-code/{ID[:8]}-")
        client.hook("stop", END)
    with client_process(shell) as client:
        assert (
            client.hook("start", START, "--task", "T7", "--delegator", "bob", "--agent", "coder").status == 0
        )
        (row,) = _live(shell)
        assert (row["task"], row["delegator"], row["agent"]) == ("T7", "user:bob", "coder")


def test_a_token_that_is_requested_first_opens_the_session_which_its_start_then_names(shell: Shell) -> None:
    """Claude Code runs its key helper before its hooks."""
    with client_process(shell) as client:
        token = client.good("helper", "token", "--audience", LLM, *REACH)
        assert is_for(shell, token, LLM)
        (row,) = _live(shell)
        assert client.hook("start", START, *REACH).status == 0
        again = client.good("helper", "token", "--audience", LLM)
        assert [each["id"] for each in _live(shell)] == [row["id"]]
        client.hook("stop", END)
        assert not is_for(shell, token, LLM)
        assert not is_for(shell, again, LLM)


def test_an_event_that_comes_twice_changes_nothing(shell: Shell) -> None:
    """Start, stop, and both of a subagent."""
    with client_process(shell) as client:
        for event in (START, START, {**START, "source": "compact"}, _subagent(1), _subagent(1)):
            assert client.hook("start", event).status == 0
        assert len(_live(shell)) == 2
        for event in (_subagent(1, "SubagentStop"), _subagent(1, "SubagentStop"), END, END):
            done = client.hook("stop", event)
            assert (done.status, done.out) == (0, "")
        assert _live(shell) == []


def test_events_may_come_out_of_order(shell: Shell) -> None:
    """A subagent before its session; the end of a subagent before its start."""
    with client_process(shell) as client:
        assert client.hook("start", _subagent(1)).status == 0
        assert client.hook("start", START).status == 0
        assert len(_live(shell)) == 2
        done = client.hook("stop", _subagent(2, "SubagentStop"))
        assert (done.status, "has no subagent" in done.err) == (0, True)
        assert client.hook("start", _subagent(2)).status == 0
        assert len(_live(shell)) == 2


def test_two_clients_have_two_sessions_even_of_one_name(shell: Shell) -> None:
    """A session that is resumed while the first client still runs."""
    with client_process(shell) as client, client_process(shell) as other:
        for each in (client, other):
            assert each.hook("start", {**START, "source": "resume"}).status == 0
        assert len(_live(shell)) == 2
        client.hook("stop", END)
        (row,) = _live(shell)
        assert row["process"] == "alive"


def test_a_client_has_several_sessions_one_after_another(shell: Shell) -> None:
    """`clear` ends one and starts another; the late end of the first does not end the second."""
    other = {**START, "session_id": "other", "source": "clear"}
    with client_process(shell) as client:
        client.hook("start", START)
        client.hook("start", other)
        client.hook("stop", {**END, "reason": "clear"})
        assert len(_live(shell)) == 1
        assert client.hook("start", {**START, "source": "resume"}).status == 0
        assert len(_live(shell)) == 2


def _id(shell: Shell, token: str) -> str:
    return str(json.loads(shell.run("inspect", "-", "--json", stdin=token).stdout)["id"])


def _named(shell: Shell) -> dict[str, str]:
    """Return the ids of the live sessions and subagents, by the client's names for them."""
    shown = [json.loads(shell.good("inspect", row["id"], "--json")) for row in _live(shell)]
    return {each["session"]["subagent"] or each["session"]["name"]: each["id"] for each in shown}


def test_a_command_gets_no_token_of_another_session_of_its_process(shell: Shell) -> None:
    """It names its session by the client's variable or by the file of the token; otherwise it is refused."""
    line = ("helper", "token", "--audience", LLM)
    with client_process(shell, "codex") as client:
        client.hook("start", {**START, "session_id": "A"}, *REACH)
        file = next(
            path for path in (shell.home / ".local/state/jitid/sessions").glob("*/*") if not path.suffix
        )
        client.hook("start", {**START, "session_id": "B"}, *REACH)
        client.hook("start", _subagent(1, session="A"))
        ids = _named(shell)
        assert {*ids} == {"A", "B", "a1"}
        client.hook("start", {**_subagent(1, session="A"), "agent_id": "B"})
        for variables, name in (
            ({"CODEX_THREAD_ID": "A"}, "A"),
            ({"CODEX_THREAD_ID": "a1"}, "a1"),
            ({"JITID_PARENT_FILE": str(file)}, "A"),
            ({"CODEX_THREAD_ID": "B"}, "B"),
            ({}, "B"),
        ):
            assert _id(shell, client.good(*line, **variables)) == ids[name]
        rows = _live(shell)
        shell.good("retire", next(row["task"] for row in rows if row["id"] == ids["A"]))
        assert client.run(*line, CODEX_THREAD_ID="A").status == 8
        assert client.run(*line).status == 8
        client.hook("stop", {**END, "session_id": "B"})
        assert client.run(*line).status == 8


@pytest.mark.parametrize(
    "options",
    [
        ("--scope", "prod:deploy"),
        ("--scope", "read:a", "--scope", "prod:deploy"),
        ("--may-audience", "https://other.test"),
        ("--audience", "https://other.test"),
        ("--task", "T2"),
        ("--delegator", "bob"),
        ("--agent", "root"),
        ("--may-kind", "ssh-cert"),
        ("--ttl", "5h"),
        ("--parent-file", "other.jwt"),
    ],
)
def test_no_command_of_a_session_opens_another_one_with_other_rights(
    shell: Shell, options: tuple[str, ...]
) -> None:
    """The first request of a process is that of all its sessions, even after their end."""
    shell.good("issue", "--task", "O", "--delegator", "bob", "--out", str(shell.home / "other.jwt"))
    first = (*REACH, "--scope", "read:a", "--task", "T1", "--delegator", "alice", "--ttl", "10m")
    with client_process(shell) as client:
        assert client.hook("start", START, *first).status == 0
        for _ in range(2):
            done = client.hook("start", OTHER, *options)
            assert (done.status, options[0] in done.err) == (125, True), done.err
            client.hook("stop", END)
        assert [row["task"] for row in _live(shell)] == ["O"]
        # A helper that is called before the next start opens the same as the first.
        line = ("helper", "token", "--audience", LLM, *REACH)
        assert client.run(*line, "--scope", "prod:deploy").status == 4
        client.good(*line)
        (row,) = [row for row in _live(shell) if row["task"] == "T1"]
        assert (row["scopes"], row["delegator"], row["agent"]) == (["read:a"], "user:alice", "claude-code")


def test_a_command_gets_no_token_if_one_of_several_sessions_was_revoked(shell: Shell) -> None:
    """They have equal rights, and nothing says which of them the command belongs to."""
    line = ("helper", "token", "--audience", LLM)
    with client_process(shell) as client:
        client.hook("start", START, *REACH)
        (row,) = _live(shell)
        client.hook("start", OTHER, *REACH)
        client.good(*line)
        shell.good("revoke", row["id"])
        done = client.run(*line)
        assert (done.status, done.out) == (8, "")
        assert len(_live(shell)) == 1


def test_a_command_of_an_ended_session_gets_no_token_of_another_one(shell: Shell) -> None:
    """It may outlive its session, or report the end itself; neither does it after the end of all."""
    line = ("helper", "token", "--audience", LLM)
    with client_process(shell, "codex") as client:
        for name in ("A", "B"):
            client.hook("start", {**START, "session_id": name}, *REACH)
        for number in (1, 2):
            client.hook("start", _subagent(number, session="B"))
        ids = _named(shell)
        (state,) = (shell.home / ".local/state/jitid/sessions").glob("*/sessions.json")
        file = state.parent / json.loads(state.read_text())["sessions"]["A"]["file"]
        client.hook("stop", {**END, "session_id": "A"})
        client.hook("stop", _subagent(1, "SubagentStop", "B"))
        ended: tuple[dict[str, str], ...] = (
            {"CODEX_THREAD_ID": "A"},
            {"CODEX_THREAD_ID": "a1"},
            {"CODEX_THREAD_ID": "unreported"},
            {"JITID_PARENT_FILE": str(file)},
        )
        for variables in ended:
            done = client.run(*line, **variables)
            assert (done.status, done.out) == (8, ""), variables
        for thread, name in (("B", "B"), ("a2", "a2"), ("", "B")):
            assert _id(shell, client.good(*line, CODEX_THREAD_ID=thread)) == ids[name]
        client.hook("stop", {**END, "session_id": "B"})
        assert _live(shell) == []
        for variables in (*ended, {"CODEX_THREAD_ID": "B"}):
            done = client.run(*line, **variables)
            assert (done.status, done.out) == (8, ""), variables
        assert client.run("helper", "git", "get", stdin="protocol=https\nhost=g.example\n\n").status == 8
        assert client.hook("start", {**START, "session_id": "C"}, *REACH).status == 0
        client.good(*line)


def test_a_place_without_sessions_stays_as_long_as_the_process(shell: Shell) -> None:
    """Without the files of tokens. The next session of the user deletes it."""
    base = shell.home / ".local/state/jitid/sessions"
    with client_process(shell) as client:
        client.hook("start", START)
        client.hook("stop", END)
        (place,) = base.iterdir()
        assert [path.name for path in place.iterdir()] == ["sessions.json"]
    with client_process(shell) as client:
        assert client.hook("start", START).status == 0
        assert place not in base.iterdir()
        assert len([*base.iterdir()]) == 1


@pytest.mark.parametrize("variables", [{}, {"CODEX_THREAD_ID": "A"}])
def test_the_end_of_a_revoked_session_does_not_undo_its_revocation(
    shell: Shell, variables: dict[str, str]
) -> None:
    """Another session of the process has equal rights. The end of an unrevoked one changes nothing."""
    line = ("helper", "token", "--audience", LLM)
    with client_process(shell, "codex") as client:
        for name in ("A", "B", "C"):
            assert client.hook("start", {**START, "session_id": name}, *REACH).status == 0
        client.hook("stop", {**END, "session_id": "C"})
        client.good(*line, **variables)
        shown = [json.loads(shell.good("inspect", row["id"], "--json")) for row in _live(shell)]
        shell.good("revoke", *(each["id"] for each in shown if each["session"]["name"] == "A"))
        for _ in range(2):
            done = client.run(*line, **variables)
            assert (done.status, done.out) == (8, "")
            client.hook("stop", {**END, "session_id": "A"})
        client.good(*line, CODEX_THREAD_ID="B")


def test_the_end_of_a_revoked_subagent_does_not_undo_its_revocation(
    shell: Shell, later: dict[str, str]
) -> None:
    """Its command gets no token of its session; neither if the renewal finds the revocation."""
    line = ("helper", "token", "--audience", LLM)
    with client_process(shell, "codex", more=later) as client:
        client.hook("start", START, *REACH)
        for number in (1, 2):
            client.hook("start", _subagent(number))
        for row in _live(shell, "--agent", "codex/general-purpose"):
            shell.good("revoke", row["id"])
        client.hook("stop", _subagent(1, "SubagentStop"))
        for thread in ("a1", "a2"):
            for time in ("+0", "+13m", "+13m"):
                done = client.run(*line, CODEX_THREAD_ID=thread, FAKETIME=time)
                assert (done.status, done.out) == (8, ""), (thread, time)
        client.good(*line, CODEX_THREAD_ID=ID, FAKETIME="+13m")


def test_a_client_below_another_one_has_inherited_a_name_that_means_nothing(shell: Shell) -> None:
    """Codex that Codex runs: the helper of its model provider has the variable of the outer session."""
    line = ("helper", "token", "--audience", LLM, *REACH)
    with client_process(shell, "codex", more={"CODEX_THREAD_ID": "outer"}) as client:
        client.good(*line)
        client.hook("start", START, *REACH)
        client.good(*line)
        assert client.run(*line, CODEX_THREAD_ID="another").status == 8
        assert len(_live(shell)) == 1


def test_a_client_in_a_session_of_another_one_is_below_it(shell: Shell, later: dict[str, str]) -> None:
    """With the rights of that session at most; one revocation ends both. Both are renewed by the inner one alone."""
    line = ("helper", "token", "--audience", LLM)
    with client_process(shell, "codex", more=later) as client:
        assert client.hook("start", START, *REACH, "--scope", "repo:*", FAKETIME="+0").status == 0
        with client.inner("gemini"):
            wider = client.hook("start", OTHER, *REACH, "--scope", "prod:deploy", FAKETIME="+0")
            assert wider.status == 4
            assert "attenuation" in wider.err
            assert client.hook("start", OTHER, *REACH, "--scope", "repo:read", FAKETIME="+0").status == 0
            outer, inner = sorted(_live(shell), key=lambda row: row["depth"])
            assert (inner["parent"], inner["agent"], inner["scopes"]) == (
                outer["id"],
                "gemini",
                ["repo:read"],
            )
            assert (inner["task"], inner["delegator"]) == (outer["task"], outer["delegator"])
            for time in ("+1m", "+13m", "+25m", "+37m"):
                client.good(*line, FAKETIME=time)
            shell.good("revoke", outer["id"])
            for words in (line, ("helper", "session", "start", "--client", "gemini")):
                done = client.run(*words, stdin=json.dumps({**OTHER, "session_id": "2"}), FAKETIME="+37m")
                assert (done.status, done.out) == (8, ""), done.err


def test_a_client_that_a_subagent_runs_is_below_the_subagent(shell: Shell) -> None:
    """Its client names the subagent in a variable; after its end the inner client gets nothing."""
    with client_process(shell, "codex") as client:
        client.hook("start", START, *REACH)
        client.hook("start", _subagent(1), CODEX_THREAD_ID="a1")
        (subagent,) = [row for row in _live(shell) if row["depth"] == 1]
        with client.inner("gemini", CODEX_THREAD_ID="a1"):
            assert client.hook("start", OTHER).status == 0
            (inner,) = [row for row in _live(shell) if row["depth"] == 2]
            assert inner["parent"] == subagent["id"]
        client.hook("stop", _subagent(1, "SubagentStop"))
        assert [row["depth"] for row in _live(shell)] == [0]
        with client.inner("gemini", CODEX_THREAD_ID="a1"):
            assert client.hook("start", OTHER).status == 8


@pytest.mark.parametrize("hooked", [True, False])
def test_a_client_in_a_session_of_a_run_is_below_the_session_and_not_below_the_run(
    shell: Shell, *, hooked: bool
) -> None:
    """The variable of the run reaches it, and names wider rights. So do its helpers, with hooks and without."""
    shell.good("issue", "--task", "T1", "--delegator", "alice", "--scope", "repo:*", *REACH, "--out", "run")
    line = ("helper", "token", "--audience", LLM)
    git = ("helper", "git", "get", "--audience", LLM)
    asked = "protocol=https\nhost=g.example\n\n"
    with client_process(shell, "codex", more={"JITID_PARENT_FILE": str(shell.home / "run")}) as client:
        assert client.hook("start", START, *REACH, "--scope", "repo:read").status == 0
        (session,) = [row for row in _live(shell) if row["depth"] == 1]
        with client.inner("gemini"):
            before = client.good(*git, stdin=asked).partition("password=")[2].splitlines()[0]
            shown = json.loads(shell.run("inspect", "-", "--json", stdin=before).stdout)
            assert shown["parent"] == session["id"]
            if hooked:
                assert client.hook("start", OTHER, *REACH, "--scope", "repo:write").status == 4
                assert client.hook("start", OTHER, *REACH).status == 0
            client.good(*line)
            (inner,) = [row for row in _live(shell) if row["depth"] == 2 and row["agent"] == "gemini"]
            assert (inner["parent"], inner["scopes"]) == (session["id"], [])
            if hooked:
                client.hook("stop", {**END, "session_id": "other"})
                assert client.hook("start", {**OTHER, "session_id": "2"}, *REACH).status == 0
            shell.good("revoke", session["id"])
            for words in (line, git):
                done = client.run(*words, stdin=asked)
                assert done.status == 8, done.err
    assert [row["depth"] for row in _live(shell)] == [0]


def test_a_client_in_a_run_in_a_session_is_below_the_run(shell: Shell) -> None:
    """The run is the nearer one."""
    shell.good("issue", "--task", "T1", "--delegator", "alice", "--scope", "repo:*", *REACH, "--out", "run")
    with client_process(shell, "codex") as client:
        client.hook("start", START, *REACH)
        with (
            client.inner("jitid-run", JITID_PARENT_FILE=str(shell.home / "run")),
            client.inner("gemini"),
        ):
            assert client.hook("start", OTHER).status == 0
            (inner,) = [row for row in _live(shell) if row["agent"] == "gemini"]
            assert inner["parent"] == _id(shell, (shell.home / "run").read_text())


@pytest.mark.parametrize("within", [True, False])
def test_the_name_of_a_run_frees_no_client_from_the_session_around_it(shell: Shell, *, within: bool) -> None:
    """Any program can have that name. A run around the session gives nothing either."""
    shell.good("issue", "--task", "T1", "--delegator", "alice", "--scope", "repo:*", *REACH, "--out", "run")
    more = {"JITID_PARENT_FILE": str(shell.home / "run")} if within else {}
    with client_process(shell, "codex", more=more) as client:
        client.hook("start", START, *REACH, "--scope", "repo:read")
        (session,) = [row for row in _live(shell) if row["agent"] == "codex"]
        with client.inner("jitid-run"), client.inner("gemini"):
            assert client.hook("start", OTHER, *REACH, "--scope", "repo:write").status == 4
            assert client.hook("start", OTHER, *REACH, "--scope", "repo:read").status == 0
            (inner,) = [row for row in _live(shell) if row["agent"] == "gemini"]
            assert inner["parent"] == session["id"]
            shell.good("revoke", session["id"])
            done = client.run("helper", "token", "--audience", LLM)
            assert done.status == 8, done.err


@pytest.mark.parametrize("token_file", ["missing", "invalid", "wide"])
def test_a_variable_frees_no_client_from_the_session_around_it(shell: Shell, token_file: str) -> None:
    """The identity that it names is the parent, also where a hook does not get the variable."""
    shell.good("issue", "--task", "T1", "--delegator", "alice", "--scope", "repo:*", *REACH, "--out", "wide")
    (shell.home / "invalid").write_text("text\n")
    path = str(shell.home / token_file)
    with client_process(shell, "codex") as client:
        client.hook("start", START, *REACH, "--scope", "repo:read")
        with client.inner("gemini", JITID_PARENT_FILE=path):
            done = client.hook("start", OTHER, *REACH, "--scope", "prod:deploy", JITID_PARENT_FILE=None)
            assert done.status != 0
            done = client.run(
                "helper", "token", "--audience", LLM, "--scope", "prod:deploy", JITID_PARENT_FILE=None
            )
            assert (done.status != 0, done.out) == (True, "")
            status = {"missing": 125, "invalid": 8, "wide": 0}[token_file]
            assert client.hook("start", OTHER, *REACH, JITID_PARENT_FILE=None).status == status
            inner = [row["parent"] for row in _live(shell) if row["agent"] == "gemini"]
            assert inner == ([_id(shell, (shell.home / "wide").read_text())] if token_file == "wide" else [])


def test_a_hook_without_the_variable_of_the_run_opens_a_session_below_the_run(shell: Shell) -> None:
    shell.good("issue", "--task", "T1", "--delegator", "alice", "--scope", "repo:*", *REACH, "--out", "run")
    with client_process(shell, "codex", more={"JITID_PARENT_FILE": str(shell.home / "run")}) as client:
        done = client.hook("start", START, *REACH, "--scope", "prod:deploy", JITID_PARENT_FILE=None)
        assert done.status == 4, done.err
        assert client.hook("start", START, *REACH, "--scope", "repo:read", JITID_PARENT_FILE=None).status == 0
        (session,) = [row for row in _live(shell) if row["agent"] == "codex"]
        assert session["parent"] == _id(shell, (shell.home / "run").read_text())


def test_a_client_that_was_killed_leaves_nothing_alive(shell: Shell) -> None:
    """`sweep --fix` ends its sessions, with all that is below."""
    client = ClientProcess(shell, "claude")
    client.hook("start", START, *REACH)
    client.hook("start", _subagent(1))
    token = client.good("helper", "token", "--audience", LLM)
    client.kill()
    client.close()
    assert len(_live(shell)) == 2
    swept = shell.run("sweep", "--rule", "orphaned-process", "--fix", "--yes")
    assert "orphaned-process" in swept.stdout
    assert _live(shell) == []
    assert not is_for(shell, token, LLM)


def test_the_next_session_ends_those_of_killed_clients_and_deletes_their_tokens(shell: Shell) -> None:
    """A session that is resumed in another process is a new identity."""
    client = ClientProcess(shell, "claude")
    client.hook("start", START)
    client.kill()
    client.close()
    (killed,) = _live(shell)
    with client_process(shell) as resumed:
        assert resumed.hook("start", {**START, "source": "resume"}).status == 0
        (row,) = _live(shell)
        assert row["id"] != killed["id"]
        assert len(list((shell.home / ".local/state/jitid/sessions").iterdir())) == 1


def test_doctor_and_a_preview_say_what_they_count(shell: Shell) -> None:
    """The credential of a session is not one of `jitid run`; an agent may have identities that have ended."""
    with client_process(shell) as client:
        for event in (START, END, {**START, "session_id": "next"}):
            client.hook("stop" if event["hook_event_name"] == "SessionEnd" else "start", event)
        told = shell.run("doctor").stdout
        assert "1 live credential of a run or a session; each of their processes still exists" in told
        told = shell.good("revoke", "--agent", "claude-code", "--dry-run")
        assert (
            "1 live credential of 1 task and 1 delegator (2 identities selected, ended ones included)" in told
        )


def test_a_revoked_session_stays_dead_while_its_client_runs(shell: Shell) -> None:
    """One command ends session and subagents; no helper opens another identity."""
    with client_process(shell) as client:
        client.hook("start", START, *REACH)
        client.hook("start", _subagent(1))
        session = next(row for row in _live(shell) if row["agent"] == "claude-code")
        shell.good("revoke", session["id"], "--reason", "incident 7")
        assert _live(shell) == []
        git = ("git", "get", "--audience", LLM)
        refused = [
            client.run("helper", *words, stdin="protocol=https\nhost=g.example\n\n")
            for words in (("token", "--audience", LLM), ("headers", "--audience", LLM), git)
        ]
        refused.append(client.hook("start", _subagent(2)))
        for done in refused:
            assert (done.status, done.out) == (8, "")
            assert "incident 7" in done.err
            assert "it was revoked on purpose: start the client again" in done.err
            assert f"jitid inspect {session['id']}" in done.err
        assert client.hook("start", {"hook_event_name": "UserPromptSubmit", "session_id": ID}).status == 0
        assert _live(shell) == []


@pytest.mark.parametrize(
    "events",
    [
        [("start", OTHER)],
        [("stop", END)],
        [("stop", END), ("start", {**START, "source": "resume"})],
        [("start", OTHER), ("stop", {**END, "session_id": "other"}), ("stop", END), ("start", OTHER)],
    ],
)
def test_a_client_whose_session_was_revoked_gets_no_other_identity(
    shell: Shell, events: list[tuple[str, dict[str, Any]]]
) -> None:
    """In no order of events: the revocation belongs to its process. A new process is not affected."""
    with client_process(shell) as client, client_process(shell) as another:
        client.hook("start", START, *REACH)
        (row,) = _live(shell)
        assert "no other identity" in shell.good("revoke", row["id"], "--reason", "the session ended")
        for verb, event in events:
            options, status = ((), 0) if verb == "stop" else (REACH, 8)
            assert client.hook(verb, event, *options).status == status
            assert client.run("helper", "token", "--audience", LLM, *REACH).status == 8
        assert _live(shell) == []
        assert another.hook("start", START, *REACH).status == 0
    shell.good("audit", "verify")
    with sqlite3.connect(shell.ledger / "ledger.db") as db:
        db.execute("DELETE FROM barred")
    assert shell.run("audit", "verify").returncode == 7


def test_no_program_below_a_revoked_client_is_a_new_client(shell: Shell) -> None:
    """The first word of a command does not name its program, and a copy with the name is below the revoked client."""
    folders = [shell.home / name for name in ("client", "copy")]
    for folder in folders:
        folder.mkdir()
        shutil.copy("/bin/bash", folder / "codex")
    line = f"{sys.executable} -m jitid helper token --audience {LLM} --may-audience {LLM} >/dev/null; echo $?"
    renamed = f"(exec -a codex /bin/bash -c '{line}')"
    copied = f"{folders[1]}/codex -c '{line}'"
    with subprocess.Popen(
        [folders[0] / "codex"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=shell.environment,
        cwd=shell.home,
    ) as client:
        assert client.stdin is not None
        assert client.stdout is not None
        for expected, command in (("0", line), ("0", renamed), ("8", line), ("8", renamed), ("8", copied)):
            if expected == "8":
                for row in _live(shell):
                    shell.good("revoke", row["id"])
            print(command, file=client.stdin, flush=True)
            assert client.stdout.readline().strip() == expected, command
            assert len(_live(shell)) == (expected == "0")
        client.stdin.close()


def test_a_revocation_after_the_end_of_a_session_counts_too(shell: Shell) -> None:
    """Its client ended the session a moment earlier. A second revocation changes nothing."""
    with client_process(shell) as client:
        client.hook("start", START, *REACH)
        (row,) = _live(shell)
        client.hook("stop", END)
        assert "no other identity" in shell.good("revoke", row["id"])
        assert "no other identity" not in shell.good("revoke", row["id"])
        assert client.run("helper", "token", "--audience", LLM, *REACH).status == 8
    shell.good("audit", "verify")


def test_the_revocation_of_an_expired_session_counts_too(shell: Shell, later: dict[str, str]) -> None:
    """The machine of a client slept meanwhile."""
    with client_process(shell, more=later) as client:
        client.hook("start", START, *REACH)
        (row,) = _live(shell)
        done = client.run("revoke", row["id"], FAKETIME="+40m")
        assert "no other identity" in done.out
        done = client.run("helper", "token", "--audience", LLM, FAKETIME="+41m")
        assert (done.status, done.out) == (8, "")


def test_a_command_of_a_session_finds_its_identity(shell: Shell) -> None:
    """The client's file for variables names the token; other helpers issue below it."""
    variables = shell.home / "variables"
    with client_process(shell) as client:
        for _ in range(2):
            client.hook("start", START, *REACH, CLAUDE_ENV_FILE=str(variables))
        (line,) = variables.read_text().splitlines()
        path = line.removeprefix("export JITID_PARENT_FILE=").strip("'")
        (row,) = _live(shell)
        shell.environment["JITID_PARENT_FILE"] = path
        child = json.loads(shell.good("issue", "--json", "--audience", LLM, "--agent", "tool"))
        assert (child["parent"], child["task"]) == (row["id"], row["task"])
        assert Path(path).stat().st_mode & 0o777 == 0o600
        assert Path(path).parent.stat().st_mode & 0o777 == 0o700


def test_a_link_in_place_of_the_file_for_variables_is_not_followed(shell: Shell) -> None:
    """The error is visible. The status differs from the status 2 that blocks the client."""
    (shell.home / "victim").write_text("")
    (shell.home / "link").symlink_to(shell.home / "victim")
    with client_process(shell) as client:
        done = client.hook("start", START, CLAUDE_ENV_FILE=str(shell.home / "link"))
        assert done.status not in (0, 2)
        assert _live(shell) == []
        assert (shell.home / "victim").read_text() == ""


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        '{"hook_event_name":"SessionStart","hook_event_name":"SessionEnd"}',
        json.dumps({**START, "session_id": "x" * 300}),
        json.dumps({**_subagent(1), "agent_id": None}),
        "x" * (1 << 20) + "x",
    ],
)
def test_an_invalid_event_never_has_the_status_that_blocks_a_client(shell: Shell, text: str) -> None:
    """2 would stop a subagent from ending; the message is visible."""
    with client_process(shell) as client:
        for verb in ("start", "stop"):
            done = client.run("helper", "session", verb, "--client", "claude-code", stdin=text)
            assert done.status != 2
            assert done.status == 0 or "jitid: error" in done.err
        assert client.run("helper", "session", "start", "--cleint", "claude-code").status == 125


def test_an_event_of_another_kind_ends_nothing(shell: Shell) -> None:
    """`Stop` is the end of a turn."""
    with client_process(shell) as client:
        client.hook("start", START)
        assert client.hook("stop", {**END, "hook_event_name": "Stop"}).status == 0
        assert client.hook("start", END).status == 0
        assert len(_live(shell)) == 1


def test_hostile_names_of_a_client_are_data(shell: Shell) -> None:
    """A session, a subagent and its type may hold anything."""
    hostile = "\x1b]0;x\x07'$(touch pwned)'\n../../e"
    with client_process(shell) as client:
        assert client.hook("start", {**START, "session_id": hostile}).status == 0
        event = {**_subagent(1), "session_id": hostile, "agent_id": hostile, "agent_type": hostile}
        assert client.hook("start", event).status == 0
        assert len(_live(shell)) == 2
        done = client.hook("stop", {**END, "session_id": hostile + "x"})
        assert "\x1b" not in done.err
        client.hook("stop", {**END, "session_id": hostile})
        assert _live(shell) == []


def test_a_process_that_is_not_below_the_client_gets_no_token_of_its_session(shell: Shell) -> None:
    """There is no option for the id of a session."""
    with client_process(shell) as client, client_process(shell, "other-program") as other:
        client.hook("start", START, *REACH)
        done = other.run("helper", "token", "--audience", LLM)
        assert (done.status, done.out) == (2, "")


def test_a_child_never_has_more_than_its_session(shell: Shell) -> None:
    """Scopes and reach of a subagent are those of the session."""
    with client_process(shell) as client:
        client.hook("start", START, *REACH, "--scope", "read:a")
        client.hook("start", _subagent(1))
        for row in _live(shell):
            assert row["scopes"] == ["read:a"]
        denied = client.run("helper", "token", "--audience", "https://other.test")
        assert (denied.status, denied.out) == (4, "")
        wider = client.run("helper", "token", "--audience", LLM, "--scope", "write:a")
        assert (wider.status, wider.out) == (4, "")


def test_a_line_that_states_another_task_or_delegator_gets_no_token_of_the_session(shell: Shell) -> None:
    """The line would get a token for another task or delegator."""
    with client_process(shell) as client:
        client.hook("start", START, *REACH, "--task", "T1", "--delegator", "alice")
        for words in (("--task", "T2"), ("--delegator", "bob")):
            done = client.run("helper", "token", "--audience", LLM, *words)
            assert (done.status, done.out) == (2, "")
        client.good("helper", "token", "--audience", LLM, "--task", "T1", "--delegator", "alice")


def test_a_start_that_states_another_task_than_the_first_request_is_reported(shell: Shell) -> None:
    """The first request opened the session. The status does not block the client."""
    with client_process(shell) as client:
        client.good("helper", "token", "--audience", LLM, *REACH)
        done = client.hook("start", START, "--task", "T9")
        assert done.status == 125
        assert "the session has the task" in done.err


def test_a_session_is_not_the_parent_of_the_next_one_in_its_process(shell: Shell) -> None:
    """Its token may be in the variables of the client's hooks."""
    variables = shell.home / "variables"
    with client_process(shell) as client:
        client.hook("start", START, CLAUDE_ENV_FILE=str(variables))
        path = variables.read_text().strip().removeprefix("export JITID_PARENT_FILE=").strip("'")
        done = client.hook("start", {**START, "session_id": "other"}, JITID_PARENT_FILE=path)
        assert done.status == 0, done.err
        assert [row["depth"] for row in _live(shell)] == [0, 0]


def test_a_session_inside_of_a_run_is_below_its_identity(shell: Shell) -> None:
    """With the scopes and the reach of the run."""
    issue = ("issue", "--task", "T1", "--delegator", "alice", "--scope", "read:a", "--may-audience", LLM)
    shell.good(*issue, "--out", "run")
    with client_process(shell, more={"JITID_PARENT_FILE": str(shell.home / "run")}) as client:
        client.hook("start", START)
        (row,) = [row for row in _live(shell) if row["depth"] == 1]
        assert (row["task"], row["delegator"], row["scopes"]) == ("T1", "user:alice", ["read:a"])
        shown = client.good("helper", "token", "--audience", LLM)
        assert json.loads(shell.run("inspect", "-", "--json", stdin=shown).stdout)["id"] == row["id"]


@pytest.mark.parametrize("revoked", [True, False])
def test_a_client_inside_of_a_run_gets_no_token_of_the_run_after_its_session(
    shell: Shell, *, revoked: bool
) -> None:
    """The run's identity may have more rights. After a revocation it gets none."""
    shell.good("issue", "--task", "T1", "--delegator", "alice", "--scope", "read:*", *REACH, "--out", "run")
    token = (shell.home / "run").read_text()
    line = ("helper", "token", "--audience", LLM)
    with client_process(shell, "codex", more={"JITID_PARENT_FILE": str(shell.home / "run")}) as client:
        client.good(*line)
        assert client.hook("start", START, *REACH, "--scope", "read:a").status == 0
        (row,) = [row for row in _live(shell) if row["depth"] == 1]
        if revoked:
            shell.good("revoke", row["id"])
        client.hook("stop", {**END, "reason": "clear"})
        status = 8 if revoked else 0
        done = client.hook("start", {**OTHER, "session_id": "B"}, *REACH, "--scope", "read:a")
        assert done.status == status
        client.hook("stop", {**END, "session_id": "B"})
        assert client.run(*line, CODEX_THREAD_ID=ID).status == 8
        assert client.run("helper", "git", "get", stdin="protocol=https\nhost=g.example\n\n").status == 8
        done = client.run(*line, "--scope", "read:b")
        assert (done.status, done.out) == (8 if revoked else 4, "")
        done = client.run(*line)
        assert done.status == status
        if not revoked:
            assert _id(shell, done.out) not in (row["id"], _id(shell, token))
    # Another process below the run has never had a session.
    shown = shell.run(*line, more={"JITID_PARENT_FILE": str(shell.home / "run")}).stdout
    assert _id(shell, shown) == _id(shell, token)


@pytest.fixture
def later() -> dict[str, str]:
    """Return the variables of a client whose time a command may set: FAKETIME."""
    libfaketime()
    preload = dict(word.split("=", 1) for word in faked("+0")[1:])
    return {**preload, "FAKETIME_NO_CACHE": "1"}


def _events(shell: Shell, *options: str) -> list[dict[str, Any]]:
    return [
        json.loads(line) for line in shell.good("audit", "log", "--format", "jsonl", *options).splitlines()
    ]


def test_many_requests_at_once_renew_once(shell: Shell, later: dict[str, str]) -> None:
    """All get a token of the renewed identity; none finds that another renewed it."""
    with client_process(shell, more=later) as client:
        client.hook("start", START, *REACH)
        client.hook("start", _subagent(1))
        words = ("helper", "token", "--audience", LLM)
        outcomes = client.run_all(*words, times=20, FAKETIME="+13m")
        assert {done.status for done in outcomes} == {0}, outcomes
        assert len({done.out for done in outcomes}) == 20
        # One renewal of the session, and one of its subagent.
        assert [event["op"] for event in _events(shell)].count("renew") == 2
        assert [event["op"] for event in _events(shell)].count("denial") == 0


@pytest.mark.deep
def test_a_thousand_requests_in_parallel_renew_once(shell: Shell, later: dict[str, str]) -> None:
    """In groups of 250 at once; each gets its own token."""
    with client_process(shell, more=later) as client:
        client.hook("start", START, *REACH)
        outcomes = [
            done
            for _ in range(4)
            for done in client.run_all(
                "helper", "token", "--audience", LLM, "--timeout", "10m", times=250, FAKETIME="+13m"
            )
        ]
        assert {done.status for done in outcomes} == {0}
        assert len({done.out for done in outcomes}) == 1_000
        log = shell.good("audit", "log", "--format", "jsonl", "--limit", "10000")
        operations = [json.loads(line)["op"] for line in log.splitlines()]
        assert (operations.count("renew"), operations.count("denial")) == (1, 0)


def test_an_idle_session_is_opened_again_if_it_only_expired(shell: Shell, later: dict[str, str]) -> None:
    """On its task, as the policy permits; its subagents are not."""
    with client_process(shell, more=later) as client:
        client.hook("start", START, *REACH, "--scope", "read:a")
        client.hook("start", _subagent(1))
        (former,) = [row for row in _live(shell) if row["depth"] == 0]
        outcomes = client.run_all("helper", "token", "--audience", LLM, times=5, FAKETIME="+40m")
        assert {done.status for done in outcomes} == {0}, outcomes
        assert client.hook("start", START, *REACH, FAKETIME="+40m").status == 0
        opened = [
            event for event in _events(shell) if event["op"] == "issue" and event["agent"] == "claude-code"
        ]
        assert [event["task"] for event in opened] == [former["task"]] * 2
        assert [event["scopes"] for event in opened] == [["read:a"]] * 2


def test_a_session_whose_task_was_retired_is_not_opened_again(shell: Shell, later: dict[str, str]) -> None:
    """An ended task stays ended."""
    with client_process(shell, more=later) as client:
        client.hook("start", START, *REACH)
        (row,) = _live(shell)
        shell.good("retire", row["task"])
        for time in ("+0", "+40m"):
            done = client.run("helper", "token", "--audience", LLM, FAKETIME=time)
            assert (done.status, done.out) in ((8, ""), (4, ""))
        assert _live(shell) == []


def test_a_session_outlasts_the_deadline_of_its_own_task(shell: Shell, later: dict[str, str]) -> None:
    """It gets a further task. A task that the line states is not replaced."""
    with client_process(shell, more=later) as client, client_process(shell, more=later) as other:
        client.hook("start", START, *REACH)
        other.hook("start", START, *REACH, "--task", "T1")
        client.good("helper", "token", "--audience", LLM, FAKETIME="+20h")
        client.good("helper", "token", "--audience", LLM, FAKETIME="+25h")
        log = client.good("audit", "log", "--format", "jsonl", FAKETIME="+25h")
        events = [json.loads(line) for line in log.splitlines()]
        tasks = [
            event["task"] for event in events if event["op"] == "issue" and event["agent"] == "claude-code"
        ]
        assert len(tasks) == 4
        assert len({*tasks} - {"T1"}) == 2
        done = other.run("helper", "token", "--audience", LLM, FAKETIME="+25h")
        assert (done.status, done.out) == (4, "")


def test_a_renewed_token_that_was_lost_is_replaced_and_not_renewed_twice(
    shell: Shell, later: dict[str, str]
) -> None:
    """A helper was killed between the renewal and the file."""
    with client_process(shell, more=later) as client:
        client.hook("start", START, *REACH)
        (state,) = (shell.home / ".local/state/jitid/sessions").glob("*/sessions.json")
        before = json.loads(state.read_text())
        (token,) = [each for each in state.parent.iterdir() if each != state]
        former = token.read_text()
        client.good("helper", "token", "--audience", LLM, FAKETIME="+11m")
        before["sessions"][ID]["renewing"] = True
        state.write_text(json.dumps(before))
        token.write_text(former)
        shown = client.good("helper", "token", "--audience", LLM, FAKETIME="+12m")
        assert shown
        events = [event["op"] for event in _events(shell)]
        assert (events.count("renew"), events.count("denial")) == (1, 0)


def test_folders_that_others_may_read_are_refused(shell: Shell) -> None:
    """Nothing is issued into them; a link is not followed."""
    base = shell.home / ".local/state/jitid/sessions"
    base.mkdir(parents=True)
    base.chmod(0o755)
    with client_process(shell) as client:
        assert client.hook("start", START).status == 7
        base.rmdir()
        (shell.home / "elsewhere").mkdir(mode=0o700)
        base.symlink_to(shell.home / "elsewhere")
        assert client.hook("start", START).status == 7
        assert list((shell.home / "elsewhere").iterdir()) == []
        assert _live(shell) == []


@pytest.fixture
def registered(shell: Shell) -> Shell:
    """Return a shell whose ledger has an agent that belongs to another person, with a project in its home."""
    for person in ("user:alice", "user:bob"):
        shell.good("delegator", "add", person)
    words = ("--owner", "user:bob", "--purpose", "deploys", "--audience", LLM)
    shell.good("agent", "register", "deployer", *words)
    return shell


def test_a_project_does_not_choose_the_agent_of_a_session(registered: Shell) -> None:
    """Its file names a registered agent: neither a hook nor a helper takes that name."""
    (registered.home / ".jitid.toml").write_text('agent = "deployer"\n')
    with client_process(registered) as client, client_process(registered) as other:
        assert client.hook("start", START, *REACH).status == 0
        token = other.good("helper", "token", "--audience", LLM, *REACH)
        assert [row["agent"] for row in _live(registered)] == ["claude-code"] * 2
        shown = json.loads(registered.run("inspect", "-", "--json", stdin=token).stdout)
        assert shown["client_id"] == "claude-code"
    line = ("helper", "token", "--audience", LLM, "--task", "T2", "--delegator", "alice")
    token = registered.good(*line)
    assert json.loads(registered.run("inspect", "-", "--json", stdin=token).stdout)["client_id"] == "agent"


def test_a_project_does_not_put_a_session_on_a_task_of_the_user(shell: Shell) -> None:
    """The task of the session is a new one; the line of the hook may state another."""
    (shell.home / ".jitid.toml").write_text('task = "FIRST"\n')
    with client_process(shell) as client:
        assert client.hook("start", START).status == 0
        (row,) = _live(shell)
        assert row["task"].startswith("session/claude-code/")


@pytest.mark.parametrize("kind", ["deployer", "claude-code/deployer", "../deployer", "-", "x" * 256])
def test_the_type_of_a_subagent_is_never_the_name_of_a_registered_agent(registered: Shell, kind: str) -> None:
    """A project's file names the type."""
    with client_process(registered) as client:
        client.hook("start", START, *REACH)
        assert client.hook("start", {**_subagent(1), "agent_type": kind}).status == 0
        (name,) = [row["agent"] for row in _live(registered) if row["depth"] == 1]
        assert name.startswith("claude-code/")


def test_a_subagent_has_a_registered_name_only_if_the_record_lists_its_session(registered: Shell) -> None:
    """Beside the ledger as at an authority."""
    words = ("--owner", "user:bob", "--purpose", "reviews")
    registered.good("agent", "register", "claude-code/reviewer", *words)
    event = {**_subagent(1), "agent_type": "reviewer"}
    with client_process(registered) as client:
        client.hook("start", START)
        done = client.hook("start", event)
        assert (done.status, "agent-users" in done.err) == (4, True)
        assert len(_live(registered)) == 1
    registered.good("agent", "change", "claude-code/reviewer", "--may-use", "agent:coder")
    registered.good("agent", "register", "coder", "--owner", "user:alice", "--purpose", "codes")
    with client_process(registered) as client:
        client.hook("start", START, "--agent", "coder", "--delegator", "alice")
        assert client.hook("start", event).status == 0


def test_a_helper_takes_no_registered_name_for_a_child_of_the_session(registered: Shell) -> None:
    """The session's right decides, not the access of its process to the ledger."""
    with client_process(registered) as client:
        client.hook("start", START, *REACH)
        line = ("helper", "git", "get", "--agent", "deployer")
        done = client.run(*line, stdin="protocol=https\nhost=llm.example\n\n")
        assert (done.status, done.out, "agent-users" in done.err) == (4, "", True)


def test_a_subagent_that_was_stopped_first_is_in_the_ledger(shell: Shell) -> None:
    """It has an identity, which has ended."""
    with client_process(shell) as client:
        client.hook("start", START)
        client.hook("stop", _subagent(1, "SubagentStop"))
        assert client.hook("start", _subagent(1)).status == 0
        assert len(_live(shell)) == 1
        rows = json.loads(shell.good("list", "--json", "--agent", "claude-code/general-purpose"))["items"]
        assert [row["state"] for row in rows] == ["revoked"]


def test_hooks_and_helpers_with_other_variables_have_one_place(shell: Shell) -> None:
    """The client's own variables decide where it is."""
    folders = [shell.home / name for name in ("runtime", "state", "home")]
    for folder in folders:
        folder.mkdir(mode=0o700)
    runtime, state, home = map(str, folders)
    with client_process(shell) as client:
        client.hook("start", START, *REACH, XDG_RUNTIME_DIR=runtime)
        for variables in ({"XDG_RUNTIME_DIR": ""}, {"XDG_STATE_HOME": state}, {"HOME": home}):
            client.good("helper", "token", "--audience", LLM, **variables)
            assert len(_live(shell)) == 1
        client.hook("stop", END, XDG_STATE_HOME=state)
        assert _live(shell) == []
        assert [list(folder.iterdir()) for folder in folders] == [[], [], []]


def test_a_ledger_has_one_place_for_all_its_paths(shell: Shell) -> None:
    """Another path of the same folder opens no second session."""
    (shell.home / "link").symlink_to(shell.ledger.parent)
    others = (f"{shell.ledger}/", f"{shell.ledger}/../{shell.ledger.name}", f"link/{shell.ledger.name}")
    with client_process(shell) as client:
        client.hook("start", START, *REACH)
        for path in others:
            done = client.run(
                "--ledger", path, "helper", "token", "--audience", LLM, "--scope", "prod:deploy"
            )
            assert (done.status, done.out) == (4, ""), path
            assert len(_live(shell)) == 1


def test_a_hook_that_a_person_calls_opens_no_session(shell: Shell) -> None:
    """The terminal would be the process of the client: its login would not count, and the session would live on."""
    line = ("helper", "session", "start", "--client", "claude-code")
    with client_process(shell, "terminal") as terminal:
        for name in ("start", "stop"):
            line = ("helper", "session", name, "--client", "claude-code")
            done = terminal.run(*line, stdin=json.dumps(START if name == "start" else END))
            assert (done.status, done.out) == (125, "")
            assert "no process above this one is known as claude-code" in done.err
            assert "jitid setup claude-code" in done.err
    assert _live(shell) == []
    assert not (shell.home / ".local/state/jitid/sessions").exists()


def test_many_long_ids_do_not_lock_a_session_in(shell: Shell) -> None:
    """Its state stays readable, so that the session can end."""
    with client_process(shell) as client:
        client.hook("start", START)
        (state,) = (shell.home / ".local/state/jitid/sessions").glob("*/sessions.json")
        for number in range(3):
            stop = {**_subagent(1, "SubagentStop"), "agent_id": "中" * 250 + str(number)}
            assert client.hook("stop", stop).status == 0
        assert state.stat().st_size < 3_000
        full = json.loads(state.read_text())
        full["sessions"][ID]["stopped"] = ["x" * 1_000] * 5_000
        state.write_text(json.dumps(full))
        done = client.hook("start", _subagent(2))
        assert (done.status, "too many" in done.err) == (125, True)
        assert client.hook("stop", END).status == 0
        assert _live(shell) == []
