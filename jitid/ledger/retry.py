"""Changes that are made again where others were in the way: nothing of the first attempt is there by then."""

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
    """Do some work in a transaction and return what it returns, once that is committed.

    The work is done again after a conflict, for as long as the ledger waits for others, and once after the connection
    was lost before the commit. It must hand nothing out.

    Args:
        ledger: what is changed.
        work: what is to be done.
        accept_clock: as of a write transaction.
        shared: it only adds, and may run beside others. If it turns out to do more, it is done again by itself.

    Raises:
        StorageError: others were in the way for too long, or the ledger is out of reach.

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

            # Not at once: two that met would meet again.
            time.sleep(uniform(0.001, 0.02))  # noqa: S311
        except LostConnectionError as error:
            if lost or error.patience <= 0:
                raise
            lost = True
