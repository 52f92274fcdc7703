"""Performs the operations on the use of credentials."""

from __future__ import annotations

from jitid.capabilities.directory.store import DirectoryStore
from jitid.capabilities.identity import recognise_token
from jitid.capabilities.identity.store import CredentialStore
from jitid.capabilities.use import operations as ops
from jitid.capabilities.use import usage
from jitid.capabilities.use.store import UseStore
from jitid.ledger.contract import change
from jitid.operation.context import Context


def authorize(context: Context, operation: ops.Authorize) -> usage.RecordedUses:
    """Decide on actions with tokens, and record each of them."""
    ledger, terms, use_requests = context.ledger, context.terms(), operation.asked
    with ledger.read() as snapshot:
        names = snapshot.names
        audiences = context.visible_audiences(operation.audiences, names, snapshot.now)
        keys = recognise_token.signing_keys_of(snapshot)
    # Slow work needs no lock: others write meanwhile.
    presented = recognise_token.present(
        names, keys, [use_request.token.reveal() for use_request in use_requests]
    )
    foreseen = None
    if ledger.foresees(quick=lambda: terms.policy.is_quick(len(use_requests))):
        with ledger.read() as snapshot:
            foreseen = usage.decide_ahead(snapshot, names, terms, use_requests, presented, audiences)
    return change(
        ledger,
        lambda transaction: usage.record(
            transaction, names, terms, use_requests, presented, foreseen, audiences
        ),
        accept_clock=operation.accept_clock,
        shared=True,
    )


def list_uses(context: Context, operation: ops.ListUses) -> ops.UsePage:
    """Return the newest recorded actions of a selection."""
    with context.ledger.read() as snapshot:
        chosen = operation.chosen
        # Any name of a person selects all uses for that person.
        names = [
            name for delegator in chosen.delegators for name in DirectoryStore(snapshot).names_of(delegator)
        ]
        uses = UseStore(snapshot).uses(
            chosen._replace(delegators=tuple(dict.fromkeys(names))), operation.limit
        )
        return ops.UsePage(
            uses,
            CredentialStore(snapshot).lineages(
                {use.identity_key for use in uses if use.identity_key is not None}
            ),
        )
