"""Who may ask for what: the roles of each operation, and what anybody may do about what is their own.

Whatever is not allowed here is refused, a new operation too.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, NamedTuple

from jitid.authority import token_rights
from jitid.capabilities.access import operations as access
from jitid.capabilities.access.grant import BOOTSTRAP, must_hold
from jitid.capabilities.adopt import operations as adoptions
from jitid.capabilities.adopt import shape_operations
from jitid.capabilities.decisions import operations as decisions_operations
from jitid.capabilities.directory import agent_operations as agents
from jitid.capabilities.directory import delegator_operations as delegators
from jitid.capabilities.directory import visibility
from jitid.capabilities.identity import operations as identity_operations
from jitid.capabilities.identity.store import CredentialStore
from jitid.capabilities.integrity import operations as integrity_operations
from jitid.capabilities.inventory import operations as inventory_operations
from jitid.capabilities.inventory import own_tasks
from jitid.capabilities.issue import approval_operations as approvals
from jitid.capabilities.issue import operations as issue_operations
from jitid.capabilities.issue import token_operations as tokens
from jitid.capabilities.issue.approval_store import ApprovalStore
from jitid.capabilities.leak import operations as leak_operations
from jitid.capabilities.report import operations as report_operations
from jitid.capabilities.sweep import operations as sweep_operations
from jitid.capabilities.targets import operations as targets
from jitid.capabilities.trust import certificate_operations as certificates
from jitid.capabilities.trust import operations as trust_operations
from jitid.capabilities.trust import publication_operations as publications
from jitid.capabilities.use import operations as uses
from jitid.errors import InvalidCredentialError, RefusedError
from jitid.model.ledger_rows import Selection
from jitid.model.request import named as named_delegator
from jitid.operation import base as ops
from jitid.values.ids import parse_approval_id, parse_id
from jitid.values.times import format_duration

if TYPE_CHECKING:
    from jitid.ledger.contract import Look
    from jitid.ledger.transaction import Transaction
    from jitid.ledger.view import View
    from jitid.model.caller import Caller
    from jitid.model.ledger_rows import Names
    from jitid.values.secret import Secret


class Duty(NamedTuple):
    """Whose duty an operation is."""

    roles: frozenset[str]
    anybody: bool = False
    """Whoever is authenticated may ask: the operation itself carries the right to it, or looks who asks."""
    own: bool = False
    """Whoever is authenticated may ask about what is their own."""
    reads: bool = False
    """It changes nothing, and no event tells of it alone."""


def _for(*roles: str, anybody: bool = False, own: bool = False, reads: bool = False) -> Duty:
    return Duty(frozenset(roles), anybody, own, reads)


DUTIES: dict[type[ops.Operation[Any]], Duty] = {
    # Planning sees to it that nobody without the role issuer names another as the delegator; a parent's or a
    # predecessor's token is the right to delegate or renew.
    issue_operations.Issue: _for("issuer", anybody=True),
    issue_operations.Renew: _for("issuer", anybody=True),
    issue_operations.AbandonRenewal: _for(anybody=True),
    issue_operations.AbandonAttachment: _for(own=True),
    identity_operations.HandBack: _for(anybody=True),
    identity_operations.Verify: _for("verifier", "responder", "auditor", own=True, reads=True),
    uses.Authorize: _for("verifier"),
    # The subject's token says who delegates; without an actor's token the caller is who acts.
    tokens.Exchange: _for("issuer", anybody=True),
    tokens.Introspect: _for("verifier", "responder", "auditor", "admin", reads=True),
    # It looks who asks: holding a token that somebody presented gives no right to end it.
    tokens.RevokeToken: _for("responder", anybody=True),
    trust_operations.PublishKeys: _for(anybody=True, reads=True),
    trust_operations.PublishSshAuthorities: _for(anybody=True, reads=True),
    trust_operations.PublishSshRevocations: _for(anybody=True, reads=True),
    publications.MakePublication: _for("verifier", "admin", reads=True),
    publications.MakeStatusList: _for("verifier", "admin", reads=True),
    certificates.PublishBundle: _for(anybody=True, reads=True),
    certificates.PublishRevocations: _for(anybody=True, reads=True),
    inventory_operations.Inspect: _for("responder", "auditor", own=True, reads=True),
    leak_operations.Trace: _for("responder", "auditor", reads=True),
    leak_operations.AddLeaks: _for("responder"),
    leak_operations.ListLeaks: _for("responder", "auditor", reads=True),
    leak_operations.ShowLeaks: _for("responder", "auditor", reads=True),
    leak_operations.RecountLeaks: _for("responder", "auditor", reads=True),
    leak_operations.CloseLeaks: _for("responder"),
    leak_operations.ProveLeaks: _for("responder", "sweeper"),
    inventory_operations.ListCredentials: _for("responder", "auditor", own=True, reads=True),
    inventory_operations.ShowTree: _for("responder", "auditor", own=True, reads=True),
    inventory_operations.ListTasks: _for("responder", "auditor", own=True, reads=True),
    inventory_operations.ShowTask: _for("responder", "auditor", own=True, reads=True),
    # What belongs to somebody who is disabled falls to the responders.
    inventory_operations.ShareTask: _for("responder", own=True),
    inventory_operations.GiveTask: _for("responder", own=True),
    inventory_operations.Revoke: _for("responder", own=True),
    inventory_operations.Retire: _for("responder", own=True),
    # By the right of a token.
    issue_operations.Attach: _for("issuer", anybody=True),
    targets.Settle: _for("responder", "sweeper", "admin", own=True),
    targets.ExamineTargets: _for("auditor", "admin", reads=True),
    # What it makes may do nothing, and is ended at once.
    sweep_operations.FlyCanaries: _for("sweeper", "admin"),
    # Who adopts says who answers for something, and what ends it.
    adoptions.Adopt: _for("admin"),
    adoptions.ChangeAdopted: _for("admin"),
    # What counts as ended from then on is looked for no longer.
    adoptions.EndAdopted: _for("responder", "admin"),
    adoptions.ListAdopted: _for("responder", "auditor", "admin", reads=True),
    adoptions.ProbeAdopted: _for("responder", "auditor", "admin", reads=True),
    adoptions.SuggestReplacements: _for("responder", "auditor", "admin", reads=True),
    shape_operations.AdoptedShapes: _for("responder", "auditor", "sweeper", "admin", reads=True),
    uses.ListUses: _for("responder", "auditor", reads=True),
    sweep_operations.Sweep: _for("sweeper", "auditor", reads=True),
    sweep_operations.ForeseeFix: _for("sweeper", reads=True),
    sweep_operations.Fix: _for("sweeper"),
    report_operations.MakeReport: _for("sweeper", "auditor", reads=True),
    integrity_operations.ReadLog: _for("auditor", reads=True),
    integrity_operations.FollowLog: _for("auditor", reads=True),
    integrity_operations.SignHead: _for("auditor", reads=True),
    integrity_operations.VerifyLog: _for("auditor", reads=True),
    integrity_operations.ExportLog: _for("auditor", reads=True),
    integrity_operations.Prune: _for("admin"),
    integrity_operations.CutLog: _for("admin"),
    integrity_operations.Examine: _for("auditor", "admin", reads=True),
    trust_operations.ListKeys: _for("auditor", "admin", reads=True),
    trust_operations.RotateKey: _for("admin"),
    trust_operations.RevokeKey: _for("admin"),
    certificates.RequestAuthority: _for("admin"),
    certificates.ImportAuthority: _for("admin"),
    decisions_operations.StoredPolicy: _for("auditor", "admin", reads=True),
    decisions_operations.ReplayDecisions: _for("auditor", "admin", reads=True),
    decisions_operations.Explain: _for("auditor", "admin", reads=True),
    # Whoever approves is proved as the person they are: no role makes an approver.
    approvals.GrantApproval: _for(anybody=True),
    approvals.DenyApproval: _for(anybody=True),
    approvals.ListApprovals: _for("auditor", "admin", own=True, reads=True),
    approvals.FindApprovals: _for("auditor", "admin", own=True, reads=True),
    approvals.ShowApproval: _for("auditor", "admin", own=True, reads=True),
    # The bootstrap credential stands for no role: it grants the first administrator access, and is spent by that.
    access.GrantAccess: _for("admin", BOOTSTRAP),
    access.RotateAccess: _for("admin", own=True),
    access.RevokeAccess: _for("admin", "responder", own=True),
    access.ListAccess: _for("auditor", "responder", "admin", reads=True),
    access.BootstrapAccess: _for(),
    # Whoever serves others asks these of the authority itself, and nobody who is served does.
    access.Authenticate: _for(),
    access.FindClientKeys: _for(),
    access.UseAssertion: _for(),
    delegators.AddDelegator: _for("admin"),
    delegators.ChangeDelegator: _for("admin"),
    delegators.DisableDelegator: _for("admin"),
    delegators.EnableDelegator: _for("admin"),
    delegators.ImportDelegators: _for("admin"),
    delegators.ShowDelegator: _for("responder", "auditor", "admin", reads=True),
    delegators.ListDelegators: _for("responder", "auditor", "admin", reads=True),
    agents.RegisterAgent: _for("admin"),
    agents.ChangeAgent: _for("admin"),
    agents.ReviewAgent: _for("admin"),
    agents.ResumeAgent: _for("admin"),
    agents.SuspendAgent: _for("admin"),
    agents.UnregisterAgent: _for("admin"),
    agents.ShowAgent: _for("responder", "auditor", "admin", reads=True),
    agents.ListAgents: _for("responder", "auditor", "admin", reads=True),
    agents.ClassifyAgents: _for("auditor", "admin", reads=True),
    decisions_operations.SuggestPolicy: _for("auditor", "admin", reads=True),
}


def allowed(look: Look, caller: Caller, operation: ops.Operation[ops.Result]) -> ops.Operation[ops.Result]:
    """Return an operation as a caller may ask for it: without a role as far as it is about what is their own.

    Raises:
        RefusedError: they may not.

    """
    if caller.roles is None:
        return own_tasks.resolved(look, operation)
    must_have_duty(caller, type(operation))
    duty = DUTIES.get(type(operation), Duty(frozenset()))
    _must_prove(caller, operation)
    token_rights.check(look, caller, operation)
    if getattr(operation, "accept_clock", False) and "admin" not in caller.roles:
        # The time mark is everybody's: whoever moves it ends what others hold.
        raise _refusal(caller, frozenset({"admin"}), "to accept the clock as it is")
    _must_not_last(caller, operation)
    has_role = not duty.roles.isdisjoint(caller.roles)
    named = operation.names_task()
    if (duty.anybody or has_role) and not named:
        return operation
    if has_role or duty.own:
        with look() as snapshot:
            if named:
                operation = own_tasks.with_tasks(snapshot, operation, caller, all_=has_role)
            if has_role or _is_own(snapshot, snapshot.names, caller, operation):
                return operation
            own = _narrowed(snapshot, caller, operation)
        if own is not None:
            return own
    raise _refusal(caller, duty.roles, f"to ask for {type(operation).__name__}")


def must_have_duty(caller: Caller, kind: type[ops.Operation[Any]]) -> None:
    """Refuse a caller that may not ask for such an operation, whatever is in it.

    Raises:
        RefusedError: it has no role for it, and what is its own plays no part in it.

    """
    if caller.roles is None:
        return
    duty = DUTIES.get(kind, Duty(frozenset()))
    spends = BOOTSTRAP in caller.roles and BOOTSTRAP not in duty.roles
    if spends or not (duty.anybody or duty.own or not duty.roles.isdisjoint(caller.roles)):
        raise _refusal(caller, duty.roles, f"to ask for {kind.__name__}")


def must_still_be(
    transaction: Transaction,
    caller: Caller,
    operation: ops.Operation[ops.Result],
    before: ops.Operation[ops.Result],
) -> None:
    """Refuse, before anything is changed, what a caller may not ask for any more, or what means something else by now.

    Raises:
        RefusedError: their access has ended, or `operation` is no longer what it was allowed as.

    """
    if caller.roles is None:
        return
    must_hold(transaction, caller)
    duty = DUTIES.get(type(operation), Duty(frozenset()))
    if duty.own and duty.roles.isdisjoint(caller.roles):
        now = allowed(lambda: nullcontext(transaction), caller, operation)
        if any(getattr(now, name) != getattr(before, name) for name in type(before).__annotations__):
            raise RefusedError(
                "what this is about has changed meanwhile; nothing was changed",
                "look again, and repeat the command",
            )


_FOUND_OUT = (
    "proved_delegator",
    "proved_subject",
    "proved_at",
    "proved_actor",
    "proved_credential",
    "exchanged",
)
"""What of a request only this side says."""


def _must_prove(caller: Caller, operation: ops.Operation[Any]) -> None:
    """Refuse a request that says itself whom a token proved: only this side looks at tokens."""
    requests = getattr(operation, "requests", None) or (getattr(operation, "request", None),)
    if any(getattr(one, name, None) for one in requests for name in _FOUND_OUT):
        raise RefusedError(
            f"{caller.name} may not say itself who is proved to delegate; nothing was changed",
            "give the token that proves it",
        )


def _must_not_last(caller: Caller, operation: ops.Operation[Any]) -> None:
    """Refuse a revocation list that counts for longer than usual: it hides for as long what is revoked meanwhile."""
    if not isinstance(operation, certificates.PublishRevocations) or operation.lifetime is None:
        return
    from jitid.capabilities.trust.x509_authority import LIFETIME

    if operation.lifetime > LIFETIME and "admin" not in (caller.roles or ()):
        what = f"a revocation list that counts for longer than {format_duration(LIFETIME)}"
        raise _refusal(caller, frozenset({"admin"}), what)


def has_role(caller: Caller | None, kind: type[ops.Operation[Any]]) -> bool:
    """Tell whether a caller has a role for an operation; without one they may ask only about what is their own."""
    return caller is None or caller.roles is None or not DUTIES[kind].roles.isdisjoint(caller.roles)


def reads(operation: ops.Operation[Any]) -> bool:
    """Tell whether an operation changes nothing."""
    duty = DUTIES.get(type(operation))
    return (duty is not None and duty.reads) or bool(getattr(operation, "dry_run", False))


def _refusal(caller: Caller, roles: frozenset[str], what: str) -> RefusedError:
    held = ", ".join(sorted(caller.roles or ())) or "none"
    # An operation for any caller has no role. Of callers only the bootstrap credential is refused it.
    anybody = "admin" if BOOTSTRAP in (caller.roles or ()) else "none that there is"
    needed = " or ".join(sorted(roles)) or anybody
    return RefusedError(
        f"{caller.name} may not be served: {what} needs the role {needed}; nothing was changed",
        f"the roles of this caller: {held}; whoever has the role admin grants others: jitid access grant",
    )


def _is_own(snapshot: View, ours: Names, caller: Caller, operation: ops.Operation[Any]) -> bool:
    """Tell whether an operation is about nothing but what the caller was issued, opened, asked for or decides on."""
    match operation:
        case identity_operations.Verify(token=token):
            return _may_look_at(snapshot, ours, caller, token)
        case inventory_operations.Inspect(id=None, token=token) if token is not None:
            return _may_look_at(snapshot, ours, caller, token)
        case inventory_operations.Inspect(id=id_, token=None) if id_ is not None:
            return _was_issued(snapshot, caller, id_)
        case issue_operations.AbandonAttachment(jti=jti):
            found = CredentialStore(snapshot).find_credential("jti", parse_id(jti)[1])
            return _was_issued(snapshot, caller, jti) or (
                found is not None and found.id == _identity(snapshot, caller)
            )
        case inventory_operations.Revoke(selection=selection, tokens=tokens):
            if selection._replace(ids=()) != Selection() or not (selection.ids or tokens):
                return False
            return all(_was_issued(snapshot, caller, id_) for id_ in selection.ids) and all(
                _may_end(snapshot, ours, caller, token) for token in tokens
            )
        case targets.Settle(event=event, ids=ids) if event is not None or ids:
            # Whoever has ended something may see to it that it has ended everywhere, and whoever may end it.
            return (event is None or own_tasks.asked_by(snapshot, caller, event)) and all(
                _was_issued(snapshot, caller, id_) or own_tasks.is_under(snapshot, caller, id_) for id_ in ids
            )
        case inventory_operations.Retire(task=task):
            return own_tasks.may_retire(snapshot, caller, task)
        case inventory_operations.ShareTask(task=task) | inventory_operations.GiveTask(task=task):
            return own_tasks.owns(snapshot, caller, task)
        case access.RotateAccess(id=id_):
            return id_ == caller.credential
        case access.RevokeAccess(ids=ids, names=names):
            return ids == (caller.credential,) and not names
        case approvals.ShowApproval(id=id_):
            return _concerns(snapshot, caller, (id_,))
        case approvals.FindApprovals(ids=ids):
            return _concerns(snapshot, caller, ids)
        case _:
            return False


def _narrowed(snapshot: View, caller: Caller, operation: ops.Operation[Any]) -> ops.Operation[Any] | None:
    """Return an operation as far as it is about what is the caller's own; None if that cannot be said of it."""
    if isinstance(operation, approvals.ListApprovals):
        groups = visibility.groups_of(snapshot, caller)
        return operation.replace(within=groups) if groups else None
    return own_tasks.narrowed(snapshot, caller, operation)


def _may_look_at(snapshot: View, names: Names, caller: Caller, token: Secret) -> bool:
    """Tell whether a token descends from the caller, is the caller's own, or was issued at the caller's request."""
    from jitid.capabilities.identity import introspection

    try:
        # Of the identity, since it may have been renewed between two looks at its file.
        found = introspection.recognise(snapshot, names, token.reveal(), shown=True).id
    except InvalidCredentialError:
        return False
    return own_tasks.is_under(snapshot, caller, found) or _was_issued(snapshot, caller, found)


def _may_end(snapshot: View, names: Names, caller: Caller, token: Secret) -> bool:
    """Tell whether the caller may end what a token is of (RFC 7009, section 2.1): not whoever was merely shown it."""
    from jitid.capabilities.identity import introspection
    from jitid.capabilities.issue.token_perform import must_be_own

    try:
        must_be_own(snapshot, caller, introspection.recognise(snapshot, names, token.reveal()))
    except InvalidCredentialError:
        # What is wrong with it, the operation itself says.
        return True
    except RefusedError:
        return False
    return True


def _identity(snapshot: View, caller: Caller) -> str | None:
    """Return the identity of the agent who asks; None for who is none."""
    found = visibility.held_by(snapshot, caller)
    return None if found is None else found.id


def _was_issued(snapshot: View, caller: Caller, id_: str) -> bool:
    """Tell whether something was issued at the request of the caller."""
    sort, raw = parse_id(id_)
    if sort == "jti":
        found = CredentialStore(snapshot).find_credential("jti", raw)
        if found is None:
            return False
        raw = parse_id(found.id)[1]
    # Renewals may have been asked for by whoever holds it.
    made = CredentialStore(snapshot).first_of(raw)
    return made is not None and own_tasks.asked_by(snapshot, caller, made.event)


def _concerns(snapshot: View, caller: Caller, ids: tuple[str, ...]) -> bool:
    """Tell whether requests for approval wait for the word of a group of the caller's, or were made by the caller."""
    from jitid.capabilities.issue.approval_request import is_requester

    found = [ApprovalStore(snapshot).find(parse_approval_id(id_)) for id_ in ids]
    own = caller.identity or named_delegator(caller.delegator or caller.name)
    groups = visibility.groups_of(snapshot, caller)
    return bool(found) and all(
        one is not None and (any(group in groups for group in one.groups) or is_requester(snapshot, one, own))
        for one in found
    )
