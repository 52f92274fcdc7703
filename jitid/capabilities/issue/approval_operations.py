"""Operations on approvals: their parameters and the types of their answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jitid.formats.columns import Columns
from jitid.operation.base import READS, Operation
from jitid.values.declaration import arg, authority_only, value, values
from jitid.values.field_types import APPROVAL_ID, DURATION, FILTER, REASON, ROWS, typed_as
from jitid.values.record import Record

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jitid.model.approval import Approval, ApprovalFilter
    from jitid.model.directory import Delegator
    from jitid.model.task import Task
    from jitid.values.secret import Secret


APPROVAL_FIELDS = (
    "approval state task agent delegator delegator_proof kind sensitivity scopes audiences purpose ttl copies depth "
    "parent groups missing asked_by asked_at expires_at usable_until"
)


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
    """Tell all that an approver has to know about a request.

    Who asks, for whom and for what; which rules ask for the approval, with their text as it was then; and what each
    group has said.
    """

    roles = ("auditor", "admin")
    for_own = True
    effect = READS
    verb = "approve show"
    function = "issue.approve_verbs:show"
    view = Columns(
        "jitid.approve/1",
        f"{APPROVAL_FIELDS} delegator_state task_state deadline details public_key allow_narrower process "
        "task_sensitivity chain acting words reason rules policy event ended_at ended_reason ended_event "
        "identity grant",
        single=True,
    )

    id: str = arg(
        typed_as(FILTER, "REQUEST", "approvals", parse=APPROVAL_ID.parse),
        "REQUEST",
        help="The id of a request for approval.",
    )


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
