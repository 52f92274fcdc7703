"""Chooses how a secret is delivered to a run, by its kind."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from jitid.capabilities.run.delivery.delivery import Delivery
from jitid.issuers.issuer import spec_of
from jitid.model.credential import base_kind


def own_way(kind: str, facts: Mapping[str, Any]) -> type[Delivery] | None:
    """Return how secrets of a kind are delivered besides as files; None if files are all.

    `facts` are those of the credential: a Kubernetes cluster that accepts it, for one.
    """
    spec = spec_of(base_kind(kind))
    if spec.delivery is None or (spec.delivery_fact is not None and spec.delivery_fact not in facts):
        return None
    found: type[Delivery] = import_module(f"jitid.capabilities.run.delivery.{spec.delivery}").DELIVERY
    return found
