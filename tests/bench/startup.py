"""Start-up times: whole processes as a shell script waits for them, against OpenBao's CLI and the bare interpreter."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from tests.bench import ground, peers
from tests.bench.ground import Ground
from tests.bench.measure import Row, Series, at_most, duration, in_turns

_AGAINST_OPENBAO = ("issue", "revoke", "list", "inspect", "status")


def rows(place: Ground) -> Iterator[Row]:
    """Measure one process of each command that scripts run in loops."""
    folder = place.new("startup")
    command = ground.Command(folder)
    rounds = place.rounds * 3
    authority = ground.authority(command.ledger)
    issued = ground.issue(authority, [ground.request(number) for number in range(rounds + 1)])
    authority.close()
    ids = [one.credentials[0].id for one in issued]
    latest = ids[-1]
    with peers.openbao(folder) as bao:
        jitid = partial(peers.process, environment=command.environment, folder=folder)
        found = in_turns(
            rounds,
            {
                "python": lambda: jitid(peers.bare_python()),
                "bao": lambda: peers.process(bao.create, bao.environment, folder),
                "issue": lambda: jitid(
                    command("issue", "--task", "INC-4821", "--delegator", "alice", "--scope", "repo:web:read")
                ),
                "version": lambda: jitid(command("--version")),
                "help": lambda: jitid(command("--help")),
                "inspect": lambda: jitid(command("inspect", latest)),
                "list": lambda: jitid(command("list", "--task", "INC-4821")),
                "revoke": lambda: jitid(command("revoke", ids.pop(0))),
                "status": lambda: jitid(command("status")),
            },
        )
    python = Series("`python -c pass`", found["python"], duration)
    bao_create = Series("`bao token create -ttl=5m`", found["bao"], duration)
    for verb in _AGAINST_OPENBAO:
        label = "`jitid inspect ID`" if verb == "inspect" else f"`jitid {verb}`"
        yield Row(f"{label}, whole process", Series(verb, found[verb], duration), bao_create, at_most(1.0))
    for flag, goal in (("version", 2.0), ("help", 5.0)):
        yield Row(
            f"`jitid --{flag}`, whole process", Series(flag, found[flag], duration), python, at_most(goal)
        )
