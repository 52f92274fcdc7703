"""Clients that take MCP servers alone: Gemini CLI, Copilot CLI, Cursor, VS Code, and the file of a project."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable

from jitid.capabilities.setup.client import (
    TOKEN_VARIABLE,
    ClientFile,
    SetupRequest,
    in_run,
    one_audience,
    start_line,
)
from jitid.capabilities.setup.coding_agents import hooks, http_server, xdg_configuration
from jitid.capabilities.setup.entries import Entry, Form
from jitid.errors import UsageError


def _headers(variable: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {variable}"}


def gemini_files(request: SetupRequest) -> list[ClientFile]:
    """Return the settings of Gemini CLI."""
    one_audience(request, "Gemini CLI")
    entries = [
        Entry(("mcpServers", name), {"httpUrl": url, "headers": _headers(f"${TOKEN_VARIABLE}")})
        for name, url in request.servers
    ]
    # Gemini CLI removes variables from the environment of its servers, unless the entry names them.
    tools = {**request.mcp_server(), "env": {"JITID_PARENT_FILE": "$JITID_PARENT_FILE"}}
    entries += [Entry(("mcpServers", request.name), tools), *hooks(request, "gemini")]
    folder = os.getcwd() if request.project else request.environ.get("GEMINI_CLI_HOME") or request.home
    return [
        ClientFile(os.path.abspath(f"{folder}/.gemini/settings.json"), Form.JSON, entries, request.within)
    ]


def copilot_files(request: SetupRequest) -> list[ClientFile]:
    """Return the MCP servers of Copilot CLI."""
    one_audience(request._replace(gateway=None, audience=None), "Copilot CLI")
    entries = []
    for name, url in request.servers:
        path = ("mcpServers", name, "headers", "Authorization")
        entries += [*http_server(name, url), Entry(path, f"Bearer ${{{TOKEN_VARIABLE}}}")]
    entries.append(Entry(("mcpServers", request.name), request.mcp_server()))
    file = ".mcp.json" if request.project else f"{request.folder('COPILOT_HOME', '.copilot')}/mcp-config.json"
    return [ClientFile(os.path.abspath(file), Form.JSON, entries, request.within)]


def cursor_files(request: SetupRequest) -> list[ClientFile]:
    """Return the MCP servers of Cursor."""
    one_audience(request, "Cursor")
    entries = [
        Entry(("mcpServers", name), {"url": url, "headers": _headers(f"${{env:{TOKEN_VARIABLE}}}")})
        for name, url in request.servers
    ]
    entries.append(Entry(("mcpServers", request.name), request.mcp_server()))
    folder = os.getcwd() if request.project else request.home
    return [ClientFile(os.path.abspath(f"{folder}/.cursor/mcp.json"), Form.JSON, entries, request.within)]


def vscode_files(request: SetupRequest) -> list[ClientFile]:
    """Return the MCP servers of VS Code."""
    one_audience(request, "VS Code")
    entries = [
        Entry(
            ("servers", name),
            {"type": "http", "url": url, "headers": _headers(f"${{env:{TOKEN_VARIABLE}}}")},
        )
        for name, url in request.servers
    ]
    entries.append(Entry(("servers", request.name), {"type": "stdio", **request.mcp_server()}))
    path = ".vscode/mcp.json" if request.project else vscode_path(request)
    return [ClientFile(os.path.abspath(path), Form.JSON, entries, request.within)]


def vscode_path(request: SetupRequest) -> str:
    """Return the path of the user's MCP servers of VS Code."""
    if sys.platform == "darwin":
        return f"{request.home}/Library/Application Support/Code/User/mcp.json"
    return f"{xdg_configuration(request)}/Code/User/mcp.json"


def mcp_files(request: SetupRequest) -> list[ClientFile]:
    """Return the MCP servers of the project in the current folder."""
    if request.project:
        raise UsageError("`mcp` is always the project's file", "omit --project")
    entries = []
    for name, url in request.servers:
        helper = Entry(("mcpServers", name, "headersHelper"), request.line("headers", *request.reach()))
        entries += [*http_server(name, url), helper]
    entries.append(Entry(("mcpServers", request.name), request.mcp_server()))
    return [ClientFile(os.path.abspath(".mcp.json"), Form.JSON, entries, os.getcwd())]


def mcp_notes(request: SetupRequest) -> list[str]:
    """Return sentences about the file of a project."""
    notes = [in_run("PROGRAM")]
    if request.servers:
        notes.append("Claude Code runs `headersHelper`; other clients ignore it, and send no token")
    return notes


def start_notes(title: str, program: str, *, sessions: bool = False) -> Callable[[SetupRequest], list[str]]:
    """Return the function that notes that a client reads its token once, at its start.

    With `sessions`, its hooks open identities.
    """

    def notes(request: SetupRequest) -> list[str]:
        if not request.servers:
            return [in_run(program, sessions=sessions)]
        return [
            f"{title} reads the token from the environment, once, at its start; start it by: "
            + start_line(request, program, variable=True)
        ]

    return notes


def copilot_notes(request: SetupRequest) -> list[str]:
    """Return sentences about the result in Copilot CLI."""
    notes = start_notes("Copilot CLI", "copilot")(request._replace(gateway=None, audience=None))
    audience = request.model_audience()
    if audience is not None:
        variables = {
            "COPILOT_PROVIDER_API_KEY_COMMAND": request.line("token", "--audience", audience),
            "COPILOT_PROVIDER_BASE_URL": request.gateway or audience,
        }
        words = " ".join(f"{name}={shlex.quote(value)}" for name, value in variables.items())
        notes.append(f"Copilot CLI takes a model provider from the environment alone: export {words}")
    return notes
