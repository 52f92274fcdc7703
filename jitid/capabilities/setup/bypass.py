"""Credentials that a client finds by itself, in the environment, in files and in keychains: names, never values."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from jitid.capabilities.setup import jsonc, redirection, toml_text
from jitid.capabilities.setup.client import Ambient, Configured, SetupRequest
from jitid.capabilities.setup.coding_agents import claude_folder, claude_state, xdg_configuration
from jitid.capabilities.setup.entries import is_jitid_line
from jitid.capabilities.setup.mcp_clients import vscode_path
from jitid.capabilities.setup.splice import ClientFileError
from jitid.system import xdg
from jitid.system.files import read_regular

_MOST = 8 << 20
_SECONDS = 10


def _variables(request: SetupRequest, names: Iterable[str], effect: str, about: str) -> Iterator[Ambient]:
    for name in names:
        if request.environ.get(name):
            yield Ambient("environment", name, effect, about)


def _text(path: str) -> str | None:
    """Return the content of a file; None without one. An unreadable file raises OSError."""
    try:
        return read_regular(path, _MOST).decode("utf-8", "replace")
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None


def _file(
    path: str, effect: str, about: str, holds: Callable[[str], bool] = lambda text: bool(text.strip())
) -> Iterator[Ambient]:
    """Yield a file with credentials; or that it could not be read."""
    try:
        text = _text(path)
    except OSError as error:
        yield Ambient("file", path, "unexamined", (error.strerror or "error").lower())
        return
    if text is not None and holds(text):
        yield Ambient("file", path, effect, about)


def _json(path: str) -> Any:  # noqa: ANN401 - JSON may be anything
    try:
        text = _text(path)
        return None if text is None else jsonc.value_at(jsonc.parse(text), ())
    except (OSError, ClientFileError):
        return None


def _keychain(service: str, effect: str, about: str) -> Iterator[Ambient]:
    """Yield an entry of the user's keychain for a service; or that the keychain could not be examined."""
    if sys.platform == "darwin":
        command = ["/usr/bin/security", "find-generic-password", "-s", service]
    elif os.environ.get("DBUS_SESSION_BUS_ADDRESS") or os.path.exists(
        f"{os.environ.get('XDG_RUNTIME_DIR') or '/nonexistent'}/bus"
    ):
        program = shutil.which("secret-tool")
        if program is None:
            yield Ambient("keychain", service, "unexamined", "secret-tool is not installed")
            return
        command = [program, "search", "service", service]
    else:
        # Without a session bus, no program reaches a keychain.
        return
    try:
        # The output names the entry, and may show the secret: only its presence counts.
        done = subprocess.run(  # noqa: S603 - fixed words
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        yield Ambient("keychain", service, "unexamined", "the keychain does not answer")
        return
    if done.returncode == 0 and done.stdout.strip():
        yield Ambient("keychain", service, effect, about)


def _static_servers(path: str) -> Iterator[Ambient]:
    """Yield MCP servers of a file with a literal token in their headers or environment."""
    content = _json(path)
    for name in ("mcpServers", "servers", "mcp"):
        servers = content.get(name) if isinstance(content, dict) else None
        for server, value in (servers if isinstance(servers, dict) else {}).items():
            for part in ("headers", "env", "environment"):
                members = value.get(part) if isinstance(value, dict) else None
                for member, text in (members if isinstance(members, dict) else {}).items():
                    if isinstance(text, str) and _SECRET_NAME.search(member) and not _REFERENCE.search(text):
                        where = f"{path}: {name}.{server}.{part}.{member}"
                        yield Ambient("setting", where, "bypass", "a literal credential of this server")


_SECRET_NAME = re.compile(r"(?i)authorization|token|secret|passw|api[-_]?key|credential|cookie")
_REFERENCE = re.compile(r"\$\{?\w|\{(?:env|file):")


def claude_code(request: SetupRequest, configured: Configured) -> list[Ambient]:
    """Return the credentials of Claude Code, in its order of precedence."""
    effect, about = _second("apiKeyHelper" in configured, "apiKeyHelper")
    # Without a token of jitid, a key is not sent beside or instead of one.
    reasons = _CLAUDE if "apiKeyHelper" in configured else {**_CLAUDE, **dict.fromkeys(_KEYS, about)}
    first = [
        *_variables(request, _PROVIDERS, "bypass", reasons[_PROVIDERS[0]]),
        *(found for name in _KEYS for found in _variables(request, (name,), "bypass", reasons[name])),
    ]
    folder = claude_folder(request)
    names = (*redirection.claude_managed(), ".claude/settings.local.json", ".claude/settings.json")
    for path in map(os.path.abspath, names):
        if path == os.path.abspath(f"{folder}/settings.json"):
            # The working directory is the home folder.
            continue
        content = _json(path)
        line = content.get("apiKeyHelper") if isinstance(content, dict) else None
        if isinstance(line, str) and not is_jitid_line(line, "helper"):
            first.append(
                Ambient("setting", f"{path}: apiKeyHelper", "bypass", "comes before the user's settings")
            )
        first += _claude_env(path, content, reasons)
    first += _claude_env(f"{folder}/settings.json", _json(f"{folder}/settings.json"), reasons)
    return [
        *first,
        *_variables(request, ("CLAUDE_CODE_OAUTH_TOKEN",), effect, about),
        *_file(f"{folder}/.credentials.json", effect, about),
        *(_keychain("Claude Code-credentials", effect, about) if sys.platform == "darwin" else ()),
        *_static_servers(claude_state(request)),
        *_static_servers(os.path.abspath(".mcp.json")),
        *redirection.claude_code(request, configured),
    ]


def _claude_env(path: str, content: object, reasons: Mapping[str, str]) -> Iterator[Ambient]:
    variables = content.get("env") if isinstance(content, dict) else None
    for name, about in reasons.items():
        if isinstance(variables, dict) and variables.get(name) not in (None, "", "0", "false"):
            yield Ambient("setting", f"{path}: env.{name}", "bypass", about)


_PROVIDERS = ("CLAUDE_CODE_USE_BEDROCK", "CLAUDE_CODE_USE_VERTEX", "CLAUDE_CODE_USE_FOUNDRY")
_KEYS = ("ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_API_KEY")
_CLAUDE = {
    **dict.fromkeys(_PROVIDERS, "selects another provider, with its own credentials"),
    "ANTHROPIC_AUTH_TOKEN": "is sent as Authorization instead of the token",
    "ANTHROPIC_API_KEY": "is sent as X-Api-Key beside the token",
}
"""Seen with Claude Code 2.1.197, for each variable that comes before apiKeyHelper."""


def _second(has_helper: bool, entry: str) -> tuple[str, str]:
    """Return effect and description of a credential that comes after the entry of jitid."""
    if has_helper:
        return "unused", f"comes after {entry}, and is not used"
    return "bypass", "is the credential for models: jitid supplies none without --gateway"


def codex(request: SetupRequest, configured: Configured) -> list[Ambient]:
    """Return the credentials of Codex."""
    effect, about = _second("model_providers" in configured, "the provider of jitid")
    folder = request.folder("CODEX_HOME", ".codex")
    found = [
        *_variables(
            request,
            ("CODEX_API_KEY", "OPENAI_API_KEY", "CODEX_ACCESS_TOKEN", "OPENAI_IDENTITY_TOKEN_FILE"),
            effect,
            about,
        ),
        *_file(f"{folder}/auth.json", effect, about),
        *_keychain("Codex Auth", effect, about),
    ]
    try:
        content = toml_text.parse(_text(f"{folder}/config.toml") or "")
    except (OSError, ClientFileError):
        content = {}
    providers = content.get("model_providers")
    for name, provider in (providers if isinstance(providers, Mapping) else {}).items():
        if isinstance(provider, Mapping) and provider.get("experimental_bearer_token"):
            where = f"{folder}/config.toml: model_providers.{name}.experimental_bearer_token"
            used = content.get("model_provider") == name
            found.append(
                Ambient("setting", where, "bypass" if used else "unused", "a literal token of a provider")
            )
    return [*found, *redirection.codex(request, configured)]


def opencode(request: SetupRequest, configured: Configured) -> list[Ambient]:
    """Return the credentials of opencode."""
    effect, about = _second("provider" in configured, "the provider's apiKey")
    return [
        *_variables(request, ("ANTHROPIC_API_KEY",), effect, about),
        *_variables(request, _OTHER_PROVIDERS, "bypass", _OTHER_PROVIDER),
        *_variables(request, ("OPENCODE_CONFIG_CONTENT",), "bypass", "comes before every file"),
        *_opencode_file(f"{xdg.shared_data(request.environ)}/opencode/auth.json", effect, about),
        *_static_servers(f"{xdg_configuration(request)}/opencode/opencode.json"),
        *_static_servers(f"{xdg_configuration(request)}/opencode/opencode.jsonc"),
        *redirection.opencode(request, configured),
    ]


_OTHER_PROVIDERS = (
    "OPENCODE_API_KEY",
    "OPENAI_API_KEY",
    "OPENROUTER_API_KEY",
    "GEMINI_API_KEY",
    "GOOGLE_GENERATIVE_AI_API_KEY",
    "GOOGLE_API_KEY",
    "AWS_BEARER_TOKEN_BEDROCK",
    "AZURE_API_KEY",
    "DEEPSEEK_API_KEY",
    "GROQ_API_KEY",
    "MISTRAL_API_KEY",
    "XAI_API_KEY",
)
_OTHER_PROVIDER = "is of another provider: `jitid setup` configures `anthropic` alone"


def _opencode_file(path: str, effect: str, about: str) -> Iterator[Ambient]:
    """Yield the file with the keys of opencode's providers."""
    content = _json(path)
    if isinstance(content, dict) and set(content) - {"anthropic"}:
        effect, about = "bypass", "has keys of other providers: `jitid setup` configures `anthropic` alone"
    yield from _file(path, effect, about)


_MODELS = "is the credential for models: this client has no setting for a command"


def gemini(request: SetupRequest, configured: Configured) -> list[Ambient]:  # noqa: ARG001 - as its siblings
    """Return the credentials of Gemini CLI."""
    folder = f"{request.environ.get('GEMINI_CLI_HOME') or request.home}/.gemini"
    names = ("GEMINI_API_KEY", "GOOGLE_API_KEY", "GOOGLE_APPLICATION_CREDENTIALS")
    return [
        *_variables(request, names, "bypass", _MODELS),
        *_file(f"{folder}/oauth_creds.json", "bypass", _MODELS),
        *_file(f"{folder}/.env", "bypass", _MODELS, lambda text: any(name in text for name in names)),
        *_keychain("gemini-cli-oauth", "bypass", _MODELS),
        *_static_servers(f"{folder}/settings.json"),
        *redirection.gemini(request),
    ]


def copilot(request: SetupRequest, configured: Configured) -> list[Ambient]:  # noqa: ARG001 - as its siblings
    """Return the credentials of Copilot CLI."""
    folder = request.folder("COPILOT_HOME", ".copilot")
    keys = ("COPILOT_PROVIDER_BEARER_TOKEN", "COPILOT_PROVIDER_API_KEY")
    command = bool(request.environ.get("COPILOT_PROVIDER_API_KEY_COMMAND"))
    about = "use COPILOT_PROVIDER_API_KEY_COMMAND instead"
    return [
        *_variables(request, keys[:1], "bypass", about),
        *_variables(request, keys[1:], "unused" if command else "bypass", about),
        *_variables(
            request, ("COPILOT_GITHUB_TOKEN", "GH_TOKEN", "GITHUB_TOKEN"), "bypass", "is GitHub's, for models"
        ),
        *_file(
            f"{folder}/config.json", "bypass", "has a token of GitHub", lambda text: "copilotTokens" in text
        ),
        *_keychain("copilot-cli", "bypass", "is GitHub's, for models"),
        *_static_servers(f"{folder}/mcp-config.json"),
        *redirection.servers(f"{folder}/mcp-config.json", ".mcp.json", ".vscode/mcp.json"),
    ]


def cursor(request: SetupRequest, configured: Configured) -> list[Ambient]:  # noqa: ARG001 - as its siblings
    """Return the credentials of Cursor."""
    return [
        *_variables(request, ("CURSOR_API_KEY",), "bypass", _MODELS),
        *_static_servers(f"{request.home}/.cursor/mcp.json"),
        *redirection.servers(f"{request.home}/.cursor/mcp.json", ".cursor/mcp.json"),
    ]


def vscode(request: SetupRequest, configured: Configured) -> list[Ambient]:  # noqa: ARG001 - as its siblings
    """Return the credentials of VS Code's MCP servers."""
    path = vscode_path(request)
    return [*_static_servers(path), *redirection.servers(path, ".vscode/mcp.json")]


def mcp(request: SetupRequest, configured: Configured) -> list[Ambient]:  # noqa: ARG001 - as its siblings
    """Return the credentials in the file of a project."""
    path = os.path.abspath(".mcp.json")
    return [*_static_servers(path), *redirection.servers("", ".mcp.json")]


def git(request: SetupRequest, configured: Configured) -> list[Ambient]:
    """Return the credentials that git sends before it runs the helper of jitid, and its other helpers."""
    hosts = _hosts(request, configured)
    found: list[Ambient] = []
    for path in (f"{request.home}/.git-credentials", f"{xdg_configuration(request)}/git/credentials"):
        about = "the helper `store` of git reads it, unless the entry of jitid is in force"
        found += _file(path, "unused" if configured else "bypass", about, lambda text: _mentions(text, hosts))
    found += _file(
        request.environ.get("NETRC") or f"{request.home}/.netrc",
        "bypass",
        "git sends it before it runs a helper",
        lambda text: _mentions(text, hosts) or "default" in text.split(),
    )
    for key, value in _git_settings():
        if key.endswith(".extraheader") and re.search(r"(?i)authorization", value):
            found.append(Ambient("setting", key, "bypass", "git sends this header always"))
        elif key.endswith((".insteadof", ".pushinsteadof", ".url")) and _has_password(key, value):
            name = "url.….insteadOf" if key.startswith("url.") else key
            found.append(Ambient("setting", name, "bypass", "the address has a password"))
    return found


def _has_password(key: str, value: str) -> bool:
    # The key of `url.ADDRESS.insteadOf` has the address.
    text = key[len("url.") :] if key.startswith("url.") else value
    try:
        return urlsplit(text).password is not None
    except ValueError:
        return False


def _hosts(request: SetupRequest, configured: Configured) -> list[str]:
    named = [*request.hosts, *(header[13:-2] for header in configured if header.startswith('[credential "'))]
    return [host.partition("://")[2] or host for host in named]


def _mentions(text: str, hosts: Iterable[str]) -> bool:
    """Return whether a file has a credential for one of the hosts; without hosts, any."""
    hosts = list(hosts)
    return bool(text.strip()) if not hosts else any(host in text for host in hosts)


def _git_settings() -> Iterator[tuple[str, str]]:
    program = shutil.which("git")
    if program is None:
        return
    try:
        done = subprocess.run(  # noqa: S603 - fixed words
            [program, "config", "--null", "--list"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return
    for setting in done.stdout.decode("utf-8", "replace").split("\0"):
        key, _, value = setting.partition("\n")
        yield key, value


def gh(request: SetupRequest, configured: Configured) -> list[Ambient]:  # noqa: ARG001 - as its siblings
    """Return the credentials of gh."""
    names = ("GH_TOKEN", "GITHUB_TOKEN", "GH_ENTERPRISE_TOKEN", "GITHUB_ENTERPRISE_TOKEN")
    folder = request.environ.get("GH_CONFIG_DIR") or f"{xdg_configuration(request)}/gh"
    about = "is the token of gh: it has no setting for a command"
    return [
        *_variables(request, names, "bypass", about),
        *_file(f"{folder}/hosts.yml", "bypass", about, lambda text: "oauth_token:" in text),
        *_keychain("gh:github.com", "bypass", about),
    ]


def aws(request: SetupRequest, configured: Configured) -> list[Ambient]:
    """Return the credentials that AWS's tools find before the profile of jitid."""
    headers = [header for header in configured if header.startswith("[")]
    names = [header.strip("[]").removeprefix("profile ").strip() for header in headers] or [request.name]
    stated = request.environ.get("AWS_PROFILE")
    found = [
        *_variables(
            request,
            ("AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN", "AWS_BEARER_TOKEN_BEDROCK"),
            "bypass",
            "comes before AWS_PROFILE; only --profile comes first",
        ),
        *_variables(
            request,
            (
                "AWS_WEB_IDENTITY_TOKEN_FILE",
                "AWS_CONTAINER_CREDENTIALS_FULL_URI",
                "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
            ),
            "bypass" if stated not in names else "unused",
            "is used without a profile",
        ),
    ]
    if stated and stated not in names:
        found.append(Ambient("environment", "AWS_PROFILE", "bypass", "selects another profile"))
    shared = request.environ.get("AWS_SHARED_CREDENTIALS_FILE") or f"{request.home}/.aws/credentials"
    path = os.path.expanduser(shared)

    def holds(text: str) -> bool:
        return "aws_secret_access_key" in text.lower()

    for ambient in _file(path, "unused", "has keys of other profiles", holds):
        text = _text(path) or ""
        own = any(re.search(rf"^\s*\[\s*{re.escape(name)}\s*\]", text, re.MULTILINE) for name in names)
        about = "has keys for the profile, which come before credential_process"
        found.append(ambient._replace(effect="bypass", about=about) if own else ambient)
    return found


def kube(request: SetupRequest, configured: Configured) -> list[Ambient]:  # noqa: ARG001 - as its siblings
    """Return the static credentials in kubeconfigs."""
    paths = [path for path in request.environ.get("KUBECONFIG", "").split(":") if path]
    found: list[Ambient] = []
    for path in paths or [f"{request.home}/.kube/config"]:
        for member in _STATIC:
            about = f"a user has a static credential: {member}"
            found += _file(path, "bypass", about, partial(_has_member, member))
    return found


def _has_member(member: str, text: str) -> bool:
    return re.search(rf"^[ \t-]*\"?{member}\"?[ \t]*:[ \t]*\S", text, re.MULTILINE) is not None


_STATIC = ("token", "tokenFile", "client-key-data", "client-key", "password")
"""Members of a user in a kubeconfig."""
