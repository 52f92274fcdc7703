"""By whose right the name of a registered agent is used: found at an issue, and asked for again whenever it goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from jitid import governance, introspection
from jitid.errors import InvalidCredentialError
from jitid.identifier import parse_id
from jitid.text import quote

if TYPE_CHECKING:
    from jitid.agent import Agent
    from jitid.credential import Credential
    from jitid.ledger.directory import Entry
    from jitid.ledger.protocol import Snapshot
    from jitid.request import IssueRequest, Terms

BY_ROLE = "issuer"
"""By whose right an agent's name is used, of whoever may name any delegator."""
LENDER = "the expiry of the credential that lends it the agent's name"
"""What limits a lifetime where another credential lends the name."""
_LENT = "jti_"
_LONGEST_RIGHT = 16
"""Through so many credentials that lend a name the right to it is followed; a longer one is none."""


class Right(NamedTuple):
    """A right to use the name of an agent."""

    by: str | None
    """By whose right: a delegator, the `jti` by which the name is lent, or `BY_ROLE`. The audit event tells it.

    None for a name that nobody has registered, and for what was issued before events told it.
    """
    until: int | None = None
    """When the credential that lends the name expires, since the epoch: what is lent lives no longer."""


FREE = Right(None)
"""The right to a name that is not registered: everybody's."""


def not_let(
    snapshot: Snapshot,
    entry: Entry,
    delegator: str,
    parent: Credential | None,
    request: IssueRequest,
    terms: Terms,
    now: int,
) -> tuple[Right, list[governance.Objection]]:
    """Return by whose right the caller uses the agent's name, if it is registered; or why it may not."""
    agent = entry.agent
    if agent is None or agent.unregistered_at is not None:
        return FREE, []
    right = _named_by(snapshot, agent, delegator, parent, request, terms, now)
    if right is not None:
        return right, []
    held = None if request.exchanged else parent
    asks = terms.own_name or delegator if held is None else f"agent:{held.agent}"
    return FREE, [governance.no_user(agent, asks)]


def going_on(
    snapshot: Snapshot, agent: Agent | None, one: Credential, terms: Terms, now: int
) -> tuple[Right, list[governance.Objection]]:
    """Return by whose right an identity goes on under an agent's name; or why it does not: the right to it is gone.

    Who could have issued it themselves may let it go on, whoever let it be issued.
    """
    if one.recurring is None or agent is None or agent.unregistered_at is not None:
        return FREE, []
    if terms.any_delegator:
        # That others may let it go on as well, does not end with it.
        return Right(_recorded(snapshot, one.id)), []
    right = _right_of(snapshot, agent, one.id, now)
    if right is not None:
        return right, []
    if terms.own_name is not None and _may_use(snapshot, agent, terms.own_name):
        return Right(snapshot.own_name(terms.own_name)), []
    return FREE, [_gone(snapshot, agent, one)]


def objections_to_agents(
    snapshot: Snapshot, request: IssueRequest, terms: Terms, parent: Credential | None, now: int
) -> list[governance.Objection]:
    """Return why an agent that asks, or acts, obtains nothing: it is out of service, or its right to its name is gone.

    It would have its name by right of whomever another token proves. Of the holder of the parent, delegation asks.
    """
    found: list[governance.Objection] = []
    for jti in dict.fromkeys((terms.bearer, request.proved_credential)):
        own = None if jti is None else snapshot.find_credential("jti", parse_id(jti)[1])
        if own is not None and (parent is None or parent.id != own.id):
            found += objections_to(snapshot, own, now)
    record = None if request.proved_actor is None else snapshot.find_agent(request.agent)
    if record is not None:
        # It bound the agent to whom another issuer proves when the token was presented.
        owner = owner_of_actor(snapshot, request)
        if owner is None or record.owner != owner:
            found.append(governance.no_user(record, owner or record.owner))
    return found


def owner_of_actor(snapshot: Snapshot, request: IssueRequest) -> str | None:
    """Return whom an actor's token of another issuer proves now; None where there is none, or it proves nobody.

    Raises:
        InvalidCredentialError: it proves somebody who is disabled, or is older than their last disabling.

    """
    proved = request.proved_actor
    return None if proved is None else governance.proved_as(snapshot, *proved)


def objections_to(snapshot: Snapshot, one: Credential, now: int) -> list[governance.Objection]:
    """Return why an identity is its registered agent no more; none for one whose agent nobody has registered."""
    record = None if one.recurring is None else snapshot.find_agent(one.agent)
    if record is None:
        return []
    if _right_of(snapshot, record, one.id, now) is None:
        return [_gone(snapshot, record, one)]
    return governance.out_of_service([record], now)


def _named_by(
    snapshot: Snapshot,
    agent: Agent,
    delegator: str,
    parent: Credential | None,
    request: IssueRequest,
    terms: Terms,
    now: int,
) -> Right | None:
    """Return by whose right the caller uses the name of a registered agent; None if the record lets nobody who asks."""
    if terms.any_delegator:
        return Right(BY_ROLE)
    delegators = [] if terms.own_name is None else [terms.own_name]
    if parent is None:
        delegators.append(delegator)
    owner = owner_of_actor(snapshot, request)
    if owner is not None:
        # The token of another issuer proves an agent as whose owner it names.
        delegators.append(owner)
    for name in delegators:
        if _may_use(snapshot, agent, name):
            return Right(snapshot.own_name(name))
    # Whose token was merely shown to the caller does not ask: the record must let the caller use the name.
    if parent is not None and not request.exchanged and _lends(snapshot, agent, parent, now):
        # It ends with its parent.
        return Right(parent.jti)
    for jti in (terms.bearer, request.proved_credential):
        own = None if jti is None else snapshot.find_credential("jti", parse_id(jti)[1])
        until = None if own is None else _lives_until(snapshot, own)
        if own is not None and until is not None and _lends(snapshot, agent, own, now):
            return Right(own.jti, until)
    return None


def _may_use(snapshot: Snapshot, agent: Agent, name: str) -> bool:
    """Tell whether a delegator may use an agent's name now: who is disabled may not, whatever the record says."""
    person = snapshot.find_delegator(name)
    return (person is None or person.disabled_at is None) and governance.is_user(snapshot, agent, name)


def _lives_until(snapshot: Snapshot, one: Credential) -> int | None:
    """Return when a credential expires with all that it rests on; None if it is not valid now."""
    try:
        return introspection.until(introspection.judge(snapshot, one, None))
    except InvalidCredentialError:
        return None


def _is_listed(agent: Agent, name: str) -> bool:
    return name == agent.name or f"agent:{name}" in agent.users


def _lends(snapshot: Snapshot, agent: Agent, one: Credential, now: int) -> bool:
    """Tell whether an identity lets the name of an agent be used, by the record under which it was issued itself."""
    if one.recurring is None or not _is_listed(agent, one.agent):
        return False
    record = snapshot.find_agent(one.agent)
    return (
        record is not None
        and not governance.out_of_service([record], now)
        # What is lent has one lender more.
        and _right_of(snapshot, record, one.id, now, _LONGEST_RIGHT - 1) is not None
    )


def _recorded(snapshot: Snapshot, identity: str) -> str | None:
    """Return by whose right an identity has its name; None if the events do not tell it, as those from before.

    The latest one tells it if any does.
    """
    made = snapshot.latest_of(parse_id(identity)[1])
    event = None if made is None else snapshot.event(made.event)
    return None if event is None else event.document().get("named_by")


def _right_of(
    snapshot: Snapshot, agent: Agent, identity: str, now: int, most: int = _LONGEST_RIGHT
) -> Right | None:
    """Return the right by which an identity has the name of an agent, if it is there still; None if it is gone.

    What was lent ends with the line of the credential that lent it. What events do not tell is not asked for.
    """
    found: Right | None = None
    for _ in range(most):
        by = _recorded(snapshot, identity)
        if by is None or by == BY_ROLE:
            return found or Right(by)
        if not by.startswith(_LENT):
            return (found or Right(by)) if _may_use(snapshot, agent, by) else None
        lender = snapshot.head_of(parse_id(by)[1])
        until = None if lender is None else _lives_until(snapshot, lender)
        if lender is None or until is None or not _is_listed(agent, lender.agent):
            return None
        record = snapshot.find_agent(lender.agent)
        if record is None or governance.out_of_service([record], now):
            return None
        found = found or Right(by, until)
        agent, identity = record, lender.id
    return None


def _gone(snapshot: Snapshot, agent: Agent, one: Credential) -> governance.Objection:
    """Return why an identity has no right to the name of an agent any more."""
    by = _recorded(snapshot, one.id) or one.delegator
    lender = snapshot.find_credential("jti", parse_id(by)[1]) if by.startswith(_LENT) else None
    if lender is None:
        return governance.no_user(agent, by)
    if not _is_listed(agent, lender.agent):
        return governance.no_user(agent, f"agent:{lender.agent}")
    return governance.Objection(
        governance.USERS,
        f"agent {quote(agent.name)} is registered, and {lender.jti}, which lent its name to {one.id}, "
        "has ended or may not use it any more",
        f"{agent.owner}, or whoever else its record lets use its name, renews it or issues another one",
    )
