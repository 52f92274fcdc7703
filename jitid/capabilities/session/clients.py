"""The clients whose sessions are identities: the names of their programs, and their hooks."""

from __future__ import annotations

from collections.abc import Sequence

from jitid.errors import UsageError
from jitid.values.record import Record
from jitid.values.text import quote

PARTLY = "its own in commands; elsewhere recorded, not enforced"
RECORDED = "recorded, not enforced"
UNREPORTED = "not reported"
"""Whether a subagent presents a separate credential, or shares the credential of its session."""


class Client(Record):
    """A client, as its program behaves."""

    name: str
    programs: tuple[str, ...]
    """Names of its program."""
    packages: tuple[str, ...] = ()
    """Parts of the path of its script, if an interpreter runs it."""
    environment_file: str | None = None
    """The variable with the path of a file whose lines its shells read."""
    subagent_variable: str | None = None
    """The variable with the id of the subagent, or otherwise of the session, in its commands."""
    hooks: tuple[str, ...] = ()
    """The hooks that report its sessions and subagents."""
    subagents: str = RECORDED
    """Whether a subagent presents a separate credential to services."""


CLIENTS: tuple[Client, ...] = (
    Client(
        "claude-code",
        ("claude", "claude.exe"),
        ("@anthropic-ai/claude-code/",),
        "CLAUDE_ENV_FILE",
        None,
        ("SessionStart", "SessionEnd", "SubagentStart", "SubagentStop"),
    ),
    Client(
        "codex",
        ("codex",),
        ("@openai/codex/",),
        None,
        "CODEX_THREAD_ID",
        ("SessionStart", "SessionEnd", "SubagentStart", "SubagentStop"),
        PARTLY,
    ),
    Client(
        "gemini",
        ("gemini",),
        ("@google/gemini-cli/",),
        None,
        None,
        ("SessionStart", "SessionEnd"),
        UNREPORTED,
    ),
    Client("copilot", ("copilot",), ("@github/copilot/",), subagents=UNREPORTED),
    Client("cursor", ("cursor-agent", "cursor"), subagents=UNREPORTED),
    Client("opencode", ("opencode",), ("opencode-ai/",), subagents=UNREPORTED),
)

_INTERPRETERS = ("node", "bun", "deno", "MainThread")
"""Programs that run the script of a client. Node 20 and later names its main thread."""
_SHELLS = frozenset(
    {
        "sh",
        "bash",
        "dash",
        "zsh",
        "fish",
        "ksh",
        "busybox",
        "env",
        "timeout",
        "nice",
        "nohup",
        "setsid",
        "sudo",
        "su",
    }
    | {"xargs", "python", "python3", "jitid"}
)
"""Programs between a client and its hook."""


class ParentProcess(Record):
    """A process above this one, as the system names it."""

    pid: int
    words: tuple[str, ...]
    """The first words of its command line."""
    names: tuple[str, ...]
    """The names of its program: of the process, and of its file."""


def named(name: str) -> Client:
    """Return a client. Raises UsageError for an unknown name."""
    client = next((client for client in CLIENTS if client.name == name), None)
    if client is None:
        raise UsageError(
            f"unknown client {quote(name)}", f"choose one of: {', '.join(client.name for client in CLIENTS)}"
        )
    return client


def client_of(ancestor: ParentProcess) -> Client | None:
    """Return the client that a process is; None if it is another program.

    Any program can start another one with any first word. Only the scripts of a client do so with their interpreter.
    """
    names = {_base(name) for name in ancestor.names}
    if names & {*_INTERPRETERS}:
        names |= {_base(name) for name in ancestor.words[:1]}
    for client in CLIENTS:
        if names & {*client.programs}:
            return client
    if not names & {*_INTERPRETERS}:
        return None
    script = next((word for word in ancestor.words[1:] if not word.startswith("-")), None)
    if script is not None:
        for client in CLIENTS:
            if _base(script).removesuffix(".js").removesuffix(".cjs") in client.programs or any(
                part in script for part in client.packages
            ):
                return client
    return None


def process_of_client(client: Client, ancestors: Sequence[ParentProcess]) -> ParentProcess | None:
    """Return the process of a client: the nearest one with its name, otherwise the nearest that is not a shell."""
    return next(
        (ancestor for ancestor in ancestors if client_of(ancestor) == client),
        next((each for each in ancestors if not {_base(name) for name in each.names} & _SHELLS), None),
    )


def _base(path: str) -> str:
    return path.rpartition("/")[2].lstrip("-")
