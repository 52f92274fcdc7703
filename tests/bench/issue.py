"""Durable issues of single credentials in one process, against the limit of the disk."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

from tests.bench import ground, peers
from tests.bench.ground import Ground
from tests.bench.measure import Row, Series, at_least, in_turns, per_second, rate

_ISSUES = 300


def rows(place: Ground) -> Iterator[Row]:
    """Measure issues that are each decided, signed, audited and written to the disk."""
    folder = place.new("issue")
    authority = ground.authority(folder / "ledger")
    numbers = count()

    def issues(kind: str) -> float:
        def run() -> None:
            for _ in range(_ISSUES):
                ground.issue(authority, [ground.request(next(numbers), kind)])

        return rate(_ISSUES, run)

    found = in_turns(
        place.rounds,
        {
            "jwt": lambda: issues("jwt"),
            "fdatasync": lambda: peers.fdatasyncs(folder, _ISSUES),
            "opaque": lambda: issues("opaque"),
        },
    )
    authority.close()
    floor = Series("fdatasync", found["fdatasync"], per_second)
    for kind in ("jwt", "opaque"):
        yield Row(
            f"single durable issues, `{kind}`", Series(kind, found[kind], per_second), floor, at_least(0.35)
        )
