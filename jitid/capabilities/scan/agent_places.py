"""The places in which coding agents leave transcripts, chats, histories and configurations: one table.

Each row was seen in a home folder after a run of the named version, or in its program text; the folders of Cursor and
VS Code are those of their documentation and of published readers of their chats.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress

from jitid.values.record import Record

HOME = "~"
CLAUDE = "$CLAUDE_CONFIG_DIR"
CODEX = "$CODEX_HOME"
CODEX_DATABASES = "$CODEX_SQLITE_HOME"
COPILOT = "$COPILOT_HOME"
GEMINI = "$GEMINI_CLI_HOME"
CONFIG = "$XDG_CONFIG_HOME"
DATA = "$XDG_DATA_HOME"
STATE = "$XDG_STATE_HOME"
_BASES = {
    HOME: "",
    CLAUDE: ".claude",
    CODEX: ".codex",
    CODEX_DATABASES: ".codex",
    COPILOT: ".copilot",
    GEMINI: "",
    CONFIG: ".config",
    DATA: ".local/share",
    STATE: ".local/state",
}
"""The folder that each variable replaces, below the home folder."""

CLAUDE_CODE = "claude-code"
SHELL = "shell"
PROJECT = "project"
"""Files in the folder of a project that an agent has worked in."""


class AgentPlace(Record):
    """A file or a folder in which an agent stores data."""

    client: str
    base: str
    """One of `_BASES`."""
    path: str
    """The path below the base; empty for the base itself."""
    contents: str
    source: str
    """Where the path was seen."""


PLACES = (
    AgentPlace(
        CLAUDE_CODE,
        CLAUDE,
        "",
        "projects/*/*.jsonl, history.jsonl, shell-snapshots, file-history, paste-cache, settings.json",
        "@anthropic-ai/claude-code 2.1.197, run and program text",
    ),
    AgentPlace(
        CLAUDE_CODE,
        HOME,
        ".claude.json",
        "MCP servers of all projects; with $CLAUDE_CONFIG_DIR it is in that folder",
        "@anthropic-ai/claude-code 2.1.197, run",
    ),
    AgentPlace(
        CLAUDE_CODE,
        CONFIG,
        "Claude/claude_desktop_config.json",
        "MCP servers of Claude Desktop",
        "MCP documentation",
    ),
    AgentPlace(
        "codex",
        CODEX,
        "",
        "sessions/*/*/*/rollout-*.jsonl, history.jsonl, shell_snapshots, config.toml, *.sqlite",
        "@openai/codex 0.171.0, run",
    ),
    AgentPlace("codex", CODEX_DATABASES, "", "*.sqlite", "@openai/codex 0.171.0, program text"),
    AgentPlace(
        "opencode", DATA, "opencode", "opencode.db, storage, tool-output, log", "opencode-ai 1.18.33, run"
    ),
    AgentPlace("opencode", STATE, "opencode", "prompt-history.jsonl", "opencode-ai 1.18.33, program text"),
    AgentPlace("opencode", CONFIG, "opencode", "opencode.jsonc with MCP servers", "opencode-ai 1.18.33, run"),
    AgentPlace(
        "gemini",
        GEMINI,
        ".gemini",
        "tmp/*/chats/session-*.json, tmp/*/logs.json, tmp/*/shell_history, history, settings.json",
        "@google/gemini-cli 0.61.0, run and program text",
    ),
    AgentPlace(
        "copilot",
        COPILOT,
        "",
        "session-state/*/events.jsonl, session-store.db, logs, mcp-config.json",
        "@github/copilot 1.0.102, run",
    ),
    AgentPlace(
        "cursor", HOME, ".cursor", "mcp.json, chats, projects/*/agent-transcripts", "published readers"
    ),
    AgentPlace("cursor", CONFIG, "Cursor/User/globalStorage", "state.vscdb: chats", "published readers"),
    AgentPlace(
        "cursor", CONFIG, "Cursor/User/workspaceStorage", "*/state.vscdb: prompts", "published readers"
    ),
    AgentPlace("cursor", CONFIG, "Cursor/User/History", "versions of edited files", "VS Code documentation"),
    *(
        AgentPlace("vscode", CONFIG, f"{product}/User/{path}", contents, source)
        for product in ("Code", "Code - Insiders", "Code - OSS", "VSCodium")
        for path, contents, source in (
            ("globalStorage", "state.vscdb, chats without a folder", "published readers"),
            ("workspaceStorage", "*/chatSessions, */state.vscdb", "published readers"),
            ("History", "versions of edited files", "VS Code documentation"),
            ("mcp.json", "MCP servers", "VS Code documentation"),
            ("settings.json", "settings, MCP servers of earlier versions", "VS Code documentation"),
        )
    ),
    AgentPlace(SHELL, HOME, ".bash_history", "commands", "bash(1)"),
    AgentPlace(SHELL, HOME, ".zsh_history", "commands", "zshparam(1)"),
    AgentPlace(SHELL, HOME, ".local/share/fish/fish_history", "commands", "fish-history(1)"),
    AgentPlace(SHELL, HOME, ".env", "variables", "dotenv"),
)
PROJECT_FILES = (
    ".mcp.json",
    ".env",
    ".env.local",
    ".envrc",
    ".claude/settings.json",
    ".claude/settings.local.json",
    ".codex/config.toml",
    ".cursor/mcp.json",
    ".gemini/settings.json",
    ".gemini/.env",
    ".vscode/mcp.json",
    "opencode.json",
    "opencode.jsonc",
)
"""Files that agents read, and often write, in the folder of a project."""
MOST_PROJECTS = 1_000
_MOST_REGISTER = 1 << 24
"""Maximum bytes of a file that lists projects."""
_HEAD = 1 << 16
"""Bytes of a transcript that usually name its project."""
_CODEX_PROJECT = re.compile(r'^\s*\[projects\."((?:[^"\\]|\\.)*)"\]', re.MULTILINE)
_FOLDER = re.compile(rb'"cwd":\s*("(?:[^"\\]|\\.){1,4096}")')


class FoundPlace(Record):
    """An existing file or folder of an agent."""

    client: str
    path: str
    real: str
    """The path without links."""


def found_places(home: str, environ: Mapping[str, str] = os.environ) -> list[FoundPlace]:
    """Return the places that are not below another one, each once."""
    found = all_places(home, environ)
    folders = {each.real for each in found if os.path.isdir(each.real)}
    return [each for each in found if not any(above in folders for above in _parents(each.real))]


def all_places(home: str, environ: Mapping[str, str] = os.environ) -> list[FoundPlace]:
    """Return the places that exist, each once: those of agents before those of projects."""
    found = {each.real: each for each in own_places(home, environ)}
    for folder in projects(home, environ):
        for name in PROJECT_FILES:
            # A repository chooses its links, which may lead anywhere.
            with suppress(OSError, ValueError):
                path = os.path.join(os.path.realpath(folder), name)
                if stat.S_ISREG(os.lstat(path).st_mode) and os.path.realpath(path) == path:
                    found.setdefault(path, FoundPlace(PROJECT, path, path))
    return list(found.values())


def own_places(home: str, environ: Mapping[str, str]) -> list[FoundPlace]:
    """Return the existing places of the agents themselves. A variable of the agent replaces its usual folder."""
    found: dict[str, FoundPlace] = {}
    for each in PLACES:
        path = os.path.join(_base(each.base, home, environ), each.path).rstrip("/")
        with suppress(OSError, ValueError):
            mode = os.stat(path).st_mode
            if stat.S_ISREG(mode) or (stat.S_ISDIR(mode) and each.client != SHELL):
                real = os.path.realpath(path)
                found.setdefault(real, FoundPlace(each.client, path, real))
    return list(found.values())


def _base(base: str, home: str, environ: Mapping[str, str]) -> str:
    value = environ.get(base[1:], "") if base != HOME else ""
    # A relative path counts as unset (XDG Base Directory Specification).
    return value if value.startswith("/") else os.path.join(home, _BASES[base])


def _parents(path: str) -> Iterator[str]:
    while (above := os.path.dirname(path)) != path:
        yield above
        path = above


def projects(home: str, environ: Mapping[str, str] = os.environ) -> list[str]:
    """Return the folders of projects that the agents have registered, or have worked in."""
    claude, codex = _base(CLAUDE, home, environ), _base(CODEX, home, environ)
    folders: dict[str, None] = {}
    for register in (
        os.path.join(home, ".claude.json"),
        os.path.join(claude, ".claude.json"),
        os.path.join(_base(GEMINI, home, environ), ".gemini", "projects.json"),
    ):
        with suppress(ValueError, RecursionError):
            document = json.loads(_text(register, _MOST_REGISTER))
            listed = document.get("projects") if isinstance(document, dict) else None
            folders.update(dict.fromkeys(listed if isinstance(listed, dict) else ()))
    for match in _CODEX_PROJECT.finditer(
        _text(os.path.join(codex, "config.toml"), _MOST_REGISTER).decode("utf-8", "replace")
    ):
        folders[match[1]] = None
    for transcript in _first_transcripts(os.path.join(claude, "projects")):
        named = _FOLDER.search(_text(transcript, _HEAD))
        with suppress(ValueError):
            if named is not None:
                folders[json.loads(named[1])] = None
    return [folder for folder in folders if folder.startswith("/") and "\0" not in folder][:MOST_PROJECTS]


def _first_transcripts(folder: str) -> Iterator[str]:
    """Yield one transcript of each project."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                with suppress(OSError), os.scandir(entry.path) as files:
                    first = next((file.path for file in files if file.name.endswith(".jsonl")), None)
                    yield from () if first is None else (first,)


def _text(path: str, limit: int) -> bytes:
    """Return the beginning of a regular file; empty if it cannot be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (OSError, ValueError):
        return b""
    with os.fdopen(descriptor, "rb") as file:
        return file.read(limit) if stat.S_ISREG(os.fstat(descriptor).st_mode) else b""
