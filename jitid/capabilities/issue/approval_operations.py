"""Operations on approvals: their parameters and the types of their answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jitid.operation.base import READS, Operation
from jitid.values.declaration import authority_only, value, values
from jitid.values.field_types import DURATION, FILTER, REASON, ROWS
from jitid.values.record import Record

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jitid.model.approval import Approval, ApprovalFilter
    from jitid.model.directory import Delegator
    from jitid.model.task import Task
    from jitid.values.secret import Secret


class ApprovalPage(Record):
    """Approval requests, and the time of their states."""

    approvals: list[Approval]
    now: int


class ListApprovals(Operation["ApprovalPage"]):
    """List requests, the newest first, a page at a time."""

    roles = ("auditor", "admin")
    for_own = True
    effect = READS

    chosen: ApprovalFilter
    limit: int = value(ROWS)
    within: tuple[str, ...] = authority_only(default=())
    """Only requests that one of these groups must approve; empty for all requests."""


class FindApprovals(Operation["ApprovalPage"]):
    """Return requests by their ids."""

    roles = ("auditor", "admin")
    for_own = True
    effect = READS

    ids: tuple[str, ...] = values(FILTER)


class ApprovalDetails(Record):
    """A request with the details that an approver needs."""

    approval: Approval
    now: int
    delegator: Delegator | None
    """The delegator that the request is for, if the directory has it."""
    task: Task | None
    """None if the request would open the task."""
    event: Mapping[str, Any]
    """The audit event of the request."""
    ended_event: Mapping[str, Any] | None
    rules: list[tuple[str, str, str]]
    """Name, file and text of each rule that required the approval, from the policy at that time."""


class ShowApproval(Operation["ApprovalDetails"]):
    """Tell everything about a request."""

    roles = ("auditor", "admin")
    for_own = True
    effect = READS

    id: str = value(FILTER)


class Decided(Record):
    """The outcome of an approver's decision."""

    approval: Approval
    now: int
    event: int | None
    """The number of the audit event; None if the request had this state already."""


class GrantApproval(Operation["Decided"]):
    """Grant a request, in the name of whoever is proved to do so."""

    # Approvers prove their identity as a person; no role makes an approver.
    for_anybody = True

    id: str = value(FILTER)
    group: str | None = value(FILTER, default=None)
    """None for each of its groups that the approver belongs to."""
    lifetime: int | None = value(DURATION, default=None)
    """Seconds that the approval may be used; None for the configured maximum."""
    reason: str | None = value(REASON, default=None)
    approver_token: Secret | None = None
    """An ID token of a configured issuer that proves the approver; None if the login proves it."""
    accept_clock: bool = False


class DenyApproval(Operation["Decided"]):
    """Deny a request, in the name of whoever is proved to do so."""

    for_anybody = True

    id: str = value(FILTER)
    group: str | None = value(FILTER, default=None)
    reason: str | None = value(REASON, default=None)
    approver_token: Secret | None = None
    accept_clock: bool = False
