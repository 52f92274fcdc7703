"""What a template says of the Kubernetes cluster that its tokens or certificates are for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jitid.issuers.target_issuer import TargetOption

TEMPLATE_OPTIONS: Mapping[str, TargetOption] = {
    "kube_server": TargetOption(
        "text", "the address of a cluster's API server: a run gets a KUBECONFIG for it"
    ),
    "kube_ca_file": TargetOption("place", "certificates (PEM) that vouch for that server, where the run is"),
}


def facts_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return what whoever gets a credential is told of its cluster; nothing where its template names none."""
    return {name: options[name] for name in TEMPLATE_OPTIONS if name in options}
