"""Coding agents whose settings name a command for their key, or a file with it: Claude Code, Codex and opencode."""

from __future__ import annotations

import os
import shlex

from jitid.capabilities.setup.client import ClientFile, SetupRequest, in_run, start_line
from jitid.capabilities.setup.entries import Entry, Form
from jitid.errors import UsageError
from jitid.system import xdg
from jitid.system.program_request import origin

_EVENTS = {
    "SessionStart": "start",
    "SessionEnd": "stop",
    "SubagentStart": "start",
    "SubagentStop": "stop",
}
_HOOK_SECONDS = 30
"""Claude Code gives the hooks of a session's end 1.5 seconds unless a hook states more."""
_END_SECONDS = 3
"""The most that Codex gives to the hooks of a session's end."""
_TIMEOUT_MS = 30_000
_HOOKS_ONLY = (
    "the hooks record sessions and subagents; for tokens to a gateway add: --gateway URL; for {} own API: "
    "jitid run --task TASK --delegator NAME --for {}"
)


def claude_folder(request: SetupRequest) -> str:
    """Return the folder of the settings of Claude Code."""
    return request.folder("CLAUDE_CONFIG_DIR", ".claude")


def claude_state(request: SetupRequest) -> str:
    """Return the file with the user's MCP servers."""
    folder = request.environ.get("CLAUDE_CONFIG_DIR") or request.home
    return f"{folder}/.claude.json"


def claude_files(request: SetupRequest) -> list[ClientFile]:
    """Return the settings and the MCP servers of Claude Code."""
    entries = []
    audience = request.model_audience()
    if audience is not None:
        line = request.line("token", "--audience", audience, *request.reach())
        entries += [
            Entry(("apiKeyHelper",), line),
            Entry(("env", "CLAUDE_CODE_API_KEY_HELPER_TTL_MS"), str(request.refresh_ms())),
        ]
    if request.gateway is not None:
        entries.append(Entry(("env", "ANTHROPIC_BASE_URL"), request.gateway.rstrip("/")))
    entries += hooks(request, "claude-code")
    servers = []
    for name, url in request.servers:
        helper = Entry(("mcpServers", name, "headersHelper"), request.line("headers", *request.reach()))
        servers += [*http_server(name, url), helper]
    if request.tools:
        servers.append(Entry(("mcpServers", request.name), request.mcp_server()))
    settings = ".claude/settings.local.json" if request.project else f"{claude_folder(request)}/settings.json"
    state = ".mcp.json" if request.project else claude_state(request)
    return [
        ClientFile(os.path.abspath(settings), Form.JSON, entries, request.within),
        ClientFile(os.path.abspath(state), Form.JSON, servers, request.within),
    ]


def http_server(name: str, url: str) -> list[Entry]:
    """Return the members of an MCP server that all clients of one file read alike."""
    path = ("mcpServers", name)
    return [Entry((*path, "type"), "http", keep=True), Entry((*path, "url"), url)]


def hooks(request: SetupRequest, client: str) -> list[Entry]:
    """Return the hooks that report sessions and subagents; the settings of three clients have the same form."""
    reach = [word for each in request.audiences() for word in ("--may-audience", each)]
    entries = []
    for event, verb in _EVENTS.items():
        if client == "gemini" and event.startswith("Subagent"):
            continue
        words = ("session", verb, "--client", client)
        # The client names the session that ends: the options belong to its start.
        line = request.line(*words, *reach) if verb == "start" else request._replace(options=()).line(*words)
        limit = _END_SECONDS if client == "codex" and event == "SessionEnd" else _HOOK_SECONDS
        # Gemini CLI counts milliseconds.
        hook = {"type": "command", "command": line, "timeout": limit * 1_000 if client == "gemini" else limit}
        entries.append(Entry(("hooks", event), {"hooks": [hook]}, append=True))
    return entries


def claude_notes(request: SetupRequest) -> list[str]:
    """Return sentences about the result in Claude Code."""
    notes = []
    if request.model_audience() is None:
        notes.append(_HOOKS_ONLY.format("Anthropic's", "anthropic -- claude"))
    if request.servers:
        notes.append("Claude Code runs the headers helper when it connects or reconnects, not at each call")
    return notes


def api_root(gateway: str) -> str:
    """Return the address below which a gateway has its methods: with `/v1`, if it states no path."""
    address = gateway.rstrip("/")
    return address if address.partition("://")[2].count("/") else f"{address}/v1"


def codex_files(request: SetupRequest) -> list[ClientFile]:
    """Return the configuration and the hooks of Codex."""
    entries = []
    if request.gateway is not None:
        audience = request.model_audience() or ""
        words = request.helper("token", "--audience", audience, *request.reach())
        provider = {
            "name": "gateway with tokens of jitid",
            "base_url": api_root(request.gateway),
            "wire_api": "responses",
            "auth": {
                "command": words[0],
                "args": words[1:],
                "timeout_ms": _TIMEOUT_MS,
                "refresh_interval_ms": request.refresh_ms(),
            },
        }
        entries += [
            Entry(("model_provider",), request.name),
            Entry(("model_providers", request.name), provider),
        ]
    for name, url in request.servers:
        line = _bare_line(request, "headers", "--audience", origin(url), *request.reach())
        entries.append(Entry(("mcp_servers", name), {"url": url, "http_headers_helper": line}))
    if request.tools:
        tools = {**request.mcp_server(), "env_vars": ["JITID_PARENT_FILE"]}
        entries.append(Entry(("mcp_servers", request.name), tools))
    folder = ".codex" if request.project else request.folder("CODEX_HOME", ".codex")
    if request.project and request.gateway is not None:
        raise UsageError(
            "Codex reads no model provider from a project's file; nothing was changed", "omit --project"
        )
    return [
        ClientFile(os.path.abspath(f"{folder}/config.toml"), Form.TOML, entries, request.within),
        ClientFile(
            os.path.abspath(f"{folder}/hooks.json"), Form.JSON, hooks(request, "codex"), request.within
        ),
    ]


_FOLDERS = ("XDG_RUNTIME_DIR", "XDG_STATE_HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME")


def _bare_line(request: SetupRequest, *words: str) -> str:
    """Return a helper as a line of a shell that gets only HOME, PATH and PWD, as Codex runs it for headers."""
    values = {name: request.environ.get(name, "") for name in _FOLDERS}
    folders = [f"{name}={shlex.quote(value)}" for name, value in values.items() if value.startswith("/")]
    return " ".join([*folders, request.line(*words)])


def codex_notes(request: SetupRequest) -> list[str]:
    """Return sentences about the result in Codex."""
    notes = ["Codex runs new hooks only after a review: type /hooks in a session of Codex, and trust them"]
    if request.gateway is None:
        notes.append(_HOOKS_ONLY.format("OpenAI's", "openai -- codex"))
    return notes


def opencode_files(request: SetupRequest) -> list[ClientFile]:
    """Return the configuration of opencode: the existing file, or a new opencode.json."""
    entries = []
    if request.gateway is not None:
        token = _token_file(request, request.model_audience() or "")
        path = ("provider", "anthropic", "options")
        entries += [
            Entry((*path, "baseURL"), api_root(request.gateway)),
            Entry((*path, "apiKey"), token),
            Entry((*path, "headers", "Authorization"), f"Bearer {token}"),
        ]
    for name, url in request.servers:
        server = {
            "type": "remote",
            "url": url,
            "headers": {"Authorization": f"Bearer {_token_file(request, origin(url))}"},
            "oauth": False,
        }
        entries.append(Entry(("mcp", name), server))
    if request.tools:
        entries.append(Entry(("mcp", request.name), {"type": "local", "command": request.words("mcp")}))
    if entries:
        # opencode would add it itself, and the file would differ from jitid's.
        entries.insert(0, Entry(("$schema",), "https://opencode.ai/config.json", keep=True))
    folder = os.getcwd() if request.project else f"{xdg_configuration(request)}/opencode"
    names = ("opencode.jsonc", "opencode.json")
    name = next((name for name in names if os.path.lexists(f"{folder}/{name}")), "opencode.json")
    stated = None if request.project else request.environ.get("OPENCODE_CONFIG")
    return [ClientFile(os.path.abspath(stated or f"{folder}/{name}"), Form.JSON, entries, request.within)]


def xdg_configuration(request: SetupRequest) -> str:
    """Return the user's folder of configuration."""
    return xdg.shared_configuration(request.environ)


def _token_file(request: SetupRequest, audience: str) -> str:
    """Return the reference to the file that `jitid run` keeps for an audience."""
    number = request.audiences().index(audience)
    return f"{{file:{{env:JITID_TOKEN_FILE{f'_{number + 1}' if number else ''}}}}}"


def opencode_notes(request: SetupRequest) -> list[str]:
    """Return sentences about the result in opencode."""
    if not request.audiences():
        return [in_run("opencode")]
    return [
        "opencode reads each token once, at its start, from the files of `jitid run`; start it by: "
        + start_line(request, "opencode", variable=False)
    ]
