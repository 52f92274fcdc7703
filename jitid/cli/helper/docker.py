"""`jitid helper docker`: a credential helper of docker, podman, skopeo (docker-credential-helpers' protocol)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitid.cli.helper import helper_request
from jitid.cli.invocation import Invocation
from jitid.cli.issue.obtain import hand_over, obtain
from jitid.errors import UsageError
from jitid.formats.json import dumps
from jitid.system import output
from jitid.values.text import quote

if TYPE_CHECKING:
    from jitid.capabilities.issue.issue_result import Issued
    from jitid.cli.helper import commands

OPERATIONS = ("get", "store", "erase", "list")

_USERNAME = "jitid"
"""A registry that accepts a token as the password accepts any name; `<token>` would mean an OAuth refresh token."""


def docker(cli: Invocation, args: commands.HelperDockerCommand) -> None:
    """Perform `jitid helper docker`."""
    operation = args.operation
    cli.expect_own_form()
    if operation not in OPERATIONS:
        raise UsageError(f"{quote(operation)} is nothing that such a helper does")
    if operation == "list":
        output.write("{}\n")
        return
    address = helper_request.read_request("what docker says").strip()
    if operation != "get":
        return
    server = address if "://" in address else f"https://{address}"
    issued = obtain(
        cli,
        args.kind or "jwt",
        audience=args.audience or (helper_request.origin(server),),
        scope=args.scope,
        ttl=args.ttl,
        task=args.task,
        delegator=args.delegator,
        agent=args.agent,
        parent_file=args.parent_file,
    )
    hand_over(cli, issued, lambda: output.write(_answer(address, issued)))


def _answer(server: str, issued: Issued) -> str:
    token = helper_request.token_of(issued.kind, issued.credentials[0].secret, "docker")
    return dumps({"ServerURL": server, "Username": _USERNAME, "Secret": token}) + "\n"
