"""A credential with the identity that it belongs to, and its state at a given time."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from jitid.process import Process


class Kind(StrEnum):
    """The kinds of credential; each is made by one file of `issuers/`."""

    JWT = "jwt"
    OPAQUE = "opaque"


class State(StrEnum):
    """What a credential is at a given time."""

    PENDING = "pending"
    """Recorded, its secret not confirmed."""
    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"
    RETIRED = "retired"
    """Ended with its task."""
    SUPERSEDED = "superseded"
    """Replaced by a later credential of the same identity."""


class Credential(NamedTuple):
    """One credential as the ledger remembers it: never its secret. Times are seconds since the epoch."""

    key: int
    """The ledger's own number for the credential."""
    jti: str
    id: str
    """The identity: one agent on one task for one delegator."""
    identity_key: int
    parent: str | None
    """The identity that delegated to this one; none for the root of a chain."""
    parent_key: int | None
    depth: int
    delegator: str
    """The root delegator, such as `user:alice`: who asked in the first place."""
    delegated_by: str
    """The root delegator, or the parent's agent as `agent:NAME`."""
    delegator_proof: str
    agent: str
    task: str
    purpose: str | None
    sensitivity: str
    kind: str
    scopes: tuple[str, ...]
    audiences: tuple[str, ...]
    details: str | None
    """The canonical JSON text of `authorization_details` (RFC 9396), if any were given."""
    issued_at: int
    expires_at: int
    ended_at: int | None
    ended_as: str | None
    fingerprint: bytes | None
    claims_hash: bytes | None
    """SHA-256 of the signed claims as bytes; none for a kind that is not signed."""
    signed_by: str | None
    """The `kid` of the key that signed it."""
    event: int
    """The audit event that issued it."""
    ended_event: int | None
    superseded_at: int | None
    """From when on a successor stands for it; it may still be to come."""
    process: Process | None
    """The process that the identity was given to, if it is bound to one."""
    delegator_state: str = "unverified"
    """What the directory says of the delegator now: `known`, `disabled`, or `unverified` if it has no such one."""

    def state_at(self, now: int) -> State:
        """Return the state at `now`, which the caller chooses; this module reads no clock."""
        # Revocation outranks expiry: next year's incident report must still say "revoked".
        if self.ended_as is not None:
            return State(self.ended_as)
        if self.superseded_at is not None and now >= self.superseded_at:
            return State.SUPERSEDED
        if now >= self.expires_at:
            return State.EXPIRED
        return State.PENDING if self.fingerprint is None else State.ACTIVE
