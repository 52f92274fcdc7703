"""Performs the operations on the use of credentials."""

from __future__ import annotations

from typing import Any, assert_never, cast

from jitid import authorization, recognition
from jitid.authority import use_operations as ops
from jitid.authority.inside import Inside
from jitid.authority.operations import UseOperation


def perform(inside: Inside, operation: UseOperation[Any]) -> object:
    """Perform one of them."""
    one = cast("ops.AnyUseOperation", operation)
    match one:
        case ops.Authorize():
            return _authorize(inside, one)
        case ops.ListUses():
            return _list(inside, one)
        case _:
            assert_never(one)


def _authorize(inside: Inside, operation: ops.Authorize) -> ops.Decided:
    ledger, terms, asked = inside.ledger, inside.terms(), operation.asked
    names = ledger.names
    audiences = operation.audiences or inside.audiences or (names.issuer,)
    # What is slow needs no lock: whoever writes meanwhile is waited for no longer than it takes to record this.
    with ledger.read() as snapshot:
        keys = recognition.keys_of(snapshot)
    presented = recognition.present(names, keys, [one.token.reveal() for one in asked])
    with ledger.read() as snapshot:
        held = recognition.hold(snapshot, presented, audiences)
        verdicts = authorization.judge(snapshot, names, terms, asked, held)
        seen = snapshot.head().seq, snapshot.now
    with ledger.write(accept_clock=operation.accept_clock) as transaction:
        # Every change has its event, and what was dead already may have been recorded as dead just now.
        if (transaction.next_seq() - 1 - len(transaction.closed), transaction.now) != seen:
            held = recognition.hold(transaction, presented, audiences)
            verdicts = authorization.judge(transaction, names, terms, asked, held)
        used = transaction.add_uses(
            [authorization.record_of(one, verdict) for one, verdict in zip(asked, verdicts, strict=True)]
        )
        transaction.keep_policy(terms.policy.digest, terms.policy_text)
        event = transaction.append(
            "use",
            {
                "count": len(verdicts),
                "allowed": sum([verdict.allowed for verdict in verdicts]),
                "used": used,
                "policy": terms.policy.digest,
                "zone": terms.zone_name,
            },
        )
        return ops.Decided(verdicts, transaction.now, event.seq)


def _list(inside: Inside, operation: ops.ListUses) -> ops.UsePage:
    with inside.ledger.read() as snapshot:
        chosen = operation.chosen
        # A person is meant by whichever of their names.
        names = [name for stated in chosen.delegators for name in snapshot.names_of(stated)]
        uses = snapshot.uses(chosen._replace(delegators=tuple(dict.fromkeys(names))), operation.limit)
        return ops.UsePage(
            uses, snapshot.lineages({one.identity_key for one in uses if one.identity_key is not None})
        )
