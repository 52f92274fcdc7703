"""Handing back: the holder of a credential ends its own identity or one below it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitid.capabilities.identity import recognise_token, revocation
from jitid.capabilities.identity.revocation_result import Ended
from jitid.capabilities.identity.store import CredentialStore
from jitid.errors import PolicyDeniedError
from jitid.model.credential import Credential
from jitid.model.ledger_rows import Names, Selection
from jitid.values.ids import parse_id
from jitid.values.record import Record

if TYPE_CHECKING:
    from jitid.ledger.transaction import Transaction
    from jitid.ledger.view import View

RULE = "own-subtree"
"""The rule that refuses to end an identity that is not below the holder's."""


class HandedBack(Record):
    """The outcome of handing back."""

    id: str
    """The id of the identity, even if the request named a credential."""
    ended: Ended


def hand_back(transaction: Transaction, names: Names, token: str, id_: str, reason: str | None) -> HandedBack:
    """End the identity that the id `id_` means, with all below it, for the holder of `token`.

    Raises:
        UsageError: `id_` is not an id.
        InvalidCredentialError: the token is not valid.
        PolicyDeniedError: the identity is neither the holder's own nor below it, or does not exist.

    """
    parse_id(id_)
    holder = recognise_token.verify(transaction, names, token, None).credential
    credential = _found(transaction, id_)
    if credential is None or not _is_below(transaction, credential, holder):
        # The refusal does not reveal whether the ledger has the identity.
        refusal = f"rule `{RULE}`: {id_} is neither {holder.id} nor an identity that descends from it"
        raise PolicyDeniedError(
            f"denied: {refusal}; nothing was changed",
            "only what was delegated from one's own credential can be handed back, and that itself",
            {
                "hand_back": id_,
                "holder": holder.id,
                "task": holder.task,
                "opener": None if holder.task_opener == holder.delegator else holder.task_opener,
                "agent": holder.agent,
                "delegator": holder.delegator,
                "rules": [RULE],
                "reason": refusal,
            },
        )
    ended = revocation.revoke(
        transaction, Selection(ids=(credential.id,)), reason, None, {"holder": holder.id}
    )
    return HandedBack(credential.id, ended)


def _found(snapshot: View, id_: str) -> Credential | None:
    credentials = CredentialStore(snapshot).find_given([id_], [])
    return credentials[0] if credentials else None


def _is_below(snapshot: View, credential: Credential, holder: Credential) -> bool:
    """Return whether an identity is that of `holder` or descends from it, live or ended."""
    return credential.identity_key == holder.identity_key or any(
        ancestor.id == holder.id for ancestor in CredentialStore(snapshot).lineage(credential.identity_key)
    )
