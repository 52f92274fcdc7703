"""`jitid mcp` in a session of a client: it acts for the identity of that session, and for no other."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.client_process import client_process
from tests.mcp.asking import OPENING, called, lines
from tests.real import Shell, command, faked, libfaketime

API = "https://api.example"
REACH = ("--may-audience", API, "--scope", "repo:*")
START = {"hook_event_name": "SessionStart", "session_id": "A", "source": "startup"}
END = {"hook_event_name": "SessionEnd", "session_id": "A"}
WORK = {"agent": "helper", "scopes": ["repo:read"]}
WHOAMI = called(1, "whoami", {})


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Return a shell with a ledger."""
    made = Shell(tmp_path)
    first = json.loads(made.good("issue", "--task", "FIRST", "--delegator", "alice", "--json"))
    made.good("revoke", first["id"])
    return made


def _answers(text: str) -> list[dict[str, Any]]:
    """Return the results of the calls in the output of a server."""
    results = [json.loads(line)["result"] for line in text.splitlines()]
    return [result["structuredContent"] for result in results if "structuredContent" in result]


def _live(shell: Shell) -> dict[str, Any]:
    """Return the live identity tokens by their agent."""
    rows = json.loads(shell.good("list", "--live", "--json"))["items"]
    return {row["agent"]: row for row in rows if row["task"] != "FIRST"}


def test_in_a_session_the_server_acts_for_its_identity(shell: Shell) -> None:
    """Its identities are below the session, within the rights of the session, and end with the server."""
    with client_process(shell) as client:
        assert client.hook("start", START, *REACH).status == 0
        session = _live(shell)["claude-code"]
        foreign = json.loads(shell.good("issue", "--task", "FIRST", "--delegator", "bob", "--json"))["id"]
        wide = {"agent": "wide", "scopes": ["prod:deploy"]}
        calls = (
            called(2, "request_identity", WORK),
            called(3, "request_identity", wide),
            called(4, "hand_back", {"id": foreign}),
        )
        own, given, refused, other = _answers(client.good("mcp", stdin=lines(OPENING, WHOAMI, *calls)))
        assert (own["id"], own["agent"]) == (session["id"], "claude-code")
        assert (given["parent"], given["agent"]) == (session["id"], "helper")
        assert {refused["error"]["code"], other["error"]["code"]} == {"policy_denied"}
        assert _live(shell).keys() == {"claude-code"}


def test_in_a_session_of_a_run_the_server_has_no_right_of_the_run(shell: Shell) -> None:
    """The variable of the run reaches the server. After the revocation of the session it has none."""
    wide = ("--agent", "planner", "--scope", "prod:deploy", *REACH)
    shell.good("issue", "--task", "T1", "--delegator", "alice", *wide, "--out", "run")
    asked = lines(OPENING, WHOAMI, called(2, "request_identity", {"agent": "w", "scopes": ["prod:deploy"]}))
    with client_process(shell, "codex", more={"JITID_PARENT_FILE": str(shell.home / "run")}) as client:
        own, given = _answers(client.good("mcp", stdin=asked))
        assert (own["agent"], given["agent"]) == ("planner", "w")
        assert client.hook("start", START, *REACH).status == 0
        own, refused = _answers(client.good("mcp", stdin=asked))
        assert (own["agent"], refused["error"]["code"]) == ("codex", "policy_denied")
        shell.good("revoke", "--agent", "codex", "--yes")
        answers = _answers(client.good("mcp", stdin=asked))
        assert {each["error"]["code"] for each in answers} == {"invalid_credential"}
        own, _ = _answers(client.good("mcp", "--token-file", "run", stdin=asked))
        assert own["agent"] == "planner"


def test_without_a_session_the_server_has_no_identity(shell: Shell) -> None:
    """The client may start it before its first session: a later call finds that. No call opens a session."""
    asked = lines(OPENING, WHOAMI, called(2, "request_identity", WORK))
    with client_process(shell) as client:
        for _ in range(2):
            answers = _answers(client.good("mcp", stdin=asked))
            assert [each["error"]["code"] for each in answers] == ["invalid_credential"] * 2
            assert not _live(shell)
            client.hook("start", START, *REACH)
            client.good("mcp", stdin=asked)
            client.hook("stop", END)
    with client_process(shell, "other") as other:
        done = other.run("mcp", stdin=asked)
        assert (done.status, "the agent's own token is required" in done.err) == (2, True)


def test_no_variable_of_a_project_chooses_the_policy_or_the_identity_of_the_server(shell: Shell) -> None:
    """The client starts the server as it starts a helper: with the variables of a project."""
    ledger = ("--ledger", str(shell.home / "own"))
    with client_process(shell) as client:
        client.good(
            *ledger, "issue", "--task", "W", "--delegator", "alice", "--agent", "wide", "--out", "wide"
        )
        strict, lax = shell.home / "own" / "policy", shell.home / "lax"
        shutil.copytree(strict, lax)
        with next(strict.glob("*.cedar")).open("a") as file:
            file.write("""
                @id("no-helper")
                forbid (principal, action == Action::"issue", resource) when { context.agent == "helper" };
            """)
        start = json.dumps(START)
        client.good(*ledger, "helper", "session", "start", "--client", "claude-code", *REACH, stdin=start)
        asked = lines(OPENING, WHOAMI, called(2, "request_identity", WORK))
        own = None
        for variables in ({}, {"JITID_POLICY": str(lax)}, {"JITID_PARENT_FILE": str(shell.home / "wide")}):
            who, refused = _answers(client.good(*ledger, "mcp", stdin=asked, **variables))
            own = own or who["id"]
            assert (who["id"], who["agent"]) == (own, "claude-code")
            assert "no-helper" in json.dumps(refused["error"])


def test_a_revoked_session_has_no_server(shell: Shell) -> None:
    """Nor has a session whose name is unknown."""
    asked = lines(OPENING, called(1, "request_identity", WORK))
    with client_process(shell, "codex") as client:
        client.hook("start", START, *REACH)
        assert [each["agent"] for each in _answers(client.good("mcp", stdin=asked))] == ["helper"]
        (answer,) = _answers(client.good("mcp", stdin=asked, CODEX_THREAD_ID="B"))
        assert "has no such session" in answer["error"]["message"]
    with client_process(shell, "codex") as client:
        client.hook("start", START, *REACH)
        shell.good("revoke", "--agent", "codex", "--yes")
        (answer,) = _answers(client.good("mcp", stdin=asked))
        assert "revoked" in answer["error"]["message"]
        assert not _live(shell)


def test_the_server_renews_the_identity_of_its_session(shell: Shell) -> None:
    """As the helpers do: a session may last longer than the lifetime of a token."""
    libfaketime()
    more = {**dict(word.split("=", 1) for word in faked("+0")[1:]), "FAKETIME_NO_CACHE": "1"}
    with client_process(shell, more=more) as client:
        client.hook("start", START, *REACH)
        first = _live(shell)["claude-code"]
        for minutes in (0, 13, 26, 39):
            time = f"+{minutes}m"
            own, given = _answers(
                client.good(
                    "mcp", stdin=lines(OPENING, WHOAMI, called(2, "request_identity", WORK)), FAKETIME=time
                )
            )
            assert (own["id"], given["parent"]) == (first["id"], first["id"])


def test_one_server_follows_the_sessions_of_its_client(shell: Shell) -> None:
    """It runs as long as the client: its identity is that of the session at the time of the call."""
    program = shell.home / "codex"
    shutil.copy("/bin/bash", program)
    jitid = shlex.join(command())
    script = f"""
        mkfifo in out
        {jitid} mcp <in >out &
        exec 3>in 4<out
        ask() {{ printf '%s\\n' "$1" >&3; read -r line <&4; printf '%s\\n' "$line"; }}
        start() {{ printf '%s' "$1" >event; {jitid} helper session start --client codex {shlex.join(REACH)} <event; }}
        stop() {{ printf '%s' "$1" >event; {jitid} helper session stop --client codex <event; }}
        ask {shlex.quote(json.dumps(OPENING))} >/dev/null
        ask {shlex.quote(json.dumps(WHOAMI))}
        start {shlex.quote(json.dumps(START))}
        ask {shlex.quote(json.dumps(WHOAMI))}
        ask {shlex.quote(json.dumps(called(2, "request_identity", WORK)))}
        stop {shlex.quote(json.dumps(END))}
        ask {shlex.quote(json.dumps(WHOAMI))}
        start {shlex.quote(json.dumps({**START, "session_id": "B"}))}
        ask {shlex.quote(json.dumps(WHOAMI))}
        {jitid} list --live --field agent
        exec 3>&-
        wait
    """
    done = subprocess.run(
        [program, "-c", script],
        env=shell.environment,
        cwd=shell.home,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    *answers, left = done.stdout.splitlines()
    before, first, given, between, second = _answers("\n".join(answers))
    for each in (before, between):
        assert each["error"]["code"] == "invalid_credential"
    assert given["parent"] == first["id"] != second["id"]
    # The end of the session ended the identity that the server had issued for it.
    assert left == "codex"
