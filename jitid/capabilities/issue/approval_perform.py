"""Performs the operations on approvals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jitid.capabilities.directory import ownership
from jitid.capabilities.directory.store import DirectoryStore
from jitid.capabilities.identity.task_store import TaskStore
from jitid.capabilities.issue import approval_operations as ops
from jitid.capabilities.issue import approval_request, approve_or_deny
from jitid.capabilities.issue.approval_store import ApprovalStore
from jitid.capabilities.issue.approve_or_deny import Approver
from jitid.capabilities.issue.may_act import is_owner
from jitid.capabilities.issue.presented import must_be_first, present
from jitid.errors import InvalidCredentialError, PolicyDeniedError, RefusedError
from jitid.ledger.policies import kept
from jitid.policy.policy_text import text_of
from jitid.values import strict_json
from jitid.values.ids import parse_approval_id

if TYPE_CHECKING:
    from jitid.capabilities.access.store import Presentation
    from jitid.ledger.view import View
    from jitid.model.access import Caller
    from jitid.model.approval import Approval
    from jitid.model.task import Task
    from jitid.operation.context import Context
    from jitid.operation.terms import Terms


def list_approvals(context: Context, operation: ops.ListApprovals) -> ops.ApprovalPage:
    """Return a page of requests."""
    with context.ledger.read() as snapshot:
        approvals = ApprovalStore(snapshot).some(operation.chosen, operation.limit, operation.within)
        return ops.ApprovalPage(approvals, snapshot.now)


def find_approvals(context: Context, operation: ops.FindApprovals) -> ops.ApprovalPage:
    """Return requests by their ids, each as far as the caller may read it."""
    with context.ledger.read() as snapshot:
        approvals = [approval_request.find(snapshot, id_) for id_ in operation.ids]
        return ops.ApprovalPage(
            [_seen(snapshot, approval, context.caller) for approval in approvals], snapshot.now
        )


def show_approval(context: Context, operation: ops.ShowApproval) -> ops.ApprovalDetails:
    """Return a request with its details."""
    with context.ledger.read() as snapshot:
        return _details(snapshot, approval_request.find(snapshot, operation.id), context.caller)


def grant_approval(context: Context, operation: ops.GrantApproval) -> ops.Decided:
    """Record that an approver grants a request."""
    return _decide(context, operation)


def deny_approval(context: Context, operation: ops.DenyApproval) -> ops.Decided:
    """Record that an approver denies a request."""
    return _decide(context, operation)


def _decide(context: Context, operation: ops.GrantApproval | ops.DenyApproval) -> ops.Decided:
    """Record the decision of an approver; a refusal is recorded as a denial."""
    parse_approval_id(operation.id)
    terms = context.terms()
    try:
        approver, use = _approver(context, operation, terms)
        with context.ledger.write(accept_clock=operation.accept_clock) as transaction:
            if use is not None:
                must_be_first(transaction, (use,))
            if isinstance(operation, ops.GrantApproval):
                approval, event = approve_or_deny.grant(
                    transaction,
                    operation.id,
                    approver,
                    terms,
                    group=operation.group,
                    lifetime=operation.lifetime,
                    reason=operation.reason,
                )
            else:
                approval, event = approve_or_deny.deny(
                    transaction, operation.id, approver, group=operation.group, reason=operation.reason
                )
            return ops.Decided(_seen(transaction, approval, context.caller), transaction.now, event)
    except (PolicyDeniedError, InvalidCredentialError) as denial:
        least_facts = {"approval": operation.id, "reason": denial.message}
        facts = denial.facts if isinstance(denial, PolicyDeniedError) else least_facts
        with context.ledger.write(accept_clock=operation.accept_clock) as transaction:
            transaction.append("denial", facts)
        raise


def _approver(
    context: Context, operation: ops.GrantApproval | ops.DenyApproval, terms: Terms
) -> tuple[Approver, Presentation | None]:
    """Return the approver, as an ID token or the caller's own proof shows, and the use of that token to record.

    A name that the caller merely states proves nothing. No presenter is recorded for a caller that has the ledger
    itself: several people may share the login.
    """
    if operation.approver_token is None:
        if terms.own_name is None or terms.caller_proof is None:
            raise RefusedError(
                "nothing proves which delegator you are, and only a delegator approves or denies"
            )
        return Approver(terms.own_name, terms.caller_proof, None), None
    proof, use = present(context, operation.approver_token)
    presenter = None if is_owner(context.caller) else terms.requester
    return Approver(
        proof.delegator, "oidc", f"{proof.issuer} {proof.subject}", proof.proved_at, presenter
    ), use


def _details(snapshot: View, approval: Approval, caller: Caller | None) -> ops.ApprovalDetails:
    """Return a request with its details; a caller who cannot decide gets the readable part only."""
    approval = _seen(snapshot, approval, caller)
    task = _task(snapshot, approval)
    event, ended_event = _event(snapshot, approval.event) or {}, _event(snapshot, approval.ended_event)
    # An approver must read the rules that required the approval: the current policy may differ.
    files = kept(snapshot, event.get("policy", "")) or []
    rules = []
    for name in event.get("asking", ()):
        file, rule = text_of(files, name) or ("", "")
        rules.append((name, file, rule))
    if not _decides(snapshot, approval, caller):
        task = None if task is None else ownership.as_seen(snapshot, caller, task)
        event, ended_event = (
            ownership.seen(event),
            None if ended_event is None else ownership.seen(ended_event),
        )
    return ops.ApprovalDetails(
        approval,
        snapshot.now,
        DirectoryStore(snapshot).find_delegator(approval.delegator),
        task,
        event,
        ended_event,
        rules,
    )


def _seen(snapshot: View, approval: Approval, caller: Caller | None) -> Approval:
    """Return a request, without the purpose of its task if the caller may not read that."""
    request, task = approval_request.requested(approval), _task(snapshot, approval)
    # A task of another delegator may have a new owner since, and is then not found under its former owner.
    opens_own_task = task is None and "opener" not in request
    if opens_own_task or _decides(snapshot, approval, caller):
        return approval
    if task is not None and not ownership.is_hidden_from(snapshot, caller, task):
        return approval
    visible = {name: value for name, value in request.items() if name != "purpose"}
    return approval._replace(request=strict_json.dumps(visible).encode())


def _decides(snapshot: View, approval: Approval, caller: Caller | None) -> bool:
    """Return whether a caller is in a group that must approve, or has a role that lists all requests."""
    if caller is None or ownership.lists_approvals(caller):
        return True
    groups = ownership.groups_of(snapshot, caller)
    return any(group in groups for group in approval.groups)


def _task(snapshot: View, approval: Approval) -> Task | None:
    request = approval_request.requested(approval)
    return TaskStore(snapshot).find_task(request["task"], request.get("opener", request["delegator"]))


def _event(snapshot: View, seq: int | None) -> dict[str, Any] | None:
    event = None if seq is None else snapshot.event(seq)
    return None if event is None else event.document()
