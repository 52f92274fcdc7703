"""Delegators as tests add, change and import them."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from jitid.agent import Agent
from jitid.authority import delegator_operations as ops
from jitid.delegator import Delegator
from jitid.delegators import Disabled, Edit, Edited
from jitid.reconciling import Reconciled, Source
from jitid.roster import csv
from jitid.roster.stated import Roster, Stated
from tests.builders import DAY, World

NOBODY = sha256(b"").hexdigest()


def add(world: World, name: str, **fields: Any) -> Edited:
    """Add a delegator by hand."""
    stated = Stated("", f"user:{name}", **{"imported": False, **fields})
    return world.authority.perform(ops.AddDelegator(stated=stated))


def change(world: World, name: str, **fields: Any) -> Edited:
    """Change a delegator."""
    return world.authority.perform(ops.ChangeDelegator(name=f"user:{name}", edit=Edit(**fields)))


def disable(world: World, name: str, **fields: Any) -> Disabled:
    """Disable a delegator."""
    return world.authority.perform(ops.DisableDelegator(name=f"user:{name}", **{"most": None, **fields}))


def enable(world: World, name: str) -> None:
    """Enable a delegator."""
    world.authority.perform(ops.EnableDelegator(name=f"user:{name}"))


def bring(world: World, *lines: str, **fields: Any) -> Reconciled:
    """Import lines of CSV, the header first."""
    return bring_roster(world, csv.read([f"{line}\n" for line in lines]), **fields)


def bring_roster(world: World, roster: Roster, **fields: Any) -> Reconciled:
    """Import a list."""
    given = {"most": None, **fields}
    return world.authority.perform(ops.ImportDelegators(roster=roster, source=Source("csv", NOBODY), **given))


def everybody(world: World) -> dict[str, Delegator]:
    """Return the whole directory by name, without its own numbers."""
    found = world.authority.perform(ops.ListDelegators(limit=1 << 30))
    return {one.name: one._replace(key=0) for one in found}


def register(world: World, name: str, owner: str, **fields: Any) -> None:
    """Register an agent, as far as a delegator's end is about one."""
    now = world.clock.now
    plain: dict[str, Any] = {
        "purpose": "tests",
        "scopes": ("*", "deploy:*"),
        "audiences": (),
        "kinds": ("jwt", "opaque"),
        "max_ttl": DAY,
        "concurrency": None,
        "review_at": now + 90 * DAY,
        "registered_at": now,
        "reviewed_at": None,
        "suspended_at": None,
        "suspended_as": None,
        "unregistered_at": None,
    }
    with world.ledger.write() as transaction:
        transaction.put_agents([Agent(0, name, f"user:{owner}", **{**plain, **fields})])
        transaction.append("agent-register", {"agent": name})


def agent(world: World, name: str) -> Agent:
    """Return the record of an agent."""
    with world.ledger.read() as snapshot:
        found = snapshot.find_agent(name)
    assert found is not None
    return found


def ask(world: World, delegator: str, *, approver: str | None = None, granted: bool = True) -> int:
    """Record an open request for approval, and perhaps what somebody said to it; return its number."""
    now = world.clock.now
    with world.ledger.write() as transaction:
        seq = transaction.next_seq()
        db = transaction._db
        key = db.execute(
            """INSERT INTO approval (uid, digest, request, delegator, asked_by, asked_at, expires_at, event)
               VALUES (randomblob(16), randomblob(32), x'7b7d', ?, ?, ?, ?, ?)""",
            (delegator, "tester", now, now + 3600, seq),
        ).lastrowid
        if approver is not None:
            db.execute(
                "INSERT INTO approval_group VALUES (?, 'security', ?, 'os-user', ?, ?, ?, ?)",
                (key, approver, int(granted), now, now + 600, seq),
            )
        transaction.append("approval-request", {"delegator": delegator})
    return int(key)


def rows(world: World, question: str, **values: Any) -> list[tuple[Any, ...]]:
    """Ask the ledger's database."""
    with world.ledger.read() as snapshot:
        return list(snapshot.ask(question, values))
