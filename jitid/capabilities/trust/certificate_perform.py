"""Performs the operations on the X.509 authority of a ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from jitid.capabilities.trust import certificate_operations as ops
from jitid.capabilities.trust import x509_authority
from jitid.ledger import expiry, seal

if TYPE_CHECKING:
    from jitid.operation.context import Context


def perform(context: Context, operation: ops.AnyOperation) -> object:
    """Perform an operation and return its answer."""
    ledger, keyring = context.ledger, context.keyring
    match operation:
        case ops.RequestAuthority(accept_clock=accept_clock):
            with ledger.write(accept_clock=accept_clock) as transaction:
                return x509_authority.request_certificate(transaction, ledger.names, keyring)
        case ops.ImportAuthority(chain=chain, accept_clock=accept_clock):
            with ledger.write(accept_clock=accept_clock) as transaction:
                return x509_authority.import_certificate(transaction, keyring, chain)
        case ops.PublishBundle():
            with ledger.read() as snapshot:
                return x509_authority.bundle(snapshot, ledger.names)
        case ops.PublishRevocations(lifetime=lifetime):
            expiry.try_to_record(ledger)
            with ledger.read() as snapshot:
                seal.refuse_if_sealed(snapshot)
                return x509_authority.revocation_lists(
                    snapshot, keyring, x509_authority.LIFETIME if lifetime is None else lifetime
                )
        case _:
            assert_never(operation)
