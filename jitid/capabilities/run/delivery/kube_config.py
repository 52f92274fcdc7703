"""Deliver tokens and certificates to kubectl and client-go: a KUBECONFIG with an exec plug-in for each user."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from typing import Any

from jitid.capabilities.run.delivery.delivery import Delivered, Files
from jitid.errors import ConfigurationError, StorageError
from jitid.values.secret import Secret
from jitid.values.times import format_time

VERSION = "client.authentication.k8s.io/v1"
_CONFIG = "KUBECONFIG"
_CREDENTIAL = "credential of "


class Clusters:
    """Contexts with the names of the secrets; the first is the current context.

    The plug-in reads an ExecCredential from a file in memory. A client runs it again when that has expired, or when
    the server refuses it, and then gets the successor.
    """

    def __init__(self) -> None:
        self._files = Files()
        self._contexts: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {}

    def put(self, delivered: Delivered) -> None:
        """Write a credential for its context. Raises StorageError if there is no `cat`."""
        printing = shutil.which("cat")
        if printing is None:
            raise StorageError(
                "`cat` is not in PATH: a kubeconfig reads its credential with it", "add its folder to PATH"
            )
        credential = exec_credential(delivered.kind, delivered.secret, delivered.expires_at)
        path = self._files.write(_CREDENTIAL + delivered.name, json.dumps(credential))
        if delivered.name in self._contexts:
            return
        self._contexts[delivered.name] = (
            _cluster(delivered.facts),
            {
                "exec": {
                    "apiVersion": VERSION,
                    "command": printing,
                    "args": [path],
                    "interactiveMode": "Never",
                }
            },
        )
        self._files.write(_CONFIG, json.dumps(self._configuration()))

    def environment(self) -> dict[str, str]:
        """Return the variable that leads to the contexts."""
        return {name: path for name, path in self._files.environment().items() if name == _CONFIG}

    def hidden(self) -> frozenset[str]:
        """Return no variable: only KUBECONFIG has an effect."""
        return frozenset()

    def close(self) -> None:
        """Delete the contexts."""
        self._files.close()

    def _configuration(self) -> dict[str, Any]:
        # JSON is YAML.
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": next(iter(self._contexts)),
            "contexts": [
                {"name": name, "context": {"cluster": name, "user": name}} for name in self._contexts
            ],
            "clusters": [{"name": name, "cluster": cluster} for name, (cluster, _) in self._contexts.items()],
            "users": [{"name": name, "user": user} for name, (_, user) in self._contexts.items()],
        }


def exec_credential(kind: str, secret: Secret, expires_at: int) -> dict[str, Any]:
    """Return the output of an exec plug-in: a token, or a certificate with its key. Raises KeyError for others."""
    status = {"expirationTimestamp": format_time(expires_at)}
    if kind == "x509-svid":
        status["clientCertificateData"] = secret.reveal("certificate")
        status["clientKeyData"] = secret.reveal("key")
    else:
        status["token"] = secret.reveal()
    return {"apiVersion": VERSION, "kind": "ExecCredential", "status": status}


def _cluster(facts: Mapping[str, Any]) -> dict[str, Any]:
    server, authorities = str(facts["kube_server"]), facts.get("kube_ca_file")
    if not server.startswith("https://"):
        raise ConfigurationError("`kube_server` is not an https address", "tokens are sent only over https")
    return {"server": server} | ({} if authorities is None else {"certificate-authority": str(authorities)})


DELIVERY = Clusters
