"""The result of an issue: the records that a client needs, without the modules that issue."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jitid.policy.decision import Decision
from jitid.values.record import Record
from jitid.values.secret import Secret


class IssuedCredential(Record):
    """A credential that was just made; no other object holds its secret."""

    id: str
    jti: str
    secret: Secret
    facts: Mapping[str, Any] = {}
    """Further facts from its issuer or target, to be shown; never a secret."""


class Issued(Record):
    """The result of one request. Times are seconds since the epoch."""

    credentials: tuple[IssuedCredential, ...]
    """Empty in a dry run."""
    task: str
    agent: str
    delegator: str
    delegator_proof: str
    delegator_state: str
    """`known`, or `unverified` if the directory has no such delegator."""
    parent: str | None
    depth: int
    kind: str
    sensitivity: str
    scopes: tuple[str, ...]
    audiences: tuple[str, ...]
    issued_at: int
    expires_at: int
    decision: Decision
    notes: tuple[str, ...]
    """Sentences about each value that was narrowed or raised, with the reason."""
    maximum: int
    """The latest time until which policy and task permit renewals."""
    template: str | None = None
    """The template that it was made from, as `TARGET/TEMPLATE`."""
    may_audience: tuple[str, ...] = ()
    """The audiences for which its holder may obtain tokens."""
    may_act: str | None = None
    """The callers that may exchange it (RFC 8693, section 4.4), as canonical JSON."""
    opened: bool = False
    """Whether this request opened the task."""
