"""`policy diff` over 1.5 million decisions: it evaluates the recorded requests of a year again."""

from __future__ import annotations

import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

from jitid.ledger.sqlite import folder as ledgers
from jitid.model import event
from jitid.policy.default import default_files, example_files
from jitid.policy.evaluate import Policy
from tests.bench import history
from tests.bench.ground import Command, Ground
from tests.bench.measure import Row, Series, duration, in_turns, seconds, under

CREDENTIALS = 1_500_000
NOW = 1_795_521_600
"""2026-11-24T12:00:00Z. The fixed time gives the same number of distinct requests in every run."""

_YEAR = 365 * 86_400
_AGENTS_OF_ONE = 3
_SCOPES: tuple[list[str], ...] = (
    ["repo:acme/web:read", "tickets:all:write"],
    ["repo:acme/api:read"],
    ["deploy:web"],
    [],
)
_ZONE = "Europe/Berlin"


def rows(place: Ground) -> Iterator[Row]:
    """Measure the default policy against a policy about scopes, and against one about scopes, people and hours."""
    folder = place.new("replay")
    database = make(folder / "ledger", CREDENTIALS)
    command = Command(folder)
    (folder / "scopes").mkdir()
    (folder / "scopes" / "scopes.cedar").write_text(
        default_files()[0][1]
        + '@id("no-deploy") forbid (principal, action == Action::"grant", resource) '
        + 'when { context.scope like "deploy:*" };\n'
    )
    (folder / "hours").mkdir()
    for name, text in (*default_files(), *example_files()):
        (folder / "hours" / name).write_text(text)
    environment = {**command.environment, "JITID_LEDGER": str(folder / "ledger")}

    def diff(name: str) -> None:
        line = command("policy", "diff", "default", str(folder / name), "--limit", "10", "-q")
        subprocess.run(line, env=environment, cwd=folder, check=True, stdout=subprocess.DEVNULL)

    found = in_turns(
        place.rounds,
        {
            "scopes": lambda: seconds(lambda: diff("scopes")),
            "hours": lambda: seconds(lambda: diff("hours")),
            "scan": lambda: seconds(lambda: scan(database)),
        },
    )
    floor = Series("one pass over the members of all events", found["scan"], duration)
    for name, what in (("scopes", "scopes"), ("hours", "agents, delegators, scopes and hours")):
        yield Row(
            f"`jitid policy diff` over 1.5 million decisions, of {what}, whole process",
            Series("policy diff", found[name], duration),
            floor,
            under(10.0, duration),
        )


def make(path: Path, credentials: int) -> Path:
    """Make a ledger whose audit log has a number of single issues within a year; return its database."""
    ledgers.create(str(path), history.NAMES, default_files(), by="bench", now=NOW - _YEAR)
    database = path / ledgers.DATABASE
    db = sqlite3.connect(database, isolation_level=None)
    seq, previous = db.execute("SELECT max(seq), hash FROM audit_event").fetchone()
    db.execute("BEGIN")
    db.executemany(
        "INSERT INTO audit_event (seq, body, hash) VALUES (?, ?, ?)", _events(credentials, seq, previous)
    )
    db.execute("UPDATE clock_mark SET marked_at = ?", (NOW,))
    db.execute("COMMIT")
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    return database


def _events(credentials: int, seq: int, hash_: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    policy = Policy(default_files()).digest
    for number in range(credentials):
        who = number * 7 % history.DELEGATORS
        sensitivity = ("low", "moderate", "moderate", "high")[number % 4]
        body = event.encode(
            "issue",
            NOW - _YEAR + _YEAR * number // credentials,
            "bench",
            {
                "agent": f"fixer-{(who + number // 13 % _AGENTS_OF_ONE) % history.AGENTS}",
                "delegator": f"user:engineer-{who}@example.com",
                "issued": f"{number:064x}",
                "jti": f"jti_{number:026d}",
                "kind": "jwt" if number % 2 else "opaque",
                "lifetime": 900,
                "policy": policy,
                "proof": "oidc" if sensitivity == "high" else "asserted",
                "purpose": f"ticket {number // history.ON_TASK}" if number % 3 else None,
                "rules": [sensitivity],
                "scopes": _SCOPES[number // 5 % 4],
                "sensitivity": sensitivity,
                "standing": {"groups": ["engineers", f"team-{who % 100}"], "known": True},
                "task": f"INC-{number // history.ON_TASK}",
                "zone": _ZONE,
            },
        )
        seq, hash_ = seq + 1, event.link(hash_, body)
        yield seq, body, hash_


def scan(database: Path) -> None:
    """Read two members of each event once, without an index."""
    db = sqlite3.connect(database)
    try:
        db.execute(
            "SELECT count(json_extract(CAST(body AS TEXT), '$.rules', '$.at')) FROM audit_event"
        ).fetchone()
    finally:
        db.close()
