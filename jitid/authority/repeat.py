"""Idempotent requests: a repetition revokes the result of the first request and makes a new one.

A client that got no answer repeats the request under the same key (the header `Idempotency-Key`). The first request
may have created a credential whose secret is stored nowhere and is lost. The transaction that makes the replacement
also revokes it, so that two are never live at once.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import TYPE_CHECKING, Any, TypeVar

from jitid.errors import JitidError, StorageError, UsageError
from jitid.ledger.contract import change
from jitid.ledger.idempotency import ISSUED, RENEWED, Answered, IdempotencyStore, request_digest
from jitid.model.ledger_rows import Selection
from jitid.values import strict_json
from jitid.values.ids import access_id, credential_id, identity_id

if TYPE_CHECKING:
    from jitid.ledger.contract import Ledger
    from jitid.ledger.transaction import Transaction
    from jitid.model.access import Caller
    from jitid.operation.base import Operation

T = TypeVar("T")

REASON = "the answer that had it was lost"
Ids = tuple[bytes, bytes]
"""The 16-byte ids of the first and the last credential that one transaction made."""


def once(
    ledger: Ledger,
    caller: Caller | None,
    request: Operation[Any] | None,
    make: Callable[[Transaction], T],
    kind: str,
    ids: Callable[[T], Ids],
    *,
    accept_clock: bool,
    shared: bool = False,
    remake: Callable[[Transaction], T] | None = None,
) -> T:
    """Make something in a transaction. It replaces the result of an earlier request of the same caller and key.

    Args:
        ledger: the ledger that records it.
        caller: the caller; without an idempotency key nothing is replaced.
        request: the request; another request under its key is an error.
        make: makes it, and may be called again.
        kind: the kind of the result.
        ids: returns the ids by which to find the result of `make` again.
        accept_clock: passed to the write transaction.
        shared: passed to `change`.
        remake: used instead of `make` after this call revoked the access of a lost answer. None, or access that had
            ended earlier: `make` is used.

    Raises, besides the errors of `make`:
        UsageError: the key belongs to another request.
        StorageError: others keep answering the same request under the same key.

    """
    if caller is None or caller.key is None or request is None:
        return change(ledger, make, accept_clock=accept_clock, shared=shared)
    # Many agents may share a name.
    caller_name = caller.name if caller.agent is None else f"{caller.name} {caller.credential}"
    key, digest = caller.key, digest_of(request)
    is_repetition = False

    def work(transaction: Transaction) -> T:
        nonlocal is_repetition
        was_live = end(transaction)
        is_repetition = was_live is not None
        if is_repetition:
            # Forget the old answer only if a new one replaces it: an audit event refers to each answer.
            IdempotencyStore(transaction).forget(caller_name, key)
        transaction.request = request_digest(caller_name, key, digest, kind)
        result = remake(transaction) if was_live and remake is not None else make(transaction)
        first_id, last_id = ids(result)
        if not IdempotencyStore(transaction).remember(
            caller_name, key, Answered(digest, kind, first_id, last_id)
        ):
            raise _MeanwhileError
        return result

    def end(transaction: Transaction) -> bool | None:
        answered = IdempotencyStore(transaction).find(caller_name, key)
        if answered is None:
            return None
        if answered.digest != digest:
            raise UsageError(
                "this Idempotency-Key was used for another request; nothing was done",
                "use a new key for each request, and the same key only to repeat it",
            )
        return _end(transaction, answered)

    for _ in range(_TRIES):
        try:
            return change(ledger, work, accept_clock=accept_clock, shared=shared)
        except _MeanwhileError:
            continue
        except JitidError:
            if is_repetition:
                # Nothing replaces the result of the lost answer, but it must be revoked.
                change(ledger, end, accept_clock=accept_clock)
            raise
    raise StorageError("other callers repeat this request under the same key; the outcome is unknown")


def digest_of(operation: Operation[Any]) -> bytes:
    """Return the digest that identifies a request: SHA-256 of its name and values."""
    from jitid.authority.wire.codec import encode_operation

    document = [type(operation).__name__, encode_operation(operation)]
    return sha256(strict_json.dumps(document).encode()).digest()


_TRIES = 5


class _MeanwhileError(Exception):
    """Another process has answered under the key since the lookup."""


def _end(transaction: Transaction, answered: Answered) -> bool:
    """Revoke the result of an answer if it is live; return whether that revoked access."""
    if answered.sort == RENEWED:
        from jitid.capabilities.issue import renewal

        renewal.abandon(transaction, credential_id(answered.first))
        return False
    if answered.sort == ISSUED:
        from jitid.capabilities.identity import revocation

        identity_ids = tuple(identity_id(uid) for uid in IdempotencyStore(transaction).made(answered))
        revocation.revoke(transaction, Selection(ids=identity_ids), REASON, None, closing=True)
        return False
    from jitid.capabilities.access import grant

    ended = grant.revoke(transaction, (access_id(answered.first),), (), REASON, alone=True)
    return ended.event is not None
