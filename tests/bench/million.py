"""Work among 1.5 million credentials: finding a few, ending some or all, and verifying the log."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from hashlib import sha256
from itertools import count
from pathlib import Path

from jitid.authority.local import LocalAuthority
from jitid.capabilities.identity.filter_store import Filter
from jitid.capabilities.integrity.operations import VerifyLog
from jitid.capabilities.inventory.operations import ListCredentials, Revoke
from jitid.capabilities.trust.operations import RevokeKey
from jitid.model.ledger_rows import Selection
from tests.bench import fleet, peers
from tests.bench.ground import Ground
from tests.bench.measure import Row, Series, at_least, duration, in_turns, seconds, under


def rows(place: Ground) -> Iterator[Row]:
    """Measure the work of an incident in a large fleet."""
    pristine = fleet.fleet(place.cache or place.new("cache"))
    folder = place.new("million")
    changed = fleet.copy(pristine, folder / "fleet")
    rounds = min(place.rounds, fleet.TREES - 1)
    yield from _looking(pristine, rounds)
    yield from _ending_some(changed, rounds)
    yield from _ending_all(pristine, folder, min(place.rounds, 3))


def _looking(pristine: Path, rounds: int) -> Iterator[Row]:
    authority = fleet.open_fleet(pristine)
    tasks = (fleet.task(number * 997 % 15_000) for number in count())
    events, members = _rows(pristine)
    found = in_turns(
        rounds,
        {
            "task": lambda: seconds(lambda: _list(authority, next(tasks))),
            "scan": lambda: seconds(lambda: _scan(pristine)),
            "verify": lambda: seconds(lambda: authority.perform(VerifyLog())),
            "hash": lambda: seconds(lambda: _hash(events, members)),
        },
    )
    authority.close()
    yield Row(
        "find one task's among 1.5 million",
        Series("list", found["task"], duration),
        Series("one pass over the table", found["scan"], duration),
        under(0.005, duration),
    )
    yield Row(
        "`audit verify` of 1.5 million, speed",
        Series("", [1 / value for value in found["verify"]], lambda value: duration(1 / value)),
        Series("bare `hashlib`", [1 / value for value in found["hash"]], lambda value: duration(1 / value)),
        at_least(0.35),
    )


def _ending_some(changed: Path, rounds: int) -> Iterator[Row]:
    authority = fleet.open_fleet(changed)
    delegators = (fleet.delegator(number * 37 % fleet.DELEGATORS) for number in count(1))
    trees = (fleet.tree_task(number) for number in count())
    found = in_turns(
        rounds,
        {
            "delegator": lambda: seconds(
                lambda: _revoke(authority, Selection(delegators=(next(delegators),)), 1_500)
            ),
            "tree": lambda: seconds(lambda: _revoke_tree(authority, next(trees))),
            "disk": lambda: 1 / peers.fdatasyncs(changed, 100),
        },
    )
    authority.close()
    floor = Series("one fdatasync", found["disk"], duration)
    yield Row(
        "revoke one delegator's 1,500 of 1.5 million",
        Series("delegator", found["delegator"], duration),
        floor,
        under(0.05, duration),
    )
    yield Row(
        "revoke a tree of 10,000 of 1.5 million",
        Series("tree", found["tree"], duration),
        floor,
        under(0.5, duration),
    )


def _ending_all(pristine: Path, folder: Path, rounds: int) -> Iterator[Row]:
    names = tuple(fleet.delegator(number) for number in range(fleet.DELEGATORS))
    found: dict[str, list[float]] = {"delegators": [], "key": [], "write": []}
    for _ in range(rounds):
        changed = fleet.copy(pristine, folder / "fleet")
        length = (changed / "ledger" / "ledger.db").stat().st_size
        found["write"].append(seconds(lambda: _write(folder / "written", length)))  # noqa: B023 - called at once
        authority = fleet.open_fleet(changed)
        found["delegators"].append(
            seconds(lambda: _revoke(authority, Selection(delegators=names), 1_500_000))  # noqa: B023
        )
        authority.close()
        authority = fleet.open_fleet(fleet.copy(pristine, folder / "fleet"))
        kid = _kid(changed)
        found["key"].append(seconds(lambda: authority.perform(RevokeKey(kid=kid, most=None))))  # noqa: B023
        authority.close()
    floor = Series("writing as many bytes as the ledger has", found["write"], duration)
    yield Row(
        "revoke all 1.5 million", Series("all", found["delegators"], duration), floor, under(4.0, duration)
    )
    yield Row(
        "`keys revoke` of the key that signed half of them",
        Series("key", found["key"], duration),
        floor,
        under(4.0, duration),
    )


def _list(authority: LocalAuthority, task: str) -> None:
    page = authority.perform(
        ListCredentials(chosen=Filter(task=task), sort="issued_at", descending=True, after=None, limit=100)
    )
    assert len(page.credentials) == fleet.COPIES


def _revoke(authority: LocalAuthority, selection: Selection, expected: int) -> None:
    ended = authority.perform(Revoke(selection=selection, most=None, reason="incident"))
    assert ended.credentials == expected


def _revoke_tree(authority: LocalAuthority, task: str) -> None:
    page = authority.perform(
        ListCredentials(chosen=Filter(task=task), sort="issued_at", descending=False, after=None, limit=1)
    )
    _revoke(authority, Selection(trees=(page.credentials[0].id,)), 10_000)


def _kid(place: Path) -> str:
    db = sqlite3.connect(place / "ledger" / "ledger.db")
    try:
        kid: str = db.execute("SELECT kid FROM signing_key").fetchone()[0]
    finally:
        db.close()
    return kid


def _rows(place: Path) -> tuple[list[tuple[bytes, bytes]], list[tuple[bytes, bytes]]]:
    """Return the input of `audit verify`: hash and body of each event, `jti` and fingerprint of each credential."""
    db = sqlite3.connect(place / "ledger" / "ledger.db")
    try:
        return (
            db.execute("SELECT hash, body FROM audit_event ORDER BY seq").fetchall(),
            db.execute("SELECT jti, fingerprint FROM credential ORDER BY id").fetchall(),
        )
    finally:
        db.close()


def _hash(events: list[tuple[bytes, bytes]], members: list[tuple[bytes, bytes]]) -> None:
    """Hash each row with one call; all rows are in memory."""
    for first, second in events:
        sha256(first + second).digest()
    for first, second in members:
        sha256(first + second).digest()


def _scan(place: Path) -> None:
    db = sqlite3.connect(place / "ledger" / "ledger.db")
    try:
        db.execute("SELECT sum(expires_at) FROM credential NOT INDEXED").fetchone()
    finally:
        db.close()


def _write(path: Path, length: int) -> None:
    block = bytes(1 << 20)
    with path.open("wb", buffering=0) as file:
        for _ in range(length >> 20):
            file.write(block)
        os.fdatasync(file.fileno())
    path.unlink()
