"""`jitid helper token` and `jitid helper headers`: a service token for a client that runs a command to get one."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from jitid.cli.invocation import Invocation
from jitid.cli.issue.obtain import hand_over, obtain
from jitid.errors import UsageError
from jitid.formats.json import dumps
from jitid.system import output
from jitid.system.program_request import origin

if TYPE_CHECKING:
    from jitid.cli.helper import commands

_SERVER = "CLAUDE_CODE_MCP_SERVER_URL"
"""The variable with the address of the MCP server that gets the headers."""


def token(cli: Invocation, args: commands.HelperTokenCommand) -> None:
    """Perform `jitid helper token`."""
    cli.expect_own_form()
    issued = obtain(cli, args, args.kind, args.audience, attached=True)
    hand_over(cli, issued, lambda: output.write(f"{issued.credentials[0].secret.reveal()}\n"))


def headers(cli: Invocation, args: commands.HelperHeadersCommand) -> None:
    """Perform `jitid helper headers`."""
    cli.expect_own_form()
    issued = obtain(cli, args, args.kind, _audience(args.audience), attached=True)

    def show() -> None:
        output.write(dumps({"Authorization": f"Bearer {issued.credentials[0].secret.reveal()}"}) + "\n")

    hand_over(cli, issued, show)


def _audience(stated: tuple[str, ...]) -> tuple[str, ...]:
    """Return the audience of the line, otherwise the origin of the server. Raises UsageError.

    A setting must not decide: the server would get a token for another service.
    """
    if stated:
        return stated
    if server := os.environ.get(_SERVER):
        return (origin(server),)
    raise UsageError(
        f"an audience is required: ${_SERVER} is not set", "name the server: --audience https://mcp.example"
    )
