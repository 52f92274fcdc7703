"""Performs the operations on approvals.

Approvers grant or deny a request.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, assert_never

from jitid.capabilities.directory import governance, ownership
from jitid.capabilities.directory.governance import Objection
from jitid.capabilities.directory.store import DirectoryStore
from jitid.capabilities.identity.task_store import TaskStore
from jitid.capabilities.issue import approval_operations as ops
from jitid.capabilities.issue import approval_request
from jitid.capabilities.issue.approval_request import a_member, event_members, find, objections, requested
from jitid.capabilities.issue.approval_store import ApprovalChanges, ApprovalStore
from jitid.capabilities.issue.may_act import is_owner, must_be_first, present
from jitid.errors import InvalidCredentialError, PolicyDeniedError, RefusedError, UsageError
from jitid.ledger import expiry
from jitid.ledger.policies import kept
from jitid.ledger.transaction import Transaction
from jitid.model.approval import Approval, ApprovalState
from jitid.model.directory import Delegator
from jitid.operation.context import Terms
from jitid.policy.policy_text import text_of
from jitid.values import strict_json
from jitid.values.ids import parse_approval_id
from jitid.values.record import Record
from jitid.values.text import check_text, label, quote
from jitid.values.times import format_duration, format_time

if TYPE_CHECKING:
    from jitid.capabilities.access.store import Presentation
    from jitid.ledger.view import View
    from jitid.model.access import Caller
    from jitid.model.task import Task
    from jitid.operation.context import Context


class Approver(Record):
    """A delegator that grants or denies a request, as proved."""

    name: str
    """The name with its kind: `user:bob`."""
    proof: str
    """`os-user`, `credential` or `oidc`."""
    subject: str | None
    """The `iss` and `sub` of the ID token, with a space between."""
    proved_at: int | None = None
    """When the ID token was issued, or its holder logged in."""
    presenter: str | None = None
    """The caller that presented that token at an authority, named like `Terms.requester`.

    None for an approver without an ID token, and if the caller has the ledger itself.
    """


def _grant(
    transaction: Transaction, operation: ops.GrantApproval, approver: Approver, terms: Terms
) -> tuple[Approval, int | None]:
    """Grant a request for the approver's groups that have not granted it yet, or for the operation's group alone.

    Returns the updated request, and the number of the audit event; None if it was granted already.

    Raises:
        NotFoundError: there is no such request.
        UsageError: it has ended, or cannot be granted like that; nothing was changed.
        PolicyDeniedError: this approver may not grant it.

    """
    lifetime, longest = operation.lifetime, terms.approval_lifetime
    if lifetime is not None and lifetime > longest:
        raise UsageError(
            f"an approval is valid for at most {format_duration(longest)}; nothing was changed",
            f"use a shorter time, such as --for {format_duration(longest)} (setting approval_lifetime)",
        )
    approval, person, groups = _decision_parts(transaction, operation, approver)
    _must_not_object(
        objections(transaction, approval, person, presenter=approver.presenter), approval, approver
    )
    missing = [name for name in groups if name in approval.missing_at(transaction.now)]
    if not missing:
        return approval, None
    expires_at = min(transaction.now + (longest if lifetime is None else lifetime), approval.expires_at)
    return _decided(transaction, operation, approval, approver, person, missing, expires_at)


def _deny(
    transaction: Transaction, operation: ops.DenyApproval, approver: Approver
) -> tuple[Approval, int | None]:
    """Deny a request that one of the approver's groups must approve, also after it was granted.

    Returns the updated request, and the number of the audit event; None if it was denied already. Raises the errors of
    `_grant`.
    """
    approval, person, groups = _decision_parts(transaction, operation, approver, also=ApprovalState.DENIED)
    if approval.state_at(transaction.now) is ApprovalState.DENIED:
        return approval, None
    return _decided(transaction, operation, approval, approver, person, groups, None)


def _decided(
    transaction: Transaction,
    operation: ops.GrantApproval | ops.DenyApproval,
    approval: Approval,
    approver: Approver,
    person: Delegator,
    groups: list[str],
    expires_at: int | None,
) -> tuple[Approval, int]:
    """Record a decision for these groups: a grant until `expires_at`, or a denial without it."""
    expiry.close_approvals(transaction)
    ApprovalChanges(transaction).record_decision(
        approval.key, groups, person.name, approver.proof, expires_at
    )
    event = transaction.append(
        "approval-deny" if expires_at is None else "approval-grant",
        {
            **event_members(approval.id, approval.request),
            "groups": groups,
            "approver": person.name,
            "proof": approver.proof,
            "presenter": approver.presenter,
            "until": expires_at,
            "reason": operation.reason,
        },
    )
    return find(transaction, approval.id), event.seq


def _decision_parts(
    transaction: Transaction,
    operation: ops.GrantApproval | ops.DenyApproval,
    approver: Approver,
    *,
    also: ApprovalState | None = None,
) -> tuple[Approval, Delegator, list[str]]:
    """Return the request of a decision, the approver's entry in the directory, and the groups of the decision.

    The request has not ended, or is in the state `also`.

    Raises:
        InvalidCredentialError: the ID token is older than the last disabling of the approver.
        NotFoundError: there is no such request.
        UsageError: it has ended, does not need that group, or the reason is not valid text.
        PolicyDeniedError: the approver is unknown or disabled, has another subject, or is in none of the groups.

    """
    group = operation.group
    if operation.reason is not None:
        check_text(operation.reason, "the reason")
    approval = find(transaction, operation.id)
    if approval.state_at(transaction.now) is not also:
        _must_be_open(approval, transaction.now)
    if group is not None and group not in approval.groups:
        raise UsageError(
            f"request {operation.id} does not need an approval by {quote(group)}; nothing was changed",
            f"required: an approval by {a_member(approval.groups)}",
        )
    person = DirectoryStore(transaction).find_delegator(
        governance.known_as(DirectoryStore(transaction), approver.name, approver.subject)
    )
    if approver.proof == "oidc":
        governance.must_be_newer(approver.proved_at, person)
    foreign = governance.foreign_subject(person, approver.subject, "approver-subject")
    if person is None:
        objection = Objection(
            "approver-unknown",
            f"the directory has no {quote(approver.name)}",
            "an approver must be in the directory: jitid delegator list; or "
            + (
                "prove your identity by an ID token: --delegator-token-file FILE"
                if approver.subject is None
                else "add the subject to a delegator: jitid delegator change NAME --subject 'ISS SUB'"
            ),
        )
    elif foreign is not None:
        objection = foreign
    elif person.disabled_at is not None:
        objection = Objection(
            "approver-disabled",
            f"{label(person.name)} was disabled at {format_time(person.disabled_at)}",
            "another member of the group must decide",
        )
    else:
        groups = [name for name in approval.groups if name in person.groups and group in (None, name)]
        if groups:
            return approval, person, groups
        required = approval.groups if group is None else (group,)
        objection = Objection(
            "approver-group",
            f"{label(person.name)} is not a member of {' or '.join(map(quote, required))}",
            f"the request needs {a_member(required)}",
        )
    _must_not_object([objection], approval, approver)
    raise AssertionError("an objection refuses")


def _must_not_object(reasons: Sequence[Objection], approval: Approval, approver: Approver) -> None:
    if not reasons:
        return
    request = requested(approval)
    facts = {
        **{name: request[name] for name in ("task", "agent", "delegator")},
        "approval": approval.id,
        "approver": approver.name,
        "proof": approver.proof,
        "presenter": approver.presenter,
    }
    governance.must_not_object(reasons, facts)


def _must_be_open(approval: Approval, now: int) -> None:
    """Refuse a decision about a request that has ended. Raises UsageError."""
    state = approval.state_at(now)
    hint = "to request it again, repeat the same command; it gets a new id"
    match state:
        case ApprovalState.OPEN | ApprovalState.GRANTED:
            return
        case ApprovalState.USED:
            how, hint = (
                "was used",
                f"to revoke the credentials issued with it: jitid revoke {approval.identity}",
            )
        case ApprovalState.DENIED:
            how = "was denied"
        case ApprovalState.EXPIRED:
            how = "expired"
        case ApprovalState.WITHDRAWN:
            how = "was withdrawn with its delegator"
        case _:
            assert_never(state)
    when = format_time(approval.expires_at if approval.ended_at is None else approval.ended_at)
    raise UsageError(f"request {approval.id} {how} at {when}; nothing was changed", hint)


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
                approval, event = _grant(transaction, operation, approver, terms)
            else:
                approval, event = _deny(transaction, operation, approver)
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
            raise RefusedError("the caller is not a proved delegator; only a delegator can approve or deny")
        if terms.login is not None:
            return Approver(terms.own_name, "oidc", terms.login.subject, terms.login.proved_at), None
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
