"""`jitid setup` with the clients themselves: one line, an answered turn at a gateway on loopback, and the way back."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import jitid
from tests import agents
from tests.components.helping import is_for, shell_with_programs
from tests.model_gateway import model_gateway
from tests.real import Shell, need

MCP = ("--mcp", "docs=https://mcp.example/mcp")


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the clients of this session."""
    return tmp_path_factory.mktemp("clients")


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Return a shell with a ledger, and with jitid in PATH."""
    made = shell_with_programs(tmp_path)
    made.environment["CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC"] = "1"
    # Codex starts a command for headers without PYTHONPATH: the program itself must find this checkout.
    program = tmp_path / "bin/jitid"
    root = str(Path(jitid.__file__).parent.parent)
    program.write_text(
        program.read_text().replace("from ", f"import sys\nsys.path.insert(0, {root!r})\nfrom ", 1)
    )
    (tmp_path / "work").mkdir()
    return made


def use(shell: Shell, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a client in a separate folder."""
    return subprocess.run(
        words,
        env={**shell.environment, **variables},
        cwd=shell.home / "work",
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )


def configuration(shell: Shell, *folders: str) -> dict[str, bytes]:
    """Return the files of the user's configuration of clients."""
    return {
        str(path.relative_to(shell.home)): path.read_bytes()
        for folder in folders
        for path in (shell.home / folder).glob("*.[jt][so]*")
        if path.is_file()
    }


def live(shell: Shell, task: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = json.loads(shell.good("list", "--live", "--json"))["items"]
    return [item for item in items if item["task"].startswith(task)]


SETTINGS = b'{\n\t"model": "sonnet",\n\t"env": {"EDITOR": "vi"},\n}\n'.replace(b",\n}", b"\n}")


def test_claude_code_answers_with_a_token_of_its_session(shell: Shell, packages: Path) -> None:
    """No static key is in its environment or files; the session's identity ends with it."""
    program = agents.claude_code(packages)
    path = shell.home / ".claude/settings.json"
    path.parent.mkdir()
    path.write_bytes(SETTINGS)
    with model_gateway() as gateway:
        shell.good("setup", "claude-code", "--gateway", gateway.address)
        done = use(shell, program, "-p", "hello")
        assert done.stdout == "done\n", done.stderr
        (token,) = gateway.tokens()
        assert not is_for(shell, token, gateway.address), "its session has ended"
        assert live(shell, "session/claude-code/") == []
        text = shell.run("setup", "claude-code", "--check", "--json").stdout
        assert json.loads(text)["items"] == []
        # The static key that `--check` names is sent beside the token.
        static = {"ANTHROPIC_API_KEY": "sk-ant-static"}
        assert shell.run("setup", "claude-code", "--check", more=static).returncode == 10
        use(shell, program, "-p", "hello", **static)
        assert gateway.calls[-1].headers["x-api-key"] == static["ANTHROPIC_API_KEY"]
    shell.good("setup", "claude-code", "--undo")
    assert path.read_bytes() == SETTINGS


def test_check_reports_the_project_that_gets_the_token_of_claude_code(shell: Shell, packages: Path) -> None:
    program = agents.claude_code(packages)
    with model_gateway() as gateway, model_gateway() as other:
        shell.good("setup", "claude-code", "--gateway", gateway.address)
        path = shell.home / "work/.claude/settings.json"
        path.parent.mkdir()
        path.write_text(json.dumps({"env": {"ANTHROPIC_BASE_URL": other.address}}))
        use(shell, program, "-p", "hello")
        assert other.tokens(), "the client obeys the project"
        assert not gateway.tokens()
        done = shell.run("setup", "claude-code", "--check", "--json", before=("env", "-C", "work"))
        found = [(row["name"], row["effect"]) for row in json.loads(done.stdout)["items"]]
        assert (done.returncode, found) == (10, [(f"{path}: env.ANTHROPIC_BASE_URL", "redirects")])


def test_claude_code_reads_the_servers_that_were_added(shell: Shell, packages: Path) -> None:
    program = agents.claude_code(packages)
    shell.good("setup", "claude-code", *MCP, "--tools")
    shown = use(shell, program, "mcp", "get", "docs")
    assert "https://mcp.example/mcp" in shown.stdout, shown.stderr
    assert "User config" in use(shell, program, "mcp", "get", "jitid").stdout


def test_codex_answers_with_a_token_of_its_session(shell: Shell, packages: Path) -> None:
    program = agents.codex(packages)
    with model_gateway() as gateway, mcp_server() as server:
        shell.good("setup", "codex", "--gateway", gateway.address, "--mcp", f"docs={server.address}/mcp")
        written = configuration(shell, ".codex")
        assert sorted(written) == [".codex/config.toml", ".codex/hooks.json"]
        # A user reviews the hooks once; the test vouches for them.
        trust = "--dangerously-bypass-hook-trust"
        done = use(shell, program, "exec", "--skip-git-repo-check", trust, "hello")
        assert done.stdout == "done\n", done.stderr
        assert {call.status for call in gateway.calls} == {200}
        assert len(gateway.tokens()) == 1
        assert server.tokens, "the server of the tools got a token, too"
        assert not set(server.tokens) & set(gateway.tokens())
        assert live(shell, "session/codex/") == []
    shell.good("setup", "codex", "--undo")
    assert not {name for name in configuration(shell, ".codex") if name in written}


def test_codex_reads_the_servers_that_were_added(shell: Shell, packages: Path) -> None:
    program = agents.codex(packages)
    shell.good("setup", "codex", *MCP, "--tools")
    listed = json.loads(use(shell, program, "mcp", "list", "--json").stdout)
    servers = {server["name"]: server["transport"] for server in listed}
    assert servers["docs"]["url"] == "https://mcp.example/mcp"
    assert servers["docs"]["http_headers_helper"] == "<redacted>"
    assert servers["jitid"]["args"][-1] == "mcp"


def test_opencode_answers_with_a_token_of_its_run(shell: Shell, packages: Path) -> None:
    """A static key of an earlier login is not used."""
    program = agents.opencode(packages)
    login = shell.home / ".local/share/opencode/auth.json"
    login.parent.mkdir(parents=True)
    login.write_text('{"anthropic": {"type": "api", "key": "sk-ant-static"}}')
    with model_gateway() as gateway:
        shell.good("setup", "opencode", "--gateway", gateway.address)
        run = ("jitid", "run", "--task", "T1", "--delegator", "alice", "--audience", gateway.address, "--")
        done = use(shell, *run, program, "run", "-m", "anthropic/claude-sonnet-4-5", "hello")
        assert "done" in done.stdout, done.stderr
        (token,) = gateway.tokens()
        assert token.startswith("eyJ")
        assert {call.headers.get("x-api-key") for call in gateway.calls} == {token}
    shell.good("setup", "opencode", "--undo")
    assert not (shell.home / ".config/opencode/opencode.json").exists()


def test_opencode_has_no_credential_outside_of_a_run(shell: Shell, packages: Path) -> None:
    program = agents.opencode(packages)
    with model_gateway(lambda token: token.startswith("eyJ")) as gateway:
        shell.good("setup", "opencode", "--gateway", gateway.address)
        done = use(shell, program, "run", "-m", "anthropic/claude-sonnet-4-5", "hello")
        assert "done" not in done.stdout
        assert all(call.status == 401 for call in gateway.calls)


def test_gemini_reads_the_servers_that_were_added(shell: Shell, packages: Path) -> None:
    program = agents.gemini(packages)
    shell.good("setup", "gemini", *MCP)
    shown = use(shell, need("node"), program, "mcp", "list")
    text = shown.stdout + shown.stderr
    assert "docs: https://mcp.example/mcp (http)" in text
    assert f"jitid: {shell.home}/bin/jitid --ledger" in text


def test_a_session_of_gemini_is_an_identity(shell: Shell, packages: Path) -> None:
    """It ends with the session, although the gateway does not speak its protocol."""
    program = agents.gemini(packages)
    path = shell.home / ".gemini/settings.json"
    path.parent.mkdir()
    path.write_text('{"security": {"auth": {"selectedType": "gemini-api-key"}}}')
    before = path.read_bytes()
    with model_gateway() as gateway:
        shell.good("setup", "gemini")
        variables = {"GEMINI_API_KEY": "none", "GOOGLE_GEMINI_BASE_URL": gateway.address}
        use(shell, need("node"), program, "--skip-trust", "-p", "hello", **variables)
    items = json.loads(shell.good("list", "--json"))["items"]
    (session,) = [item for item in items if item["agent"] == "gemini"]
    assert (session["state"], session["delegator_proof"]) == ("revoked", "os-user")
    shell.good("setup", "gemini", "--undo")
    assert path.read_bytes() == before


def test_copilot_reads_the_servers_that_were_added(shell: Shell, packages: Path) -> None:
    program = agents.copilot(packages)
    shell.good("setup", "copilot", *MCP)
    shown = use(shell, program, "mcp", "get", "docs").stdout
    assert "URL: https://mcp.example/mcp" in shown
    assert "Authorization" in shown
    assert "Type: local" in use(shell, program, "mcp", "get", "jitid").stdout


def test_two_clients_read_the_one_file_of_a_project(shell: Shell, packages: Path) -> None:
    claude, copilot = agents.claude_code(packages), agents.copilot(packages)
    for words in (("copilot",), ("claude-code", "--tools")):
        shell.run("setup", words[0], "--project", *words[1:], *MCP, before=("env", "-C", "work"))
    (shell.home / ".copilot").mkdir(exist_ok=True)
    trusted = {"trustedFolders": [str(shell.home / "work")]}
    (shell.home / ".copilot/config.json").write_text(json.dumps(trusted))
    assert "Type: local" in use(shell, copilot, "mcp", "get", "jitid").stdout
    assert "URL: https://mcp.example/mcp" in use(shell, copilot, "mcp", "get", "docs").stdout
    for name in ("jitid", "docs"):
        assert "Project config" in use(shell, claude, "mcp", "get", name).stdout


class Server:
    """A running MCP server, which has no tools."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.tokens: list[str] = []


@contextmanager
def mcp_server() -> Iterator[Server]:
    """Serve MCP over HTTP on loopback."""

    class Visitor(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer(405, b"")

        def do_POST(self) -> None:
            message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            server.tokens.append(self.headers.get("Authorization", "").removeprefix("Bearer "))
            if "id" not in message:
                self._answer(202, b"")
                return
            result: dict[str, Any] = {"tools": []}
            if message["method"] == "initialize":
                version = message["params"]["protocolVersion"]
                information = {"name": "docs", "version": "1"}
                result = {
                    "protocolVersion": version,
                    "capabilities": {"tools": {}},
                    "serverInfo": information,
                }
            self._answer(200, json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}).encode())

        def _answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Visitor)
    listening.daemon_threads = True
    server = Server(f"http://127.0.0.1:{listening.server_address[1]}")
    thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        listening.shutdown()
        thread.join()
        listening.server_close()
