"""Performs the operations on approvals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, assert_never, cast

from jitid import approval, consent
from jitid.authority import approval_operations as ops
from jitid.authority.presenting import must_be_first, present
from jitid.consent import Approver
from jitid.errors import InvalidCredentialError, PolicyDeniedError, RefusedError
from jitid.identifier import parse_approval_id
from jitid.policy.source import text_of
from jitid.storedpolicy import kept

if TYPE_CHECKING:
    from jitid.authority.inside import Inside
    from jitid.authority.operations import ApprovalOperation
    from jitid.ledger.approval import Approval
    from jitid.ledger.presented import Presentation
    from jitid.ledger.protocol import Snapshot
    from jitid.request import Terms


def perform(inside: Inside, operation: ApprovalOperation[Any]) -> object:
    """Return the answer to an operation on approvals."""
    given = cast("ops.AnyApprovalOperation", operation)
    match given:
        case ops.GrantApproval() | ops.DenyApproval():
            return _decide(inside, given)
        case ops.ListApprovals():
            with inside.ledger.read() as snapshot:
                return ops.ApprovalPage(
                    snapshot.approvals.some(given.chosen, given.limit, given.within), snapshot.now
                )
        case ops.FindApprovals():
            with inside.ledger.read() as snapshot:
                return ops.ApprovalPage([approval.find(snapshot, id_) for id_ in given.ids], snapshot.now)
        case ops.ShowApproval():
            with inside.ledger.read() as snapshot:
                return _details(snapshot, approval.find(snapshot, given.id))
        case _:
            assert_never(given)


def _decide(inside: Inside, operation: ops.GrantApproval | ops.DenyApproval) -> ops.Decided:
    """Let an approver speak; a refusal to listen is recorded as every denial is."""
    parse_approval_id(operation.id)
    terms = inside.terms()
    try:
        approver, use = _approver(inside, operation, terms)
        with inside.ledger.write(accept_clock=operation.accept_clock) as transaction:
            if use is not None:
                must_be_first(transaction, (use,))
            if isinstance(operation, ops.GrantApproval):
                found, event = consent.grant(
                    transaction,
                    operation.id,
                    approver,
                    terms,
                    group=operation.group,
                    lifetime=operation.lifetime,
                    reason=operation.reason,
                )
            else:
                found, event = consent.deny(
                    transaction, operation.id, approver, group=operation.group, reason=operation.reason
                )
            return ops.Decided(found, transaction.now, event)
    except (PolicyDeniedError, InvalidCredentialError) as denial:
        told = {"approval": operation.id, "reason": denial.message}
        facts = denial.facts if isinstance(denial, PolicyDeniedError) else told
        with inside.ledger.write(accept_clock=operation.accept_clock) as transaction:
            transaction.append("denial", facts)
        raise


def _approver(
    inside: Inside, operation: ops.GrantApproval | ops.DenyApproval, terms: Terms
) -> tuple[Approver, Presentation | None]:
    """Return who speaks, as an ID token or else the caller's own proof says, and the use of the token to record.

    Nothing that is only said counts.
    """
    if operation.approver_token is None:
        if terms.own_name is None or terms.caller_proof is None:
            raise RefusedError(
                "nothing proves which delegator you are, and only a delegator approves or denies"
            )
        return Approver(terms.own_name, terms.caller_proof, None), None
    proof, use = present(inside, operation.approver_token)
    return Approver(proof.delegator, "oidc", f"{proof.issuer} {proof.subject}", proof.proved_at), use


def _details(snapshot: Snapshot, found: Approval) -> ops.ApprovalDetails:
    request = approval.requested(found)
    event = _event(snapshot, found.event) or {}
    # What an approver reads must be what asks them.
    files = kept(snapshot, event.get("policy", "")) or []
    rules = []
    for name in event.get("asking", ()):
        file, rule = text_of(files, name) or ("", "")
        rules.append((name, file, rule))
    return ops.ApprovalDetails(
        found,
        snapshot.now,
        snapshot.find_delegator(found.delegator),
        snapshot.find_task(request["task"], request.get("opener", request["delegator"])),
        event,
        None if found.ended_event is None else _event(snapshot, found.ended_event),
        rules,
    )


def _event(snapshot: Snapshot, seq: int) -> dict[str, Any] | None:
    event = snapshot.event(seq)
    return None if event is None else event.document()
