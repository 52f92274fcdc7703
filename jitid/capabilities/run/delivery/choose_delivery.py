"""Which way a secret is delivered, by its kind; a newcomer adds its kind here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, assert_never

from jitid.capabilities.run.delivery.delivery import Delivery
from jitid.model.credential import Kind, sort_of


def own_way(kind: str, facts: Mapping[str, Any]) -> type[Delivery] | None:
    """Return how secrets of a kind are delivered besides as files; None for those that have no user of their own.

    `facts` are what the maker of one tells: which cluster it is for.
    """
    sort = sort_of(kind)
    match sort:
        case Kind.AWS_STS:
            from jitid.capabilities.run.delivery.aws_profile import Profiles

            return Profiles
        case Kind.POSTGRES_ROLE:
            from jitid.capabilities.run.delivery.pg_service import Services

            return Services
        case Kind.SSH_CERT:
            from jitid.capabilities.run.delivery.ssh_keys import RunAgent

            return RunAgent
        case Kind.JWT | Kind.OPAQUE | Kind.JWT_SVID | Kind.X509_SVID:
            if "kube_server" not in facts:
                return None
            from jitid.capabilities.run.delivery.kube_config import Clusters

            return Clusters
        case Kind.OPENBAO_LEASE | Kind.EXEC | Kind.ADOPTED:
            return None
        case _:
            assert_never(sort)
