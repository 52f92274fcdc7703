"""The caller of an authority: its proved identity and its roles."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from jitid.values.field_types import choice

if TYPE_CHECKING:
    from collections.abc import Collection

ROLES = ("issuer", "verifier", "responder", "sweeper", "auditor", "admin")
"""The duties that can be given to a caller; each is separate, and none includes another."""
ROLE = choice(*ROLES, metavar="ROLE", label="role")
BOOTSTRAP = "bootstrap"
"""The role of a bootstrap credential: it grants the first administrator access, once."""


class Caller(NamedTuple):
    """The caller of an operation."""

    name: str
    """For the audit log (`by`): `user:alice`, `system:ci`, `agent:planner`, a login."""
    roles: frozenset[str] | None
    """None: the caller has direct access to the ledger's files and may do anything."""
    delegator: str | None = None
    """The delegator that the caller is proved to be, such as `user:alice`; None for an agent."""
    proof: str | None = None
    """The method of that proof: `os-user`, `credential` or `oidc`."""
    credential: str | None = None
    """The id of the access credential, or the `jti` of the agent's credential, that authenticated the caller."""
    agent: str | None = None
    """The agent's name, if an agent's own credential authenticated the caller."""
    trace: str | None = None
    """The `traceparent` (W3C Trace Context, section 3.2) of the request."""
    identity: str | None = None
    """The id of the agent's identity, if its own credential authenticated it: the same after each renewal."""
    key: str | None = None
    """The idempotency key that identifies a repeated request after a lost answer (the header `Idempotency-Key`)."""
    audiences: tuple[str, ...] | None = None
    """The audiences registered for the caller, which learns nothing about tokens for others. None: all audiences."""

    def visible_audiences(self, stated: Collection[str]) -> Collection[str] | None:
        """Return the audiences whose tokens the caller sees: of those `stated`, or else its own.

        None means tokens for any audience: the caller sees all of them and states no audience.
        """
        if self.audiences is None:
            return stated or None
        return [audience for audience in stated if audience in self.audiences] if stated else self.audiences

    def may_exchange(self, audiences: Collection[str]) -> bool:
        """Return whether the caller may exchange a token for these audiences: one of them must be registered for it."""
        return self.audiences is not None and not set(self.audiences).isdisjoint(audiences)
