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
from jitid.model.credential import USUAL_KIND
from jitid.system import output
from jitid.values import strict_json

if TYPE_CHECKING:
    from jitid.capabilities.issue.issue_result import Issued
    from jitid.cli.helper import commands

_INFO = "KUBERNETES_EXEC_INFO"


def kube(cli: Invocation, args: commands.HelperKubeCommand) -> None:
    """Perform `jitid helper kube`."""
    cli.expect_own_form()
    issued = obtain(cli, args, args.kind or USUAL_KIND, args.audience or _server(os.environ.get(_INFO)))
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
