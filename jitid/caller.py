"""Who asks an authority that serves others, as it was proved, and in which roles."""

from __future__ import annotations

from typing import NamedTuple

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
