"""A prune of 1.5 million expired credentials: its duration against a bare DELETE, and how long it blocks writers."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter

from jitid.authority.local import LocalAuthority
from jitid.capabilities.integrity.operations import Prune, VerifyLog
from jitid.ledger import expiry
from jitid.ledger.sqlite import folder as ledgers
from jitid.ledger.sqlite import ledger as sqlite_ledger
from tests.bench import fleet
from tests.bench.ground import Ground
from tests.bench.measure import Row, Series, duration, seconds, under

_DAY = 86_400
_MOST = 10_000_000


def rows(place: Ground) -> Iterator[Row]:
    """Measure `jitid ledger prune` on a fleet in which nearly all credentials have expired."""
    folder = place.new("prune")
    over = fleet.copy(fleet.fleet(place.cache or place.new("cache")), folder / "over")
    _end(over)
    spent: dict[str, list[float]] = {}
    for _ in range(min(place.rounds, 2)):
        for name, values in _round(over, folder / "tried").items():
            spent.setdefault(name, []).extend(values)
    yield Row(
        "`ledger prune` of 1.5 million that are over",
        Series("verify, condemn, delete", spent["whole"], duration),
        Series("DELETE of the same rows", spent["bare"], duration),
        None,
    )
    yield Row(
        "of that, before anything is written",
        Series("verify, find, digest", spent["found"], duration),
        Series("`audit verify`", spent["verify"], duration),
        None,
    )
    yield Row(
        "the longest that another writer waits meanwhile",
        Series("one transaction", spent["longest"], duration),
        Series("all of it", spent["whole"], duration),
        under(5.0, duration),
    )


def _later(place: Path, hold: Callable[[float], None] = lambda _: None) -> LocalAuthority:
    """Return the authority 40 days later. `hold` gets the time for which each transaction held the lock."""
    at = int((place / "time").read_text()) + 40 * _DAY
    path = place / "ledger"
    ledger = sqlite_ledger.connect(
        str(path / ledgers.DATABASE), str(path / ledgers.LOCK), by="bench", clock=lambda: at
    )
    release, acquire, since = ledger._file.lock.release, ledger._file.lock.acquire, [0.0]

    def acquired() -> None:
        acquire()
        since[0] = perf_counter()

    def released() -> None:
        release()
        hold(perf_counter() - since[0])

    ledger._file.lock.acquire, ledger._file.lock.release = acquired, released  # type: ignore[method-assign]
    return LocalAuthority(ledger, ledgers.keyring(str(path)), terms=fleet.terms)


def _end(place: Path) -> None:
    """Let all credentials expire and exceed the retention period, and issue a few new ones."""
    authority = _later(place)
    with authority._ledger.write(accept_clock=True) as transaction:
        expiry.close_due(transaction, _MOST)
        transaction.append("accept-clock", {"jump": 0})
    at = int((place / "time").read_text())
    (place / "time").write_text(str(at + 40 * _DAY))
    authority.close()


def _round(over: Path, tried: Path) -> dict[str, list[float]]:
    fleet.copy(over, tried)
    held: list[float] = []
    authority = _later(tried, held.append)
    with authority._ledger.write(accept_clock=True):
        pass
    held.clear()
    verify = seconds(lambda: authority.perform(VerifyLog()))
    begun = perf_counter()
    done = authority.perform(Prune(rows_after=30 * _DAY, seconds=1))
    while done.left:
        done = authority.perform(Prune(rows_after=None, seconds=60))
    whole = perf_counter() - begun
    authority.perform(VerifyLog())
    authority.close()
    fleet.copy(over, tried)
    bare = seconds(lambda: _delete(tried / "ledger" / ledgers.DATABASE))
    return {
        "verify": [verify],
        "whole": [whole],
        "found": [whole - sum(held)],
        "longest": [max(held)],
        "bare": [bare],
    }


def _delete(path: Path) -> None:
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("BEGIN IMMEDIATE")
    for table in ("credential", "identity"):
        # The condition prevents SQLite from just dropping all pages.
        db.execute(f"DELETE FROM {table} WHERE id < (SELECT max(id) FROM {table})")
    db.execute("COMMIT")
    db.close()
