"""Suspension and unregistration of agents, with the revocation of their credentials."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from jitid.capabilities.directory.departures import NOTHING
from jitid.capabilities.directory.registry import in_service, record_of
from jitid.capabilities.directory.store import DirectoryChanges
from jitid.capabilities.identity import revocation
from jitid.capabilities.identity.revocation_result import Ended
from jitid.capabilities.identity.store import CredentialChanges, CredentialStore
from jitid.model.credential import State
from jitid.model.directory import Agent
from jitid.model.ledger_rows import Radius, Selection

if TYPE_CHECKING:
    from jitid.ledger.transaction import Transaction
    from jitid.ledger.view import View


class WithdrawnAgent(NamedTuple):
    """The outcome of suspending or unregistering an agent, or its preview."""

    agent: Agent
    ended: Ended
    already: bool
    """Whether the agent was suspended, or unregistered, before."""
    kept: int
    """The number of live credentials that stay valid because of `keep_live`."""
    now: int


def suspend(
    transaction: Transaction, name: str, reason: str | None, most: int | None, *, keep_live: bool
) -> WithdrawnAgent:
    """Suspend an agent: nothing is issued to it until it is resumed. Revoke its credentials, unless `keep_live`.

    Args:
        transaction: the transaction of the change.
        name: the agent.
        reason: free text, kept with the record and in the audit log.
        most: the maximum number of live credentials that may end; None for any number.
        keep_live: keep the agent's credentials and their descendants valid.

    Raises:
        UsageError: the agent was unregistered, or more than `most` would end; nothing was changed.
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
    """Unregister an agent: nothing more is issued to its name. Revoke its credentials, unless `keep_live`.

    Raises the errors of `suspend`, except that an agent may have been unregistered before.
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
    """Return the preview of suspending an agent, or with `for_good` of unregistering it; nothing is changed.

    Raises:
        UsageError: the agent to suspend was unregistered.
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
    """Revoke the credentials of an agent and all below them; return the event facts, the radius, and the number kept.

    All credentials under the agent's name are included, also those issued before its registration.
    """
    selection = Selection(agents=(name,))
    if keep_live:
        radius = CredentialStore(transaction).measure(selection)
        return {"kept": radius.credentials}, NOTHING, radius.credentials
    if most is not None:
        revocation.guard(CredentialStore(transaction).measure(selection), most)
    radius, digest = CredentialChanges(transaction).end(selection, State.REVOKED)
    return {**revocation.counts(radius), "ended": digest}, radius, 0
