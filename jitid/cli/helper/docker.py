"""`jitid helper docker`: a credential helper of docker, podman, skopeo (docker-credential-helpers' protocol)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitid.cli.helper import helper_request
from jitid.cli.invocation import Invocation
from jitid.cli.issue.obtain import hand_over, obtain
from jitid.formats.json import dumps
from jitid.model.credential import USUAL_KIND
from jitid.system import output

if TYPE_CHECKING:
    from jitid.capabilities.issue.issue_result import Issued
    from jitid.cli.helper import commands

_USERNAME = "jitid"
"""A registry that accepts a token as the password accepts any name; `<token>` would mean an OAuth refresh token."""


def docker(cli: Invocation, args: commands.HelperDockerCommand) -> None:
    """Perform `jitid helper docker`."""
    cli.expect_own_form()
    if args.operation == "list":
        output.write("{}\n")
        return
    address = helper_request.read_request("what docker says").strip()
    if args.operation != "get":
        return
    server = address if "://" in address else f"https://{address}"
    issued = obtain(cli, args, args.kind or USUAL_KIND, args.audience or (helper_request.origin(server),))
    hand_over(cli, issued, lambda: output.write(_answer(address, issued)))


def _answer(server: str, issued: Issued) -> str:
    token = helper_request.token_of(issued.kind, issued.credentials[0].secret, "docker")
    return dumps({"ServerURL": server, "Username": _USERNAME, "Secret": token}) + "\n"
