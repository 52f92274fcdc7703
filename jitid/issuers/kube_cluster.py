"""Template options that name the Kubernetes cluster for a token or a certificate."""

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
    """Return the facts about the cluster that the holder gets; empty if the template names no cluster."""
    return {name: options[name] for name in TEMPLATE_OPTIONS if name in options}
