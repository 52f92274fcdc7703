"""Performs the operations on publications."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitid.capabilities.trust import publication, status_lists
from jitid.capabilities.trust import publication_operations as ops
from jitid.errors import NotFoundError
from jitid.ledger import expiry, seal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jitid.operation.context import Context


def make_publication(context: Context, operation: ops.MakePublication) -> Iterator[publication.Document]:
    """Return the documents that offline verifiers need, in the order in which they must appear."""
    expiry.try_to_record(context.ledger)
    return _documents(context, operation.kids)


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


def make_status_list(context: Context, operation: ops.MakeStatusList) -> str:
    """Return one signed status list."""
    expiry.try_to_record(context.ledger)
    terms = context.terms()
    if terms.publish_url is None:
        raise NotFoundError("no status lists are published", "the setting publish_url says where")
    with context.ledger.read() as snapshot:
        seal.refuse_if_sealed(snapshot)
        return status_lists.status_list(
            snapshot,
            context.keyring,
            terms.publish_url,
            terms.publish_lifetime,
            operation.number,
            operation.algorithm,
        )
