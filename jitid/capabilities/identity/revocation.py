"""Revocation of identities with all that descend from them, and its blast radius.

And handing back: the holder of a credential ends its own identity or one below it.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from jitid.capabilities.identity import recognise_token
from jitid.capabilities.identity.barred_store import Barred, BarredChanges
from jitid.capabilities.identity.revocation_result import Ended, guard
from jitid.capabilities.identity.store import CredentialChanges, CredentialStore
from jitid.errors import NotFoundError, PolicyDeniedError, UsageError
from jitid.model.credential import Credential, State
from jitid.model.ledger_rows import Names, Radius, Selection
from jitid.values.ids import parse_id
from jitid.values.record import Record
from jitid.values.text import check_text

if TYPE_CHECKING:
    from jitid.ledger.transaction import Transaction
    from jitid.ledger.view import View


def preview(snapshot: View, selection: Selection) -> Ended:
    """Return the outcome that revoking a selection would have.

    Raises:
        NotFoundError: the selection matches no identity that was ever issued.
        UsageError: the selection is empty.

    """
    _check(selection)
    return Ended(_found(CredentialStore(snapshot).measure(selection)), 0, None)


def revoke(
    transaction: Transaction,
    selection: Selection,
    reason: str | None,
    limit: int | None,
    facts: Mapping[str, Any] = MappingProxyType({}),
    *,
    closing: bool = False,
    holder: Credential | None = None,
) -> Ended:
    """End the selected identities and all below them, and bar the processes of their clients.

    Args:
        transaction: the transaction of the revocation.
        selection: the identities; must not be empty.
        reason: free text for the audit log.
        limit: the maximum number of live credentials that may end; None for any number.
        facts: more facts for the audit event.
        closing: whether the program that an identity is bound to closes it, and may have another one.
        holder: the caller's credential, if it gives the right to this: its own process is not barred.

    Raises:
        NotFoundError: the selection matches no identity that was ever issued.
        UsageError: the selection is empty, or more than `limit` would end; nothing was changed.

    """
    _check(selection)
    check_reason(reason)
    if limit is not None:
        guard(CredentialStore(transaction).measure(selection), limit)
    radius, digest = CredentialChanges(transaction).end(selection, State.REVOKED)
    _found(radius)
    barred = Barred()
    if not closing:
        own_process = None if holder is None else holder.process
        barred = BarredChanges(transaction).bar_doomed(radius, without=own_process)
    if not (radius.credentials or barred.rows):
        return Ended(radius, 0, None)
    more: dict[str, Any] = {} if holder is None else {"holder": holder.id}
    if barred.rows:
        more |= barred.facts
    elif closing or holder is not None:
        more["closing"] = True
    event = transaction.append(
        "revoke",
        {
            "selection": _facts(selection),
            "reason": reason,
            **facts,
            **more,
            **counts(radius),
            "ended": digest,
        },
    )
    return Ended(radius, radius.credentials, event.seq, barred=barred.processes)


def _check(selection: Selection) -> None:
    if not any(selection):
        raise UsageError(
            "a selection is required", "name ids, or select by --task, --delegator, --agent or --tree"
        )


def check_reason(reason: str | None) -> None:
    """Raise UsageError for a reason that cannot be stored, or that contains a token."""
    if reason is not None:
        check_text(reason, "the reason")


def counts(radius: Radius) -> dict[str, Any]:
    """Return the numbers that the event of a revocation records, besides the digest."""
    return {"count": radius.credentials, "identities": radius.identities}


def _facts(selection: Selection) -> dict[str, Any]:
    """Return a selection for the audit log; a long list is shortened, since the ended rows point to the event."""
    facts: dict[str, Any] = {}
    for name, values in selection._asdict().items():
        if values:
            first_values = [value.hex() if isinstance(value, bytes) else value for value in values[:20]]
            facts[name] = first_values if len(values) <= 20 else {"first": first_values, "count": len(values)}
    return facts


def _found(radius: Radius) -> Radius:
    if not radius.matched:
        raise NotFoundError(
            "the selection matches no credential, live or ended; nothing was changed",
            "to list credentials: jitid list",
        )
    return radius


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
    credential = _credential(transaction, id_)
    if credential is None or not _is_below(transaction, credential, holder):
        # The refusal does not reveal whether the ledger has the identity.
        refusal = f"rule `{RULE}`: {id_} is neither {holder.id} nor a descendant of this identity"
        raise PolicyDeniedError(
            f"denied: {refusal}; nothing was changed",
            "a token revokes its own identity and that identity's descendants only",
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
    return HandedBack(
        credential.id, revoke(transaction, Selection(ids=(credential.id,)), reason, None, holder=holder)
    )


def _credential(snapshot: View, id_: str) -> Credential | None:
    credentials = CredentialStore(snapshot).find_given([id_], [])
    return credentials[0] if credentials else None


def _is_below(snapshot: View, credential: Credential, holder: Credential) -> bool:
    """Return whether an identity is that of `holder` or descends from it, live or ended."""
    return credential.identity_key == holder.identity_key or any(
        ancestor.id == holder.id for ancestor in CredentialStore(snapshot).lineage(credential.identity_key)
    )
