"""Performs the operations on publications."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, assert_never

from jitid.capabilities.trust import publication, status_lists
from jitid.capabilities.trust import publication_operations as ops
from jitid.errors import NotFoundError
from jitid.ledger import expiry, seal

if TYPE_CHECKING:
    from jitid.operation.context import Context


def perform(context: Context, operation: ops.AnyOperation) -> object:
    """Perform an operation and return its answer."""
    expiry.try_to_record(context.ledger)
    match operation:
        case ops.MakePublication(kids=kids):
            return _documents(context, kids)
        case ops.MakeStatusList(number=number, algorithm=algorithm):
            terms = context.terms()
            if terms.publish_url is None:
                raise NotFoundError("no status lists are published", "the setting publish_url says where")
            with context.ledger.read() as snapshot:
                seal.refuse_if_sealed(snapshot)
                return status_lists.status_list(
                    snapshot, context.keyring, terms.publish_url, terms.publish_lifetime, number, algorithm
                )
        case _:
            assert_never(operation)


def _documents(context: Context, kids: tuple[str, ...]) -> Iterator[publication.Document]:
    terms = context.terms()
    with context.ledger.read() as snapshot:
        seal.refuse_if_sealed(snapshot)
        yield from publication.documents(
            snapshot,
            context.ledger.names,
            context.keyring,
            url=terms.publish_url,
            lifetime=terms.publish_lifetime,
            kids=kids,
        )
