"""Who asks an authority that serves others, as it was proved, and in which roles."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection

ROLES = ("issuer", "verifier", "responder", "sweeper", "auditor", "admin")
"""The duties that can be given to a caller; each is separate, and nobody has two unless given both."""


class Caller(NamedTuple):
    """Whoever asks for an operation."""

    name: str
    """For the audit log (`by`): `user:alice`, `system:ci`, `agent:planner`, a login."""
    roles: frozenset[str] | None
    """None: whoever has the ledger's own files, who may do anything."""
    delegator: str | None = None
    """Whom the caller is proved to be as a delegator, such as `user:alice`; None for an agent."""
    proof: str | None = None
    """How that was proved: `os-user`, `credential` or `oidc`."""
    credential: str | None = None
    """The id of the access credential, or the `jti` of the agent's credential, that it came with."""
    agent: str | None = None
    """The agent's name, if it came with an agent's own credential."""
    trace: str | None = None
    """The `traceparent` (W3C Trace Context, section 3.2) of the request."""
    identity: str | None = None
    """The id of the agent's identity, if it came with its own credential: the same after each renewal."""
    key: str | None = None
    """What makes the request known again when its answer was lost (the header `Idempotency-Key`)."""
    audiences: tuple[str, ...] | None = None
    """The audiences that are registered as the caller's: about tokens for others it is told nothing. None: for all."""

    def told_about(self, stated: Collection[str]) -> Collection[str] | None:
        """Return the audiences whose tokens the caller sees: of those `stated`, or else its own.

        None means tokens for any audience: the caller sees all of them and states no audience.
        """
        if self.audiences is None:
            return stated or None
        return [one for one in stated if one in self.audiences] if stated else self.audiences

    def may_exchange(self, audiences: Collection[str]) -> bool:
        """Tell whether a token for some audiences is one for this caller: one of them is registered as its own."""
        return self.audiences is not None and not set(self.audiences).isdisjoint(audiences)
