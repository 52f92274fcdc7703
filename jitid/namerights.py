"""By whose right the name of a registered agent is used: found at an issue, and asked for again whenever it goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitid import governance
from jitid.identifier import parse_id

if TYPE_CHECKING:
    from jitid.agent import Agent
    from jitid.credential import Credential
    from jitid.ledger.directory import Entry
    from jitid.ledger.protocol import Snapshot
    from jitid.request import IssueRequest, Terms

BY_ROLE = "issuer"
"""By whose right an agent's name is used, of whoever may name any delegator."""
_LONGEST_RIGHT = 256
"""Through so many identities the right to a name is followed; a longer one is none."""


def named_by(
    snapshot: Snapshot,
    agent: Agent,
    delegator: str,
    parent: Credential | None,
    request: IssueRequest,
    terms: Terms,
    now: int,
) -> str | None:
    """Return by whose right the caller uses the name of a registered agent; None if the record lets nobody who asks.

    That is the name of a delegator, the id of an identity that was issued under a record, the agent that another
    issuer's token proves, or `BY_ROLE`. The audit event of the issue tells it, so that it can be asked for again.
    """
    if terms.any_delegator:
        return BY_ROLE
    delegators = [] if terms.own_name is None else [terms.own_name]
    if parent is None:
        delegators.append(delegator)
    for name in delegators:
        if governance.is_user(snapshot, agent, name):
            return snapshot.own_name(name)
    # Whose token was merely shown to the caller does not ask: the record must let the caller use the name.
    holders = [] if request.exchanged or parent is None else [parent]
    if terms.bearer is not None:
        own = snapshot.find_credential("jti", parse_id(terms.bearer)[1])
        holders += [] if own is None else [own]
    if request.proved_identity is not None:
        holders += snapshot.find_credentials_of(parse_id(request.proved_identity)[1])[-1:]
    elif request.proved_agent == agent.name:
        # The token of another issuer proves an agent as whose owner it names.
        return agent.owner
    elif request.proved_agent is not None and _is_listed(agent, request.proved_agent):
        return f"agent:{request.proved_agent}"
    return next((one.id for one in holders if _goes_on(snapshot, agent, one, now)), None)


def not_let(
    snapshot: Snapshot,
    entry: Entry,
    delegator: str,
    parent: Credential | None,
    request: IssueRequest,
    terms: Terms,
    now: int,
) -> tuple[str | None, list[governance.Objection]]:
    """Return by whose right the caller uses the agent's name, if it is registered; or why it may not."""
    agent = entry.agent
    if agent is None or agent.unregistered_at is not None:
        return None, []
    right = named_by(snapshot, agent, delegator, parent, request, terms, now)
    if right is not None:
        return right, []
    held = None if request.exchanged else parent
    asks = terms.own_name or delegator if held is None else f"agent:{held.agent}"
    return None, [governance.no_user(agent, asks)]


def lost_name(
    snapshot: Snapshot, agent: Agent | None, one: Credential, now: int
) -> list[governance.Objection]:
    """Return why an identity does not go on under the name of a registered agent: the right to it is gone."""
    if agent is None or agent.unregistered_at is not None or _has_right(snapshot, agent, one.id, now):
        return []
    return [governance.no_user(agent, one.delegator)]


def _is_listed(agent: Agent, name: str) -> bool:
    return name == agent.name or f"agent:{name}" in agent.users


def _goes_on(snapshot: Snapshot, agent: Agent, one: Credential, now: int) -> bool:
    """Tell whether an identity lets the name of an agent be used, by the record under which it was issued itself."""
    if one.recurring is None or not _is_listed(agent, one.agent):
        return False
    records = governance.records_of(snapshot, [one.agent])
    return not governance.out_of_service(records, now) and all(
        _has_right(snapshot, record, one.id, now) for record in records
    )


def _has_right(snapshot: Snapshot, agent: Agent, identity: str, now: int) -> bool:
    """Tell whether the right by which an identity was issued under an agent's record is there still.

    What events from before do not tell is not asked for.
    """
    for _ in range(_LONGEST_RIGHT):
        made = snapshot.find_credentials_of(parse_id(identity)[1])
        event = snapshot.event(made[0].event) if made else None
        right = None if event is None else event.document().get("named_by")
        if right is None or right == BY_ROLE:
            return True
        if right.startswith("agent:"):
            return _is_listed(agent, right.removeprefix("agent:"))
        if not right.startswith("jid_"):
            return governance.is_user(snapshot, agent, right)
        holders = snapshot.find_credentials_of(parse_id(right)[1])
        if not holders or not _is_listed(agent, holders[-1].agent):
            return False
        record = snapshot.find_agent(holders[-1].agent)
        if record is None or governance.out_of_service([record], now):
            return False
        agent, identity = record, right
    return False
