"""Performs the operations on the use of credentials."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import islice

from jitid.capabilities.directory.store import DirectoryStore
from jitid.capabilities.identity import recognise_token, validity
from jitid.capabilities.identity.recognise_token import PresentedToken
from jitid.capabilities.identity.store import CredentialStore
from jitid.capabilities.use import authorization
from jitid.capabilities.use import operations as ops
from jitid.capabilities.use.authorization import RecordedUses, UseRequest, UseVerdict
from jitid.capabilities.use.store import UseChanges, UseStore
from jitid.ledger import policies
from jitid.ledger.contract import change
from jitid.ledger.transaction import Transaction
from jitid.ledger.view import View
from jitid.model.event import Event
from jitid.model.ledger_rows import Names
from jitid.model.use import NewUse
from jitid.operation.context import Context, Terms
from jitid.values.record import Record


def authorize(context: Context, operation: ops.Authorize) -> RecordedUses:
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
            foreseen = decide_ahead(snapshot, names, terms, use_requests, presented, audiences)
    return change(
        ledger,
        lambda transaction: record(transaction, names, terms, use_requests, presented, foreseen, audiences),
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


_FEW = 100
"""The maximum number of events that cost less to examine than a new decision."""


class ForeseenUses(Record):
    """Verdicts from a snapshot, so that the lock is held for little more than recording them."""

    seq: int
    """The number of the last event at that time."""
    now: int
    verdicts: list[UseVerdict]


def decide_ahead(
    snapshot: View,
    names: Names,
    terms: Terms,
    use_requests: Sequence[UseRequest],
    presented: list[PresentedToken],
    audiences: Collection[str] | None,
) -> ForeseenUses:
    """Decide on actions as of a snapshot; `presented` are their tokens."""
    held_tokens = recognise_token.look_up_tokens(snapshot, presented, audiences)
    verdicts = authorization.judge(snapshot, names, terms, use_requests, held_tokens)
    return ForeseenUses(snapshot.settled(), snapshot.now, verdicts)


def record(
    transaction: Transaction,
    names: Names,
    terms: Terms,
    use_requests: Sequence[UseRequest],
    presented: list[PresentedToken],
    foreseen: ForeseenUses | None,
    audiences: Collection[str] | None,
) -> RecordedUses:
    """Record the foreseen verdicts, or new ones if a relevant event happened since; none counts before the commit."""
    if foreseen is None or transaction.now != foreseen.now or not _nothing_counts(transaction, foreseen.seq):
        foreseen = decide_ahead(transaction, names, terms, use_requests, presented, audiences)
    verdicts = foreseen.verdicts
    digest = UseChanges(transaction).add_uses(
        [_row(use_request, verdict) for use_request, verdict in zip(use_requests, verdicts, strict=True)]
    )
    policies.keep(transaction, terms.policy.digest, terms.policy_text)
    event = transaction.append(
        "use",
        {
            "count": len(verdicts),
            "allowed": sum([verdict.allowed for verdict in verdicts]),
            "used": digest,
            "policy": terms.policy.digest,
            "zone": terms.zone_name,
        },
    )
    return RecordedUses([_as_seen(verdict, audiences) for verdict in verdicts], transaction.now, event.seq)


def _as_seen(verdict: UseVerdict, audiences: Collection[str] | None) -> UseVerdict:
    """Return a verdict as the caller sees it: a token for another audience looks like an unknown token.

    The record keeps everything: that a token was shown to the wrong service is evidence for auditors.
    """
    credential = verdict.credential
    if credential is None or validity.is_for(credential, audiences):
        return verdict
    return verdict._replace(credential=None, lineage=[])


def _nothing_counts(transaction: Transaction, seq: int) -> bool:
    """Return whether no event since `seq` can affect a verdict; every change has its event."""
    # This transaction may have recorded ends that were due already: that changes no verdict.
    last_seq = transaction.next_seq() - 1 - len(transaction.closed)
    if not 0 <= last_seq - seq <= _FEW:
        return False
    # No verdict depends on earlier uses: two transactions that only record uses need not wait for each other.
    operations = [
        Event._make(row).document()["op"] for row in islice(transaction.events(seq), last_seq - seq)
    ]
    return operations == ["use"] * (last_seq - seq)


def _row(use_request: UseRequest, verdict: UseVerdict) -> NewUse:
    credential = verdict.credential
    return NewUse(
        None if credential is None else credential.key,
        None if credential is None else credential.identity_key,
        None if credential is None else credential.jti,
        use_request.action,
        use_request.resource,
        verdict.scope,
        verdict.allowed,
        verdict.rules,
        verdict.reason,
    )
