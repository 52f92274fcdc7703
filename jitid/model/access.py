"""The access credentials of callers of an authority in a ledger, and the answers to queries about them."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

ASSERTION_LEEWAY = 300
"""Seconds for which the use of a client's assertion is remembered after the assertion has expired."""
ALL_AUDIENCES = ("*",)
"""The value for all audiences, if they were registered explicitly."""


class AccessState(StrEnum):
    """The state of an access credential at a given time."""

    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"
    ROTATED = "rotated"
    """Replaced by another access credential."""
    DISABLED = "disabled"
    """Ended because its delegator was disabled."""
    SPENT = "spent"
    """Ended because it is a bootstrap credential that was used for its only purpose."""


class Access(NamedTuple):
    """A credential, or the public key of a client, that authenticates a caller at an authority.

    Times are seconds since the epoch.
    """

    id: str
    """`acc_` and 26 characters."""
    name: str
    """Its owner, with the kind: `user:alice`, `system:ci`."""
    roles: tuple[str, ...]
    """Sorted."""
    fingerprint: bytes | None
    """SHA-256 of the access token; None if the caller has a key instead."""
    public: str | None
    """The public key (JWK, RFC 7517) that verifies the client's assertions (RFC 7523), as canonical JSON."""
    issued_at: int
    expires_at: int
    superseded_at: int | None
    """The time from which it is refused because another replaces it."""
    ended_at: int | None
    ended_as: str | None
    bootstrap: int
    """1 for a bootstrap credential, which can only grant the first administrator access."""
    predecessor: str | None
    """The id of the access credential that it replaced."""
    event: int
    """The audit event that granted it."""
    ended_event: int | None
    audiences: tuple[str, ...] | None = None
    """The audiences that are registered for the caller; `*` means all. None, if none were stated, means all as well."""

    @property
    def by(self) -> str:
        """Its proof: `bearer` or `key`."""
        return "bearer" if self.public is None else "key"

    @property
    def ends_at(self) -> int:
        """When it ends at the latest: once it is replaced, or at its expiry."""
        return self.expires_at if self.superseded_at is None else min(self.superseded_at, self.expires_at)

    @property
    def shown_roles(self) -> tuple[str, ...]:
        """The roles for people: `bootstrap` for a bootstrap credential."""
        return ("bootstrap",) if self.bootstrap else self.roles

    @property
    def shown_audiences(self) -> tuple[str, ...]:
        """The audiences of the tokens that the caller may see, for people.

        If no audience is registered, a verifier, responder, auditor or admin sees the tokens of all audiences. Any
        other caller sees none.
        """
        unrestricted = {"verifier", "responder", "auditor", "admin"} & set(self.roles)
        if self.audiences == ALL_AUDIENCES or (self.audiences is None and unrestricted):
            return ("all audiences",)
        return self.audiences or ()

    def state_at(self, now: int) -> AccessState:
        """Return the state at `now`."""
        if self.ended_as is not None:
            return AccessState(self.ended_as)
        if self.superseded_at is not None and self.superseded_at <= now:
            return AccessState.ROTATED
        return AccessState.EXPIRED if self.expires_at <= now else AccessState.ACTIVE


class PresentedAccess(NamedTuple):
    """An access credential as presented by a caller."""

    access: Access
    departed: int
    """1 if the delegator of that name is disabled."""
    event: bytes | None
    """The body of the audit event that granted it."""
