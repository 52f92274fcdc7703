"""A command under `run`, against the two processes that a script would start instead."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from tests.bench import ground, peers
from tests.bench.ground import Ground
from tests.bench.measure import Row, Series, at_most, duration, in_turns


def rows(place: Ground) -> Iterator[Row]:
    """Measure `run -- true` against `issue` and `revoke`."""
    folder = place.new("running")
    command = ground.Command(folder)
    rounds = place.rounds * 3
    authority = ground.authority(command.ledger)
    issued = ground.issue(authority, [ground.request(number) for number in range(rounds + 1)])
    authority.close()
    ids = [one.credentials[0].id for one in issued]
    process = partial(peers.process, environment=command.environment, folder=folder)
    asked = ("--task", "INC-4821", "--delegator", "alice", "--scope", "repo:web:read")
    found = in_turns(
        rounds,
        {
            "run": lambda: process(command("run", *asked, "--", "true")),
            "both": lambda: process(command("issue", *asked)) + process(command("revoke", ids.pop(0))),
        },
    )
    both = Series("`jitid issue` and `jitid revoke`", found["both"], duration)
    yield Row("`jitid run -- true`, whole process", Series("run", found["run"], duration), both, at_most(1.2))
