"""The official clients of the Model Context Protocol, in Python and in TypeScript, with a real server."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from jitid.mcp.revisions import HANDSHAKE, STATELESS
from tests.mcp.asking import states, verifies
from tests.mcp.conftest import AUDIENCES
from tests.node import Node
from tests.real import Shell, command, missing


def real(name: str) -> Any:
    """Return a module of the official client or of its dependencies."""
    try:
        return import_module(name)
    except ImportError:
        missing("the package mcp is not installed")


def run(talk: Callable[[Any], Awaitable[None]], shell: Shell, mode: str, *options: str) -> None:
    """Let the client start a server and talk to it."""
    mcp, anyio = real("mcp"), real("anyio")
    parameters = mcp.StdioServerParameters(
        command=sys.executable,
        args=["-m", "jitid", "mcp", *options],
        # By default, the client passes on only a few environment variables.
        env={**shell.environment, "JITID_PARENT_FILE": str(shell.home / "own.jwt")},
        cwd=shell.home,
    )

    async def session() -> None:
        async with mcp.Client(parameters, mode=mode, read_timeout_seconds=60) as client:
            await talk(client)

    anyio.run(session)


@pytest.mark.parametrize(
    ("mode", "version"), [("auto", STATELESS), (STATELESS, STATELESS), ("legacy", HANDSHAKE[-1])]
)
def test_a_session_from_its_beginning_to_its_end(shell: Shell, mode: str, version: str) -> None:
    given: list[Path] = []

    async def talk(client: Any) -> None:
        assert client.protocol_version == version
        # With a fixed revision, the client sends no `server/discover`.
        assert mode == STATELESS or client.server_info.name == "jitid"
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert tools["hand_back"].annotations.destructive_hint
        assert tools["whoami"].annotations.read_only_hint
        me = (await client.call_tool("whoami")).structured_content
        assert (me["agent"], me["scopes"]) == ("planner", ["repo:*"])
        asked = await client.call_tool("what_may_i_do", {"scopes": ["db:x"]})
        assert not asked.is_error
        assert not asked.structured_content["permitted"]
        for agent in ("coder", "writer"):
            answer = await client.call_tool(
                "request_identity",
                {"agent": agent, "scopes": ["repo:acme"], "ttl": "5m", "audiences": [AUDIENCES[0]]},
            )
            assert not answer.is_error
            given.append(Path(answer.structured_content["token_file"]))
            assert verifies(shell, given[-1])
        wider = {"agent": "coder", "scopes": ["db:x"], "audiences": [AUDIENCES[0]]}
        denied = await client.call_tool("request_identity", wider)
        assert denied.is_error
        assert denied.structured_content["error"]["code"] == "policy_denied"
        assert "does not hold scope `db:x`" in denied.content[0].text
        back = await client.call_tool("hand_back", {"id": given[0].name})
        assert back.structured_content["ended"] == 1
        if version in HANDSHAKE:
            await client.session.send_ping()

    run(talk, shell, mode)
    assert not any(path.exists() for path in given)
    assert states(shell, "--task", "T1") == ["revoked", "revoked", "active"]


def test_a_mistake_of_the_protocol_is_an_error_of_the_client(shell: Shell) -> None:
    mcp = real("mcp")

    async def talk(client: Any) -> None:
        for call in (client.call_tool("no_such_tool"), client.list_resources()):
            with pytest.raises(mcp.MCPError):
                await call
        assert (await client.call_tool("whoami")).structured_content["agent"] == "planner"

    run(talk, shell, "legacy")


def test_many_calls_at_once_are_answered_each_by_its_own(shell: Shell) -> None:
    anyio = real("anyio")

    async def talk(client: Any) -> None:
        found: dict[str, str] = {}

        async def ask(agent: str) -> None:
            answer = await client.call_tool("what_may_i_do", {"agent": agent})
            found[agent] = answer.structured_content["agent"]

        async with anyio.create_task_group() as group:
            for number in range(50):
                group.start_soon(ask, f"agent-{number}")
        assert len(found) == 50
        assert all(asked == told for asked, told in found.items())

    run(talk, shell, "legacy")


SCRIPT = """
const { Client } = await import("@modelcontextprotocol/client");
const { StdioClientTransport } = await import("@modelcontextprotocol/client/stdio");
const [command, ...args] = given.line;
const client = new Client({ name: "tests", version: "1" }, { versionNegotiation: { mode: given.mode } });
await client.connect(new StdioClientTransport({ command, args, env: given.env, cwd: given.cwd }));
const call = async (name, values = {}) => await client.callTool({ name, arguments: values });
const tools = (await client.listTools()).tools.map(tool => tool.name);
const me = (await call("whoami")).structuredContent;
const identity = { agent: "coder", scopes: ["repo:acme"], audiences: [given.audience] };
const made = (await call("request_identity", identity)).structuredContent;
const live = existsSync(made.token_file);
const denied = await call("request_identity", { ...identity, scopes: ["db:x"] });
const version = client.getNegotiatedProtocolVersion();
await client.close();
answer({ tools, me, made, live, denied, version, kept: existsSync(made.token_file) });
"""


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Node:
    """Return node with the official client."""
    return Node(tmp_path_factory.mktemp("node"), "@modelcontextprotocol/client@^2.4")


@pytest.mark.parametrize(
    ("mode", "version"), [("auto", STATELESS), ({"pin": STATELESS}, STATELESS), ("legacy", HANDSHAKE[-1])]
)
def test_the_typescript_client_calls_and_its_end_ends_what_it_got(
    shell: Shell, node: Node, mode: object, version: str
) -> None:
    told = node.run(
        'import { existsSync } from "node:fs";' + SCRIPT,
        line=command("mcp", "--token-file", "own.jwt"),
        env=shell.environment,
        cwd=str(shell.home),
        mode=mode,
        audience=AUDIENCES[0],
    )
    assert told["version"] == version
    assert "hand_back" in told["tools"]
    assert told["me"]["agent"] == "planner"
    assert told["live"]
    assert told["denied"]["structuredContent"]["error"]["code"] == "policy_denied"
    assert not told["kept"]
    assert states(shell, "--agent", "coder") == ["revoked"]
