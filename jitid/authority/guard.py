"""The permissions of callers: the roles for each operation, and each caller's rights to its own objects.

An operation that declares no callers is refused.
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from jitid.authority import token_rights
from jitid.capabilities.access import operations as access
from jitid.capabilities.access.authenticate import must_hold
from jitid.capabilities.directory import visibility
from jitid.capabilities.identity import operations as identity_operations
from jitid.capabilities.identity.store import CredentialStore
from jitid.capabilities.inventory import operations as inventory_operations
from jitid.capabilities.inventory import own_tasks
from jitid.capabilities.issue import approval_operations as approvals
from jitid.capabilities.issue import operations as issue_operations
from jitid.capabilities.issue.approval_store import ApprovalStore
from jitid.capabilities.targets import operations as targets
from jitid.capabilities.trust import certificate_operations as certificates
from jitid.errors import InvalidCredentialError, RefusedError
from jitid.model.access import BOOTSTRAP
from jitid.model.ledger_rows import Selection
from jitid.model.request import named as named_delegator
from jitid.operation import base as ops
from jitid.values.ids import parse_approval_id, parse_id
from jitid.values.times import format_duration

if TYPE_CHECKING:
    from jitid.ledger.contract import Look
    from jitid.ledger.transaction import Transaction
    from jitid.ledger.view import View
    from jitid.model.access import Caller
    from jitid.model.ledger_rows import Names
    from jitid.values.secret import Secret


def allowed(look: Look, caller: Caller, operation: ops.Operation[ops.Result]) -> ops.Operation[ops.Result]:
    """Return the operation that a caller may perform: without a role, narrowed to the caller's own objects.

    Raises:
        RefusedError: the caller may not perform it.

    """
    if caller.roles is None:
        return own_tasks.resolved(look, operation)
    must_have_duty(caller, type(operation))
    _must_prove(caller, operation)
    token_rights.check(look, caller, operation)
    if getattr(operation, "accept_clock", False) and "admin" not in caller.roles:
        # All callers share the time mark: moving it can expire the credentials of others.
        raise _refusal(caller, ("admin",), "to accept the clock as it is")
    _must_not_last(caller, operation)
    has_role = not caller.roles.isdisjoint(operation.roles)
    names_task = operation.names_task()
    if (operation.for_anybody or has_role) and not names_task:
        return operation
    if has_role or operation.for_own:
        with look() as snapshot:
            if names_task:
                operation = own_tasks.with_tasks(snapshot, operation, caller, all_=has_role)
            if has_role or _is_own(snapshot, snapshot.names, caller, operation):
                return operation
            narrowed = _narrowed(snapshot, caller, operation)
        if narrowed is not None:
            return narrowed
    raise _refusal(caller, operation.roles, f"to ask for {type(operation).__name__}")


def must_have_duty(caller: Caller, kind: type[ops.Operation[Any]]) -> None:
    """Refuse a caller that may not request this kind of operation, with any arguments.

    Raises:
        RefusedError: the caller lacks a role for it, and it is not available for the caller's own objects.

    """
    if caller.roles is None:
        return
    spends = BOOTSTRAP in caller.roles and BOOTSTRAP not in kind.roles
    if spends or not (kind.for_anybody or kind.for_own or not caller.roles.isdisjoint(kind.roles)):
        raise _refusal(caller, kind.roles, f"to ask for {kind.__name__}")


def must_still_be(
    transaction: Transaction,
    caller: Caller,
    operation: ops.Operation[ops.Result],
    permitted: ops.Operation[ops.Result],
) -> None:
    """Check the permission again in the transaction, before any change.

    Raises:
        RefusedError: the caller's access has ended, or `operation` now resolves to other objects than `permitted`.

    """
    if caller.roles is None:
        return
    must_hold(transaction, caller)
    if operation.for_own and caller.roles.isdisjoint(operation.roles):
        resolved = allowed(lambda: nullcontext(transaction), caller, operation)
        if any(getattr(resolved, name) != getattr(permitted, name) for name in permitted.fields):
            raise RefusedError(
                "what this is about has changed meanwhile; nothing was changed",
                "look again, and repeat the command",
            )


_SET_BY_AUTHORITY = (
    "proved_delegator",
    "proved_subject",
    "proved_at",
    "proved_actor",
    "proved_credential",
    "exchanged",
)
"""Fields of a request that only the authority may set."""


def _must_prove(caller: Caller, operation: ops.Operation[Any]) -> None:
    """Refuse a request that sets the result of a token check: only the authority verifies tokens."""
    requests = getattr(operation, "requests", None) or (getattr(operation, "request", None),)
    if any(getattr(request, name, None) for request in requests for name in _SET_BY_AUTHORITY):
        raise RefusedError(
            f"{caller.name} may not say itself who is proved to delegate; nothing was changed",
            "give the token that proves it",
        )


def _must_not_last(caller: Caller, operation: ops.Operation[Any]) -> None:
    """Refuse a revocation list with more than the usual lifetime: it hides later revocations for that long.

    An admin may request it.
    """
    if not isinstance(operation, certificates.PublishRevocations) or operation.lifetime is None:
        return
    from jitid.capabilities.trust.x509_authority import LIFETIME

    if operation.lifetime > LIFETIME and "admin" not in (caller.roles or ()):
        request = f"a revocation list that counts for longer than {format_duration(LIFETIME)}"
        raise _refusal(caller, ("admin",), request)


def has_role(caller: Caller | None, kind: type[ops.Operation[Any]]) -> bool:
    """Return whether a caller has a role for an operation; without one it may request only its own objects."""
    return caller is None or caller.roles is None or not caller.roles.isdisjoint(kind.roles)


def _refusal(caller: Caller, roles: Collection[str], request: str) -> RefusedError:
    held_roles = ", ".join(sorted(caller.roles or ())) or "none"
    # An operation for any caller has no role; only the bootstrap credential is refused such an operation.
    default = "admin" if BOOTSTRAP in (caller.roles or ()) else "none that there is"
    needed = " or ".join(sorted(roles)) or default
    return RefusedError(
        f"{caller.name} may not be served: {request} needs the role {needed}; nothing was changed",
        f"the roles of this caller: {held_roles}; whoever has the role admin grants others: jitid access grant",
    )


def _is_own(snapshot: View, ledger_names: Names, caller: Caller, operation: ops.Operation[Any]) -> bool:
    """Return whether an operation is only about objects that the caller was issued, opened, requested or decides on."""
    match operation:
        case identity_operations.Verify(token=token):
            return _may_look_at(snapshot, ledger_names, caller, token)
        case inventory_operations.Inspect(id=None, token=token) if token is not None:
            return _may_look_at(snapshot, ledger_names, caller, token)
        case inventory_operations.Inspect(id=id_, token=None) if id_ is not None:
            return _was_issued(snapshot, caller, id_)
        case issue_operations.AbandonAttachment(jti=jti):
            credential = CredentialStore(snapshot).find_credential("jti", parse_id(jti)[1])
            return _was_issued(snapshot, caller, jti) or (
                credential is not None and credential.id == _identity(snapshot, caller)
            )
        case inventory_operations.Revoke(selection=selection, tokens=tokens):
            if selection._replace(ids=()) != Selection() or not (selection.ids or tokens):
                return False
            return all(_was_issued(snapshot, caller, id_) for id_ in selection.ids) and all(
                _may_end(snapshot, ledger_names, caller, token) for token in tokens
            )
        case targets.Settle(event=event, ids=ids) if event is not None or ids:
            # A caller that ended something, or may end it, may have it settled at all targets.
            return (event is None or own_tasks.requested_by(snapshot, caller, event)) and all(
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
    """Return an operation narrowed to the caller's own objects; None if it cannot be narrowed."""
    if isinstance(operation, approvals.ListApprovals):
        groups = visibility.groups_of(snapshot, caller)
        return operation.replace(within=groups) if groups else None
    return own_tasks.narrowed(snapshot, caller, operation)


def _may_look_at(snapshot: View, names: Names, caller: Caller, token: Secret) -> bool:
    """Return whether a token descends from the caller, is the caller's own, or was issued at the caller's request."""
    from jitid.capabilities.identity import recognise_token

    try:
        # Compare identities: the token may have been renewed between two reads of its file.
        identity = recognise_token.recognise(snapshot, names, token.reveal(), shown=True).id
    except InvalidCredentialError:
        return False
    return own_tasks.is_under(snapshot, caller, identity) or _was_issued(snapshot, caller, identity)


def _may_end(snapshot: View, names: Names, caller: Caller, token: Secret) -> bool:
    """Return whether the caller may revoke the credential of a token (RFC 7009, section 2.1).

    A recipient to which the token was merely shown may not.
    """
    from jitid.capabilities.identity import recognise_token
    from jitid.capabilities.issue.token_perform import must_be_own

    try:
        must_be_own(snapshot, caller, recognise_token.recognise(snapshot, names, token.reveal()))
    except InvalidCredentialError:
        # The operation itself reports why the token is invalid.
        return True
    except RefusedError:
        return False
    return True


def _identity(snapshot: View, caller: Caller) -> str | None:
    """Return the identity of the calling agent; None if the caller is not an agent."""
    credential = visibility.held_by(snapshot, caller)
    return None if credential is None else credential.id


def _was_issued(snapshot: View, caller: Caller, id_: str) -> bool:
    """Return whether a credential or an identity was issued at the request of the caller."""
    kind, raw = parse_id(id_)
    if kind == "jti":
        credential = CredentialStore(snapshot).find_credential("jti", raw)
        if credential is None:
            return False
        raw = parse_id(credential.id)[1]
    # The holder may have requested the renewals, so the first credential counts.
    first_credential = CredentialStore(snapshot).first_of(raw)
    return first_credential is not None and own_tasks.requested_by(snapshot, caller, first_credential.event)


def _concerns(snapshot: View, caller: Caller, ids: tuple[str, ...]) -> bool:
    """Return whether each approval request waits for a group of the caller, or was made by the caller."""
    from jitid.capabilities.issue.approval_request import is_requester

    requests = [ApprovalStore(snapshot).find(parse_approval_id(id_)) for id_ in ids]
    requester = caller.identity or named_delegator(caller.delegator or caller.name)
    groups = visibility.groups_of(snapshot, caller)
    return bool(requests) and all(
        request is not None
        and (any(group in groups for group in request.groups) or is_requester(snapshot, request, requester))
        for request in requests
    )
