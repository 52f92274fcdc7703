"""Agents taken out of service, for a while or for good, and what they hold ended with them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from jitid.capabilities.directory.departures import NOTHING
from jitid.capabilities.directory.registry import in_service, record_of
from jitid.capabilities.directory.store import DirectoryChanges
from jitid.capabilities.identity import revocation
from jitid.capabilities.identity.revocation import Ended
from jitid.capabilities.identity.store import CredentialChanges, CredentialStore
from jitid.model.agent import Agent
from jitid.model.credential import State
from jitid.model.ledger_rows import Radius, Selection

if TYPE_CHECKING:
    from jitid.ledger.transaction import Transaction
    from jitid.ledger.view import View


class WithdrawnAgent(NamedTuple):
    """What taking an agent out of service came to, or would come to."""

    agent: Agent
    ended: Ended
    already: bool
    """Whether it was out of service in this way before."""
    kept: int
    """How many live credentials were left alive, because that was wished."""
    now: int


def suspend(
    transaction: Transaction, name: str, reason: str | None, most: int | None, *, keep_live: bool
) -> WithdrawnAgent:
    """Issue nothing more to an agent until it is resumed, and end what it holds unless that is to be kept.

    Args:
        transaction: what it happens in.
        name: the agent.
        reason: free text, kept with the record and in the audit log.
        most: how many live credentials may end; None for any number.
        keep_live: let what it holds, and what descends from that, live on.

    Raises:
        UsageError: it was unregistered, or more than `most` would end; nothing was changed.
        NotFoundError: there is no such agent.

    """
    revocation.check_reason(reason)
    agent = in_service(transaction, name)
    already = agent.suspended_at is not None
    facts, radius, kept = _end_held(transaction, name, most, keep_live=keep_live)
    if already and not radius.credentials:
        return WithdrawnAgent(agent, Ended(radius, 0, None), already, kept, transaction.now)
    if not already:
        agent = agent._replace(suspended_at=transaction.now, suspended_as=reason)
        DirectoryChanges(transaction).put_agents([agent])
    again = True if already else None
    event = transaction.append("agent-suspend", {"agent": name, "reason": reason, "again": again, **facts})
    return WithdrawnAgent(agent, Ended(radius, radius.credentials, event.seq), already, kept, transaction.now)


def unregister(
    transaction: Transaction, name: str, reason: str | None, most: int | None, *, keep_live: bool
) -> WithdrawnAgent:
    """End the record of an agent, and what it holds unless that is to be kept; its name is issued to no longer.

    Raises as `suspend`, but for one that was unregistered before.
    """
    revocation.check_reason(reason)
    agent = record_of(transaction, name)
    already = agent.unregistered_at is not None
    facts, radius, kept = _end_held(transaction, name, most, keep_live=keep_live)
    if already and not radius.credentials:
        return WithdrawnAgent(agent, Ended(radius, 0, None), already, kept, transaction.now)
    if not already:
        agent = agent._replace(unregistered_at=transaction.now)
        DirectoryChanges(transaction).put_agents([agent])
    event = transaction.append("agent-unregister", {"agent": name, "reason": reason, **facts})
    return WithdrawnAgent(agent, Ended(radius, radius.credentials, event.seq), already, kept, transaction.now)


def foresee(snapshot: View, name: str, *, keep_live: bool, for_good: bool) -> WithdrawnAgent:
    """Return what suspending an agent would come to, or unregistering it if it is `for_good`; nothing is changed.

    Raises:
        UsageError: it was unregistered, and is to be suspended.
        NotFoundError: there is no such agent.

    """
    agent = record_of(snapshot, name) if for_good else in_service(snapshot, name)
    radius = CredentialStore(snapshot).measure(Selection(agents=(name,)))
    already = (agent.unregistered_at if for_good else agent.suspended_at) is not None
    kept = radius.credentials if keep_live else 0
    return WithdrawnAgent(
        agent, Ended(NOTHING if keep_live else radius, 0, None), already, kept, snapshot.now
    )


def _end_held(
    transaction: Transaction, name: str, most: int | None, *, keep_live: bool
) -> tuple[Mapping[str, Any], Radius, int]:
    """End what an agent holds and all below; return what the event says of it, what it came to, and how many live on.

    Whatever has that name is meant: what was issued to it before it was registered is no other agent's.
    """
    selection = Selection(agents=(name,))
    if keep_live:
        radius = CredentialStore(transaction).measure(selection)
        return {"kept": radius.credentials}, NOTHING, radius.credentials
    if most is not None:
        revocation.guard(CredentialStore(transaction).measure(selection), most)
    radius, digest = CredentialChanges(transaction).end(selection, State.REVOKED)
    return {**revocation.counts(radius), "ended": digest}, radius, 0
