"""What rests on lines that have no live head any more: it is dead, and lives on in its rows until that is recorded."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from jitid.errors import JitidError
from jitid.ledger import selecting
from jitid.ledger.changing import change

if TYPE_CHECKING:
    from jitid.ledger.protocol import Ledger

OVER = "ended_at IS NULL AND line IS NOT NULL AND superseded_at IS NULL"
"""What the head of a line is that was ever renewed: with its expiry the line ends."""

SHORTENED = """CASE WHEN line IS NOT NULL AND superseded_at IS NULL AND EXISTS (
        SELECT 1 FROM credential p WHERE (p.line = due.line OR p.id = due.line) AND p.expires_at > due.expires_at)
    THEN line END"""
"""The line of `due` if that is a head that expires earlier than another one of the line: what was made from that one
may live on. Nothing else outlives a line, since nothing is given a longer time than what it is made from."""


_AT_ONCE = 1_000
"""So many lines are recorded in one transaction, so that nobody waits long."""


def record(ledger: Ledger) -> None:
    """Record the end of every line that is over, and of what rests on it: no row says so before somebody writes."""
    while True:
        with ledger.read() as snapshot:
            if not snapshot.has_lines_over():
                return
        if not change(ledger, lambda transaction: transaction.close_lines(_AT_ONCE)):
            return


def try_to_record(ledger: Ledger) -> None:
    """Do the same for a list of what was revoked, which is made all the same if nothing can be recorded now."""
    with suppress(JitidError):
        record(ledger)


class Resting(NamedTuple):
    """A credential that has nothing left to rest on, and has not ended."""

    key: int
    jti: bytes
    honoured_until: int | None
    """Its expiry, if a verifier that does not ask the ledger takes it until then."""


_LIVE_OF = """SELECT c.id, c.jti, CASE WHEN c.claims_hash IS NOT NULL THEN c.expires_at END FROM {}"""


def on_lines(db: Any, lines: Collection[int], now: int) -> list[Resting]:
    """Return, in the order of issue, what lives of these lines and rests on them.

    That is what was attached by right of a line, and the identities that were delegated from it or from what was
    attached, with all below them. Of a line itself, what was renewed lives for its overlap.
    """
    members, delegated = _made_from(db, lines)
    live = selecting.LIVE.replace(":now", str(int(now)))
    rows = list(selecting.alike(db, f"{_LIVE_OF.format('credential c')} WHERE {live} AND c.id", members))
    if delegated:
        count = selecting.doom(db, delegated)
        rows += db.execute(f"{_LIVE_OF.format(selecting.doomed_credentials(count))} AND {live}")
    # Of two lines above each other, what rests on the lower one rests on both.
    return sorted({Resting(*row) for row in rows})


def _made_from(db: Any, lines: Collection[int]) -> tuple[set[int], set[int]]:
    """Return what is on lines or attached to them, and the identities that these delegated to."""
    # Each step goes by an index: whoever abandons an attachment is not to read all that its identity ever had.
    dead: set[int] = set()
    members: set[int] = set()
    found = set(lines)
    while found:
        dead |= found
        own = found | {key for (key,) in selecting.alike(db, "SELECT id FROM credential WHERE line", found)}
        members |= own
        attached = "SELECT coalesce(line, id) FROM credential WHERE ended_at IS NULL AND source"
        found = {line for (line,) in selecting.alike(db, attached, own)} - dead
    return members, {key for (key,) in selecting.alike(db, "SELECT id FROM identity WHERE source", members)}
