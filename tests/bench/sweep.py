"""Sweeps of a fleet, against one pass over the table, a ten times longer history, and OpenBao; also as a command."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from jitid.authority.local import LocalAuthority
from jitid.capabilities.sweep.finding import Finding, Remedied, Thresholds
from jitid.capabilities.sweep.operations import Fix, Sweep
from jitid.capabilities.sweep.rules import NAMES
from jitid.ledger.sqlite import folder as ledgers
from jitid.ledger.sqlite import ledger as sqlite_ledger
from tests.bench import history, peers
from tests.bench.fleet import terms
from tests.bench.ground import Command, Ground
from tests.bench.measure import Row, Series, at_most, duration, in_turns, megabytes, seconds, under

CREDENTIALS = 1_500_000
SET_RULES = tuple(name for name in NAMES if name != "audit-gap")
"""All rules except the rule that reads the audit log."""

_STARTER = """import os, subprocess, sys
running = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(running.pid, 0)
print(os.waitstatus_to_exitcode(status), usage.ru_maxrss)"""
"""A small process that starts another: the kernel counts the starter's peak memory for the new process too."""


def rows(place: Ground) -> Iterator[Row]:
    """Measure sweeps of 1.5 million credentials, three in ten of them live."""
    folder = place.new("sweep")
    live = CREDENTIALS * 3 // 10
    fleet = history.make(folder / "ledger", CREDENTIALS - live, live)
    yield from _rules(fleet, place.rounds)
    yield from _command(fleet, folder, place.rounds)
    yield from _longer(place.new("longer"), place.rounds)
    yield from _many(place.new("many"))
    yield from _peer(place.new("peer"))


def _rules(fleet: history.Ledger, rounds: int) -> Iterator[Row]:
    authority = _open(fleet)
    found = in_turns(
        rounds,
        {
            "rules": lambda: seconds(lambda: _sweep(authority)),
            "scan": lambda: seconds(lambda: fleet.scan()),
        },
    )
    authority.close()
    yield Row(
        f"all set rules of `sweep` among 1.5 million, {_sweep(_open(fleet)):,} findings",
        Series("the rules", found["rules"], duration),
        Series("one full scan of the table", found["scan"], duration),
        at_most(3),
    )


def _command(fleet: history.Ledger, folder: Path, rounds: int) -> Iterator[Row]:
    command = Command(folder)
    line = command("sweep", "--format", "json", "--fail-on", "critical")
    environment = {**command.environment, "JITID_LEDGER": str(fleet.path)}

    def run() -> None:
        done = subprocess.run(line, env=environment, cwd=folder, stdout=subprocess.PIPE, check=False)
        assert done.returncode in (0, 10), done.returncode
        assert json.loads(done.stdout)["summary"]["complete"]

    found = in_turns(
        rounds,
        {"sweep": lambda: seconds(run), "scan": lambda: seconds(lambda: fleet.scan())},
    )
    yield Row(
        "`jitid sweep --format json` among 1.5 million, whole process",
        Series("sweep", found["sweep"], duration),
        Series("one full scan of the table", found["scan"], duration),
        under(1.0, duration),
    )


def _longer(folder: Path, rounds: int) -> Iterator[Row]:
    live, dead = 150_000, 350_000
    short = history.make(folder / "short", dead, live)
    long = history.make(folder / "long", dead * 10, live)
    authorities = {"short": _open(short), "long": _open(long)}
    found = in_turns(
        rounds,
        {name: partial(_timed, one) for name, one in authorities.items()},
    )
    yield Row(
        "all set rules with ten times as much dead history, as many alive",
        Series("3.5 million dead, 150,000 alive", found["long"], duration),
        Series("350,000 dead", found["short"], duration),
        at_most(1.3),
    )


def _many(folder: Path) -> Iterator[Row]:
    """Measure once the memory of a sweep that streams 1.5 million findings."""
    fleet = history.make(folder / "ledger", 0, CREDENTIALS, on_task=1, late=1)
    command = Command(folder)
    environment = {**command.environment, "JITID_LEDGER": str(fleet.path)}
    most = {}
    for name in ("json", "sarif"):
        line = command("sweep", "--rule", "orphaned-task", "--format", name, "--out", str(folder / "out"))
        most[name] = _memory(line, environment, folder)
    bare = _memory(peers.bare_python(), environment, folder)
    yield Row(
        f"memory of `sweep` that finds 1.5 million, the most of {', '.join(most)}",
        Series("sweep", [max(most.values())], megabytes),
        Series("`python -c pass`", [bare], megabytes),
        under(200e6, megabytes),
    )


def _memory(line: list[str], environment: dict[str, str], folder: Path) -> float:
    """Return the peak memory of a process in bytes."""
    starter = [sys.executable, "-S", "-c", _STARTER, *line]
    ran = subprocess.run(starter, env=environment, cwd=folder, stdout=subprocess.PIPE, check=True)
    status, most = map(int, ran.stdout.split())
    assert status in (0, 10)
    return most * 1024


def _peer(folder: Path) -> Iterator[Row]:
    """Measure OpenBao with the same number of tokens once, because it takes minutes."""
    count = 100_000
    with peers.openbao(folder) as bao:
        bao.tokens(count, "1h")
        there, looked = bao.look_at_leases()
        assert there >= count
        revoked = bao.revoke_leases()
    fleet = history.make(folder / "ledger", 0, count, late=1)
    authority = _open(fleet)
    found = seconds(lambda: _sweep(authority))
    ended = seconds(lambda: _end(authority, count))
    authority.close()
    yield Row(
        f"look at {count:,} live credentials with all set rules",
        Series("`sweep`", [found], duration),
        Series("OpenBao looks at each lease", [looked], duration),
        None,
    )
    yield Row(
        f"end {count:,} orphans, each proved",
        Series("`sweep --fix`", [ended], duration),
        Series("OpenBao revokes them by their prefix", [revoked], duration),
        None,
    )


def _end(authority: LocalAuthority, count: int) -> None:
    answer = authority.perform(Fix(rules=("orphaned-task",), limits=Thresholds(), sweep="bench", most=None))
    assert sum(one.credentials for one in answer if isinstance(one, Remedied)) == count


def _open(fleet: history.Ledger) -> LocalAuthority:
    path = str(fleet.path)
    ledger = sqlite_ledger.connect(
        f"{path}/{ledgers.DATABASE}", f"{path}/{ledgers.LOCK}", by="bench", clock=lambda: fleet.now
    )
    return LocalAuthority(ledger, ledgers.keyring(path), terms=terms)


def _timed(authority: LocalAuthority) -> float:
    return seconds(lambda: _sweep(authority))


def _sweep(authority: LocalAuthority) -> int:
    answer = authority.perform(Sweep(rules=SET_RULES, limits=Thresholds()))
    return sum(isinstance(each, Finding) for each in answer)
