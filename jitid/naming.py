"""The issuer of a ledger: its names, and a change that what was issued before survives."""

from __future__ import annotations

from typing import NamedTuple

from jitid.errors import UsageError
from jitid.ledger.protocol import Ledger
from jitid.ledger.records import Names


class Naming(NamedTuple):
    """The names of an issuer at one time."""

    names: Names
    now: int
    live: int
    """How many credentials live."""
    until: int
    """When the last of them expires; 0 if none lives."""
    event: int | None = None
    """The audit event of a change."""


def look(ledger: Ledger) -> Naming:
    """Return the names as they are."""
    with ledger.read() as snapshot:
        return Naming(snapshot.names, snapshot.now, *snapshot.living())


def set_issuer(ledger: Ledger, issuer: str, *, accept_clock: bool) -> Naming:
    """Give the issuer another name, in a transaction that has the ledger to itself.

    What is issued after this is issued under the new name. The former one counts until the last credential that was
    issued under it expires.

    Raises:
        UsageError: that is its name already.

    """
    with ledger.write(accept_clock=accept_clock) as transaction:
        before = transaction.names
        if issuer == before.issuer:
            raise UsageError(f"the issuer is {issuer} already; nothing was changed")
        live, until = transaction.living()
        # Events leave the issuer out as an audience: which one is meant, their order tells.
        transaction.begin_anew()
        facts = {"issuer": issuer, "was": before.issuer, "until": until, "live": live}
        event = transaction.append("ledger-issuer", facts)
        names = before.renamed(issuer, until)._replace(named_at=event.seq)
        transaction.rename(names)
        return Naming(names, transaction.now, live, until, event.seq)
