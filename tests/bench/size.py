"""Disk space of a credential in bytes, with its identity, its share of the audit log, and all indexes."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

from jitid.model.request import IssueRequest
from tests.bench import ground
from tests.bench.ground import Ground
from tests.bench.measure import Row, Series, size, under

_SINGLE = 5_000
_BULK = 50_000


def rows(place: Ground) -> Iterator[Row]:
    """Measure the growth of a ledger by credentials: with an event for each, and with an event for each thousand."""
    single = [ground.request(number) for number in range(_SINGLE)]
    bulk = [ground.request(number)._replace(copies=1000) for number in range(0, _BULK, 1000)]
    for what, requests, count in (("singly", single, _SINGLE), ("in bulk", bulk, _BULK)):
        folder = place.new(f"size-{count}")
        ledger = folder / "ledger"
        ground.authority(ledger).close()
        before = _on_disk(ledger)
        length = _issue(ledger, requests)
        yield Row(
            f"disk a credential, issued {what}",
            Series(what, [(_on_disk(ledger) - before) / count], size),
            Series("its token", [length], size),
            under(900, size),
        )


def _issue(ledger: Path, requests: list[IssueRequest]) -> int:
    """Issue each request in its own transaction; return the length of a token."""
    authority = ground.authority(ledger)
    length = 0
    for request in requests:
        (issued,) = ground.issue(authority, [request])
        length = len(issued.credentials[0].secret.reveal())
    authority.close()
    return length


def _on_disk(ledger: Path) -> int:
    db = sqlite3.connect(ledger / "ledger.db")
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    return sum(path.stat().st_size for path in ledger.glob("ledger.db*"))
