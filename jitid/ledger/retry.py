"""Retries of a transaction after a conflict with other writers; the failed attempt was rolled back."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from jitid.errors import ConflictError, LostConnectionError

if TYPE_CHECKING:
    from jitid.ledger.contract import Ledger
    from jitid.ledger.transaction import Transaction

Result = TypeVar("Result")


def change(
    ledger: Ledger, work: Callable[[Transaction], Result], *, accept_clock: bool = False, shared: bool = False
) -> Result:
    """Run `work` in a transaction and return its result once the transaction is committed.

    A conflict repeats the work for as long as the ledger waits for others. A connection that is lost before the commit
    repeats it once. So `work` must not hand out anything.

    Args:
        ledger: the ledger to change.
        work: the change.
        accept_clock: as for a write transaction.
        shared: the work only adds rows, and may run at the same time as others. If it turns out to do more, it is
            repeated without `shared`.

    Raises:
        StorageError: other writers were in the way for too long, or the ledger cannot be reached.

    """
    until: float | None = None
    lost = False
    while True:
        try:
            with ledger.write(accept_clock=accept_clock, shared=shared) as transaction:
                return work(transaction)
        except ConflictError as error:
            if error.alone and shared:
                shared = False
                continue
            until = until or time.monotonic() + error.patience
            if time.monotonic() >= until:
                raise
            from random import uniform

            # A random wait: otherwise the same two writers would conflict again.
            time.sleep(uniform(0.001, 0.02))  # noqa: S311
        except LostConnectionError as error:
            if lost or error.patience <= 0:
                raise
            lost = True
