"""Performs the operations on the X.509 authority of a ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitid.capabilities.trust import certificate_operations as ops
from jitid.capabilities.trust import x509_authority
from jitid.ledger import expiry, seal

if TYPE_CHECKING:
    from jitid.operation.context import Context


def request_authority(context: Context, operation: ops.RequestAuthority) -> x509_authority.Requested:
    """Make a key, and return the request for its certificate."""
    with context.ledger.write(accept_clock=operation.accept_clock) as transaction:
        return x509_authority.request_certificate(transaction, context.ledger.names, context.keyring)


def import_authority(context: Context, operation: ops.ImportAuthority) -> x509_authority.Imported:
    """Record the certificate of a waiting key, which certifies from now on."""
    with context.ledger.write(accept_clock=operation.accept_clock) as transaction:
        return x509_authority.import_certificate(transaction, context.keyring, operation.chain)


def publish_bundle(context: Context, operation: ops.PublishBundle) -> x509_authority.Bundle:  # noqa: ARG001
    """Return the keys that verifiers of SVIDs trust."""
    with context.ledger.read() as snapshot:
        return x509_authority.bundle(snapshot, context.ledger.names)


def publish_revocations(
    context: Context, operation: ops.PublishRevocations
) -> list[x509_authority.RevocationList]:
    """Return a signed list of revoked certificates for each authority."""
    lifetime = x509_authority.LIFETIME if operation.lifetime is None else operation.lifetime
    expiry.try_to_record(context.ledger)
    with context.ledger.read() as snapshot:
        seal.refuse_if_sealed(snapshot)
        return x509_authority.revocation_lists(snapshot, context.keyring, lifetime)
