"""The clients whose sessions are identities, and their hooks."""

from __future__ import annotations

from collections.abc import Iterable

from jitid.errors import UsageError
from jitid.model.agent_program import agent_of
from jitid.values.record import Record
from jitid.values.text import quote

PARTLY = "its own in commands; elsewhere recorded, not enforced"
RECORDED = "recorded, not enforced"
UNREPORTED = "not reported"
"""Whether a subagent presents a separate credential, or shares the credential of its session."""


class Client(Record):
    """A client, as its program behaves."""

    name: str
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
        "CLAUDE_ENV_FILE",
        None,
        ("SessionStart", "SessionEnd", "SubagentStart", "SubagentStop"),
    ),
    Client(
        "codex",
        None,
        "CODEX_THREAD_ID",
        ("SessionStart", "SessionEnd", "SubagentStart", "SubagentStop"),
        PARTLY,
    ),
    Client("gemini", None, None, ("SessionStart", "SessionEnd"), UNREPORTED),
    Client("copilot", subagents=UNREPORTED),
    Client("cursor", subagents=UNREPORTED),
    Client("opencode", subagents=UNREPORTED),
)


class ParentProcess(Record):
    """A process above this one, as the system names it."""

    pid: int
    words: tuple[str, ...]
    """The words of its command line."""
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
    """Return the client that a process is; None if it is another program."""
    agent = agent_of(ancestor.words, ancestor.names)
    return next((client for client in CLIENTS if client.name == agent), None)


def process_of_client(client: Client, ancestors: Iterable[ParentProcess]) -> ParentProcess | None:
    """Return the process of a client: the nearest that is known as that client; None without one."""
    return next((ancestor for ancestor in ancestors if client_of(ancestor) == client), None)
