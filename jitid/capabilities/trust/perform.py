"""Performs the operations on signing keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jitid.capabilities.trust import operations as ops
from jitid.ledger import expiry, seal
from jitid.ledger.signing_keys import KeyStore

if TYPE_CHECKING:
    from jitid.capabilities.trust.rotation import KeyChange
    from jitid.capabilities.trust.ssh_trust import SshAuthority, SshRevocations
    from jitid.operation.context import Context

# Performers of operations without fields have the parameter all the same.
# ruff: noqa: ARG001


def list_keys(context: Context, operation: ops.ListKeys) -> list[ops.KeyRow]:
    """Return all signing keys of the ledger, each with the time until which it is needed."""
    with context.ledger.read() as snapshot:
        keys = KeyStore(snapshot)
        return [ops.KeyRow(key, keys.latest_expiry_signed_by(key.key)) for key in keys.signing_keys()]


def rotate_key(context: Context, operation: ops.RotateKey) -> KeyChange:
    """Make a new key, which signs from now on."""
    from jitid.capabilities.trust import rotation

    names, keyring = context.ledger.names, context.keyring
    with context.ledger.write(accept_clock=operation.accept_clock) as transaction:
        change = rotation.rotate(
            transaction,
            names,
            keyring,
            operation.algorithm,
            operation.use,
            operation.transit,
        )
        spent = rotation.spent(transaction)
    _forget(context, spent)
    return change


def revoke_key(context: Context, operation: ops.RevokeKey) -> KeyChange:
    """End a leaked key with all that it signed."""
    from jitid.capabilities.trust import rotation

    names, keyring = context.ledger.names, context.keyring
    with context.ledger.write(accept_clock=operation.accept_clock) as transaction:
        change = rotation.revoke(
            transaction,
            names,
            keyring,
            operation.kid,
            operation.reason,
            operation.most,
        )
        spent = rotation.spent(transaction)
    _forget(context, spent)
    return change._replace(unproved=context.prove_leaks_refused())


def _forget(context: Context, kids: list[str]) -> None:
    """Delete private keys once the ledger no longer needs them; also keys that a crash left behind."""
    for kid in kids:
        context.keyring.forget(kid)


def publish_keys(context: Context, operation: ops.PublishKeys) -> dict[str, Any]:
    """Return the JWKS that verifiers need."""
    from jitid.capabilities.trust import rotation

    with context.ledger.read() as snapshot:
        return rotation.published(snapshot)


def publish_ssh_authorities(context: Context, operation: ops.PublishSshAuthorities) -> list[SshAuthority]:
    """Return the keys whose certificates SSH hosts accept."""
    from jitid.capabilities.trust import ssh_trust

    with context.ledger.read() as snapshot:
        return ssh_trust.authorities(snapshot, snapshot.names)


def publish_ssh_revocations(context: Context, operation: ops.PublishSshRevocations) -> SshRevocations:
    """Return the key revocation list that SSH hosts read."""
    from jitid.capabilities.trust import ssh_trust

    expiry.try_to_record(context.ledger)
    with context.ledger.read() as snapshot:
        seal.refuse_if_sealed(snapshot)
        return ssh_trust.revocations(snapshot, snapshot.names)
