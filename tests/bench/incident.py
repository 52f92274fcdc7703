"""The report of a leak, until all leaked tokens are proved as revoked, and the matching of a large leak."""

from __future__ import annotations

import random
import sqlite3
import subprocess
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from jitid.authority.local import LocalAuthority
from jitid.capabilities.leak.leaks import LeakReport
from jitid.capabilities.leak.operations import AddLeaks, ListLeaks
from jitid.ledger.sqlite.folder import DATABASE
from jitid.model.leak import LeakFilter
from jitid.search.find import Finds
from tests.bench import fleet, ground
from tests.bench.ground import Ground
from tests.bench.measure import Row, Series, duration, in_turns, seconds, under

_LEAKED = 10_000
_AT_ONCE = 100_000
"""The number of strings that `leak add` looks up together."""


def rows(place: Ground) -> Iterator[Row]:
    """Measure the responder's work."""
    yield from _over(place.new("over"), place.rounds)
    yield from _matching(place)


def _over(folder: Path, rounds: int) -> Iterator[Row]:
    """Report and revoke 10,000 live tokens of a different ledger in each round. The first round is a warm-up."""
    grounds = [_leaky(folder / str(number)) for number in range(rounds + 1)]
    again = [_leaky(folder / f"bare-{number}") for number in range(rounds + 1)]
    commands, bare = iter(grounds), iter(again)
    found = in_turns(
        rounds,
        {
            "leak add": lambda: seconds(lambda: _end(next(commands))),
            "SQL": lambda: seconds(lambda: _bare(next(bare))),
        },
    )
    for command in grounds:
        _must_be_over(command)
    yield Row(
        f"`leak add --revoke` of {_LEAKED:,} live tokens until all are proved refused, whole process",
        Series("leak add", found["leak add"], duration),
        Series("bare SQL records and ends as many", found["SQL"], duration),
        under(5, duration),
    )


def _leaky(folder: Path) -> ground.Command:
    """Return the command over a new ledger, with a log of its live tokens beside it."""
    folder.mkdir(mode=0o700)
    command = ground.Command(folder)
    authority = ground.authority(command.ledger)
    with (folder / "log").open("w") as log:
        for first in range(0, _LEAKED, 1_000):
            requests = [ground.request(number, "opaque") for number in range(first, first + 1_000)]
            for one in ground.issue(authority, requests):
                log.write(f'{{"authorization": "Bearer {one.credentials[0].secret.reveal()}"}}\n')
    authority.close()
    return command


def _end(command: ground.Command) -> None:
    log = command.ledger.parent / "log"
    arguments = command(
        "-q", "leak", "add", str(log), "--source", "a log", "--revoke", "--yes", "--field", "state"
    )
    done = subprocess.run(arguments, env=command.environment, check=True, capture_output=True, text=True)
    assert done.stdout.count("revoked\n") == _LEAKED


def _must_be_over(command: ground.Command) -> None:
    authority = ground.authority(command.ledger)
    page = authority.perform(ListLeaks(chosen=LeakFilter(), limit=_LEAKED))
    authority.close()
    assert all(one.leak.proved_at is not None for one in page.leaks)


def _bare(command: ground.Command) -> None:
    db = sqlite3.connect(command.ledger / DATABASE, isolation_level=None)
    db.execute("BEGIN IMMEDIATE")
    db.execute(
        """INSERT INTO leak (credential, source, reported_at, added_at, event)
           SELECT id, 'a log', 1, 1, 1 FROM credential"""
    )
    db.execute("UPDATE credential SET ended_at = 1, ended_as = 'revoked', ended_event = 1")
    db.execute("UPDATE leak SET proved_at = 1")
    db.execute("COMMIT")
    db.close()


def _matching(place: Ground) -> Iterator[Row]:
    pristine = fleet.fleet(place.cache or place.new("cache"))
    changed = fleet.copy(pristine, place.new("incident") / "fleet")
    db = sqlite3.connect(f"file:{pristine / 'ledger' / DATABASE}?mode=ro", uri=True)
    prints = [raw for (raw,) in db.execute("SELECT fingerprint FROM credential")]
    random.Random(1).shuffle(prints)
    authority = fleet.open_fleet(changed)
    rounds = min(place.rounds, 3)
    sources = iter(f"report {number}" for number in range(rounds + 1))
    found = in_turns(
        rounds,
        {
            "match": lambda: seconds(lambda: _report(authority, prints, "nowhere", dry_run=True)),
            "join": lambda: seconds(lambda: _join(pristine, prints)),
            "add": lambda: seconds(lambda: _report(authority, prints, next(sources), dry_run=False)),
        },
    )
    authority.close()
    db.close()
    join = Series("bare SQL joins them", found["join"], duration)
    for what, name in (("match", "match"), ("match and record as leaked", "add")):
        yield Row(
            f"{what} 1.5 million fingerprints among as many credentials",
            Series(name, found[name], duration),
            join,
            under(10, duration) if name == "match" else None,
        )


def _report(authority: LocalAuthority, prints: Sequence[bytes], source: str, *, dry_run: bool) -> None:
    left, count = iter(prints), 0
    while chunk := dict.fromkeys(islice(left, _AT_ONCE), 1):
        finds = Finds()
        finds.opaque = chunk
        operation = AddLeaks(finds=finds, report=LeakReport(source, None), dry_run=dry_run)
        count += len(authority.perform(operation).new)
    assert count == len(prints)


def _join(pristine: Path, prints: Sequence[bytes]) -> None:
    db = sqlite3.connect(f"file:{pristine / 'ledger' / DATABASE}?mode=ro", uri=True)
    db.execute("CREATE TEMPORARY TABLE given (fingerprint BLOB PRIMARY KEY) WITHOUT ROWID")
    db.executemany("INSERT INTO given VALUES (?)", ((raw,) for raw in sorted(prints)))
    (count,) = db.execute(
        """SELECT count(*) FROM given g CROSS JOIN credential c
            WHERE substr(c.fingerprint, 1, 8) = substr(g.fingerprint, 1, 8) AND c.fingerprint = g.fingerprint"""
    ).fetchone()
    db.close()
    assert count == len(prints)
