"""What a ledger remembers of the use of credentials, and what it answers about it."""

from __future__ import annotations

from typing import NamedTuple


class NewUse(NamedTuple):
    """An action that was decided on, as it is recorded."""

    credential: int | None
    """The ledger's number for it; None for a token that is none of this ledger's."""
    identity: int | None
    jti: str | None
    action: str
    resource: str
    scope: str | None
    """The scope of the credential that covers the action; None if none does, or nobody looked."""
    allowed: bool
    rules: tuple[str, ...]
    reason: str | None
    """Why it was denied."""


class RecordedUse(NamedTuple):
    """An action with who acted, for whom and for what. Times are seconds since the epoch."""

    key: int
    at: int
    allowed: bool
    action: str
    resource: str
    scope: str | None
    rules: tuple[str, ...]
    reason: str | None
    event: int
    """The audit event that accounts for it."""
    jti: str | None
    """This and what follows is None for a token that was none of this ledger's."""
    id: str | None
    """The identity."""
    identity_key: int | None
    agent: str | None
    delegator: str | None
    """The root delegator, such as `user:alice`."""
    task: str | None
    purpose: str | None


class UseFilter(NamedTuple):
    """Which actions are meant; every given condition must hold."""

    since: int | None = None
    """Recorded at that time or later."""
    until: int | None = None
    """Recorded before."""
    action: str | None = None
    resource: str | None = None
    task: str | None = None
    agent: str | None = None
    delegators: tuple[str, ...] = ()
    """Names of one root delegator; or `agent:NAME`, for what that agent delegated."""
    event: int | None = None
    rule: str | None = None


class Used(NamedTuple):
    """What was allowed by one scope of an identity, all together. Times are seconds since the epoch."""

    scope: str
    first_at: int
    last_at: int
    uses: int


class UseRow(NamedTuple):
    """An action as the check of the audit log compares it."""

    key: int
    at: int
    event: int
    members: tuple[str | None, str, str, str | None, int, str | None, str | None]
    """What the digest of its event is made of."""
