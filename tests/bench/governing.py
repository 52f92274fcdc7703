"""The cost of governance for an issue: a hundred policy rules and a directory of ten thousand, as whole processes."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from jitid.capabilities.directory import delegators
from jitid.capabilities.directory.store import DirectoryChanges, DirectoryStore
from jitid.ledger.sqlite import folder as ledger_folder
from jitid.model.directory import Delegator
from tests.bench import ground, peers
from tests.bench.ground import Ground
from tests.bench.measure import Row, Series, at_most, duration, in_turns

_POLICIES = 100
_DELEGATORS = 10_000


def rows(place: Ground) -> Iterator[Row]:
    """Measure `issue` in a governed ledger against `issue` in a new one with the default policy."""
    plain, governed = (ground.Command(place.new(name)) for name in ("plain", "governed"))
    for command in (plain, governed):
        ground.authority(command.ledger).close()
    govern(governed.ledger)
    run = {
        name: partial(
            peers.process,
            command("issue", "--task", "INC-1", "--delegator", "engineer-4711", "--scope", "repo:web:read"),
            command.environment,
            command.ledger.parent,
        )
        for name, command in (("plain", plain), ("governed", governed))
    }
    found = in_turns(place.rounds * 3, run)
    yield Row(
        f"`jitid issue` with {_POLICIES} policies and {_DELEGATORS:,} delegators, whole process",
        Series("issue", found["governed"], duration),
        Series("the default policy, no directory", found["plain"], duration),
        at_most(1.25),
    )


def govern(ledger: Path) -> None:
    """Add a directory and more policies to a ledger. Half of the policies use entities, half use the context."""
    people = [
        Delegator(
            0,
            f"user:engineer-{number}",
            "critical",
            ("repo:*:read", "tickets:*:write"),
            (f"team-{number % 100}", "engineers"),
            f"user:engineer-{number % 100}",
            (f"user:engineer-{number}@example.com",),
            imported=True,
            added_at=0,
            disabled_at=None,
        )
        for number in range(_DELEGATORS)
    ]
    held = ledger_folder.open_ledger(str(ledger), by="bench", timeout=30.0)
    with held.write() as transaction:
        DirectoryChanges(transaction).put_delegators(people)
        directory = delegators.digest(DirectoryStore(transaction))
        transaction.append(
            "delegator-import",
            {"people": len(people), "directory": directory, "digests": delegators.FORM},
        )
    held.close()
    text = "".join(
        f'@id("team-{number}")\nforbid (principal == Agent::"fixer-{number}", action == Action::"issue", resource)\n'
        f'when {{ !(context.delegator in Group::"team-{number}") }};\n'
        if number % 2
        else f'@id("scope-{number}")\nforbid (principal, action == Action::"grant", resource)\n'
        f'when {{ context.scope like "prod{number}:*" && context.hour > 17 }};\n'
        for number in range(_POLICIES)
    )
    (ledger / ledger_folder.POLICY / "teams.cedar").write_text(text)
