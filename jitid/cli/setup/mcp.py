"""`jitid mcp`: a server of the Model Context Protocol, for agents."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from jitid.cli.invocation import Invocation
from jitid.errors import UsageError
from jitid.system import output, time_limit
from jitid.system.read_input import token

if TYPE_CHECKING:
    from jitid.cli.setup import commands


def mcp(cli: Invocation, args: commands.McpCommand) -> None:
    """Perform `jitid mcp`."""
    from jitid.mcp import messages
    from jitid.mcp.handed_out import AgentLimits
    from jitid.mcp.methods import McpServer
    from jitid.mcp.session import AgentSession, Host

    limits = AgentLimits(args.most, args.rate, args.keep)
    if args.token_file is None:
        raise UsageError(
            "the agent's own token is required",
            "name its file with --token-file; `jitid run` sets JITID_PARENT_FILE",
        )
    token_file = args.token_file
    _check_token_file(token_file)
    # Errors in the configuration are reported before a client waits for answers.
    cli.config()
    # The server runs as long as its client, and each answer has a separate time limit.
    time_limit.lift()
    host = Host(
        cli.config,
        cli.accept_clock,
        lambda: token(token_file, "the agent's own token"),
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
        token(path, "the agent's own token")
    except UsageError as error:
        error.hint = (
            error.hint or "it is the file of an agent's token; `jitid run` sets JITID_PARENT_FILE to one"
        )
        raise
