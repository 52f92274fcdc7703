"""Performs the operations on access to an authority."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from jitid.capabilities.access import authenticate, grant
from jitid.capabilities.access import operations as ops
from jitid.capabilities.access.assertion import CLOCK_LEEWAY, LONGEST
from jitid.capabilities.access.store import AccessChanges, AccessStore, assertion_digest
from jitid.capabilities.directory.store import DirectoryStore
from jitid.errors import PolicyDeniedError, UnauthenticatedError
from jitid.ledger.idempotency import GRANTED
from jitid.model.access import ASSERTION_LEEWAY
from jitid.values.ids import parse_access_id
from jitid.values.times import expiry_hint

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jitid.ledger.transaction import Transaction
    from jitid.ledger.view import View
    from jitid.model.caller import Caller
    from jitid.model.ledger_rows import Names
    from jitid.operation.context import Context

_BOOTSTRAPPED = "system:bootstrap"
_LONGEST_ASSERTION_ID = 256
_LONGEST_ASSERTION = 3_600
"""The maximum remaining lifetime of an assertion in seconds: the ledger need not remember its use for longer."""


def perform(context: Context, operation: ops.AnyOperation) -> object:
    """Perform an operation on access."""
    match operation:
        case ops.GrantAccess() | ops.RotateAccess() | ops.BootstrapAccess():
            return _make(context, operation)
        case ops.RevokeAccess():
            alone = not context.has_role(ops.RevokeAccess)
            with context.ledger.write(accept_clock=operation.accept_clock) as transaction:
                return grant.revoke(
                    transaction, operation.ids, operation.names, operation.reason, alone=alone
                )
        case ops.ListAccess():
            with context.ledger.read() as snapshot:
                name = None if operation.name is None else DirectoryStore(snapshot).own_name(operation.name)
                credentials = AccessStore(snapshot).some(
                    live=operation.live, name=name, after=operation.after, limit=operation.limit
                )
                return ops.AccessPage(credentials, snapshot.now)
        case ops.Authenticate():
            with context.ledger.read() as snapshot:
                return authenticate.authenticate(
                    snapshot, context.ledger.names, operation.bearer, operation.client
                )
        case ops.FindClientKeys():
            with context.ledger.read() as snapshot:
                client_keys = AccessStore(snapshot).keys_of(operation.client)
                return [
                    ops.ClientKey(presented.access.id, str(presented.access.public))
                    for presented in client_keys
                ]
        case ops.UseAssertion():
            return _use_assertion(context, operation)
        case _:
            assert_never(operation)


def _make(
    context: Context, operation: ops.GrantAccess | ops.RotateAccess | ops.BootstrapAccess
) -> grant.Granted:
    def ids(granted: grant.Granted) -> tuple[bytes, bytes]:
        uid = parse_access_id(granted.access.id)
        return uid, uid

    # The configuration is read before the lock, and only if audiences must be checked.
    about_audiences = isinstance(operation, ops.GrantAccess) and operation.wanted.audiences
    addresses = context.terms().places if about_audiences else ()
    try:
        outcome: grant.Granted = context.once(
            lambda transaction: _made(transaction, operation, context.caller, addresses),
            GRANTED,
            ids,
            accept_clock=operation.accept_clock,
            remake=lambda transaction: _made(transaction, operation, context.caller, addresses, again=True),
        )
    except PolicyDeniedError as denial:
        with context.ledger.write(accept_clock=operation.accept_clock) as transaction:
            transaction.append("denial", denial.facts)
        raise
    return outcome


def _made(
    transaction: Transaction,
    operation: ops.GrantAccess | ops.RotateAccess | ops.BootstrapAccess,
    caller: Caller | None,
    addresses: Sequence[str],
    *,
    again: bool = False,
) -> grant.Granted:
    match operation:
        case ops.GrantAccess(wanted=request):
            return grant.grant(transaction, request, caller, addresses)
        case ops.RotateAccess(id=id_, ttl=ttl, overlap=overlap):
            return grant.rotate(transaction, id_, ttl, overlap, caller, again=again)
        case ops.BootstrapAccess():
            return grant.bootstrap(transaction, _BOOTSTRAPPED)
        case _:
            assert_never(operation)


def _use_assertion(context: Context, operation: ops.UseAssertion) -> Caller:
    parse_access_id(operation.id)
    if not 0 < len(operation.jti) <= _LONGEST_ASSERTION_ID:
        raise UnauthenticatedError(
            f"the id of a client's assertion has 1 to {_LONGEST_ASSERTION_ID} characters; nothing was done"
        )
    with context.ledger.write() as transaction:
        presented = next(iter(AccessChanges(transaction).keys_of(operation.id)), None)
        if presented is None:
            raise UnauthenticatedError("the client's key is unknown, expired or ended; nothing was done")
        caller = authenticate.caller_of(transaction, presented)
        if operation.expires_at > transaction.now + _LONGEST_ASSERTION:
            raise UnauthenticatedError("the client's assertion is to live too long; nothing was done")
        if operation.expires_at + ASSERTION_LEEWAY < transaction.now:
            # By the ledger's clock, which is ahead of the authority's, the mark of a use may be deleted already.
            raise UnauthenticatedError(
                "the client's assertion has expired by the ledger's clock; nothing was done",
                expiry_hint(operation.expires_at, "set the authority's clock right"),
            )
        _must_follow(transaction, context.ledger.names, operation, caller)
        # The mark names the client, not the key: a key may be registered twice.
        if not AccessChanges(transaction).use_assertion(caller.name, operation.jti, operation.expires_at):
            raise UnauthenticatedError(
                "the client's assertion was used before, and counts once; nothing was done"
            )
        digest = assertion_digest(caller.name, operation.jti, operation.expires_at)
        transaction.append(
            "assertion", {"client": caller.name, "assertion": digest, "until": operation.expires_at}
        )
    return caller


def _must_follow(snapshot: View, names: Names, operation: ops.UseAssertion, caller: Caller) -> None:
    """Refuse an assertion older than the client's last disabling, a restore of the ledger, or a clock set back.

    A restored ledger lacks the marks of uses since the backup. A ledger whose clock was ahead has deleted the marks of
    assertions that had expired by that clock. Raises UnauthenticatedError.
    """
    person = DirectoryStore(snapshot).find_delegator(caller.name)
    floors = [names.restored_at, None if person is None else person.disabled_last]
    # Without a signing time, the assertion counts from its earliest possible use (`assertion.check`).
    longest = LONGEST + CLOCK_LEEWAY
    signed_at = operation.expires_at - longest if operation.issued_at is None else operation.issued_at
    if any(floor is not None and signed_at <= floor for floor in floors):
        raise UnauthenticatedError(
            "the client's assertion is from before it was disabled, the ledger was restored or its clock was set back; "
            "nothing was done",
            "sign a new one",
        )
