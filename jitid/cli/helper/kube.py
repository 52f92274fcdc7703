"""`jitid helper kube`: an exec plug-in of kubectl and of client-go (client.authentication.k8s.io/v1)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from jitid.capabilities.run.delivery.kube_config import VERSION, exec_credential
from jitid.cli.helper import helper_request
from jitid.cli.invocation import Invocation
from jitid.cli.issue.obtain import hand_over, obtain
from jitid.errors import UsageError
from jitid.formats.json import dumps
from jitid.system import output
from jitid.values import strict_json

if TYPE_CHECKING:
    from jitid.capabilities.issue.issuance import Issued
    from jitid.cli import options

_INFO = "KUBERNETES_EXEC_INFO"


def kube(
    cli: Invocation,
    task: options.Task = None,
    delegator: options.Delegator = None,
    agent: options.Agent = None,
    kind: options.Kind = None,
    scope: options.Scopes = None,
    audience: options.Audiences = None,
    ttl: options.Ttl = None,
    parent_file: options.ParentFile = None,
) -> None:
    """Give kubectl a token or a certificate, as its exec plug-in.

    A user of a kubeconfig has it as {exec: {apiVersion: client.authentication.k8s.io/v1, command: jitid, args:
    [helper, kube], interactiveMode: Never, provideClusterInfo: true}}. The token is a `jwt` whose audience is the
    server that kubectl names, or whatever --audience says; a server must be told to believe the issuer. With --kind
    x509-svid the client shows a certificate instead.
    """
    cli.expect_own_form()
    requested_kind = kind or "jwt"
    issued = obtain(
        cli,
        requested_kind,
        audience=audience or _server(os.environ.get(_INFO)),
        scope=scope or (),
        ttl=ttl,
        task=task,
        delegator=delegator,
        agent=agent,
        parent_file=parent_file,
    )
    hand_over(cli, issued, lambda: output.write(dumps(_credential(issued)) + "\n"))


def _credential(issued: Issued) -> dict[str, Any]:
    secret = issued.credentials[0].secret
    if issued.kind != "x509-svid":
        helper_request.token_of(issued.kind, secret, "kubectl")
    return exec_credential(issued.kind, secret, issued.expires_at)


def _server(info: str | None) -> tuple[str, ...]:
    """Return the server that kubectl names in its request, or an empty tuple. Raises UsageError."""
    if not info:
        return ()
    try:
        request = strict_json.loads(info, _INFO)
    except strict_json.StrictJSONError as error:
        raise UsageError(str(error)) from None
    if not isinstance(request, dict) or request.get("apiVersion") != VERSION:
        raise UsageError(
            f"kubectl asks in another version than {VERSION}",
            f"write apiVersion: {VERSION} in the kubeconfig",
        )
    spec = request.get("spec")
    cluster = spec.get("cluster") if isinstance(spec, dict) else None
    server = cluster.get("server") if isinstance(cluster, dict) else None
    return (helper_request.origin(server),) if isinstance(server, str) else ()
