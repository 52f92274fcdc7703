"""The operation that summarizes the present state of a ledger."""

from __future__ import annotations

from jitid.operation.base import READS, Operation
from jitid.values.declaration import authority_only, value
from jitid.values.field_types import number
from jitid.values.record import Record

ATTENTION = ("leaked", "standing", "unsettled", "approvals")
"""The counts of open work, which only a caller with a role gets."""


class LedgerStatus(Record):
    """Counts of the present state; those of a caller without a role are about the caller's own credentials."""

    now: int
    issuer: str
    live: int
    """Live credentials."""
    expiring: int
    """Live credentials that expire soon."""
    next_expiry: int | None
    """Earliest expiry of a live credential, in seconds since the epoch."""
    open_tasks: int
    overdue_tasks: int
    """Open tasks past their deadline."""
    leaked: int
    """Live credentials with an open leak."""
    standing: int
    """Adopted secrets that are live."""
    unsettled: int
    """Ended credentials that still await revocation at their target."""
    approvals: int
    """Requests that wait for a decision."""
    own: bool = False
    """Whether the counts are about the caller's own credentials only; then there are none of `ATTENTION`."""


class ShowStatus(Operation["LedgerStatus"]):
    """Count live and expiring credentials, and open problems."""

    roles = ("responder", "auditor", "sweeper", "admin")
    for_own = True
    effect = READS

    soon: int = value(number(1, 86_400), default=900)
    """Seconds within which a credential counts as expiring soon."""
    delegator: str | None = authority_only(default=None)
    """Only credentials of this root delegator."""
    under: str | None = authority_only(default=None)
    """The id of an identity: only its credentials and those of its descendants."""
