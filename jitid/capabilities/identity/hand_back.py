"""Handing back: the holder of a credential ends its own identity or one below it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from jitid.capabilities.identity import introspection, revocation
from jitid.capabilities.identity.revocation import Ended
from jitid.capabilities.identity.store import CredentialStore
from jitid.errors import PolicyDeniedError
from jitid.model.credential import Credential
from jitid.model.ledger_rows import Names, Selection
from jitid.values.ids import parse_id

if TYPE_CHECKING:
    from jitid.ledger.transaction import Transaction
    from jitid.ledger.view import View

RULE = "own-subtree"
"""The rule that refuses to end an identity that is not below the holder's."""


class HandedBack(NamedTuple):
    """The outcome of handing back."""

    id: str
    """The id of the identity, even if the request named a credential."""
    ended: Ended


def hand_back(
    transaction: Transaction, names: Names, token: str, named: str, reason: str | None
) -> HandedBack:
    """End the identity that the id `named` means, with all below it, for the holder of `token`.

    Raises:
        UsageError: `named` is not an id.
        InvalidCredentialError: the token is not valid.
        PolicyDeniedError: the identity is neither the holder's own nor below it, or does not exist.

    """
    parse_id(named)
    own = introspection.verify(transaction, names, token, None).credential
    found = _found(transaction, named)
    if found is None or not _is_below(transaction, found, own):
        # The refusal does not reveal whether the ledger has the identity.
        refused = f"rule `{RULE}`: {named} is neither {own.id} nor an identity that descends from it"
        raise PolicyDeniedError(
            f"denied: {refused}; nothing was changed",
            "only what was delegated from one's own credential can be handed back, and that itself",
            {
                "hand_back": named,
                "holder": own.id,
                "task": own.task,
                "opener": None if own.task_opener == own.delegator else own.task_opener,
                "agent": own.agent,
                "delegator": own.delegator,
                "rules": [RULE],
                "reason": refused,
            },
        )
    ended = revocation.revoke(transaction, Selection(ids=(found.id,)), reason, None, {"holder": own.id})
    return HandedBack(found.id, ended)


def _found(snapshot: View, named: str) -> Credential | None:
    found = CredentialStore(snapshot).find_given([named], [])
    return found[0] if found else None


def _is_below(snapshot: View, found: Credential, own: Credential) -> bool:
    """Return whether an identity is `own` or descends from it, live or ended."""
    return found.identity_key == own.identity_key or any(
        ancestor.id == own.id for ancestor in CredentialStore(snapshot).lineage(found.identity_key)
    )
