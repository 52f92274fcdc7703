"""A breach: 1.5 million live keys are reported at once, then revoked, proved as revoked, and listed in a report."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from jitid.authority.local import LocalAuthority
from jitid.capabilities.identity import revocation
from jitid.capabilities.leak import leaks
from jitid.capabilities.leak.leaks import LeakReport
from jitid.capabilities.leak.operations import AddLeaks
from jitid.capabilities.scan.search_stream import StreamSearch
from jitid.ledger.sqlite.folder import DATABASE
from jitid.model.ledger_rows import Selection
from jitid.model.request import MOST_AT_ONCE, IssueRequest
from tests.bench import ground
from tests.bench.ground import SCOPES, Ground
from tests.bench.measure import Row, Series, duration, seconds, under

KEYS = 1_500_000

_LIFETIME = 28_800
_FRESH = 3 * 3_600
"""Maximum age in seconds of a cached ledger: its keys outlive all rounds."""
_SOURCE = "the breach"


def rows(place: Ground) -> Iterator[Row]:
    """Measure the responder's command, the report after it, and the cost of each step."""
    pristine = _made(place.cache or place.new("cache"))
    folder = place.new("breach")
    rounds = min(place.rounds, 3)
    found: dict[str, list[float]] = {
        "command": [],
        "report": [],
        "SQL": [],
        "add": [],
        "end": [],
        "prove": [],
    }
    for _ in range(rounds):
        command = _copied(pristine, folder)
        found["command"].append(seconds(lambda: _end(command, pristine)))  # noqa: B023 - called at once
        told: list[Any] = []
        found["report"].append(seconds(lambda: told.append(_report(command))))  # noqa: B023
        _must_be_over(told[0])
        command = _copied(pristine, folder)
        found["SQL"].append(seconds(lambda: _bare(command)))  # noqa: B023
        command = _copied(pristine, folder)
        for name, step in _steps(ground.authority(command.ledger), pristine / "tokens"):
            found[name].append(seconds(step))
    floor = Series("bare SQL records and ends as many", found["SQL"], duration)
    yield Row(
        "`leak add --revoke` of 1.5 million live keys until all are proved refused, whole process",
        Series("leak add", found["command"], duration),
        floor,
        under(60, duration),
    )
    for name, what in (
        ("add", "finding them in the file and recording that they leaked"),
        ("end", "ending them"),
        ("prove", "proving of each that it is refused"),
    ):
        yield Row(f"of it {what}", Series(name, found[name], duration), floor, None)
    yield Row(
        "`jitid report` of the breach, whole process",
        Series("report", found["report"], duration),
        floor,
        under(10, duration),
    )


def _made(cache: Path) -> Path:
    """Return a folder, at most a few hours old, with a ledger of live keys and a file of the keys."""
    place = cache / f"breach-{KEYS}"
    done = place / "made"
    if done.exists() and time.time() - done.stat().st_mtime < _FRESH:
        return place
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True, mode=0o700)
    authority = ground.authority(place / "ledger")
    with (place / "tokens").open("w") as file:
        for number in range(KEYS // MOST_AT_ONCE):
            asked = IssueRequest(
                task=f"INC-{number}",
                delegator=f"user:engineer-{number % 1_000}@example.com",
                agent=f"fixer-{number % 50}",
                kind="opaque",
                scopes=SCOPES,
                sensitivity="low",
                ttl=_LIFETIME,
                copies=MOST_AT_ONCE,
            )
            (issued,) = ground.issue(authority, [asked])
            file.writelines(f'{{"apiKey": "{one.secret.reveal()}"}}\n' for one in issued.credentials)
    authority.close()
    done.touch()
    return place


def _copied(pristine: Path, folder: Path) -> ground.Command:
    """Return the command over a copy of the ledger, which replaces the copy before."""
    shutil.rmtree(folder / "copy", ignore_errors=True)
    (folder / "copy").mkdir(mode=0o700)
    command = ground.Command(folder / "copy")
    shutil.copytree(pristine / "ledger", command.ledger)
    return command


def _end(command: ground.Command, pristine: Path) -> None:
    line = command("-q", "leak", "add", str(pristine / "tokens"), "--source", _SOURCE, "--revoke", "--yes")
    subprocess.run(line, env=command.environment, check=True, stdout=subprocess.DEVNULL)


def _report(command: ground.Command) -> Any:
    line = command("report", "--format", "json")
    done = subprocess.run(line, env=command.environment, check=True, capture_output=True)
    return json.loads(done.stdout)


def _must_be_over(report: Any) -> None:
    told = report["leaks"]
    assert report["totals"]["live"] == 0
    assert (told["secrets"], told["proved_dead"], told["still_valid"]) == (KEYS, KEYS, 0)
    assert told["younger"] == {"dead": KEYS, "valid": 0}


def _steps(authority: LocalAuthority, tokens: Path) -> Iterator[tuple[str, Callable[[], None]]]:
    ledger = authority._ledger
    found: list[str] = []

    def add() -> None:
        with StreamSearch(str(tokens), "the text") as search:
            for finds in search.finds():
                came = authority.perform(AddLeaks(finds=finds, report=LeakReport(_SOURCE, None)))
                found.extend(came.credentials.values())
        assert len(found) == KEYS

    def end() -> None:
        with ledger.write() as transaction:
            ended = revocation.revoke(transaction, Selection(ids=tuple(found)), "breach", None)
        assert ended.credentials == KEYS

    def prove() -> None:
        assert leaks.prove(ledger) == KEYS
        authority.close()

    yield "add", add
    yield "end", end
    yield "prove", prove


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
