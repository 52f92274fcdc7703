"""The Python interface in one process, against the commands of the same purpose as whole processes."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import count
from time import perf_counter

import jitid
from tests.bench import ground, peers
from tests.bench.ground import Ground
from tests.bench.measure import Row, Series, at_most, duration, in_turns

_API = "https://api.example"
_GOAL = 0.1
_EACH = 10
"""Calls in one turn: one alone is too short for its noise."""


def rows(place: Ground) -> Iterator[Row]:
    """Measure the issue of an identity, of a service token, and a verification."""
    folder = place.new("python")
    command = ground.Command(folder)
    authority = ground.authority(command.ledger)
    ground.issue(authority, [ground.request(0)])
    authority.close()
    ledger = str(command.ledger)
    numbers = count()

    def identities() -> float:
        spent = 0.0
        for _ in range(_EACH):
            me = jitid.identity(
                task=f"P-{next(numbers)}", delegator="alice", scopes="repo:web:read", ledger=ledger
            )
            start = perf_counter()
            me.__enter__()
            spent += perf_counter() - start
            me.__exit__(None, None, None)
        return spent / _EACH

    with jitid.identity(
        task="INC-4821", delegator="alice", scopes="repo:web:read", audience=_API, ledger=ledger
    ) as me:
        (folder / "service").write_text(me.token())

        def tokens() -> float:
            start = perf_counter()
            for _ in range(_EACH):
                me.token(fresh=True)
            return (perf_counter() - start) / _EACH

        def verdicts() -> float:
            token = me.token()
            start = perf_counter()
            for _ in range(_EACH):
                jitid.verify(token, audience=_API, ledger=ledger)
            return (perf_counter() - start) / _EACH

        process = partial(peers.process, environment=command.environment, folder=folder)
        issue = ("issue", "--task", "INC-4821", "--delegator", "alice", "--scope", "repo:web:read")
        found = in_turns(
            place.rounds,
            {
                "identity": identities,
                "issue": lambda: process(command(*issue)),
                "token": tokens,
                "verdict": verdicts,
                "verify": lambda: process(command("verify", "service", "--audience", _API)),
            },
        )
    issued = Series("`jitid issue`, whole process", found["issue"], duration)
    verified = Series("`jitid verify`, whole process", found["verify"], duration)
    for what, name, peer in (
        ("`with jitid.identity(…)`: begin a block", "identity", issued),
        ("`me.token(fresh=True)`", "token", issued),
        ("`jitid.verify(…)`", "verdict", verified),
    ):
        yield Row(what, Series("in process", found[name], duration), peer, at_most(_GOAL))
