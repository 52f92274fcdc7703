"""Requests that may come again, since their answer may be lost: what the first made is ended, and made anew.

A client that got no answer asks again under the same key (the header `Idempotency-Key`). What it asked for may have
been made, and then nobody has its secret, which is kept nowhere: so it ends in the transaction that makes another, and
at no time two of them are alive.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import TYPE_CHECKING, Any, TypeVar

from jitid.errors import JitidError, StorageError, UsageError
from jitid.ledger.idempotency import ISSUED, RENEWED, Answered, IdempotencyStore, request_digest
from jitid.ledger.retry import change
from jitid.model.ledger_rows import Selection
from jitid.values import strict_json
from jitid.values.ids import access_id, credential_id, identity_id

if TYPE_CHECKING:
    from jitid.ledger.contract import Ledger
    from jitid.ledger.transaction import Transaction
    from jitid.model.caller import Caller
    from jitid.operation.base import Operation

T = TypeVar("T")

REASON = "the answer that had it was lost"
Ids = tuple[bytes, bytes]
"""The 16 bytes of the first and of the last that was made."""


def once(
    ledger: Ledger,
    caller: Caller | None,
    asked: Operation[Any] | None,
    make: Callable[[Transaction], T],
    sort: str,
    ids: Callable[[T], Ids],
    *,
    accept_clock: bool,
    shared: bool = False,
    remake: Callable[[Transaction], T] | None = None,
) -> T:
    """Make something in a transaction; where the same caller has asked for it under the same key, in its place.

    Args:
        ledger: where it is recorded.
        caller: who asks; without a key of theirs it is simply made.
        asked: the request: under its key there is no other.
        make: makes it, and may be called again.
        sort: what is made.
        ids: tells from what `make` returned how to find it again.
        accept_clock: as of a write transaction.
        shared: as `change` has it.
        remake: makes it anew, once what the lost answer had is ended; None to do that as `make` does, and as is done
            where somebody else had ended it.

    Raises, besides what `make` raises:
        UsageError: the key was another request's.
        StorageError: the same request is being answered again and again.

    """
    if caller is None or caller.key is None or asked is None:
        return change(ledger, make, accept_clock=accept_clock, shared=shared)
    # Agents of one name are many.
    who = caller.name if caller.agent is None else f"{caller.name} {caller.credential}"
    key, digest = caller.key, digest_of(asked)
    again = False

    def work(transaction: Transaction) -> T:
        nonlocal again
        lived = end(transaction)
        again = lived is not None
        if again:
            # Only where another takes its place: an event says of each answer that there is one.
            IdempotencyStore(transaction).forget(who, key)
        transaction.request = request_digest(who, key, digest, sort)
        made = remake(transaction) if lived and remake is not None else make(transaction)
        first, last = ids(made)
        if not IdempotencyStore(transaction).remember(who, key, Answered(digest, sort, first, last)):
            raise _MeanwhileError
        return made

    def end(transaction: Transaction) -> bool | None:
        found = IdempotencyStore(transaction).find(who, key)
        if found is None:
            return None
        if found.digest != digest:
            raise UsageError(
                "this Idempotency-Key was given to another request; nothing was done",
                "a key is for one request, and for asking for just that again",
            )
        return _end(transaction, found)

    for _ in range(_TRIES):
        try:
            return change(ledger, work, accept_clock=accept_clock, shared=shared)
        except _MeanwhileError:
            continue
        except JitidError:
            if again:
                # It is not made again, and what the lost answer had must not live on.
                change(ledger, end, accept_clock=accept_clock)
            raise
    raise StorageError("others ask for the same under the same key; nothing is known of their answers")


def digest_of(operation: Operation[Any]) -> bytes:
    """Return what tells one request from another: SHA-256 of its name and values."""
    from jitid.authority.wire.codec import encode_operation

    told = [type(operation).__name__, encode_operation(operation)]
    return sha256(strict_json.dumps(told).encode()).digest()


_TRIES = 5


class _MeanwhileError(Exception):
    """Somebody else has answered under the key since it was looked for."""


def _end(transaction: Transaction, found: Answered) -> bool:
    """End what an answer had, as far as it lives; return whether access lived."""
    if found.sort == RENEWED:
        from jitid.capabilities.issue import renewal

        renewal.abandon(transaction, credential_id(found.first))
        return False
    if found.sort == ISSUED:
        from jitid.capabilities.identity import revocation

        made = tuple(identity_id(uid) for uid in IdempotencyStore(transaction).made(found))
        revocation.revoke(transaction, Selection(ids=made), REASON, None)
        return False
    from jitid.capabilities.access import grant

    ended = grant.revoke(transaction, (access_id(found.first),), (), REASON, alone=True)
    return ended.event is not None
