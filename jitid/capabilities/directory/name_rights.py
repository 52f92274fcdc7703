"""The right to use the name of a registered agent: checked at an issue, and again at each later use of the identity."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitid.capabilities.directory import governance
from jitid.capabilities.directory.store import DirectoryStore
from jitid.capabilities.identity import validity
from jitid.capabilities.identity.store import CredentialStore
from jitid.errors import InvalidCredentialError
from jitid.values.ids import parse_id
from jitid.values.record import Record
from jitid.values.text import label

if TYPE_CHECKING:
    from jitid.ledger.view import View
    from jitid.model.credential import Credential
    from jitid.model.directory import Agent, DirectoryEntry
    from jitid.model.request import IssueRequest
    from jitid.operation.context import Terms

BY_ROLE = "issuer"
"""The `named_by` value if the role issuer, or access to the ledger's key, gives the right to an agent's name."""
LENDER = "the expiry of the credential that lends it the agent's name"
"""The name of the lifetime limit if another credential lends the agent's name."""
_LENT = "jti_"
_LONGEST_RIGHT = 16
"""The maximum number of lenders, one after the other: each check follows all of them."""


class NameRight(Record):
    """A right to use the name of an agent."""

    by: str | None
    """The source of the right: a delegator, the `jti` of the credential that lends the name, or `BY_ROLE`.

    Audit events record it as `named_by`. None if the name is not registered, or if the event is older than that field.
    """
    until: int | None = None
    """When the lending credential expires, in seconds since the epoch. The new credential must not outlive it."""


FREE = NameRight(None)
"""The right to a name that is not registered: every caller has it."""


def right_to_name(
    snapshot: View,
    entry: DirectoryEntry,
    delegator: str,
    parent: Credential | None,
    request: IssueRequest,
    terms: Terms,
    now: int,
) -> tuple[NameRight, list[governance.Objection]]:
    """Return the caller's right to use the agent's name, with the objections if there is none."""
    agent = entry.agent
    if agent is None or agent.unregistered_at is not None:
        return FREE, []
    if request.agent_suggested:
        # The authors of a working folder have no right to choose a record.
        return FREE, [governance.not_by_a_project(agent)]
    right = _named_by(snapshot, agent, delegator, parent, request, terms, now)
    if right is not None:
        return right, []
    agent_credential = None if request.exchanged else parent
    caller = terms.own_name or delegator if agent_credential is None else f"agent:{agent_credential.agent}"
    return FREE, [governance.not_a_user(agent, caller)]


def proves_name(
    snapshot: View,
    agent: Agent | None,
    right: NameRight,
    delegator: str,
    proof: str,
    parent: Credential | None,
) -> bool:
    """Return whether a new identity proves the name of its agent to others: its delegator or its parent may use it.

    The role issuer and access to the ledger's key let their holder use the name, and prove nothing.
    """
    return _proves(snapshot, agent, right.by, delegator, proof, parent)


def keeps_proved_name(snapshot: View, credential: Credential, max_lenders: int = _LONGEST_RIGHT) -> bool:
    """Return whether an identity proves the name of its agent to others: see `proves_name`."""
    if credential.recurring is None:
        return False
    agent = DirectoryStore(snapshot).find_agent(credential.agent)
    named_by, parent, proof = _recorded(snapshot, credential.id), None, credential.delegator_proof
    if credential.parent is not None:
        # Without the parent, nothing proves the name.
        parent, proof = CredentialStore(snapshot).latest_of(parse_id(credential.parent)[1]), "asserted"
    return _proves(snapshot, agent, named_by, credential.delegator, proof, parent, max_lenders)


def _proves(
    snapshot: View,
    agent: Agent | None,
    named_by: str | None,
    delegator: str,
    proof: str,
    parent: Credential | None,
    max_lenders: int = _LONGEST_RIGHT,
) -> bool:
    """Return whether an identity with this right, this delegator and this parent proves the name of its agent."""
    if agent is None or agent.unregistered_at is not None or not max_lenders:
        return False
    if named_by is not None and named_by.startswith(_LENT):
        lender = CredentialStore(snapshot).head_of(parse_id(named_by)[1])
        return lender is not None and keeps_proved_name(snapshot, lender, max_lenders - 1)
    if named_by is not None and named_by != BY_ROLE:
        return _may_use(snapshot, agent, named_by)
    if parent is not None:
        return _is_listed(agent, parent.agent) and keeps_proved_name(snapshot, parent, max_lenders - 1)
    return proof != "asserted" and _may_use(snapshot, agent, delegator)


def right_to_keep_name(
    snapshot: View, agent: Agent | None, credential: Credential, terms: Terms, now: int
) -> tuple[NameRight, list[governance.Objection]]:
    """Return the right by which an identity may keep its agent's name, with the objections if that right is gone.

    A caller who may use the name themselves may renew the identity, even if the recorded right is gone.
    """
    if credential.recurring is None or agent is None or agent.unregistered_at is not None:
        return FREE, []
    if terms.any_delegator:
        # The recorded right stays: the role issuer does not replace it by renewing.
        return NameRight(_recorded(snapshot, credential.id)), []
    right = _right_of(snapshot, agent, credential.id, now)
    if right is not None:
        return right, []
    if terms.own_name is not None and _may_use(snapshot, agent, terms.own_name):
        return NameRight(DirectoryStore(snapshot).own_name(terms.own_name)), []
    return FREE, [_right_lost(snapshot, agent, credential)]


def objections_to_agents(
    snapshot: View, request: IssueRequest, terms: Terms, parent: Credential | None, now: int
) -> list[governance.Objection]:
    """Return the objections to the calling agent and to the actor: out of service, or without a right to the name.

    Without this check, the right of a person that another token proves would give such an agent its name back.
    The holder of the parent is checked with the delegation.
    """
    objections: list[governance.Objection] = []
    for jti in dict.fromkeys((terms.bearer, request.proved_credential)):
        credential = (
            None if jti is None else CredentialStore(snapshot).find_credential("jti", parse_id(jti)[1])
        )
        if credential is not None and (parent is None or parent.id != credential.id):
            objections += objections_to(snapshot, credential, now)
    record = None if request.proved_actor is None else DirectoryStore(snapshot).find_agent(request.agent)
    if record is not None:
        # The record may have a new owner since the actor's token was checked.
        owner = owner_of_actor(snapshot, request)
        if owner is None or record.owner != owner:
            objections.append(governance.not_a_user(record, owner or record.owner))
    return objections


def owner_of_actor(snapshot: View, request: IssueRequest) -> str | None:
    """Return the delegator that the foreign token of an actor proves now; None without such a token or delegator.

    Raises:
        InvalidCredentialError: the delegator is disabled, or was disabled after the token was issued.

    """
    proved = request.proved_actor
    return None if proved is None else governance.proved_as(DirectoryStore(snapshot), *proved)


def objections_to(snapshot: View, credential: Credential, now: int) -> list[governance.Objection]:
    """Return the objections to an identity that uses a registered agent's name; none if the name is not registered."""
    record = None if credential.recurring is None else DirectoryStore(snapshot).find_agent(credential.agent)
    return lost(snapshot, record, credential, now) or governance.out_of_service([record], now)


def lost(snapshot: View, agent: Agent | None, credential: Credential, now: int) -> list[governance.Objection]:
    """Return the objection to an identity whose right to its agent's name is gone; `agent` is the record."""
    if (
        credential.recurring is None
        or agent is None
        or _right_of(snapshot, agent, credential.id, now) is not None
    ):
        return []
    return [_right_lost(snapshot, agent, credential)]


def _named_by(
    snapshot: View,
    agent: Agent,
    delegator: str,
    parent: Credential | None,
    request: IssueRequest,
    terms: Terms,
    now: int,
) -> NameRight | None:
    """Return the caller's right to use the name of a registered agent; None if there is none."""
    if terms.any_delegator:
        return NameRight(BY_ROLE)
    delegators = [] if terms.own_name is None else [terms.own_name]
    if parent is None:
        delegators.append(delegator)
    owner = owner_of_actor(snapshot, request)
    if owner is not None:
        # The foreign token of the actor proves the owner of the agent.
        delegators.append(owner)
    for name in delegators:
        if _may_use(snapshot, agent, name):
            return NameRight(DirectoryStore(snapshot).own_name(name))
    # A token that a caller presents for exchange lends no name: the record must let the caller use the name.
    if parent is not None and not request.exchanged and _lends(snapshot, agent, parent, now):
        # No limit is needed: a child ends with its parent.
        return NameRight(parent.jti)
    for jti in (terms.bearer, request.proved_credential):
        credential = (
            None if jti is None else CredentialStore(snapshot).find_credential("jti", parse_id(jti)[1])
        )
        expires_at = None if credential is None else _valid_until(snapshot, credential)
        if credential is not None and expires_at is not None and _lends(snapshot, agent, credential, now):
            return NameRight(credential.jti, expires_at)
    return None


def _may_use(snapshot: View, agent: Agent, name: str) -> bool:
    """Return whether a delegator may use an agent's name now: not if disabled, regardless of the record."""
    person = DirectoryStore(snapshot).find_delegator(name)
    return (person is None or person.disabled_at is None) and governance.is_user(
        DirectoryStore(snapshot), agent, name
    )


def _valid_until(snapshot: View, credential: Credential) -> int | None:
    """Return when a credential and all that it depends on expire; None if it is not valid now."""
    try:
        return validity.latest_expiry(validity.judge(snapshot, credential, None))
    except InvalidCredentialError:
        return None


def _is_listed(agent: Agent, name: str) -> bool:
    return name == agent.name or f"agent:{name}" in agent.users


def _lends(snapshot: View, agent: Agent, credential: Credential, now: int) -> bool:
    """Return whether an identity may lend the name of an agent: its own agent must be listed and in service."""
    if credential.recurring is None or not _is_listed(agent, credential.agent):
        return False
    record = DirectoryStore(snapshot).find_agent(credential.agent)
    return (
        record is not None
        and not governance.out_of_service([record], now)
        # The new identity has one lender more than this one.
        and _right_of(snapshot, record, credential.id, now, _LONGEST_RIGHT - 1) is not None
    )


def _recorded(snapshot: View, identity: str) -> str | None:
    """Return the `named_by` of an identity; None if its events are older than that field.

    Each renewal and attachment repeats it, so that the latest event is enough.
    """
    credential = CredentialStore(snapshot).latest_of(parse_id(identity)[1])
    event = None if credential is None else snapshot.event(credential.event)
    return None if event is None else event.document().get("named_by")


def _right_of(
    snapshot: View, agent: Agent, identity: str, now: int, max_lenders: int = _LONGEST_RIGHT
) -> NameRight | None:
    """Return the right by which an identity has the name of an agent; None if that right is gone.

    A lent right ends with the lending credential and its successors. An identity without `named_by` keeps its name.
    `max_lenders` is the maximum number of lenders that are followed.
    """
    right: NameRight | None = None
    for _ in range(max_lenders):
        named_by = _recorded(snapshot, identity)
        if named_by is None or named_by == BY_ROLE:
            return right or NameRight(named_by)
        if not named_by.startswith(_LENT):
            return (right or NameRight(named_by)) if _may_use(snapshot, agent, named_by) else None
        lender = CredentialStore(snapshot).head_of(parse_id(named_by)[1])
        expires_at = None if lender is None else _valid_until(snapshot, lender)
        if lender is None or expires_at is None or not _is_listed(agent, lender.agent):
            return None
        record = DirectoryStore(snapshot).find_agent(lender.agent)
        if record is None or governance.out_of_service([record], now):
            return None
        right = right or NameRight(named_by, expires_at)
        agent, identity = record, lender.id
    return None


def _right_lost(snapshot: View, agent: Agent, credential: Credential) -> governance.Objection:
    """Return the objection to an identity that has lost its right to the name of an agent."""
    named_by = _recorded(snapshot, credential.id) or credential.delegator
    lender = (
        CredentialStore(snapshot).find_credential("jti", parse_id(named_by)[1])
        if named_by.startswith(_LENT)
        else None
    )
    if lender is None:
        return governance.not_a_user(agent, named_by)
    if not _is_listed(agent, lender.agent):
        return governance.not_a_user(agent, f"agent:{lender.agent}")
    return governance.Objection(
        governance.USERS,
        f"{credential.id} may no longer use the name of the registered agent {label(agent.name)}; "
        f"{lender.jti}, which lent it the name, has ended or lost that right",
        f"{agent.owner}, or another user in the agent's record, must renew or reissue it",
    )
