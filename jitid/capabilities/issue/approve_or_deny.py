"""Decisions of approvers: grant or deny an approval request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from jitid.capabilities.directory import governance
from jitid.capabilities.directory.governance import Objection
from jitid.capabilities.directory.store import DirectoryStore
from jitid.capabilities.issue.approval_request import a_member, event_members, find, objections, requested
from jitid.capabilities.issue.approval_store import ApprovalChanges
from jitid.errors import UsageError
from jitid.ledger import expiry
from jitid.ledger.transaction import Transaction
from jitid.model.approval import Approval, ApprovalState
from jitid.model.directory import Delegator
from jitid.operation.terms import Terms
from jitid.values.record import Record
from jitid.values.text import check_text, label, quote
from jitid.values.times import format_duration, format_time


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


def grant(
    transaction: Transaction,
    id_: str,
    approver: Approver,
    terms: Terms,
    *,
    group: str | None = None,
    lifetime: int | None = None,
    reason: str | None = None,
) -> tuple[Approval, int | None]:
    """Grant a request for the approver's groups that have not granted it yet, or for `group` alone.

    Returns the updated request, and the number of the audit event; None if it was granted already.

    Raises:
        NotFoundError: there is no such request.
        UsageError: it has ended, or cannot be granted like that; nothing was changed.
        PolicyDeniedError: this approver may not grant it.

    """
    longest = terms.approval_lifetime
    if lifetime is not None and lifetime > longest:
        raise UsageError(
            f"an approval holds for {format_duration(longest)} at most; nothing was changed",
            f"state less, such as --for {format_duration(longest)} (setting approval_lifetime)",
        )
    approval, person, groups = _decision_parts(transaction, id_, approver, group, reason)
    _must_not_object(
        objections(transaction, approval, person, presenter=approver.presenter), approval, approver
    )
    missing = [name for name in groups if name in approval.missing_at(transaction.now)]
    if not missing:
        return approval, None
    expires_at = min(transaction.now + (longest if lifetime is None else lifetime), approval.expires_at)
    expiry.close_approvals(transaction)
    ApprovalChanges(transaction).record_decision(
        approval.key, missing, person.name, approver.proof, expires_at
    )
    event = transaction.append(
        "approval-grant",
        {
            **event_members(approval.id, approval.request),
            "groups": missing,
            "approver": person.name,
            "proof": approver.proof,
            "presenter": approver.presenter,
            "until": expires_at,
            "reason": reason,
        },
    )
    return find(transaction, id_), event.seq


def deny(
    transaction: Transaction,
    id_: str,
    approver: Approver,
    *,
    group: str | None = None,
    reason: str | None = None,
) -> tuple[Approval, int | None]:
    """Deny a request that one of the approver's groups must approve, also after it was granted.

    Returns the updated request, and the number of the audit event; None if it was denied already. Raises the errors of
    `grant`.
    """
    approval, person, groups = _decision_parts(
        transaction, id_, approver, group, reason, also=ApprovalState.DENIED
    )
    if approval.state_at(transaction.now) is ApprovalState.DENIED:
        return approval, None
    expiry.close_approvals(transaction)
    ApprovalChanges(transaction).record_decision(approval.key, groups, person.name, approver.proof, None)
    event = transaction.append(
        "approval-deny",
        {
            **event_members(approval.id, approval.request),
            "groups": groups,
            "approver": person.name,
            "proof": approver.proof,
            "presenter": approver.presenter,
            "reason": reason,
        },
    )
    return find(transaction, id_), event.seq


def _decision_parts(
    transaction: Transaction,
    id_: str,
    approver: Approver,
    group: str | None,
    reason: str | None,
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
    if reason is not None:
        check_text(reason, "the reason")
    approval = find(transaction, id_)
    if approval.state_at(transaction.now) is not also:
        _must_be_open(approval, transaction.now)
    if group is not None and group not in approval.groups:
        raise UsageError(
            f"request {id_} does not need the approval of {quote(group)}; nothing was changed",
            f"it needs that of {a_member(approval.groups)}",
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
            "an approver is a known delegator: jitid delegator list; or "
            + (
                "prove by an ID token who you are: --delegator-token-file FILE"
                if approver.subject is None
                else "tell whose subject it is: jitid delegator change NAME --subject 'ISS SUB'"
            ),
        )
    elif foreign is not None:
        objection = foreign
    elif person.disabled_at is not None:
        objection = Objection(
            "approver-disabled",
            f"{label(person.name)} was disabled at {format_time(person.disabled_at)}",
            "somebody else of the group has to decide",
        )
    else:
        groups = [name for name in approval.groups if name in person.groups and group in (None, name)]
        if groups:
            return approval, person, groups
        required = approval.groups if group is None else (group,)
        objection = Objection(
            "approver-group",
            f"{label(person.name)} is not of {' nor of '.join(map(quote, required))}",
            f"ask {a_member(required)}",
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
    hint = "the same request, made again, gets a new id"
    match state:
        case ApprovalState.OPEN | ApprovalState.GRANTED:
            return
        case ApprovalState.USED:
            how, hint = "was used", f"what was issued with it can be ended: jitid revoke {approval.identity}"
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
