"""A client: its files, the entries of jitid in them, and the credentials that would bypass them."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Mapping

from jitid.capabilities.setup.entries import Entry, Form
from jitid.errors import UsageError
from jitid.system import xdg
from jitid.system.program_request import origin
from jitid.values.record import Record

REFRESH_MS = 300_000
"""Milliseconds after which clients request a new token; the default of Claude Code."""
TOKEN_VARIABLE = "MCP_BEARER_TOKEN"  # noqa: S105 - its name
"""The variable for clients that read a token once, at their start."""


class Ambient(Record):
    """A credential or a setting that makes a setup ineffective; or a place that could not be examined."""

    kind: str
    """`environment`, `file`, `setting` or `keychain`."""
    name: str
    effect: str
    """The effect on the setup.

    `bypass`: the client uses it instead of jitid; `redirects`: the token goes elsewhere, or another program or ledger
    gives it; `unused`: the client prefers jitid; `unexamined`: it could not be examined.
    """
    about: str


Configured = frozenset[str]
"""The first names of the entries of jitid that are in force, such as `apiKeyHelper`."""


class SetupRequest(Record):
    """The options of a line for a client."""

    command: tuple[str, ...]
    """The words that start jitid, with the options that select its ledger."""
    options: tuple[str, ...] = ()
    """The options of the helpers, such as `--task`."""
    audience: str | None = None
    gateway: str | None = None
    hosts: tuple[str, ...] = ()
    servers: tuple[tuple[str, str], ...] = ()
    """Name and address of each MCP server."""
    tools: bool = False
    """Whether the client gets the tools of `jitid mcp`."""
    template: str | None = None
    name: str = "jitid"
    ttl: int | None = None
    project: bool = False
    environ: Mapping[str, str] = os.environ

    @property
    def home(self) -> str:
        """The home folder."""
        return xdg.home(self.environ).rstrip("/")

    @property
    def within(self) -> str | None:
        """The folder that holds all files of a project; None for files of the user."""
        return os.getcwd() if self.project else None

    def folder(self, variable: str, default: str) -> str:
        """Return the folder that a variable names, or the default in the home folder."""
        return self.environ.get(variable) or f"{self.home}/{default}"

    def words(self, *words: str) -> list[str]:
        """Return the words of a command of jitid."""
        return [*self.command, *words]

    def helper(self, *words: str) -> list[str]:
        """Return the words of a helper with the options of the request."""
        return self.words("helper", *words, *self.options)

    def line(self, *words: str) -> str:
        """Return a helper as a line of a shell."""
        return shlex.join(self.helper(*words))

    def model_audience(self) -> str | None:
        """Return the audience of tokens for the gateway to models; None without a gateway."""
        return self.audience or (None if self.gateway is None else origin(self.gateway))

    def audiences(self) -> list[str]:
        """Return the audiences of all services in the request, without repetition."""
        model = self.model_audience()
        found = [] if model is None else [model]
        return list(dict.fromkeys([*found, *(origin(url) for _, url in self.servers)]))

    def reach(self) -> list[str]:
        """Return the options for a session that the client's first token opens, if it is for several services."""
        audiences = self.audiences()
        if len(audiences) < 2:
            return []
        return [word for audience in audiences for word in ("--may-audience", audience)]

    def refresh_ms(self) -> int:
        """Return the milliseconds after which a client requests a new token: at most half of its lifetime."""
        return min(REFRESH_MS, self.ttl * 500) if self.ttl else REFRESH_MS

    def mcp_server(self) -> dict[str, object]:
        """Return the entry of the tools of jitid, as most clients write it."""
        words = self.words("mcp")
        return {"command": words[0], "args": words[1:]}


class ClientFile(Record):
    """A file of a client, and the entries for it."""

    path: str
    form: Form
    entries: list[Entry]
    within: str | None = None
    """The folder that links may not leave: of a file of a project."""
    recorded: bool = False
    """Whether it is a file of an earlier setup: a link in its place leads to another file."""


class ClientSetup(Record):
    """A client and its setup."""

    name: str
    title: str
    programs: tuple[str, ...]
    """Names of its program, to see whether it is installed."""
    takes: str
    """The options of the request that have a meaning for it, with blanks between."""
    files: Callable[[SetupRequest], list[ClientFile]]
    """Returns its files with the entries of a request; the files are the same for any request."""
    ambient: Callable[[SetupRequest, Configured], list[Ambient]]
    """Returns the credentials that it finds by itself, for the first names of the entries in force."""
    notes: Callable[[SetupRequest], list[str]]
    """Returns sentences about the result for the user."""


def one_audience(request: SetupRequest, title: str) -> None:
    """Raise UsageError for servers of several origins: the client reads one token."""
    if len(request.audiences()) > 1:
        raise UsageError(
            f"{title} reads one token at its start, and the servers have several addresses; nothing was changed",
            "set up the servers of one address",
        )


def in_run(program: str, *, sessions: bool = False) -> str:
    """Return the sentence about the identity of `jitid mcp`; with `sessions`, the client's hooks open identities."""
    needs = "has the identity of the session, or that of a run" if sessions else "requires an identity"
    return f"`jitid mcp` {needs}: start the client by: jitid run --task TASK --delegator NAME -- {program}"


def start_line(request: SetupRequest, program: str, *, variable: bool) -> str:
    """Return the command that starts a client with its tokens."""
    words = [word for audience in request.audiences() for word in ("--audience", audience)]
    words += ("--env", TOKEN_VARIABLE) if variable else ()
    required = ("--task", "TASK", "--delegator", "NAME")
    return shlex.join(["jitid", "run", *required, *words, "--", program])
