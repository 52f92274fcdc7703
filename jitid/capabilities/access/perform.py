"""Performs the operations on access to an authority."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitid.capabilities.access import authenticate as authentication
from jitid.capabilities.access import grant
from jitid.capabilities.access import login_proof as logins
from jitid.capabilities.access import operations as ops
from jitid.capabilities.access.authenticate import CLOCK_LEEWAY, LONGEST
from jitid.capabilities.access.store import AccessChanges, AccessStore, assertion_digest
from jitid.capabilities.directory.store import DirectoryStore
from jitid.errors import PolicyDeniedError, UnauthenticatedError
from jitid.ledger.idempotency import GRANTED
from jitid.model.access import ASSERTION_LEEWAY
from jitid.values.ids import parse_access_id
from jitid.values.times import expiry_hint

if TYPE_CHECKING:
    from collections.abc import Callable

    from jitid.capabilities.access.grant import AccessEnded, Granted
    from jitid.ledger.transaction import Transaction
    from jitid.ledger.view import View
    from jitid.model.access import Caller, LoginProof
    from jitid.model.ledger_rows import Names
    from jitid.operation.context import Context

_BOOTSTRAPPED = "system:bootstrap"
_LONGEST_ASSERTION_ID = 256
_LONGEST_ASSERTION = 3_600
"""The maximum remaining lifetime of an assertion in seconds: the ledger need not remember its use for longer."""


def grant_access(context: Context, operation: ops.GrantAccess) -> Granted:
    """Give a caller access to the authority."""
    # The configuration is read before the lock, and only if audiences must be checked.
    addresses = context.terms().places if operation.wanted.audiences else ()
    return _made(
        context,
        operation,
        lambda transaction, _again: grant.grant(transaction, operation.wanted, context.caller, addresses),
    )


def rotate_access(context: Context, operation: ops.RotateAccess) -> Granted:
    """Replace an access credential with a new one."""
    return _made(
        context,
        operation,
        lambda transaction, again: grant.rotate(
            transaction, operation.id, operation.ttl, operation.overlap, context.caller, again=again
        ),
    )


def bootstrap_access(context: Context, operation: ops.BootstrapAccess) -> Granted:
    """Make the credential that lets the first administrator in."""
    return _made(context, operation, lambda transaction, _again: grant.bootstrap(transaction, _BOOTSTRAPPED))


def log_in(context: Context, operation: ops.LogIn) -> Granted:
    """Log a person in. Record a denial."""
    return logins.log_in(context, operation)


def find_login(context: Context, operation: ops.FindLogin) -> LoginProof | None:
    """Return the login that a system user has beside the ledger."""
    with context.ledger.read() as snapshot:
        if operation.counts:
            return logins.login_of(snapshot, operation.holder, context.oidc())
        found = AccessStore(snapshot).logins_of(operation.holder, ended=operation.ended)
        return next((row.access.login for row in found), None)


def _made(
    context: Context,
    operation: ops.GrantAccess | ops.RotateAccess | ops.BootstrapAccess,
    make: Callable[[Transaction, bool], Granted],
) -> Granted:
    """Make an access credential, once for an idempotency key. Record a denial.

    The second argument of `make` is whether the request is a repetition.
    """

    def ids(granted: Granted) -> tuple[bytes, bytes]:
        uid = parse_access_id(granted.access.id)
        return uid, uid

    try:
        outcome: Granted = context.once(
            lambda transaction: make(transaction, False),
            GRANTED,
            ids,
            accept_clock=operation.accept_clock,
            remake=lambda transaction: make(transaction, True),
        )
    except PolicyDeniedError as denial:
        with context.ledger.write(accept_clock=operation.accept_clock) as transaction:
            transaction.append("denial", denial.facts)
        raise
    return outcome


def revoke_access(context: Context, operation: ops.RevokeAccess) -> AccessEnded:
    """End access credentials."""
    alone = not context.has_role(ops.RevokeAccess)
    with context.ledger.write(accept_clock=operation.accept_clock) as transaction:
        return grant.revoke(transaction, operation.ids, operation.names, operation.reason, alone=alone)


def list_access(context: Context, operation: ops.ListAccess) -> ops.AccessPage:
    """Return access credentials, the newest first."""
    with context.ledger.read() as snapshot:
        name = None if operation.name is None else DirectoryStore(snapshot).own_name(operation.name)
        credentials = AccessStore(snapshot).some(
            live=operation.live, name=name, after=operation.after, limit=operation.limit
        )
        return ops.AccessPage(credentials, snapshot.now)


def authenticate(context: Context, operation: ops.Authenticate) -> Caller:
    """Return the caller that an access token authenticates."""
    with context.ledger.read() as snapshot:
        return authentication.authenticate(
            snapshot, context.ledger.names, operation.bearer, operation.client, context.oidc
        )


def find_client_keys(context: Context, operation: ops.FindClientKeys) -> list[ops.ClientKey]:
    """Return the valid keys of a client."""
    with context.ledger.read() as snapshot:
        return [
            ops.ClientKey(presented.access.id, str(presented.access.public))
            for presented in AccessStore(snapshot).keys_of(operation.client)
        ]


def use_assertion(context: Context, operation: ops.UseAssertion) -> Caller:
    """Return the caller that has signed an assertion, which is accepted once."""
    parse_access_id(operation.id)
    if not 0 < len(operation.jti) <= _LONGEST_ASSERTION_ID:
        raise UnauthenticatedError(
            f"the assertion's `jti` must have 1 to {_LONGEST_ASSERTION_ID} characters; nothing was done"
        )
    with context.ledger.write() as transaction:
        presented = next(iter(AccessChanges(transaction).keys_of(operation.id)), None)
        if presented is None:
            raise UnauthenticatedError("the client's key is unknown, expired or revoked; nothing was done")
        caller = authentication.caller_of(transaction, presented)
        if operation.expires_at > transaction.now + _LONGEST_ASSERTION:
            raise UnauthenticatedError("the assertion's `exp` is too far in the future; nothing was done")
        if operation.expires_at + ASSERTION_LEEWAY < transaction.now:
            # By the ledger's clock, which is ahead of the authority's, the mark of a use may be deleted already.
            raise UnauthenticatedError(
                "the assertion has expired by the ledger's clock; nothing was done",
                expiry_hint(operation.expires_at, "correct the authority's clock"),
            )
        _must_follow(transaction, context.ledger.names, operation, caller)
        # The mark names the client, not the key: a key may be registered twice.
        if not AccessChanges(transaction).use_assertion(caller.name, operation.jti, operation.expires_at):
            raise UnauthenticatedError(
                "the assertion was used before, and is accepted once; nothing was done"
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
            "the assertion is too old: the client was disabled, the ledger was restored or its clock was set back "
            "since; nothing was done",
            "sign a new assertion",
        )
