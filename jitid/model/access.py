"""What a ledger remembers of who may ask an authority, and what it answers about them."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

ASSERTION_LEEWAY = 300
"""For so many seconds after a client's assertion has expired it is remembered that it was used."""


ALL_AUDIENCES = ("*",)
"""What stands for all audiences, where somebody has said so."""


class AccessState(StrEnum):
    """What an access credential is at a given time."""

    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"
    ROTATED = "rotated"
    """Another has taken its place."""
    DISABLED = "disabled"
    """The delegator whose it was has left."""
    SPENT = "spent"
    """A bootstrap credential that has done the one thing that it is for."""


class Access(NamedTuple):
    """A credential by which somebody asks an authority, or the key by which they prove themselves there.

    Times are seconds since the epoch.
    """

    id: str
    """`acc_` and 26 characters."""
    name: str
    """Whose it is, with the kind: `user:alice`, `system:ci`."""
    roles: tuple[str, ...]
    """Sorted."""
    fingerprint: bytes | None
    """SHA-256 of the bearer; None where there is a key instead."""
    public: str | None
    """The public key (JWK, RFC 7517) that verifies what the client signs (RFC 7523), as canonical JSON."""
    issued_at: int
    expires_at: int
    superseded_at: int | None
    """From when on it is no longer taken since another has taken its place."""
    ended_at: int | None
    ended_as: str | None
    bootstrap: int
    """1 for one that can do nothing but grant the first administrator access."""
    predecessor: str | None
    """The id of the one whose place it took."""
    event: int
    """The audit event that granted it."""
    ended_event: int | None
    audiences: tuple[str, ...] | None = None
    """The audiences that are registered as the caller's; `*` for all; None where nobody has said, which is all too."""

    def state_at(self, now: int) -> AccessState:
        """Return the state at `now`, which the caller chooses."""
        if self.ended_as is not None:
            return AccessState(self.ended_as)
        if self.superseded_at is not None and self.superseded_at <= now:
            return AccessState.ROTATED
        return AccessState.EXPIRED if self.expires_at <= now else AccessState.ACTIVE


class PresentedAccess(NamedTuple):
    """An access credential as it counts when somebody comes with it."""

    access: Access
    departed: int
    """1 if whoever has its name is disabled."""
    event: bytes | None
    """The body of the audit event that granted it."""
