"""Operations on approvals: their parameters and the types of their answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from jitid.operation.base import Operation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jitid.model.approval import Approval, ApprovalFilter
    from jitid.model.directory import Delegator
    from jitid.model.task import Task
    from jitid.values.secret import Secret


class ApprovalPage(NamedTuple):
    """Approval requests, and the time of their states."""

    approvals: list[Approval]
    now: int


class ListApprovals(Operation["ApprovalPage"]):
    """List requests, the newest first, a page at a time."""

    chosen: ApprovalFilter
    limit: int
    within: tuple[str, ...] = ()
    """Only requests that one of these groups must approve; empty for all requests."""


class FindApprovals(Operation["ApprovalPage"]):
    """Return requests by their ids."""

    ids: tuple[str, ...]


class ApprovalDetails(NamedTuple):
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

    id: str


class Decided(NamedTuple):
    """The outcome of an approver's decision."""

    approval: Approval
    now: int
    event: int | None
    """The number of the audit event; None if the request had this state already."""


class GrantApproval(Operation["Decided"]):
    """Grant a request, in the name of whoever is proved to do so."""

    id: str
    group: str | None = None
    """None for each of its groups that the approver belongs to."""
    lifetime: int | None = None
    """Seconds that the approval may be used; None for the configured maximum."""
    reason: str | None = None
    approver_token: Secret | None = None
    """An ID token of a configured issuer that proves the approver; None if the login proves it."""
    accept_clock: bool = False


class DenyApproval(Operation["Decided"]):
    """Deny a request, in the name of whoever is proved to do so."""

    id: str
    group: str | None = None
    reason: str | None = None
    approver_token: Secret | None = None
    accept_clock: bool = False


AnyOperation = ListApprovals | FindApprovals | ShowApproval | GrantApproval | DenyApproval
