"""Shell completion: the whole process that a TAB starts, for names from a ledger of 100,000 credentials."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from tests.bench import ground, peers
from tests.bench.ground import Ground
from tests.bench.measure import Row, Series, at_most, duration, in_turns

CREDENTIALS = 100_000


def rows(place: Ground) -> Iterator[Row]:
    """Measure the completion of ids, with the ledger from the environment and from the configuration."""
    folder = place.new("completion")
    command = ground.Command(folder)
    # The default place of the ledger.
    command.ledger = folder / ".local" / "share" / "jitid"
    command.ledger.parent.mkdir(parents=True)
    authority = ground.authority(command.ledger)
    for requests in ground.copies(ground.request(0, "opaque"), CREDENTIALS):
        ground.issue(authority, requests)
    authority.close()
    unnamed = {name: text for name, text in command.environment.items() if name != "JITID_LEDGER"}
    named = {**unnamed, "JITID_LEDGER": str(command.ledger)}
    ask = partial(peers.process, command("__complete", "ids", "jid_"), folder=folder)
    found = in_turns(
        place.rounds * 3,
        {
            "python": lambda: peers.process(peers.bare_python(), environment=unnamed, folder=folder),
            "named": lambda: ask(environment=named),
            "unnamed": lambda: ask(environment=unnamed),
        },
    )
    python = Series("`python -c pass`", found["python"], duration)
    for what, name, goal in (("`JITID_LEDGER` set", "named", 2.5), ("nothing set", "unnamed", 4.0)):
        yield Row(
            f"completion of ids among 100,000, {what}",
            Series(name, found[name], duration),
            python,
            at_most(goal),
        )
