"""Reviews of a large fleet: recurring agents, credentials that today's policy would deny, and a directory import."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from jitid.ledger.sqlite import folder as ledgers
from tests.bench import ground, history
from tests.bench.ground import Command, Ground
from tests.bench.measure import Row, Series, duration, in_turns, seconds, under

_CREDENTIALS = 1_500_000
_PEOPLE = 100_000
_HOURS = """@id("by-day")
forbid (principal, action == Action::"issue", resource)
when { context.agent == "fixer-7" && context.weekday <= 7 };

@id("no-api")
forbid (principal, action == Action::"grant", resource)
when { context.scope like "repo:acme/api:*" && context.delegator_name like "user:engineer-1*" };
"""
"""A policy that must be evaluated for all live credentials: by agent, delegator, scope and hour."""


def rows(place: Ground) -> Iterator[Row]:
    """Measure `agent advise`, the rule `policy-drift` and an import, as whole processes."""
    yield from _fleet(place.new("reviewing"), place.rounds)
    yield from _import(place.new("import"), min(place.rounds, 3))


def _fleet(folder: Path, rounds: int) -> Iterator[Row]:
    fleet = history.make(folder / "ledger", 0, _CREDENTIALS)
    (fleet.path / ledgers.POLICY / "changed.cedar").write_text(_HOURS)
    command = Command(folder)
    environment = {**command.environment, "JITID_LEDGER": str(fleet.path)}
    lines = {
        "classify": command("agent", "classify", "--format", "json"),
        "drift": command("sweep", "--rule", "policy-drift", "--format", "json", "--fail-on", "critical"),
    }
    found = in_turns(
        rounds,
        {
            **{name: partial(_run, line, environment, folder) for name, line in lines.items()},
            "scan": lambda: seconds(lambda: fleet.scan()),
        },
    )
    floor = Series("one full scan of the table", found["scan"], duration)
    for name, told in (
        ("classify", "`jitid agent advise` of 1.5 million, whole process"),
        ("drift", "rule `policy-drift` among 1.5 million alive, all asked about, whole process"),
    ):
        yield Row(told, Series(name, found[name], duration), floor, under(10.0, duration))


def _run(line: list[str], environment: dict[str, str], folder: Path) -> float:
    answered = b""

    def run() -> None:
        nonlocal answered
        answered = subprocess.run(
            line, env=environment, cwd=folder, check=True, stdout=subprocess.PIPE
        ).stdout

    taken = seconds(run)
    document = json.loads(answered)
    assert document.get("items") or document.get("findings"), line
    return taken


def _import(folder: Path, rounds: int) -> Iterator[Row]:
    """Measure the first import of a large directory, and an import without changes."""
    people = folder / "people.csv"
    people.write_text(
        "name,entitlements,groups,manager,aliases\n"
        + "".join(
            f"engineer-{n},repo:*:read;tickets:*:write,team-{n % 500};engineers,engineer-{n // 100},e{n}@example.com\n"
            for n in range(_PEOPLE)
        )
    )
    found: dict[str, list[float]] = {"first": [], "again": [], "read": []}
    for number in range(rounds):
        command = Command(_new(folder / f"round-{number}"))
        ground.authority(command.ledger).close()
        line = command("delegator", "import", str(people))
        for name in ("first", "again"):
            found[name].append(
                seconds(
                    lambda: subprocess.run(
                        line,  # noqa: B023
                        env=command.environment,  # noqa: B023
                        cwd=folder,
                        check=True,
                        stdout=subprocess.DEVNULL,
                    )
                )
            )
        found["read"].append(seconds(people.read_bytes))
    floor = Series("reading the list", found["read"], duration)
    yield Row(
        f"`jitid delegator import` of {_PEOPLE:,} people, whole process",
        Series("import", found["first"], duration),
        floor,
        None,
    )
    yield Row("the same again, nothing new", Series("import", found["again"], duration), floor, None)


def _new(folder: Path) -> Path:
    folder.mkdir(mode=0o700)
    return folder
