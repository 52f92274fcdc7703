"""Coding agents themselves, with jitid as their hooks and helpers, at a gateway on loopback."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tests import agents
from tests.components.helping import is_for, shell_with_programs
from tests.model_gateway import Gateway, model_gateway
from tests.real import Shell, until

pytestmark = pytest.mark.deep


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of installed agents."""
    return tmp_path_factory.mktemp("agents")


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Return a shell with a ledger, and with jitid in PATH."""
    return shell_with_programs(tmp_path)


@contextmanager
def recording() -> Iterator[tuple[str, list[str]]]:
    """Serve no MCP, and record the tokens of requests: an address, and the tokens."""
    shown: list[str] = []

    class Visitor(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            shown.append(self.headers.get("Authorization", "").removeprefix("Bearer "))
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_POST  # noqa: N815 - the name that the server calls

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Visitor)
    thread = Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.server_address[1]}", shown
    finally:
        listening.shutdown()
        thread.join()
        listening.server_close()


@contextmanager
def at_gateway(shell: Shell) -> Iterator[Gateway]:
    """Serve a gateway that accepts the tokens of the ledger for itself."""
    with model_gateway() as gateway:
        gateway.accepts = lambda token: is_for(shell, token, gateway.address)
        yield gateway


def _configured(shell: Shell, gateway: Gateway, mcp: str) -> dict[str, str]:
    """Write the settings of Claude Code, and return the environment."""
    reach = f"--may-audience {gateway.address} --may-audience {mcp}"
    start = f"jitid helper session start --client claude-code {reach}"
    hooks = {
        "SessionStart": start,
        "SubagentStart": start,
        "SubagentStop": "jitid helper session stop --client claude-code",
        "SessionEnd": "jitid helper session stop --client claude-code",
    }
    settings = {
        "apiKeyHelper": f"jitid helper token --audience {gateway.address} {reach}",
        "hooks": {name: [{"hooks": [{"type": "command", "command": line}]}] for name, line in hooks.items()},
        "enableAllProjectMcpServers": True,
    }
    (shell.home / ".claude").mkdir()
    (shell.home / ".claude/settings.json").write_text(json.dumps(settings))
    (shell.home / "project").mkdir()
    server = {"type": "http", "url": f"{mcp}/mcp", "headersHelper": f"jitid helper headers {reach}"}
    (shell.home / "mcp.json").write_text(json.dumps({"mcpServers": {"api": server}}))
    return {
        **shell.environment,
        "ANTHROPIC_BASE_URL": gateway.address,
        "DISABLE_AUTOUPDATER": "1",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "CLAUDE_CODE_API_KEY_HELPER_TTL_MS": "300000",
    }


def _started(
    shell: Shell, program: str, environment: Mapping[str, str], prompt: str
) -> subprocess.Popen[str]:
    words = [program, "-p", prompt, "--allowedTools", "Bash,Task,Agent", "--output-format", "json"]
    return subprocess.Popen(
        [*words, "--mcp-config", str(shell.home / "mcp.json"), "--strict-mcp-config"],
        cwd=shell.home / "project",
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _identities(shell: Shell) -> list[dict[str, Any]]:
    """Return the live trees of the client."""
    trees: list[dict[str, Any]] = json.loads(shell.good("list", "--tree", "--json"))["trees"]
    return [tree for tree in trees if tree["agent"] == "claude-code"]


def test_a_session_of_claude_code_with_two_subagents_is_one_tree(shell: Shell, packages: Path) -> None:
    """Its tokens for the gateway and for an MCP server are those of the session; all end with it."""
    program = agents.claude_code(packages)
    with at_gateway(shell) as gateway, recording() as (mcp, shown):
        environment = _configured(shell, gateway, mcp)
        prompt = "SPAWN general-purpose HOLD\nSPAWN general-purpose HOLD"
        client = _started(shell, program, environment, prompt)
        try:
            for _ in range(2):
                assert gateway.held.acquire(timeout=60), client.communicate()
            until(lambda: bool(shown), "no request to the MCP server")
            (session,) = _identities(shell)
            children = session["children"]
            assert [child["agent"] for child in children] == ["claude-code/general-purpose"] * 2
            assert [child["state"] for child in children] == ["active"] * 2
            recorded = json.loads(shell.good("inspect", session["id"], "--json"))["session"]
            assert Path(recorded["transcript"]).is_relative_to(shell.home / ".claude/projects")
            (token,) = gateway.tokens()
            for each, audience in ((token, gateway.address), (shown[0], mcp)):
                known = json.loads(shell.run("inspect", "-", "--json", stdin=each).stdout)
                assert (known["id"], known["aud"]) == (session["id"], [audience])
            gateway.release()
            out, err = client.communicate(timeout=60)
        finally:
            client.kill()
        assert client.returncode == 0, err
        assert json.loads(out)["result"] == "done"
        assert {call.status for call in gateway.calls} == {200}
        assert _identities(shell) == []
        assert not is_for(shell, token, gateway.address)


def test_one_revocation_ends_session_and_subagents_while_they_run(shell: Shell, packages: Path) -> None:
    """The gateway refuses the token, and the helper gives no other one."""
    program = agents.claude_code(packages)
    with at_gateway(shell) as gateway, recording() as (mcp, _):
        environment = _configured(shell, gateway, mcp)
        client = _started(
            shell, program, environment, "SPAWN general-purpose HOLD\nSPAWN general-purpose HOLD"
        )
        try:
            for _ in range(2):
                assert gateway.held.acquire(timeout=60), client.communicate()
            (session,) = _identities(shell)
            shell.good("revoke", session["id"])
            assert _identities(shell) == []
            gateway.release()
            until(lambda: gateway.calls[-1].status == 401, "no request was refused")
        finally:
            client.kill()
            client.communicate()
        refused = [call.status for call in gateway.calls]
        assert refused[:3] == [200] * 3
        assert set(refused[3:]) == {401}
        assert _identities(shell) == []


def test_a_killed_claude_code_leaves_nothing_alive_after_a_sweep(shell: Shell, packages: Path) -> None:
    """No hook runs when it is killed; its process is watched."""
    program = agents.claude_code(packages)
    with at_gateway(shell) as gateway, recording() as (mcp, _):
        client = _started(shell, program, _configured(shell, gateway, mcp), "SPAWN general-purpose HOLD")
        assert gateway.held.acquire(timeout=60)
        client.kill()
        client.communicate()
        assert len(_identities(shell)) == 1
        shell.run("sweep", "--rule", "orphaned-process", "--fix", "--yes")
        assert _identities(shell) == []


def test_a_command_of_a_session_issues_below_the_session(shell: Shell, packages: Path) -> None:
    """The client passes the variables of its start hook to its commands."""
    program = agents.claude_code(packages)
    with at_gateway(shell) as gateway, recording() as (mcp, _):
        client = _started(
            shell,
            program,
            _configured(shell, gateway, mcp),
            "BASH jitid issue --agent tool --json > ../made.json\nHOLD",
        )
        try:
            assert gateway.held.acquire(timeout=60)
            (session,) = _identities(shell)
            gateway.release()
            client.communicate(timeout=60)
        finally:
            client.kill()
        made = json.loads((shell.home / "made.json").read_text())
        assert (made["parent"], made["task"]) == (session["id"], session["task"])


def test_a_subagent_of_codex_has_its_own_token_in_its_commands(shell: Shell, packages: Path) -> None:
    """The client names the subagent to its commands; the gateway sees the token of the session from all of them."""
    program = agents.codex(packages)
    with at_gateway(shell) as gateway:
        reach = ["--may-audience", gateway.address]
        start = " ".join(["jitid helper session start --client codex", *reach])
        hooks = {
            "SessionStart": start,
            "SubagentStart": start,
            "SubagentStop": "jitid helper session stop --client codex",
            "SessionEnd": "jitid helper session stop --client codex",
        }
        folder = shell.home / ".codex"
        folder.mkdir()
        words = json.dumps(["helper", "token", "--audience", gateway.address, *reach])
        (folder / "config.toml").write_text(
            f"""
model_provider = "gateway"
model = "test-model"
[model_providers.gateway]
name = "gateway"
base_url = "{gateway.address}/v1"
wire_api = "responses"
supports_websockets = false
auth = {{ command = "jitid", args = {words}, timeout_ms = 60000, refresh_interval_ms = 60000 }}
"""
            + "".join(
                f'[[hooks.{name}]]\n[[hooks.{name}.hooks]]\ntype = "command"\ncommand = "{line}"\n'
                for name, line in hooks.items()
            )
        )
        (shell.home / "project").mkdir()
        # Its commands run in a login shell, which sets PATH again.
        line = f"{shell.home}/bin/jitid helper token --audience {gateway.address} > ../own"
        client = subprocess.Popen(
            [
                *(program, "exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox"),
                *("--dangerously-bypass-hook-trust", f"SPAWN default BASH {line}\\nWAIT\nWAIT"),
            ],
            cwd=shell.home / "project",
            env=shell.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            for _ in range(2):
                assert gateway.held.acquire(timeout=60), client.communicate()
            trees = json.loads(shell.good("list", "--tree", "--json"))["trees"]
            (session,) = [tree for tree in trees if tree["agent"] == "codex"]
            (child,) = session["children"]
            assert (child["agent"], child["state"]) == ("codex/default", "active")
            (token,) = gateway.tokens()
            shown = json.loads(shell.run("inspect", "-", "--json", stdin=token).stdout)
            assert (shown["id"], shown["session"]["client"]) == (session["id"], "codex")
            own = json.loads(shell.run("inspect", str(shell.home / "own"), "--json").stdout)
            assert own["id"] == child["id"]
            gateway.release()
            client.communicate(timeout=60)
        finally:
            client.kill()
        trees = json.loads(shell.good("list", "--tree", "--json"))["trees"]
        assert [tree for tree in trees if tree["agent"] == "codex"] == []
