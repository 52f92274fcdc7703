"""Performs the operations on signing keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from jitid.capabilities.trust import operations as ops
from jitid.ledger import seal
from jitid.ledger.signing_keys import KeyStore

if TYPE_CHECKING:
    from jitid.capabilities.trust.rotation import KeyChange
    from jitid.capabilities.trust.ssh_trust import SshRevocations
    from jitid.ledger.view import View
    from jitid.operation.context import Context


def perform(context: Context, operation: ops.AnyOperation) -> object:
    """Perform an operation and return its answer."""
    match operation:
        case ops.RotateKey() | ops.RevokeKey():
            return _change(context, operation)
        case ops.PublishSshRevocations():
            return _ssh_revocations(context)
    with context.ledger.read() as snapshot:
        match operation:
            case ops.ListKeys():
                return _list(snapshot)
            case ops.PublishKeys():
                from jitid.capabilities.trust import rotation

                return rotation.published(snapshot)
            case ops.PublishSshAuthorities():
                from jitid.capabilities.trust import ssh_trust

                return ssh_trust.authorities(snapshot, snapshot.names)
            case _:
                assert_never(operation)


def _change(context: Context, operation: ops.RotateKey | ops.RevokeKey) -> KeyChange:
    from jitid.capabilities.trust import rotation

    names, keyring = context.ledger.names, context.keyring
    with context.ledger.write(accept_clock=operation.accept_clock) as transaction:
        if isinstance(operation, ops.RotateKey):
            change = rotation.rotate(
                transaction, names, keyring, operation.algorithm, operation.use, operation.transit
            )
        else:
            change = rotation.revoke(
                transaction, names, keyring, operation.kid, operation.reason, operation.most
            )
        spent = rotation.spent(transaction)
    # Private keys are deleted only now that the ledger no longer needs them; also keys that a crash left behind.
    for kid in spent:
        keyring.forget(kid)
    if isinstance(operation, ops.RevokeKey):
        change = change._replace(unproved=context.prove_leaks_refused())
    return change


def _ssh_revocations(context: Context) -> SshRevocations:
    from jitid.capabilities.trust import ssh_trust
    from jitid.ledger import expiry

    expiry.try_to_record(context.ledger)
    with context.ledger.read() as snapshot:
        names = snapshot.names
        seal.refuse_if_sealed(snapshot)
        return ssh_trust.revocations(snapshot, names)


def _list(snapshot: View) -> list[ops.KeyRow]:
    """Return all signing keys of the ledger, each with the time until which it is needed."""
    keys = KeyStore(snapshot)
    return [ops.KeyRow(key, keys.latest_expiry_signed_by(key.key)) for key in keys.signing_keys()]
