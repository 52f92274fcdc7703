"""`jitid mcp`: a server of the Model Context Protocol, for agents."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from jitid.cli.invocation import Invocation
from jitid.errors import InvalidCredentialError, UsageError
from jitid.system import output, time_limit
from jitid.system.read_input import token

if TYPE_CHECKING:
    from collections.abc import Callable

    from jitid.cli.setup import commands
    from jitid.values.secret import Secret

_OWN = "the agent's own token"


def mcp(cli: Invocation, args: commands.McpCommand) -> None:
    """Perform `jitid mcp`."""
    from jitid.mcp import messages
    from jitid.mcp.handed_out import AgentLimits
    from jitid.mcp.methods import McpServer
    from jitid.mcp.session import AgentSession, Host

    limits = AgentLimits(args.most, args.rate, args.keep)
    own_token = _own_token(cli, args.token_file, is_stated="token_file" not in cli.from_environment)
    # Errors in the configuration are reported before a client waits for answers.
    cli.config()
    # The server runs as long as its client, and each answer has a separate time limit.
    time_limit.lift()
    host = Host(
        cli.config,
        cli.accept_clock,
        own_token,
        cli.warn,
        cli.command,
        cli.debug,
    )
    session = AgentSession(host, limits)
    server = McpServer(session, debug=cli.debug)
    if os.isatty(0):
        cli.note("waiting for messages of a client on standard input, one a line")
    try:
        for line in messages.lines():
            answer = server.answer(line)
            if answer is not None:
                output.write(answer + "\n")
                session.handed.shown()
    finally:
        # A signal may arrive before the first call begins. After it no signal is received, and the session ends only
        # once.
        try:
            session.end()
        finally:
            session.end()
            cli.status = cli.status if session.status is None else session.status


def _own_token(cli: Invocation, path: str | None, *, is_stated: bool) -> Callable[[], Secret]:
    """Return the function that reads the agent's own token: from the file of the line, or that of a client's session.

    A file that the environment names is that of a run, or of a session. Raises UsageError without any.
    """
    if path is not None:
        _check_token_file(path)
        if is_stated:
            return lambda: token(path, _OWN)
    from jitid.cli.helper import session_token

    if path is None and session_token.find(cli) is None:
        raise UsageError(
            "the agent's own token is required",
            "name its file with --token-file; `jitid run` sets JITID_PARENT_FILE",
        )
    return lambda: _of_session(cli, path)


def _of_session(cli: Invocation, file: str | None) -> Secret:
    """Return the token of the session above this process, renewed if that is due; before any, that of the run's file.

    It is looked up at each call: the client may start this server before its first session, and may have another
    session later. Raises InvalidCredentialError without one.
    """
    from jitid.capabilities.issue.request_options import RequestOptions
    from jitid.cli.helper.session_token import session_token

    config = cli.config()
    former, config.session_file = config.session_file, None
    try:
        found = session_token(cli, RequestOptions(), (), opens=False)
    finally:
        # Only the renewal is the client's. The requests of the agent have the right of its session alone.
        config.client_process, config.session_file = None, former
    if found is None:
        if file is not None:
            return token(file, _OWN)
        raise InvalidCredentialError(
            "the client above this server has no session with an identity",
            "hook it up with `jitid setup`, or start it by `jitid run`",
        )
    config.session_file = found.path
    return token(found.path, _OWN)


def _check_token_file(path: str) -> None:
    """Check that the file has a token, and can be read more than once. Raises UsageError."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        mode = stat.S_IFREG  # the read below reports the error
    if path == "-" or not stat.S_ISREG(mode):
        raise UsageError(
            "the agent's own token must be in a regular file: it is read at each call",
            "name a file with --token-file; `jitid run` sets JITID_PARENT_FILE",
        )
    try:
        token(path, _OWN)
    except UsageError as error:
        error.hint = (
            error.hint or "it is the file of an agent's token; `jitid run` sets JITID_PARENT_FILE to one"
        )
        raise
