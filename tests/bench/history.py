"""A ledger with a long history, written as rows, because issuing the credentials singly would take minutes."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jitid.ledger.sqlite import folder as ledgers
from jitid.ledger.sqlite.schema import LIVE_INDEXES
from jitid.model.ledger_rows import Names
from jitid.policy.default import default_files
from jitid.system.processes import this_process
from tests.bench.fleet import terms

DELEGATORS = 1_000
AGENTS = 50
ON_TASK = 20
"""The default number of credentials of a task."""
NAMES = Names("00000000-0000-4000-8000-000000000001", "urn:jitid:history", "jitid.local")

_LIFETIME = 900
_SCOPES = ("repo:acme/web:read tickets:all:write", "repo:acme/api:read", "")


class Ledger:
    """The folder of a ledger, and the time at which its live credentials are live."""

    def __init__(self, path: Path, now: int) -> None:
        self.path = path
        self.now = now

    @property
    def database(self) -> Path:
        """Return the path of the database file."""
        return self.path / ledgers.DATABASE

    def scan(self) -> None:
        """Read all credentials once, without an index."""
        db = sqlite3.connect(self.database)
        try:
            db.execute(
                "SELECT sum(issued_at), sum(expires_at), sum(ended_at), sum(task) FROM credential NOT INDEXED"
            ).fetchone()
        finally:
            db.close()


def make(path: Path, dead: int, live: int, *, on_task: int = ON_TASK, late: int = 200) -> Ledger:
    """Make a ledger with expired and live credentials, the live ones issued last, and findings for most sweep rules.

    The default policy decided all requests. The rules find: ended tasks, expired parents, wrappers that have exited,
    unconfirmed credentials, leaks, standing credentials, unproved delegators. A task has at most `on_task`
    credentials, and one in `late` tasks with live credentials has ended.
    """
    now = int(time.time())
    ledgers.create(str(path), NAMES, default_files(), by="bench", now=now)
    db = sqlite3.connect(path / ledgers.DATABASE, isolation_level=None)
    indexes = dict(
        db.execute("SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL").fetchall()
    )
    for name in indexes:
        db.execute(f"DROP INDEX {name}")
    db.execute("BEGIN")
    db.execute("INSERT INTO term (id, text) VALUES (1, ?)", (NAMES.issuer,))
    db.executemany(
        "INSERT INTO term (id, text) VALUES (?, ?)",
        [(2 + n, f"user:engineer-{n}@example.com") for n in range(DELEGATORS)],
    )
    db.executemany(
        "INSERT INTO term (id, text) VALUES (?, ?)",
        [(2 + DELEGATORS + n, f"fixer-{n}") for n in range(AGENTS)],
    )
    total = dead + live
    db.executemany(
        "INSERT INTO task VALUES (?, ?, ?, NULL, ?, ?, ?, ?, 1, NULL)",
        _tasks(total, dead, now, on_task, late),
    )
    policy = terms()
    db.execute("INSERT INTO policy VALUES (?, ?)", (policy.policy.digest, policy.policy_text))
    db.executemany(
        "INSERT INTO identity VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, NULL)", _identities(total, dead, on_task)
    )
    db.executemany(
        "INSERT INTO credential VALUES (" + ", ".join("?" * 19) + ", NULL" * 12 + ")",
        _credentials(total, dead, now, on_task),
    )
    db.executemany(
        "INSERT INTO process VALUES (?, ?, ?, ?, ?, ?, 0, 0)",
        [(dead + n, *this_process()[:3], 4_000_000 + n, 1) for n in range(live // 1_000)],
    )
    db.executemany(
        "INSERT INTO leak (credential, source, reported_at, added_at, event) VALUES (?, 'build log', ?, ?, 1)",
        [(n, now - 600, now - 600) for n in range(dead // 2, total, max(total // 400, 1))],
    )
    db.execute("COMMIT")
    for statement in indexes.values():
        db.execute(statement)
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    assert set(LIVE_INDEXES) <= indexes.keys()
    return Ledger(path, now)


def _tasks(total: int, dead: int, now: int, on_task: int, late: int) -> Iterator[tuple[Any, ...]]:
    for n in range(total // on_task + 1):
        over = n * on_task < dead
        sensitivity = ("low", "moderate", "moderate", "high")[n % 4]
        opened = now - 86_400 if over else now - 600
        deadline = now - 60 if not over and n % late == 0 else opened + 86_400
        yield (
            n + 1,
            f"INC-{n}",
            2 + n % DELEGATORS,
            sensitivity,
            deadline,
            opened,
            now - 3_600 if over else None,
        )


def _identities(total: int, dead: int, on_task: int) -> Iterator[tuple[Any, ...]]:
    for n in range(1, total + 1):
        task = n // on_task
        # On every task, one agent delegates to three others. A few live children have an expired parent.
        child = n % on_task in (1, 2, 3) and n > 4
        parent = n - n % on_task if child else None
        if child and n > dead and task % 500 == 0:
            parent = 1
        sensitivity = ("low", "moderate", "moderate", "high")[task % 4]
        proof = "asserted" if sensitivity != "high" or task % 1_000 == 3 else "oidc"
        yield (
            n,
            (n).to_bytes(16),
            parent,
            1 if child else 0,
            2 + task % DELEGATORS,
            proof,
            2 + DELEGATORS + n % AGENTS,
            task + 1,
            sensitivity,
        )


def _credentials(total: int, dead: int, now: int, on_task: int) -> Iterator[tuple[Any, ...]]:
    random = os.urandom
    for n in range(1, total + 1):
        lives = n > dead
        task = n // on_task
        signed = n % 2 == 0
        issued = now - 60 if lives else now - 86_400
        # A few credentials have a lifetime that is too long.
        lifetime = 86_400 if n % 5_000 == 0 else _LIFETIME
        unconfirmed = lives and n % 20_000 == 7
        ended = None if lives else issued + lifetime
        yield (
            n,
            (n | 1 << 100).to_bytes(16),
            n,
            "jwt" if signed else "opaque",
            _SCOPES[task % 3],
            1,
            None,
            issued - 120 if unconfirmed else issued,
            issued + lifetime,
            None if unconfirmed else random(32),
            random(32) if signed else None,
            None,
            1,
            task + 1,
            2 + task % DELEGATORS,
            ended,
            None if lives else "expired",
            None if lives else 1,
            None,
        )
