"""Operations on targets, each with the type of its answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitid.model.target import Left
from jitid.operation.base import IDEMPOTENT, READS, Operation
from jitid.values.declaration import value, values
from jitid.values.field_types import COUNT, ID, number, text
from jitid.values.record import Record

if TYPE_CHECKING:
    from jitid.model.ledger_condition import Check


class Settle(Operation["SettledTargets"]):
    """Revoke ended credentials at their targets, and repeat failed attempts."""

    roles = ("responder", "sweeper", "admin")
    for_own = True
    effect = IDEMPOTENT
    slow = True

    ids: tuple[str, ...] = values(ID, default=())
    """Ids of credentials and identities; empty means all."""
    event: int | None = value(COUNT, default=None)
    """Limits it to credentials that this audit event ended."""
    target: str | None = value(text(64, "the target"), default=None)
    waiting: bool = False
    """Whether to include credentials with a later next attempt."""
    limit: int = value(number(1, 3_600), default=60)
    """Seconds that each target has in all."""
    accept_clock: bool = False


class ExamineTargets(Operation["list[Check]"]):
    """Check that the configured targets are valid and answer, without changes there."""

    roles = ("auditor", "admin")
    effect = READS
    local = True

    slow = True


class SettledTargets(Record):
    """The result of ending expired and revoked credentials at their targets."""

    done: int
    """Number of credentials that are confirmed to be gone."""
    unsupported: int
    """Number of credentials that their targets cannot end: they are accepted until their expiry."""
    open: int
    """Number of credentials that must still be ended: they are tried again later, or stuck."""
    left: tuple[Left, ...]
    """The first credentials that are not gone."""
    events: tuple[int, ...]
    """The audit events that record the outcomes."""
    late: tuple[str, ...] = ()
    """The targets that did not answer for all within their time limit."""
    at: int = 0
    """The ledger's time afterwards."""
