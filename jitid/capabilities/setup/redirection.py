"""Settings that send the token of jitid to another receiver, or give its helpers another environment."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from jitid.capabilities.setup import foreign_settings
from jitid.capabilities.setup.client import Ambient, Configured, SetupRequest
from jitid.capabilities.setup.coding_agents import claude_folder, claude_state, xdg_configuration
from jitid.capabilities.setup.entries import SERVERS, Form, is_jitid_line
from jitid.capabilities.setup.foreign_settings import ForeignSettings, members, same, takes_token, upwards

_BASE_URL = "ANTHROPIC_BASE_URL"
_INFLUENCE = re.compile(
    r"JITID_\w+|PATH|HOME|XDG_\w+|TMPDIR|SHELL|ENV|BASH_ENV|ZDOTDIR|CLAUDE_(?:\w+_)?(?:SHELL|PROXY|CERT)\w*"
    r"|CLAUDE_\w*(?:URL|CONFIG_DIR|ENV_FILE)"
    r"|(?:LD|DYLD|OPENSSL)_\w+|\w+_PROXY|SSL_CERT_\w+|SSLKEYLOGFILE"
    r"|ANTHROPIC_(?:\w*BASE_URL|CUSTOM_HEADERS|UNIX_SOCKET|PROFILE|CONFIG_DIR|FEDERATION\w*|IDENTITY\w*)"
    r"|BUN_\w+|GLIBC_TUNABLES|GCONV_PATH"
    r"|NODE_(?:OPTIONS|PATH|EXTRA_CA_CERTS|TLS_REJECT_UNAUTHORIZED)"
    r"|PYTHON(?:PATH|HOME|STARTUP|USERBASE|PLATLIBDIR|EXECUTABLE|WARNINGS|PYCACHEPREFIX|SAFEPATH|INSPECT)",
    re.IGNORECASE,
)
"""Variables that choose the receiver of a request, or the code and the files of a program."""
_ELSEWHERE = "sends the token to another address"
_UNWRITTEN = "gets a token of jitid, and setup did not write it"
_SHADOWS = "replaces the server of jitid with this name"
_AFFECTS = "reaches the client and the helpers of jitid from a project"
_AFFECTS_COMMANDS = "reaches the commands of the client, and the helpers of jitid in them, from a project"
_RUNS = "code of a project runs in the client, which has the token"


def _setting(path: str, name: str, effect: str, about: str) -> Ambient:
    return Ambient("setting", f"{path}: {name}", effect, about)


def claude_managed() -> list[str]:
    """Return the files of Claude Code by which an administrator decides."""
    folder = "/Library/Application Support/ClaudeCode" if sys.platform == "darwin" else "/etc/claude-code"
    names = [f"{folder}/managed-settings.json"]
    try:
        more = sorted(name for name in os.listdir(f"{folder}/managed-settings.d") if name.endswith(".json"))
    except OSError:
        more = []
    return [*names, *(f"{folder}/managed-settings.d/{name}" for name in more)]


def claude_code(request: SetupRequest, configured: Configured) -> Iterator[Ambient]:
    """Yield the settings of projects and administrators that redirect Claude Code."""
    user = foreign_settings.read(f"{claude_folder(request)}/settings.json")
    project = [
        foreign_settings.read(path)
        for path in (".claude/settings.json", ".claude/settings.local.json")
        if os.path.realpath(path) != os.path.realpath(user.path)
    ]
    managed = [foreign_settings.read(path) for path in claude_managed()]
    for each in managed:
        yield from each.unexamined()
    if "apiKeyHelper" in configured:
        yield from _receiver(request, user, [*project, *managed])
    for each in (user, *project, *managed):
        if each.content.get("disableAllHooks") is True:
            yield _setting(each.path, "disableAllHooks", "bypass", "no hook records a session")
    for each in managed:
        if each.content.get("allowManagedHooksOnly") is True:
            yield _setting(
                each.path, "allowManagedHooksOnly", "bypass", "no hook of a user records a session"
            )
    for each in project:
        yield from _project_settings(each)
        for name in members(each.foreign, "env"):
            if _INFLUENCE.fullmatch(name) and name != _BASE_URL:
                yield _setting(each.path, f"env.{name}", "redirects", _AFFECTS)
    state = claude_state(request)
    content = foreign_settings.read(state).content
    own = _own_servers(state)
    yield from _servers(_project_paths(state, ".mcp.json"), own)
    for name, server in members(content, "projects", os.getcwd(), "mcpServers").items():
        if name in own and not same(server, own[name]):
            yield _setting(state, f"projects.{os.getcwd()}.mcpServers.{name}", "redirects", _SHADOWS)


def _receiver(
    request: SetupRequest, user: ForeignSettings, others: Iterable[ForeignSettings]
) -> Iterator[Ambient]:
    """Yield the settings that replace the address of the gateway; `others` come after the user's, in order."""
    expected = members(user.content, "env").get(_BASE_URL) or request.environ.get(_BASE_URL)
    found: list[Ambient] = []
    for each in others:
        if _BASE_URL not in members(each.content, "env"):
            continue
        address = members(each.content, "env")[_BASE_URL]
        if _BASE_URL not in members(each.foreign, "env"):
            # jitid wrote this one, which replaces those before it.
            expected, found = address, []
        elif _address(address) != _address(expected):
            found.append(_setting(each.path, f"env.{_BASE_URL}", "redirects", _ELSEWHERE))
    yield from found
    for each in others:
        if members(each.content, "env").get("ANTHROPIC_CUSTOM_HEADERS") and each.path in claude_managed():
            yield _setting(each.path, "env.ANTHROPIC_CUSTOM_HEADERS", "redirects", "adds headers to requests")


def _address(value: object) -> object:
    return value.rstrip("/") if isinstance(value, str) else value


def _project_settings(settings: ForeignSettings) -> Iterator[Ambient]:
    """Yield the lines of a project that call a helper of jitid."""
    yield from settings.unexamined()
    if is_jitid_line(settings.foreign.get("apiKeyHelper"), "helper"):
        yield _setting(settings.path, "apiKeyHelper", "redirects", _UNWRITTEN)
    yield from _hooks(settings)


def _hooks(settings: ForeignSettings) -> Iterator[Ambient]:
    """Yield the hooks of a project that call a helper of jitid."""
    for event, groups in members(settings.foreign, "hooks").items():
        if takes_token(groups):
            yield _setting(settings.path, f"hooks.{event}", "redirects", _UNWRITTEN)


def _project_paths(own: str, *names: str, form: Form = Form.JSON) -> list[ForeignSettings]:
    """Return the settings of a project: files of the current folder and of those above it, without the user's own."""
    real = os.path.realpath(own)
    return [foreign_settings.read(path, form) for path in upwards(*names) if os.path.realpath(path) != real]


def _own_servers(path: str, form: Form = Form.JSON) -> Mapping[str, Any]:
    """Return the servers in a file of the user that jitid wrote, with their values there."""
    settings = foreign_settings.read(path, form)
    return {
        name: server
        for part in (*SERVERS, "mcp_servers")
        for name, server in members(settings.content, part).items()
        if not same(server, members(settings.foreign, part).get(name))
    }


def _servers(files: Iterable[ForeignSettings], own: Mapping[str, Any]) -> Iterator[Ambient]:
    """Yield the servers of a project that replace one of jitid, get a token of jitid, or run a command for headers."""
    for file in files:
        yield from file.unexamined()
        for part in (*SERVERS, "mcp_servers"):
            for name, server in members(file.foreign, part).items():
                where = f"{part}.{name}"
                whole = members(file.content, part).get(name)
                if name in own and not same(whole, own[name]):
                    yield _setting(file.path, where, "redirects", _SHADOWS)
                elif takes_token(server):
                    yield _setting(file.path, where, "redirects", _UNWRITTEN)
                elif {"headersHelper", "http_headers_helper"} & members(server).keys():
                    yield _setting(file.path, where, "bypass", "a command of the project gives its headers")


def codex(request: SetupRequest, configured: Configured) -> Iterator[Ambient]:
    """Yield the settings of projects, profiles and administrators that redirect Codex."""
    folder = request.folder("CODEX_HOME", ".codex")
    path = f"{folder}/config.toml"
    user = foreign_settings.read(path, Form.TOML)
    if "model_providers" in configured:
        yield from _providers(folder, user)
    project = _project_paths(path, ".codex/config.toml", form=Form.TOML)
    yield from _servers(project, _own_servers(path, Form.TOML))
    for settings in project:
        yield from _hooks(settings)
        for name in members(settings.foreign, "shell_environment_policy", "set"):
            if _INFLUENCE.fullmatch(name):
                where = f"shell_environment_policy.set.{name}"
                yield _setting(settings.path, where, "redirects", _AFFECTS_COMMANDS)
    for settings in _project_paths(f"{folder}/hooks.json", ".codex/hooks.json"):
        yield from _project_settings(settings)


def _providers(folder: str, user: ForeignSettings) -> Iterator[Ambient]:
    """Yield the profiles and the files of administrators that select or change a provider of models."""
    provider = user.content.get("model_provider")
    own = members(user.content, "model_providers").get(provider) if isinstance(provider, str) else None
    selected = user.content.get("profile")
    for name, profile in members(user.content, "profiles").items():
        if members(profile).get("model_provider", provider) != provider:
            effect = "bypass" if name == selected else "unused"
            about = "selects another provider of models"
            yield _setting(user.path, f"profiles.{name}.model_provider", effect, about)
    try:
        profiles = sorted(name for name in os.listdir(folder) if name.endswith(".config.toml"))
    except OSError:
        profiles = []
    managed = [f"{folder}/managed_config.toml", "/etc/codex/managed_config.toml"]
    for path in (*managed, *(f"{folder}/{name}" for name in profiles)):
        settings = foreign_settings.read(path, Form.TOML)
        yield from settings.unexamined()
        if settings.content.get("model_provider", provider) != provider:
            effect = "bypass" if path in managed else "unused"
            yield _setting(settings.path, "model_provider", effect, "selects another provider of models")
        changed = members(settings.content, "model_providers", str(provider))
        if any(not same(value, members(own).get(name)) for name, value in changed.items()):
            yield _setting(settings.path, f"model_providers.{provider}", "redirects", _ELSEWHERE)


def opencode(request: SetupRequest, configured: Configured) -> Iterator[Ambient]:
    """Yield the settings of a project that redirect opencode."""
    folder = f"{xdg_configuration(request)}/opencode"
    names = ("opencode.jsonc", "opencode.json")
    stated = request.environ.get("OPENCODE_CONFIG")
    paths = [stated] if stated else [f"{folder}/{name}" for name in names]
    own: dict[str, Any] = {}
    for path in paths:
        own |= _own_servers(path)
    real = {os.path.realpath(path) for path in paths}
    for path in upwards(*names, *(f".opencode/{name}" for name in names)):
        if os.path.realpath(path) in real:
            continue
        settings = foreign_settings.read(path)
        yield from _servers([settings], own)
        options = members(settings.foreign, "provider", "anthropic", "options")
        if "provider" in configured and "baseURL" in options:
            where = "provider.anthropic.options.baseURL"
            yield _setting(settings.path, where, "redirects", _ELSEWHERE)
        for name, provider in members(settings.foreign, "provider").items():
            if takes_token(provider):
                yield _setting(settings.path, f"provider.{name}", "redirects", _UNWRITTEN)
        for name in ("plugin", "plugins"):
            if settings.foreign.get(name):
                yield _setting(settings.path, name, "redirects", _RUNS)
    own_folder = os.path.realpath(f"{request.home}/.opencode")
    for path in upwards(*_OPENCODE_CODE):
        if os.path.realpath(os.path.dirname(path)) != own_folder:
            yield from _code(path)


_OPENCODE_CODE = (".opencode/plugin", ".opencode/plugins", ".opencode/tool", ".opencode/tools")
"""Folders with programs that opencode runs in its own process."""


def _code(folder: str) -> Iterator[Ambient]:
    """Yield the programs in a folder of plugins: files, and folders of packages."""
    try:
        names = sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        yield Ambient("file", folder, "unexamined", (error.strerror or "error").lower())
        return
    for name in names:
        path = os.path.join(folder, name)
        if name.endswith((".js", ".ts")) or os.path.isdir(path):
            yield Ambient("file", path, "redirects", _RUNS)


def gemini(request: SetupRequest) -> Iterator[Ambient]:
    """Yield the settings and the variables of a project that redirect Gemini CLI."""
    own = f"{request.environ.get('GEMINI_CLI_HOME') or request.home}/.gemini/settings.json"
    for settings in _project_paths(own, ".gemini/settings.json"):
        yield from _servers([settings], _own_servers(own))
        yield from _project_settings(settings)
    home = os.path.realpath(os.path.dirname(os.path.dirname(own)))
    for path in upwards(".gemini/.env", ".env"):
        if os.path.realpath(path).startswith((f"{home}/.env", f"{home}/.gemini/")):
            continue
        variables = foreign_settings.read_variables(path)
        yield from variables.unexamined()
        for name in variables.content:
            if _INFLUENCE.fullmatch(name) or name == "MCP_BEARER_TOKEN":
                yield _setting(path, name, "redirects", _AFFECTS)


def servers(own: str, *names: str) -> Iterator[Ambient]:
    """Yield the MCP servers of a project that get a token of jitid; `own` is the file of the user."""
    yield from _servers(_project_paths(own, *names), _own_servers(own))
