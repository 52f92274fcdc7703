"""Performs the operations on signing keys, the X.509 authority of a ledger, and publications."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from jitid.capabilities.trust import operations as ops
from jitid.capabilities.trust import publication, status_lists, x509_authority
from jitid.errors import JitidError, NotFoundError
from jitid.ledger import contract, expiry
from jitid.ledger.signing_keys import KeyStore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jitid.capabilities.trust.publication import SshAuthority, SshRevocations
    from jitid.capabilities.trust.rotation import KeyChange
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

    with context.ledger.write(accept_clock=operation.accept_clock) as transaction:
        change = rotation.rotate(
            transaction,
            context.ledger.names,
            context.keyring,
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

    with context.ledger.write(accept_clock=operation.accept_clock) as transaction:
        change = rotation.revoke(
            transaction,
            context.ledger.names,
            context.keyring,
            operation.kid,
            operation.reason,
            operation.most,
        )
        spent = rotation.spent(transaction)
    if change.successor is None and context.keyring.elsewhere(operation.kid) is not None:
        # The file has no secret. The next key of that algorithm is kept in the same place: see `rotate`.
        spent = [kid for kid in spent if kid != operation.kid]
    _forget(context, spent)
    return change._replace(unproved=context.prove_leaks_refused())


def _forget(context: Context, kids: list[str]) -> None:
    """Delete private keys once the ledger no longer needs them; also keys that a crash left behind."""
    for kid in kids:
        context.keyring.forget(kid)


def list_algorithms(context: Context, operation: ops.ListAlgorithms) -> list[ops.AlgorithmRow]:
    """Return the signature algorithm of each audience that has its own, and of all others."""
    from jitid.capabilities.trust import algorithms

    terms = context.terms()
    with context.ledger.read() as snapshot:
        return algorithms.rows(snapshot.names, terms.algorithms)


def set_algorithm(context: Context, operation: ops.SetAlgorithm) -> ops.AlgorithmChange:
    """Record the signature algorithm of later service tokens."""
    from jitid.capabilities.trust import algorithms

    with context.ledger.write(accept_clock=operation.accept_clock) as transaction:
        return algorithms.change(transaction, operation.algorithm)


def publish_keys(context: Context, operation: ops.PublishKeys) -> dict[str, Any]:
    """Return the JWKS that verifiers need."""
    from jitid.capabilities.trust import rotation

    with context.ledger.read() as snapshot:
        return rotation.published(snapshot, operation.algorithm)


def publish_ssh_authorities(context: Context, operation: ops.PublishSshAuthorities) -> list[SshAuthority]:
    """Return the keys whose certificates SSH hosts accept."""
    from jitid.capabilities.trust import publication

    with context.ledger.read() as snapshot:
        return publication.authorities(snapshot, snapshot.names)


def publish_ssh_revocations(context: Context, operation: ops.PublishSshRevocations) -> SshRevocations:
    """Return the key revocation list that SSH hosts read."""
    from jitid.capabilities.trust import publication

    expiry.try_to_record(context.ledger)
    with context.ledger.read() as snapshot:
        contract.refuse_if_sealed(snapshot)
        return publication.revocations(snapshot, snapshot.names)


def request_authority(context: Context, operation: ops.RequestAuthority) -> x509_authority.Requested:
    """Make a key, and return the request for its certificate."""
    with context.ledger.write(accept_clock=operation.accept_clock) as transaction:
        return x509_authority.request_certificate(transaction, context.ledger.names, context.keyring)


def import_authority(context: Context, operation: ops.ImportAuthority) -> x509_authority.Imported:
    """Record the certificate of a waiting key, which certifies from now on."""
    with context.ledger.write(accept_clock=operation.accept_clock) as transaction:
        return x509_authority.import_certificate(transaction, context.keyring, operation.chain)


def publish_bundle(context: Context, operation: ops.PublishBundle) -> x509_authority.Bundle:
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
        contract.refuse_if_sealed(snapshot)
        return x509_authority.revocation_lists(snapshot, context.keyring, lifetime)


def make_publication(context: Context, operation: ops.MakePublication) -> Iterator[publication.Document]:
    """Return the documents that offline verifiers need, in the order in which they must appear."""
    expiry.try_to_record(context.ledger)
    if context.terms().publish_url is not None:
        _make_list_keys(context)
    return _documents(context, operation.kids)


def _make_list_keys(context: Context) -> None:
    """Make the keys that this machine never had, and needs to sign each status list that live tokens may name.

    Without one of them, the lists of that algorithm cannot be signed, which their signer reports.
    """
    from jitid.capabilities.trust.signing import make_key

    with context.ledger.read() as snapshot:
        contract.refuse_if_sealed(snapshot)
        lacking = status_lists.lacking(snapshot, context.keyring)
    for algorithm in lacking:
        with suppress(JitidError):
            make_key(context.ledger, context.keyring, algorithm)


def _documents(context: Context, kids: tuple[str, ...]) -> Iterator[publication.Document]:
    terms = context.terms()
    with context.ledger.read() as snapshot:
        contract.refuse_if_sealed(snapshot)
        yield from publication.documents(snapshot, context.ledger.names, context.keyring, terms, kids)


def make_status_list(context: Context, operation: ops.MakeStatusList) -> str:
    """Return one signed status list."""
    expiry.try_to_record(context.ledger)
    terms = context.terms()
    if terms.publish_url is None:
        raise NotFoundError("no status lists are published", "to publish them, set publish_url")
    _make_list_keys(context)
    with context.ledger.read() as snapshot:
        contract.refuse_if_sealed(snapshot)
        return status_lists.status_list(
            snapshot,
            context.keyring,
            terms.publish_url,
            terms.publish_lifetime,
            operation.number,
            operation.algorithm,
        )
