"""The live credentials that rest on a line without a live head.

Verification refuses them already. They are recorded as ended for lists and targets, which read their rows.
"""

# Without `from __future__ import annotations`, which has the annotation of each field compiled at every start.
from collections.abc import Collection
from typing import Any, NamedTuple

from jitid.ledger import select

RENEWED_HEAD = "ended_at IS NULL AND line IS NOT NULL AND superseded_at IS NULL"
"""Condition of the head of a line that was renewed at least once. The line ends when its head expires."""

SHORTENED = """CASE WHEN line IS NOT NULL AND superseded_at IS NULL AND EXISTS (
        SELECT 1 FROM credential p WHERE (p.line = due.line OR p.id = due.line) AND p.expires_at > due.expires_at)
    THEN line END"""
"""The line of the row `due`, if that is its head and an earlier credential of the line expires later.

Only then can a descendant outlive the line: nothing gets a longer lifetime than the credential it is made from."""


class Resting(NamedTuple):
    """A live credential that belongs to a line without a head, or rests on one."""

    key: int
    jti: bytes
    honoured_until: int | None
    """Its expiry, if offline verifiers accept it until then."""


_LIVE_OF = """SELECT c.id, c.jti, CASE WHEN c.claims_hash IS NOT NULL THEN c.expires_at END FROM {}"""


def on_lines(db: Any, lines: Collection[int], now: int) -> list[Resting]:
    """Return the live credentials of these lines and of everything that rests on them, in the order of issue.

    Attached credentials and delegated identities rest on a line, with all their descendants. A line itself can have a
    live predecessor in its overlap.
    """
    members, delegated = _made_from(db, lines)
    live = select.LIVE.replace(":now", str(int(now)))
    rows = list(select.alike(db, f"{_LIVE_OF.format('credential c')} WHERE {live} AND c.id", members))
    if delegated:
        count = select.doom(db, delegated)
        rows += db.execute(f"{_LIVE_OF.format(select.doomed_credentials(count))} AND {live}")
    # A set: a credential that rests on the lower of two given lines also rests on the upper one.
    return sorted({Resting(*row) for row in rows})


def _made_from(db: Any, lines: Collection[int]) -> tuple[set[int], set[int]]:
    """Return the credentials of these lines and of lines attached to them, and the identities that these delegated."""
    # Each step uses an index: an identity can have many credentials, and any holder can abandon an attachment.
    seen: set[int] = set()
    members: set[int] = set()
    found = set(lines)
    while found:
        seen |= found
        own = found | {key for (key,) in select.alike(db, "SELECT id FROM credential WHERE line", found)}
        members |= own
        attached = "SELECT coalesce(line, id) FROM credential WHERE ended_at IS NULL AND source"
        found = {line for (line,) in select.alike(db, attached, own)} - seen
    return members, {key for (key,) in select.alike(db, "SELECT id FROM identity WHERE source", members)}
