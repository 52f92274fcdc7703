"""Operations on approvals: their parameters and the types of their answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jitid.formats.columns import Columns
from jitid.operation.base import READS, Operation, reason_opt, rows_opt
from jitid.values.declaration import arg, authority_only, flag, local, opt, values
from jitid.values.field_types import APPROVAL_ID, DURATION, FILE, FILTER, SHORT_REASON, TEXT, filtered
from jitid.values.record import Record

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jitid.model.approval import Approval, ApprovalFilter
    from jitid.model.directory import Delegator
    from jitid.model.task import Task
    from jitid.values.secret import Secret


_REQUESTED = (
    "task agent delegator delegator_proof kind sensitivity scopes audiences purpose ttl copies depth parent"
)
_ENDED = "event ended_at ended_reason ended_event"
_FIELDS = f"approval state {_REQUESTED} groups missing asked_by asked_at expires_at usable_until"


_DECIDED = Columns(
    "jitid.approve-decision/1",
    "approval state groups missing approver usable_until event",
    single=True,
)


def _request_arg() -> str:
    return arg(filtered(APPROVAL_ID), "REQUEST", help="Id of an approval request.")


def _own_group_opt() -> str | None:
    return opt(
        filtered(TEXT),
        "--group",
        help="Decide for this group only (default: all of yours).",
        metavar="GROUP",
        default=None,
    )


def _approver_opt() -> str | None:
    return opt(
        FILE,
        "--delegator-token-file",
        help="ID token of the approver; `-` for stdin (default: login).",
    )


class ApprovalPage(Record):
    """Approval requests, and the time of their states."""

    approvals: list[Approval]
    now: int


class ListApprovals(Operation["ApprovalPage"]):
    """List approval requests.

    The newest come first: open requests, and requests that were granted and not used yet. With --open and --group:
    requests that this group has not decided yet. At an authority, callers without the role admin or auditor see the
    requests that their own groups must approve.
    """

    roles = ("auditor", "admin")
    for_own = True
    effect = READS
    verb = "approve list"
    function = "issue.approve_verbs:list_"
    view = Columns(
        "jitid.approve-list/1", _FIELDS, brief="approval task agent delegator missing left", more="left"
    )
    # An ended request has no missing approval.
    with_ended = Columns(
        "jitid.approve-list/1", _FIELDS, brief="approval state task agent delegator left", more="left"
    )

    open_: bool = local(flag("--open", help="Only requests that wait for a decision."))
    all_: bool = local(flag("--all", help="Also used, denied and expired requests."))
    group: str | None = local(
        opt(TEXT, "--group", help="Only requests that this group must approve.", metavar="GROUP")
    )
    chosen: ApprovalFilter
    limit: int = rows_opt()
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
    """Show an approval request with all details for a decision.

    Shows the requester, the delegator and the requested credential; the rules that require the approval, with their
    text at the time of the request; and the decision of each group.
    """

    roles = ("auditor", "admin")
    for_own = True
    effect = READS
    verb = "approve show"
    function = "issue.approve_verbs:show"
    view = Columns(
        "jitid.approve/1",
        f"{_FIELDS} delegator_state task_state deadline details public_key allow_narrower process "
        f"task_sensitivity chain acting words reason rules policy {_ENDED} identity grant",
        single=True,
    )

    id: str = _request_arg()


class Decided(Record):
    """The outcome of an approver's decision."""

    approval: Approval
    now: int
    event: int | None
    """The number of the audit event; None if the request had this state already."""


class GrantApproval(Operation["Decided"]):
    """Grant an approval request, for one issue.

    Your login or the ID token in --delegator-token-file proves the approver. The approver must be a known delegator in
    a required group, and no party to the request or its chain. With a private ledger every caller is its owner: other
    approvers need an authority (`jitid serve`). Review the request first: `jitid approve show`.
    """

    # Approvers prove their identity as a person; no role makes an approver.
    for_anybody = True
    verb = "approve grant"
    function = "issue.approve_verbs:grant"
    view = _DECIDED

    id: str = _request_arg()
    lifetime: int | None = opt(
        DURATION,
        "--for",
        help="Lifetime (default and maximum: approval_lifetime).",
        default=None,
    )
    """Seconds that the approval may be used; None for the configured maximum."""
    group: str | None = _own_group_opt()
    """None for each of its groups that the approver belongs to."""
    reason: str | None = reason_opt()
    delegator_token_file: str | None = local(_approver_opt())
    approver_token: Secret | None = None
    """An ID token of a configured issuer that proves the approver; None if the login proves it."""
    accept_clock: bool = False


class DenyApproval(Operation["Decided"]):
    """Deny an approval request, also after it was granted.

    Credentials that were issued with it stay valid. For a new request, repeat the command that made it.
    """

    for_anybody = True
    verb = "approve deny"
    function = "issue.approve_verbs:deny"
    view = _DECIDED

    id: str = _request_arg()
    group: str | None = _own_group_opt()
    reason: str | None = opt(
        SHORT_REASON, "--reason", help="Reason, for the requester and the audit log.", default=None
    )
    delegator_token_file: str | None = local(_approver_opt())
    approver_token: Secret | None = None
    accept_clock: bool = False
