"""The permissions of callers: roles, rights to their own objects, and the use of each token in an operation.

An operation that declares no callers is refused.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import nullcontext
from enum import StrEnum
from functools import lru_cache
from types import UnionType
from typing import TYPE_CHECKING, Any, Union, cast, get_args, get_origin

from jitid.authority.operation_act import act_of
from jitid.authority.wire.codec import fields_of
from jitid.capabilities.access import operations as access
from jitid.capabilities.access.authenticate import must_hold
from jitid.capabilities.directory import ownership
from jitid.capabilities.identity import operations as identity_operations
from jitid.capabilities.identity import recognise_token
from jitid.capabilities.identity.store import CredentialStore
from jitid.capabilities.inventory import operations as inventory_operations
from jitid.capabilities.inventory import task_sharing
from jitid.capabilities.issue import approval_operations as approvals
from jitid.capabilities.issue import operations as issue_operations
from jitid.capabilities.issue.approval_store import ApprovalStore
from jitid.capabilities.targets import operations as targets
from jitid.capabilities.trust import operations as certificates
from jitid.errors import InvalidCredentialError, RefusedError, ShownError
from jitid.model.access import BOOTSTRAP
from jitid.model.ledger_rows import Selection
from jitid.model.request import named as named_delegator
from jitid.operation import base as ops
from jitid.operation import reach
from jitid.values import audience
from jitid.values.declaration import Declared
from jitid.values.ids import parse_approval_id, parse_id
from jitid.values.secret import Secret
from jitid.values.text import label, quote
from jitid.values.times import format_duration

if TYPE_CHECKING:
    from jitid.capabilities.issue.token_operations import Exchange
    from jitid.ledger.contract import Look
    from jitid.ledger.transaction import Transaction
    from jitid.ledger.view import View
    from jitid.model.access import Caller
    from jitid.model.credential import Credential
    from jitid.model.ledger_rows import Names
    from jitid.operation.base import Operation


class TokenRight(StrEnum):
    """The use of a token by an operation."""

    RIGHT = "right"
    """The token authorizes the request: it must be one for the authority."""
    EXCHANGED = "exchanged"
    """The token authorizes the request, or its `may_act` claim lets the caller exchange it."""
    SHOWN = "shown"
    """The token is inspected or revoked: it gives the caller no right."""
    PROOF = "proof"
    """The token is a proof from another issuer."""


USES: Mapping[str, TokenRight] = {
    "Issue.requests.parent": TokenRight.RIGHT,
    "Issue.delegator_token": TokenRight.PROOF,
    "Renew.request.token": TokenRight.RIGHT,
    # This reactivates the predecessor, so the predecessor's token alone gives no right to it.
    "AbandonRenewal.token": TokenRight.RIGHT,
    "Attach.request.token": TokenRight.RIGHT,
    "HandBack.token": TokenRight.RIGHT,
    "RecordSession.token": TokenRight.RIGHT,
    "Exchange.request.parent": TokenRight.RIGHT,
    "Exchange.subject": TokenRight.EXCHANGED,
    "Exchange.actor": TokenRight.RIGHT,
    "Authenticate.bearer": TokenRight.RIGHT,
    "Verify.token": TokenRight.SHOWN,
    "Inspect.token": TokenRight.SHOWN,
    "Explain.token": TokenRight.SHOWN,
    "Introspect.token": TokenRight.SHOWN,
    "Authorize.asked.token": TokenRight.SHOWN,
    # Revoking gives no access: a finder of a token may revoke it with that token, if the guard allows it.
    "Revoke.tokens": TokenRight.SHOWN,
    "RevokeToken.token": TokenRight.SHOWN,
    "GrantApproval.approver_token": TokenRight.PROOF,
    "DenyApproval.approver_token": TokenRight.PROOF,
    "LogIn.token": TokenRight.PROOF,
}
"""Uses by operation and field. An operation with a token that is not listed here is refused."""


@lru_cache(maxsize=256)
def tokens_of(kind: type) -> tuple[str, ...]:
    """Return the token fields of an operation, also in its nested records: `Issue.requests.parent`."""
    return tuple(dict.fromkeys(f"{kind.__name__}.{path}" for path in _paths(kind, ())))


def check(look: Look, caller: Caller, operation: Operation[Any]) -> None:
    """Refuse an operation that uses a token as a right if that token was merely shown to the caller.

    Raises:
        ShownError: a token in it is for services.
        RefusedError: `USES` does not declare the use of a token in it.

    """
    rights: list[tuple[TokenRight, Secret]] = []
    for path in tokens_of(cast("type", type(operation))):
        use = USES.get(path)
        if use is None:
            raise RefusedError(f"the use of the token at {path} is not declared")
        if use in (TokenRight.RIGHT, TokenRight.EXCHANGED):
            rights += [(use, token) for token in _at(operation, path.split(".")[1:])]
    if not rights:
        return
    seen: set[str] = set()
    with look() as snapshot:
        for use, token in rights:
            text = token.reveal()
            if text in seen:
                continue
            seen.add(text)
            try:
                credential = recognise_token.recognise(snapshot, snapshot.names, text)
            except InvalidCredentialError:
                credential = None
            if credential is None or credential.token_use is None:
                # The operation itself reports an invalid token. A credential that is not a token gives no right.
                continue
            if credential.names_authority(snapshot.names.accepted(snapshot.now)):
                continue
            if use is TokenRight.EXCHANGED:
                must_permit_exchange(caller, credential, operation)  # type: ignore[arg-type] # no other operation has such a field
            else:
                raise reach.merely_shown(credential)


def must_permit_exchange(caller: Caller, credential: Credential, operation: Exchange) -> None:
    """Refuse to exchange a token for services unless its audience and `may_act` name the caller (RFC 8693, 4.4).

    Raises:
        ShownError: they do not name the caller, or do not allow the requested audiences.

    """
    if not caller.may_exchange(credential.audiences):
        raise reach.merely_shown(credential)
    actor = reach.actor_of(credential.may_act)
    if actor.get("sub") != caller.name:
        raise ShownError(
            f"the token does not let {label(caller.name)} exchange it; nothing was changed",
            f"issue a token that allows it: --may-act {caller.name}=AUDIENCE",
        )
    beyond = audience.uncovered(actor["audience"], operation.request.audiences)
    if beyond:
        raise ShownError(
            f"the token does not let {label(caller.name)} reach {', '.join(map(quote, beyond[:5]))}; "
            "nothing was changed",
            f"allowed audiences: {', '.join(map(quote, actor['audience'][:5]))}",
        )


def _at(value: object, path: Collection[str]) -> Iterator[Secret]:
    """Yield the tokens at a path below a value."""
    if isinstance(value, (tuple, list)) and not hasattr(value, "_fields"):
        for item in value:
            yield from _at(item, path)
    elif isinstance(value, Secret):
        yield value
    elif value is not None and path:
        name, *rest = path
        yield from _at(getattr(value, name), rest)


def _paths(kind: Any, above: tuple[type, ...]) -> Iterator[str]:  # noqa: ANN401 - types have no common type
    """Yield the paths of tokens in a record and in its nested records."""
    for name, field in fields_of(kind).items():
        for field_type in _types(field.kind):
            if field_type is Secret:
                yield name
            elif (
                isinstance(field_type, type)
                and field_type not in above
                and (issubclass(field_type, Declared) or hasattr(field_type, "_fields"))
            ):
                yield from (f"{name}.{path}" for path in _paths(field_type, (*above, field_type)))


def _types(hint: Any) -> Iterator[Any]:  # noqa: ANN401 - types have no common type
    """Yield the types that a value, or an item in it, can have."""
    if get_origin(hint) in (Union, UnionType) or get_args(hint):
        for argument in get_args(hint):
            yield from _types(argument)
    else:
        yield hint


def allowed(look: Look, caller: Caller, operation: ops.Operation[ops.Result]) -> ops.Operation[ops.Result]:
    """Return the operation that a caller may perform: without a role, narrowed to the caller's own objects.

    Raises:
        RefusedError: the caller may not perform it.

    """
    if caller.roles is None:
        return task_sharing.resolved(look, operation)
    must_have_duty(caller, type(operation))
    _must_prove(caller, operation)
    check(look, caller, operation)
    if getattr(operation, "accept_clock", False) and "admin" not in caller.roles:
        # All callers share the time mark: moving it can expire the credentials of others.
        raise _refusal(caller, ("admin",), "accept a clock that jumped", changes=True)
    _must_not_last(caller, operation)
    has_role = not caller.roles.isdisjoint(operation.roles)
    names_task = operation.names_task()
    if (operation.for_anybody or has_role) and not names_task:
        return operation
    if has_role or operation.for_own:
        with look() as snapshot:
            if names_task:
                operation = task_sharing.with_tasks(snapshot, operation, caller, all_=has_role)
            if has_role or _is_own(snapshot, snapshot.names, caller, operation):
                return operation
            narrowed = _narrowed(snapshot, caller, operation)
        if narrowed is not None:
            return narrowed
    raise _refusal(caller, operation.roles, act_of(type(operation)), changes=not operation.is_reading)


def must_have_duty(caller: Caller, kind: type[ops.Operation[Any]]) -> None:
    """Refuse a caller that may not request this kind of operation, with any arguments.

    Raises:
        RefusedError: the caller lacks a role for it, and it is not available for the caller's own objects.

    """
    if caller.roles is None:
        return
    spends = BOOTSTRAP in caller.roles and BOOTSTRAP not in kind.roles
    if spends or not (kind.for_anybody or kind.for_own or not caller.roles.isdisjoint(kind.roles)):
        raise _refusal(caller, kind.roles, act_of(kind), changes=kind.effect != ops.READS)


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
                "the objects of this request have changed meanwhile; nothing was changed",
                "check them again, then repeat the command",
            )


_SET_BY_AUTHORITY = (
    "proved_delegator",
    "proved_subject",
    "proved_at",
    "proved_actor",
    "proved_credential",
    "proved_login",
    "exchanged",
)
"""Fields of a request that only the authority may set."""


def _must_prove(caller: Caller, operation: ops.Operation[Any]) -> None:
    """Refuse a request that sets the result of a token check: only the authority verifies tokens."""
    requests = getattr(operation, "requests", None) or (getattr(operation, "request", None),)
    if any(getattr(request, name, None) for request in requests for name in _SET_BY_AUTHORITY):
        raise RefusedError(
            f"{label(caller.name)} may not set the result of a token check; nothing was changed",
            "pass the token itself: the authority verifies it",
        )


def _must_not_last(caller: Caller, operation: ops.Operation[Any]) -> None:
    """Refuse a revocation list with more than the usual lifetime: it hides later revocations for that long.

    An admin may request it.
    """
    if not isinstance(operation, certificates.PublishRevocations) or operation.lifetime is None:
        return
    from jitid.capabilities.trust.x509_authority import LIFETIME

    if operation.lifetime > LIFETIME and "admin" not in (caller.roles or ()):
        act = f"sign a revocation list that is valid for more than {format_duration(LIFETIME)}"
        raise _refusal(caller, ("admin",), act, changes=False)


def has_role(caller: Caller | None, kind: type[ops.Operation[Any]]) -> bool:
    """Return whether a caller has a role for an operation; without one it may request only its own objects."""
    return caller is None or caller.roles is None or not caller.roles.isdisjoint(kind.roles)


def _refusal(caller: Caller, roles: Collection[str], act: str, *, changes: bool) -> RefusedError:
    unchanged = "; nothing was changed" if changes else ""
    # The bootstrap credential has no right but its own, even to the operations of every caller.
    needed = sorted(roles or ({"admin"} if BOOTSTRAP in (caller.roles or ()) else ()))
    if not needed:
        return RefusedError(
            f"permission denied: no role allows {label(caller.name)} to {act}{unchanged}",
            "only the authority may do it, or the owner of the object, such as the holder of a credential",
        )
    held_roles = ", ".join(sorted(caller.roles or ())) or "none"
    return RefusedError(
        f"permission denied: {label(caller.name)} needs the role {_either(needed)} to {act}{unchanged}",
        f"the roles of this caller: {held_roles}; an admin grants roles: jitid access grant",
    )


def _either(roles: Sequence[str]) -> str:
    *others, last = [f"`{role}`" for role in roles]
    return f"{', '.join(others)} or {last}" if others else last


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
            return (event is None or task_sharing.requested_by(snapshot, caller, event)) and all(
                _was_issued(snapshot, caller, id_) or task_sharing.is_under(snapshot, caller, id_)
                for id_ in ids
            )
        case inventory_operations.Retire(task=task):
            return task_sharing.may_retire(snapshot, caller, task)
        case inventory_operations.ShareTask(task=task) | inventory_operations.GiveTask(task=task):
            return task_sharing.owns(snapshot, caller, task)
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
        groups = ownership.groups_of(snapshot, caller)
        return operation.replace(within=groups) if groups else None
    return task_sharing.narrowed(snapshot, caller, operation)


def _may_look_at(snapshot: View, names: Names, caller: Caller, token: Secret) -> bool:
    """Return whether a token descends from the caller, is the caller's own, or was issued at the caller's request."""
    try:
        # Compare identities: the token may have been renewed between two reads of its file.
        identity = recognise_token.recognise(snapshot, names, token.reveal(), shown=True).id
    except InvalidCredentialError:
        return False
    return task_sharing.is_under(snapshot, caller, identity) or _was_issued(snapshot, caller, identity)


def _may_end(snapshot: View, names: Names, caller: Caller, token: Secret) -> bool:
    """Return whether the caller may revoke the credential of a token (RFC 7009, section 2.1).

    A recipient to which the token was merely shown may not.
    """
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
    credential = ownership.held_by(snapshot, caller)
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
    return first_credential is not None and task_sharing.requested_by(
        snapshot, caller, first_credential.event
    )


def _concerns(snapshot: View, caller: Caller, ids: tuple[str, ...]) -> bool:
    """Return whether each approval request waits for a group of the caller, or was made by the caller."""
    from jitid.capabilities.issue.approval_request import is_requester

    requests = [ApprovalStore(snapshot).find(parse_approval_id(id_)) for id_ in ids]
    requester = caller.identity or named_delegator(caller.delegator or caller.name)
    groups = ownership.groups_of(snapshot, caller)
    return bool(requests) and all(
        request is not None
        and (any(group in groups for group in request.groups) or is_requester(snapshot, request, requester))
        for request in requests
    )
