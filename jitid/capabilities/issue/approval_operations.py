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


_FIELDS = (
    "approval state task agent delegator delegator_proof kind sensitivity scopes audiences purpose ttl copies depth "
    "parent groups missing asked_by asked_at expires_at usable_until"
)


_DECIDED = Columns(
    "jitid.approve-decision/1",
    "approval state groups missing approver usable_until event",
    single=True,
)


def _request_arg() -> str:
    return arg(filtered(APPROVAL_ID), "REQUEST", help="The id of a request for approval.")


def _own_group_opt() -> str | None:
    return opt(
        filtered(TEXT),
        "--group",
        help="Speak for this group alone (default: all of your own).",
        metavar="GROUP",
        default=None,
    )


def _approver_opt() -> str | None:
    return opt(
        FILE,
        "--delegator-token-file",
        help="An ID token that proves who you are (default: your login does); `-` is standard input.",
    )


class ApprovalPage(Record):
    """Approval requests, and the time of their states."""

    approvals: list[Approval]
    now: int


class ListApprovals(Operation["ApprovalPage"]):
    """List requests for approval.

    The newest first: those that wait for somebody's word, and those that were granted and not used yet. With
    --open and --group they are those that wait for the word of that group. An authority shows a caller without
    the role admin or auditor the requests that the caller's own groups must approve.
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

    open_: bool = local(flag("--open", help="Only those that wait for somebody's word."))
    all_: bool = local(flag("--all", help="Also those that were used or denied, or expired."))
    group: str | None = local(
        opt(TEXT, "--group", help="Only those that this group has to approve.", metavar="GROUP")
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
        f"{_FIELDS} delegator_state task_state deadline details public_key allow_narrower process "
        "task_sensitivity chain acting words reason rules policy event ended_at ended_reason ended_event "
        "identity grant",
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
    """Grant a request: what it asks for can be issued once.

    Beside a private ledger all callers are its owner: another person needs an authority (jitid serve). You are who your
    login says, or the ID token in --delegator-token-file; a name is never taken for it. You have to be a known
    delegator of a group that has to approve, and neither the one who asks nor anybody up the chain of delegation. Look
    at it first: jitid approve show.
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
        help="How long it may be used (default and most: approval_lifetime).",
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
    """Deny a request, granted or not, and end it.

    What was issued with it is not ended by that. Who asks for the same again makes a new request.
    """

    for_anybody = True
    verb = "approve deny"
    function = "issue.approve_verbs:deny"
    view = _DECIDED

    id: str = _request_arg()
    group: str | None = _own_group_opt()
    reason: str | None = opt(
        SHORT_REASON, "--reason", help="Why; shown to whoever asks, and kept in the audit log.", default=None
    )
    delegator_token_file: str | None = local(_approver_opt())
    approver_token: Secret | None = None
    accept_clock: bool = False
