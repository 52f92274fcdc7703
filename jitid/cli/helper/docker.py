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
    from jitid.capabilities.issue.issuance import Issued
    from jitid.cli import options

OPERATIONS = ("get", "store", "erase", "list")

_USERNAME = "jitid"
"""A registry that accepts a token as the password accepts any name; `<token>` would mean an OAuth refresh token."""


def docker(
    cli: Invocation,
    operation: options.DockerOperation,
    task: options.Task = None,
    delegator: options.Delegator = None,
    agent: options.Agent = None,
    kind: options.Kind = None,
    scope: options.Scopes = None,
    audience: options.Audiences = None,
    ttl: options.Ttl = None,
    parent_file: options.ParentFile = None,
) -> None:
    """Give docker, podman or skopeo a token for a registry, as a credential helper that keeps nothing.

    They call it by the name docker-credential-jitid, which is installed beside jitid: "credHelpers":
    {"registry.example": "jitid"} in their configuration is all that they need within a `jitid run`; elsewhere
    JITID_TASK and JITID_DELEGATOR say the rest. The token is the password of the user `jitid`: a `jwt` for the
    registry alone, with its address as the audience, unless JITID_AUDIENCE or JITID_KIND says otherwise.

    Nothing is stored, listed or erased: the token ends by itself.
    """
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
        kind or "jwt",
        audience=audience or (helper_request.origin(server),),
        scope=scope or (),
        ttl=ttl,
        task=task,
        delegator=delegator,
        agent=agent,
        parent_file=parent_file,
    )
    hand_over(cli, issued, lambda: output.write(_answer(address, issued)))


def _answer(server: str, issued: Issued) -> str:
    token = helper_request.token_of(issued.kind, issued.credentials[0].secret, "docker")
    return dumps({"ServerURL": server, "Username": _USERNAME, "Secret": token}) + "\n"
