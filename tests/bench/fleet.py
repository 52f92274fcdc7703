"""A ledger of 1.5 million live credentials, which is made by issuing them, and cached."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from hashlib import sha256
from itertools import islice
from pathlib import Path

from jitid.authority.local import LocalAuthority
from jitid.ledger.sqlite import folder as ledgers
from jitid.ledger.sqlite import ledger as sqlite_ledger
from jitid.ledger.sqlite.schema import LIVE_INDEXES, SQLITE_STEPS
from jitid.model.ledger_rows import Names
from jitid.model.request import IssueRequest
from jitid.operation.context import Terms
from jitid.policy.default import default_files
from jitid.policy.evaluate import Policy
from jitid.values import strict_json
from jitid.values.scope import Scope
from jitid.values.secret import Secret
from tests.bench import ground

DELEGATORS = 1_000
TASKS = 15
"""Tasks of each delegator. Each task has a hundred credentials."""
COPIES = 100
TREES = 7
BRANCHES = 99
"""Children of a tree's root. Each has a hundred children: 1 + 99 + 9,900 identities in a tree."""
CREDENTIALS = DELEGATORS * TASKS * COPIES + TREES * (1 + BRANCHES + BRANCHES * COPIES)

_MADE = "made"


def delegator(number: int) -> str:
    """Return the name of a delegator."""
    return f"user:engineer-{number}@example.com"


def task(number: int) -> str:
    """Return the name of a task, which belongs to one delegator."""
    return f"INC-{number}"


def tree_task(number: int) -> str:
    """Return the name of the task of a tree of 10,000 identities."""
    return f"TREE-{number}"


def fleet(cache: Path) -> Path:
    """Return the folder of the ledger. Make it unless the cache has one of this schema."""
    schema = sha256(repr((SQLITE_STEPS, LIVE_INDEXES)).encode()).hexdigest()[:12]
    place = cache / f"fleet-{CREDENTIALS}-{schema}"
    if not (place / _MADE).exists():
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True, mode=0o700)
        now = int(time.time())
        names = Names("00000000-0000-4000-8000-000000000000", "urn:jitid:fleet", "jitid.local")
        ledgers.create(str(place / "ledger"), names, default_files(), by="bench", now=now)
        (place / "time").write_text(str(now))
        _fill(place)
        (place / _MADE).touch()
    return place


def copy(place: Path, to: Path) -> Path:
    """Return a copy that the caller may change."""
    shutil.rmtree(to, ignore_errors=True)
    shutil.copytree(place, to)
    os.sync()
    return to


def open_fleet(place: Path) -> LocalAuthority:
    """Return the authority over a fleet's ledger, at the time when it was made: all credentials are live."""
    at = int((place / "time").read_text())
    path = place / "ledger"
    ledger = sqlite_ledger.connect(
        str(path / ledgers.DATABASE), str(path / ledgers.LOCK), by="bench", clock=lambda: at
    )
    return LocalAuthority(ledger, ledgers.keyring(str(path)), terms=terms)


def terms() -> Terms:
    """Return the terms of the default policy."""
    files = default_files()
    return Terms(Policy(files), strict_json.dumps(list(files)), "bench", ttl=28_800, sensitivity="low")


def _fill(place: Path) -> None:
    authority = open_fleet(place)
    made = 0
    for requests in _requests():
        ground.issue(authority, requests)
        made += sum(one.copies for one in requests)
        _tell(made)
    for number in range(TREES):
        made += _grow(authority, tree_task(number))
        _tell(made)
    print(file=sys.stderr)
    assert made == CREDENTIALS
    authority.close()


def _requests() -> Iterator[Sequence[IssueRequest]]:
    every = (
        IssueRequest(
            task=task(number),
            delegator=delegator(number // TASKS),
            agent=f"fixer-{number % DELEGATORS}",
            # A fleet has both kinds. Opaque tokens are not signed, so they are made faster.
            kind="jwt" if number % 2 else "opaque",
            scopes=(Scope(f"repo:acme/web-{number % 50}:read"), Scope("tickets:all:write")),
            copies=COPIES,
        )
        for number in range(DELEGATORS * TASKS)
    )
    while batch := list(islice(every, 10)):
        yield batch


def _grow(authority: LocalAuthority, task: str) -> int:
    top = IssueRequest(
        task=task, delegator="user:planter@example.com", agent="planner", scopes=(Scope("repo:*:read"),)
    )
    (root,) = ground.issue(authority, [top])
    below = _below(root.credentials[0].secret, "coder")
    (branches,) = ground.issue(authority, [below._replace(copies=BRANCHES)])
    leaves = [_below(branch.secret, "tester") for branch in branches.credentials]
    for start in range(0, BRANCHES, 10):
        ground.issue(authority, [leaf._replace(copies=COPIES) for leaf in leaves[start : start + 10]])
    return 1 + BRANCHES + BRANCHES * COPIES


def _below(parent: Secret, agent: str) -> IssueRequest:
    return IssueRequest(
        task=None, delegator=None, agent=agent, kind="opaque", parent=parent, scopes=(Scope("repo:web:read"),)
    )


def _tell(made: int) -> None:
    print(f"\rmaking a ledger of {CREDENTIALS:,} credentials: {made:,}", end="", file=sys.stderr, flush=True)
