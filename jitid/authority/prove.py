"""The step after each revocation: proof that ended leaked credentials are refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitid.capabilities.leak.store import LeakStore
from jitid.errors import JitidError

if TYPE_CHECKING:
    from jitid.ledger.contract import Ledger


def prove(ledger: Ledger) -> str | None:
    """Record proof that leaked credentials which have ended are refused; return the error text if that fails.

    A failure does not undo the revocation: the next proof includes these credentials.
    """
    try:
        with ledger.read() as snapshot:
            if not LeakStore(snapshot).unproved_leaks(0, 1):
                return None
        from jitid.capabilities.leak import leaks

        leaks.prove(ledger)
    except JitidError as error:
        return error.message.removesuffix("; nothing was changed")
    return None
