"""What every kind of credential is made from, and what comes out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from jitid.secret import Secret


class Draft(NamedTuple):
    """What the credentials of one issue have in common. Times are seconds since the epoch."""

    issuer: str
    trust_domain: str
    delegator: str
    """The root delegator: the `sub` of a token."""
    delegator_proof: str
    actors: tuple[str, ...]
    """SPIFFE ids of the agents that the delegation went through, the latest first."""
    agent: str
    task: str
    purpose: str | None
    sensitivity: str
    depth: int
    scopes: tuple[str, ...]
    audiences: tuple[str, ...]
    details: str | None
    """Canonical JSON text of `authorization_details` (RFC 9396)."""
    issued_at: int
    expires_at: int


class Ids(NamedTuple):
    """The names of one credential and of the identity that it belongs to."""

    id: str
    jti: str


class Order(NamedTuple):
    """Credentials that are alike but for their names."""

    draft: Draft
    names: Sequence[Ids]
    """At least one."""


class Minted(NamedTuple):
    """A secret that was just made, with what the ledger keeps of it."""

    secret: Secret
    fingerprint: bytes
    """SHA-256 of the canonical text."""
    claims_hash: bytes | None
    """SHA-256 of the signed claims as bytes; none for what is not signed."""


class Issuer(Protocol):
    """One kind of credential."""

    def mint(self, orders: Sequence[Order]) -> list[Minted]:
        """Make one secret for each name of each order, in their order.

        Nothing works before its ledger row is committed.

        Raises:
            JitidError: an order cannot be met; `position` says which.

        """
