"""The interface of each way to deliver a secret, its input, and the choice of the way for a kind."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, Protocol

from jitid.issuers.issuer import spec_of
from jitid.model.credential import base_kind
from jitid.values.record import Record
from jitid.values.secret import Secret


class Delivered(Record):
    """A secret of a run, by the name that the run has for it."""

    name: str
    kind: str
    secret: Secret
    facts: Mapping[str, Any]
    """Further facts from its issuer or target; never a secret."""
    expires_at: int
    """Seconds since the epoch."""
    text: str
    """The whole secret as one text, as `jitid issue` prints it."""
    beside: Mapping[str, str] = {}
    """Further texts that its user needs and that are not secret: trust anchors."""


class Delivery(Protocol):
    """A way to deliver secrets; one object delivers all secrets of a run in this way."""

    def put(self, delivered: Delivered) -> None:
        """Make a secret available to its user, instead of an earlier one of that name.

        Raises StorageError, RefusedError, UsageError; the earlier one then stays available.
        """

    def environment(self) -> dict[str, str]:
        """Return the variables by which a command finds the secrets; they stay valid when a secret is replaced."""

    def hidden(self) -> frozenset[str]:
        """Return the variables that would lead the command to other secrets."""

    def close(self) -> None:
        """Remove all of it; raise no error."""


def own_way(kind: str, facts: Mapping[str, Any]) -> type[Delivery] | None:
    """Return how secrets of a kind are delivered besides as files; None if files are all.

    `facts` are those of the credential: a Kubernetes cluster that accepts it, for one.
    """
    spec = spec_of(base_kind(kind))
    if spec.delivery is None or (spec.delivery_fact is not None and spec.delivery_fact not in facts):
        return None
    delivery_class: type[Delivery] = import_module(
        f"jitid.capabilities.run.delivery.{spec.delivery}"
    ).DELIVERY
    return delivery_class
