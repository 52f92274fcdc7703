"""The recorded use of credentials in a ledger, and the answers to queries about it."""

from __future__ import annotations

from typing import Annotated

from jitid.values.field_types import FILTER, LONG, POSITIVE, TASK_FILTER, TIME, text
from jitid.values.record import Record


class NewUse(Record):
    """A new action with its decision, for the ledger to record."""

    credential: int | None
    """The ledger's number for the credential; None for a token that this ledger did not issue."""
    identity: int | None
    jti: str | None
    action: str
    resource: str
    scope: str | None
    """The scope of the credential that covers the action; None if no scope does, or without a check."""
    allowed: bool
    rules: tuple[str, ...]
    reason: str | None
    """Why it was denied."""


class RecordedUse(Record):
    """A recorded action with its actor, delegator and task. Times are seconds since the epoch."""

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
    """For a token that this ledger did not issue, this and the following fields have no value."""
    id: str | None
    """The identity."""
    identity_key: int | None
    agent: str | None
    delegator: str | None
    """The root delegator, such as `user:alice`."""
    task: str | None
    purpose: str | None


class UseFilter(Record):
    """A selection of actions; every given condition must hold."""

    since: Annotated[int | None, TIME] = None
    """Recorded at this time or later."""
    until: Annotated[int | None, TIME] = None
    """Recorded before this time."""
    action: Annotated[str | None, FILTER] = None
    resource: Annotated[str | None, text(LONG, "the resource")] = None
    task: Annotated[str | None, TASK_FILTER] = None
    agent: Annotated[str | None, FILTER] = None
    delegators: Annotated[tuple[str, ...], FILTER] = ()
    """All names of one root delegator; or `agent:NAME`, for credentials that this agent delegated."""
    event: Annotated[int | None, POSITIVE] = None
    rule: Annotated[str | None, FILTER] = None


class Used(Record):
    """The allowed actions of one scope of an identity in total. Times are seconds since the epoch."""

    scope: str
    first_at: int
    last_at: int
    uses: int


class UseRow(Record):
    """An action in the form that the check of the audit log compares."""

    key: int
    at: int
    event: int
    members: tuple[str | None, str, str, str | None, int, str | None, str | None]
    """The members that the digest of its event covers."""
