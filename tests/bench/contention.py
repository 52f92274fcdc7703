"""Eight processes that issue credentials singly on one ledger: throughput, longest wait, and fairness."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import mean
from time import perf_counter
from typing import NamedTuple

from tests.bench import ground, peers
from tests.bench.ground import Ground
from tests.bench.measure import Row, Series, at_least, at_most, duration, per_second, share, under

_PROCESSES = 8
_SECONDS = 2.0


class Share(NamedTuple):
    """The result of one process."""

    issues: int
    longest: float
    """The longest time in seconds from a request to its credential."""


def rows(place: Ground) -> Iterator[Row]:
    """Measure eight concurrent writers."""
    folder = place.new("contention")
    ground.authority(folder / "ledger").close()
    floors, rates, longest, unfair = [], [], [], []
    for _ in range(max(3, place.rounds // 2)):
        before = peers.fdatasyncs(folder, 2_000)
        shares = together(str(folder / "ledger"), _PROCESSES, _SECONDS)
        floors.append(mean((before, peers.fdatasyncs(folder, 2_000))))
        rates.append(sum(one.issues for one in shares) / _SECONDS)
        longest.append(max(one.longest for one in shares))
        unfair.append(max(one.issues for one in shares) / min(one.issues for one in shares))
    floor = Series("fdatasync, one process", floors, per_second)
    single = Series("one fdatasync", [1 / value for value in floors], duration)
    equal = Series("equal shares", [1.0] * len(unfair), share)
    yield Row("eight processes issue together", Series("", rates, per_second), floor, at_least(0.35))
    yield Row("longest wait among them", Series("", longest, duration), single, under(0.2, duration))
    yield Row("largest share to smallest", Series("", unfair, share), equal, at_most(2.0))


def together(ledger: str, processes: int, seconds: float) -> list[Share]:
    """Run a number of processes that issue for a number of seconds, all from the same moment."""
    arguments = [(ledger, str(number), str(seconds)) for number in range(processes)]
    return [Share(*one) for one in ground.race("tests.bench.contention", arguments, seconds)]


def _compete(ledger: str, number: int, seconds: float) -> None:
    authority = ground.authority(Path(ledger))
    wanted = ground.request(number)._replace(task=f"INC-{number}")
    ground.issue(authority, [wanted])
    ground.wait_for_start()
    issues, longest = 0, 0.0
    before = perf_counter()
    until = before + seconds
    while before < until:
        ground.issue(authority, [wanted])
        after = perf_counter()
        longest = max(longest, after - before)
        issues, before = issues + 1, after
    print(json.dumps([issues, longest]), flush=True)


if __name__ == "__main__":
    _compete(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
