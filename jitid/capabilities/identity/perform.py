"""Performs the operations on a credential for the holder of its token."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitid.capabilities.identity import operations as ops
from jitid.errors import InvalidCredentialError, PolicyDeniedError

if TYPE_CHECKING:
    from jitid.capabilities.identity.revocation import HandedBack
    from jitid.capabilities.identity.revocation_result import Ended
    from jitid.ledger.transaction import Transaction
    from jitid.model.credential import Credential
    from jitid.model.ledger_rows import Selection
    from jitid.operation.context import Context

_MOST_LEFT = 1_000
"""The maximum number of credentials, ended before, that a revocation tries to end at their targets again."""


def verify(context: Context, operation: ops.Verify) -> Credential:
    """Return the credential of a valid token."""
    from jitid.capabilities.identity import recognise_token

    with context.ledger.read() as snapshot:
        names = snapshot.names
        audiences = context.visible_audiences(operation.audiences, names, snapshot.now)
        return recognise_token.verify(
            snapshot, names, operation.token.reveal(), audiences, shown=True
        ).credential


def hand_back(context: Context, operation: ops.HandBack) -> HandedBack:
    """End the identity of a token's holder, or a descendant of that identity. Record a denial."""
    from jitid.capabilities.identity.record_denial import record_denial
    from jitid.capabilities.identity.revocation import hand_back as end_identity

    ledger, accept_clock = context.ledger, operation.accept_clock
    try:
        with ledger.write(accept_clock=accept_clock) as transaction:
            handed_back = end_identity(
                transaction, ledger.names, operation.token.reveal(), operation.id, operation.reason
            )
            handed_back = handed_back._replace(ended=with_unsettled(transaction, handed_back.ended))
    except (PolicyDeniedError, InvalidCredentialError) as denial:
        facts = operation.facts_if_denied()
        record_denial(ledger, context.terms, denial, facts, accept_clock=accept_clock)
        raise
    return handed_back._replace(ended=handed_back.ended._replace(unproved=context.prove_leaks_refused()))


def with_unsettled(transaction: Transaction, ended: Ended, selection: Selection | None = None) -> Ended:
    """Return an outcome with the number of credentials that must still end at their targets.

    Credentials of the selection that had ended before count too: a caller who repeats a revocation expects its
    completion.
    """
    from jitid.capabilities.targets.store import OutsideChanges

    at_targets = [] if selection is None else OutsideChanges(transaction).left_of(selection, _MOST_LEFT)
    waiting = tuple(outside.record.jti for outside in at_targets if outside.settled_at is None)
    unsettled = 0 if ended.event is None else OutsideChanges(transaction).open_count(event=ended.event)
    ended = ended._replace(unsettled=max(unsettled, len(waiting)))
    if len(waiting) > unsettled:
        ended = ended._replace(earlier=waiting)
    if len(waiting) < len(at_targets):
        from jitid.capabilities.targets.settle import left_by_now

        honoured = tuple(left_by_now(outside) for outside in at_targets if outside.settled_at is not None)
        ended = ended._replace(unsupported=len(honoured), left=honoured)
    return ended
