"""Helpers of tests: they add, change, disable and import delegators."""

from __future__ import annotations

from hashlib import sha256
from itertools import count
from typing import Any

from jitid.capabilities.directory import operations as directory_operations
from jitid.capabilities.directory.delegators import Disabled, Edit, Edited
from jitid.capabilities.directory.roster import spreadsheet
from jitid.capabilities.directory.roster.roster_entry import Roster, StatedDelegator
from jitid.capabilities.directory.roster_diff import Reconciled, RosterSource
from jitid.capabilities.directory.store import DirectoryStore
from jitid.capabilities.issue.approval_store import ApprovalChanges, ApprovalStore
from jitid.model.directory import Agent, Delegator
from jitid.values.ids import approval_id
from tests.builders import World

_numbers = count(1)
NOBODY = sha256(b"").hexdigest()


def add(world: World, name: str, **fields: Any) -> Edited:
    """Add a delegator by hand."""
    stated = StatedDelegator("", f"user:{name}", **{"imported": False, **fields})
    return world.authority.perform(directory_operations.AddDelegator(stated=stated))


def change(world: World, name: str, **fields: Any) -> Edited:
    """Change a delegator."""
    return world.authority.perform(
        directory_operations.ChangeDelegator(name=f"user:{name}", edit=Edit(**fields))
    )


def disable(world: World, name: str, **fields: Any) -> Disabled:
    """Disable a delegator."""
    return world.authority.perform(
        directory_operations.DisableDelegator(name=f"user:{name}", **{"most": None, **fields})
    )


def enable(world: World, name: str) -> None:
    """Enable a delegator."""
    world.authority.perform(directory_operations.EnableDelegator(name=f"user:{name}"))


def bring(world: World, *lines: str, **fields: Any) -> Reconciled:
    """Import lines of CSV, the header first."""
    return bring_roster(world, spreadsheet.read([f"{line}\n" for line in lines]), **fields)


def bring_roster(world: World, roster: Roster, **fields: Any) -> Reconciled:
    """Import a list."""
    given = {"most": None, **fields}
    return world.authority.perform(
        directory_operations.ImportDelegators(roster=roster, source=RosterSource("csv", NOBODY), **given)
    )


def everybody(world: World) -> dict[str, Delegator]:
    """Return the whole directory by name, without its internal keys."""
    found = world.authority.perform(directory_operations.ListDelegators(limit=1 << 30))
    return {one.name: one._replace(key=0) for one in found}


def register(world: World, name: str, owner: str, **fields: Any) -> None:
    """Register an agent, by default with a record that has wide limits."""
    world.register(name, owner=f"user:{owner}", **fields)


def agent(world: World, name: str) -> Agent:
    """Return the record of an agent."""
    with world.ledger.read() as snapshot:
        found = DirectoryStore(snapshot).find_agent(name)
    assert found is not None
    return found


def ask(world: World, delegator: str, *, approver: str | None = None, granted: bool = True) -> str:
    """Record an open request for approval, with the approver's decision if there is one; return its id."""
    body = f"request {next(_numbers)}".encode()
    uid = sha256(body).digest()[:16]
    id_ = approval_id(uid)
    about = {"approval": id_, "digest": sha256(body).hexdigest()}
    now = world.clock.now
    with world.ledger.write() as transaction:
        ApprovalChanges(transaction).add_request(uid, body, delegator, "tester", now + 3600, ["security"])
        asked = {"delegator": delegator, "asked_by": "tester", "until": now + 3600, "groups": ["security"]}
        transaction.append("approval-request", {**about, **asked})
        if approver is not None:
            found = ApprovalChanges(transaction).find(uid)
            assert found is not None
            until = now + 600 if granted else None
            ApprovalChanges(transaction).record_decision(found.key, ["security"], approver, "oidc", until)
            said = {"groups": ["security"], "approver": approver, "proof": "oidc", "until": until}
            transaction.append("approval-grant" if granted else "approval-deny", {**about, **said})
    return id_


def requests(world: World) -> dict[str, tuple[str | None, str | None]]:
    """Return the final state and the approver of each request for approval."""
    with world.ledger.read() as snapshot:
        return {one.id: (one.ended_as, one.words[0].approver) for one in ApprovalStore(snapshot).all()}


def rows(world: World, question: str, **values: Any) -> list[tuple[Any, ...]]:
    """Query the ledger's database."""
    with world.ledger.read() as snapshot:
        return list(snapshot.query(question, values))
