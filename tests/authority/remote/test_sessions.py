"""Sessions of clients at a remote authority, for a caller without a role."""

from __future__ import annotations

import json
import os
import shlex
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.client_process import client_process
from tests.real import Shell
from tests.serving import serving

LLM = "https://llm.example"
START = {"hook_event_name": "SessionStart", "session_id": "s1", "transcript_path": "/t/s1.jsonl"}
SUBAGENT = {
    "hook_event_name": "SubagentStart",
    "session_id": "s1",
    "agent_id": "a1",
    "agent_type": "explorer",
}
REACH = ("--may-audience", "https://*.example")


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """Yield a command line that uses an authority, as a delegator without a role."""
    config = tmp_path / "authority.toml"
    config.write_text(f'[socket.delegator]\n{os.getuid()} = "user:alice"\n')
    with serving(
        tmp_path / "authority", "--socket", str(tmp_path / "s"), more={"JITID_CONFIG": str(config)}
    ) as served:
        shell = Shell(tmp_path / "client")
        shell.home.mkdir()
        del shell.environment["JITID_LEDGER"]
        shell.environment["JITID_REMOTE"] = f"unix://{served.socket}"
        yield shell


def _trees(shell: Shell) -> list[dict[str, Any]]:
    trees: list[dict[str, Any]] = json.loads(shell.good("list", "--tree", "--json"))["trees"]
    return trees


def test_a_session_at_an_authority_needs_no_role(shell: Shell) -> None:
    """The delegator is the caller; the authority has the name of the session, and all ends with it."""
    with client_process(shell) as client:
        token = client.good("helper", "token", "--audience", LLM, *REACH)
        for event in (START, SUBAGENT):
            done = client.hook("start", event, *REACH)
            assert (done.status, done.err) == (0, "")
        (tree,) = _trees(shell)
        assert (tree["delegator"], tree["agent"]) == ("user:alice", "claude-code")
        assert [child["agent"] for child in tree["children"]] == ["claude-code/explorer"]
        shown = json.loads(shell.good("inspect", tree["id"], "--json"))
        assert shown["session"] == {
            "client": "claude-code",
            "name": "s1",
            "subagent": None,
            "transcript": "/t/s1.jsonl",
            "stated_by": "client",
        }
        assert json.loads(shell.good("inspect", "-", "--json", stdin=token))["id"] == tree["id"]
        done = client.hook("stop", {**SUBAGENT, "hook_event_name": "SubagentStop"})
        assert (done.status, done.err) == (0, "")
        done = client.hook("stop", {**START, "hook_event_name": "SessionEnd"})
        assert (done.status, done.err) == (0, "")
        assert _trees(shell) == []


@pytest.mark.parametrize("is_open", [False, True])
@pytest.mark.parametrize(
    "line",
    [
        ("helper", "token", "--audience", LLM),
        ("helper", "session", "start", "--client", "claude-code"),
        ("mcp",),
    ],
)
def test_no_variable_of_a_project_sends_the_identity_of_a_client_to_another_authority(
    shell: Shell, line: tuple[str, ...], is_open: bool
) -> None:
    """Neither that of a run, which the client's variable names, nor that of its session."""
    reach = ("--delegator", "user:alice", "--may-audience", LLM)
    shell.good("issue", "--task", "RUN", *reach, "--out", "run.jwt")
    more = {"JITID_PARENT_FILE": str(shell.home / "run.jwt")}
    home, own = shell.home / "elsewhere", shell.environment.pop("JITID_REMOTE")
    shell.good("config", "set", "remote", own)
    with socket.create_server(("127.0.0.1", 0)) as other, client_process(shell, more=more) as client:
        other.settimeout(0)
        address = f"http://127.0.0.1:{other.getsockname()[1]}"
        (home / ".config" / "jitid").mkdir(parents=True)
        file = home / ".config" / "jitid" / "config.toml"
        file.write_text(f'remote = "{address}"\n')
        if is_open:
            assert client.hook("start", START).status == 0
        projects: list[dict[str, str]] = [
            {"JITID_REMOTE": address},
            {"JITID_CONFIG": str(file)},
            {"HOME": str(home), "XDG_CONFIG_HOME": str(home / ".config")},
        ]
        for variables in projects:
            done = client.run(*line, stdin=json.dumps(START), **variables)
            assert (done.status != 0, done.out) == (True, ""), done.err
            assert "nothing was sent" in done.err, done.err
            with pytest.raises(BlockingIOError):
                other.accept()
        # The authority of the client itself has no use for such a variable.
        client.good("--remote", own, "helper", "token", "--audience", LLM, JITID_REMOTE=address)
        client.good("helper", "token", "--audience", LLM)


@pytest.mark.parametrize(
    "door", ["--parent-file", "--delegator-token-file", "CREDENTIALS_DIRECTORY", "login file"]
)
def test_an_authority_that_a_project_chose_gets_no_secret_of_the_line_or_of_the_client(
    shell: Shell, door: str
) -> None:
    reach = ("--delegator", "user:alice", "--may-audience", LLM)
    shell.good("issue", "--task", "RUN", *reach, "--out", "jitid-credential")
    path = str(shell.home / "jitid-credential")
    client_variables = {"CREDENTIALS_DIRECTORY": str(shell.home)} if door == "CREDENTIALS_DIRECTORY" else {}
    if door == "login file":
        client_variables["JITID_REMOTE_CREDENTIAL_FILE"] = path
    words = (door, path) if door.startswith("--") else ()
    with (
        socket.create_server(("127.0.0.1", 0)) as other,
        client_process(shell, more=client_variables) as client,
    ):
        other.settimeout(0)
        address = f"http://127.0.0.1:{other.getsockname()[1]}"
        done = client.run(
            "helper",
            "session",
            "start",
            "--client",
            "claude-code",
            *words,
            stdin=json.dumps(START),
            JITID_REMOTE=address,
        )
        assert done.status != 0
        assert "nothing was sent" in done.err
        with pytest.raises(BlockingIOError):
            other.accept()


def test_the_commands_of_a_session_get_its_authority_as_a_variable(shell: Shell, tmp_path: Path) -> None:
    """The hook has written it for them; the client did not start with it."""
    own, file = shell.environment.pop("JITID_REMOTE"), tmp_path / "variables"
    with client_process(shell, more={"CLAUDE_ENV_FILE": str(file)}) as client:
        words = ("helper", "session", "start", "--client", "claude-code", *REACH)
        client.good("--remote", own, *words, stdin=json.dumps(START))
        lines = [line.removeprefix("export ") for line in file.read_text().splitlines()]
        variables = {
            name: shlex.split(value)[0] for name, _, value in (line.partition("=") for line in lines)
        }
        assert variables["JITID_REMOTE"] == own
        assert client.good("helper", "token", "--audience", LLM, **variables)


def test_a_session_that_its_client_ended_leaves_the_others(shell: Shell) -> None:
    """Unless it was revoked before: then a command that names no session gets no token."""
    line = ("helper", "token", "--audience", LLM)
    with client_process(shell) as client:
        for name in ("s1", "s2", "s3"):
            client.hook("start", {**START, "session_id": name}, *REACH)
        client.hook("stop", {**START, "hook_event_name": "SessionEnd", "session_id": "s3"})
        client.good(*line)
        (revoked,) = [
            tree["id"]
            for tree in _trees(shell)
            if json.loads(shell.good("inspect", tree["id"], "--json"))["session"]["name"] == "s1"
        ]
        shell.good("revoke", revoked)
        assert client.hook("stop", {**START, "hook_event_name": "SessionEnd"}).status == 0
        done = client.run(*line)
        assert (done.status, done.out) == (8, "")


def test_a_revoked_session_gets_no_other_identity_from_an_authority(shell: Shell) -> None:
    """The caller may revoke its own session."""
    with client_process(shell) as client:
        client.hook("start", START, *REACH)
        (tree,) = _trees(shell)
        shell.good("revoke", tree["id"])
        done = client.run("helper", "token", "--audience", LLM)
        assert (done.status, done.out) == (8, "")
        assert _trees(shell) == []
