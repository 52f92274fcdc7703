"""What follows whatever has ended something: the proof that what leaked of it is dead."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitid.capabilities.leak.store import LeakStore
from jitid.errors import JitidError

if TYPE_CHECKING:
    from jitid.ledger.contract import Ledger


def prove(ledger: Ledger) -> str | None:
    """Prove what leaked and is dead by now, once something ended; return why not, if that cannot be done.

    What has ended has ended, whatever becomes of its proof: the next one that is made is made of this too.
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
