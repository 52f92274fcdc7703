"""The registry of recurring agents: the owner of each, its limits, and its review date.

Agents are suspended and unregistered with the revocation of their credentials.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from jitid.capabilities.directory import governance
from jitid.capabilities.directory.delegators import NOTHING
from jitid.capabilities.directory.ownership import GROUP
from jitid.capabilities.directory.store import DirectoryChanges, DirectoryStore
from jitid.capabilities.identity import revocation, revocation_result
from jitid.capabilities.identity.revocation_result import Ended
from jitid.capabilities.identity.store import CredentialChanges, CredentialStore
from jitid.errors import NotFoundError, UsageError
from jitid.ledger.transaction import Transaction
from jitid.ledger.view import View
from jitid.model.credential import USUAL_KINDS, State
from jitid.model.directory import PERSON, Agent, Delegator
from jitid.model.ledger_rows import Radius, Selection
from jitid.model.task import MAX_PURPOSE
from jitid.model.types import KIND
from jitid.values.field_types import AGENT, AUDIENCE, DURATION, POSITIVE, SCOPE, TIME, kept_text
from jitid.values.ids import identity_id
from jitid.values.names import check_new_agent
from jitid.values.record import Record
from jitid.values.scope import Scope, normalise, uncovered
from jitid.values.text import check_text, label, operand
from jitid.values.times import format_time

MAX_TTL = 3_600
"""The default maximum lifetime of an agent's credential, in seconds."""
REVIEWED_EVERY = 90 * 86_400
"""The default time to the next review of an agent, in seconds from now."""


class Due(Record):
    """A due date as stated: a time in seconds since the epoch, or a number of seconds from now."""

    at: Annotated[int | None, TIME] = None
    after: Annotated[int, DURATION] = REVIEWED_EVERY

    def time(self, now: int) -> int:
        """Return the time. Raises UsageError if it has passed."""
        due_at = now + self.after if self.at is None else self.at
        if due_at <= now:
            raise UsageError(
                f"the review date {format_time(due_at)} has passed; nothing was changed",
                "state a future time, or a duration",
            )
        return due_at


class StatedAgent(Record):
    """The stated fields of an agent. None leaves a field unchanged, or gives a new record the default."""

    owner: Annotated[str | None, PERSON] = None
    """Any name of the owner."""
    purpose: Annotated[str | None, kept_text(MAX_PURPOSE, "the purpose")] = None
    scopes: Annotated[tuple[Scope, ...] | None, SCOPE] = None
    audiences: Annotated[tuple[str, ...] | None, AUDIENCE] = None
    kinds: Annotated[tuple[str, ...] | None, KIND] = None
    max_ttl: Annotated[int | None, DURATION] = None
    concurrency: Annotated[int | None, POSITIVE] = None
    users: Annotated[tuple[str, ...] | None, AGENT] = None
    """Users of the name besides the owner: any names of delegators, `group:NAME`, `agent:NAME`."""
    unlimited: bool = False
    """Whether any number of its identities may be valid at the same time."""


class Described(Record):
    """An agent's record with its owner, its live identities and its latest issue."""

    agent: Agent
    owner: Delegator | None
    """The owner's current entry in the directory; None if there is none."""
    live: int
    """The number of the agent's live identities."""
    last_issued_at: int | None
    beyond: tuple[str, ...]
    """The agent's scopes that its owner may not hand out."""

    @property
    def owner_state(self) -> str:
        """The owner's state in the directory: `known`, `disabled`, or `unverified` if it has no such delegator."""
        if self.owner is None:
            return "unverified"
        return "known" if self.owner.disabled_at is None else "disabled"


class KeptAgent(Record):
    """The outcome of a change to an agent's record."""

    agent: Agent
    """The record after the change."""
    event: int | None
    """The audit event that records the change; None if nothing changed."""
    live: int
    """The number of the agent's live identities."""
    now: int
    ended: int = 0
    """The number of live credentials ended by this registration, issued under the agent's name before it."""
    again: bool = False
    """Whether there was an agent of that name before this registration."""


def described(snapshot: View, agents: Iterable[Agent]) -> list[Described]:
    """Return records with their owners and holdings, in the order of `agents`."""
    agents = list(agents)
    holdings = DirectoryStore(snapshot).holdings(agents)
    owners = {
        name: DirectoryStore(snapshot).find_delegator(name) for name in {agent.owner for agent in agents}
    }
    return [
        Described(agent, owners[agent.owner], *holdings[agent.key], _beyond(agent, owners[agent.owner]))
        for agent in agents
    ]


def record_of(snapshot: View, name: str) -> Agent:
    """Return the record of an agent, also of an unregistered one.

    Raises:
        NotFoundError: the agent never had a record.

    """
    agent = DirectoryStore(snapshot).find_agent(name)
    if agent is None:
        raise NotFoundError(
            f"agent {label(name)} is not registered",
            f"see: jitid agent list; for its credentials: jitid list --agent {operand(name)}",
        )
    return agent


def register(
    transaction: Transaction, name: str, stated: StatedAgent, due: Due, most: int | None = None
) -> KeptAgent:
    """Register an agent. An unregistered agent is registered again, in the same record.

    The live credentials that were issued under its name before end, with their descendants. An identity is kept only
    if it was issued under an earlier registration, and its root delegator may use the name under this registration. At
    most `most` credentials may end; None for any number.

    Raises:
        TooManyError: more credentials would end; nothing was changed.
        UsageError: the agent is registered already, or a stated value is invalid.
        NotFoundError: the directory does not have the owner.
        PolicyDeniedError: the owner is disabled, or may not hand out one of the scopes.

    """
    check_new_agent(name)
    previous = DirectoryStore(transaction).find_agent(name)
    if previous is not None and previous.unregistered_at is None:
        raise UsageError(
            f"agent {label(name)} is registered already; nothing was changed",
            f"see: jitid agent show {operand(name)}; to change the record: jitid agent change {operand(name)}",
        )
    if stated.owner is None or stated.purpose is None:
        raise UsageError(
            "an owner and a purpose are required; nothing was changed",
            "state both: --owner DELEGATOR --purpose TEXT",
        )
    now = transaction.now
    scopes = normalise(stated.scopes or ())
    agent = Agent(
        0 if previous is None else previous.key,
        name,
        _owner(transaction, "agent-register", name, stated.owner, scopes).name,
        _checked_purpose(stated.purpose),
        scopes,
        stated.audiences or (),
        stated.kinds or USUAL_KINDS,
        stated.max_ttl or MAX_TTL,
        stated.concurrency,
        due.time(now),
        now,
        None,
        None,
        None,
        None,
        users_of(transaction, stated.users or ()),
    )
    facts, ended = _end_earlier(transaction, agent, most)
    DirectoryChanges(transaction).put_agents([agent])
    event = transaction.append(
        "agent-register",
        {
            "agent": name,
            **_limits(agent),
            "users": list(agent.users) or None,
            "review": agent.review_at,
            "again": previous and True,
            **facts,
        },
    )
    return _kept(transaction, name, event.seq)._replace(ended=ended, again=previous is not None)


def _end_earlier(transaction: Transaction, agent: Agent, most: int | None) -> tuple[Mapping[str, Any], int]:
    """Revoke the live credentials under the name of a newly registered agent, except those its record permits.

    Before the registration, any caller could use the name for an agent. An earlier record may have had another owner:
    credentials issued under it would count as issued under the new record.
    """
    name, live_identities = agent.name, DirectoryStore(transaction).live_under(agent.name)
    users = {
        delegator
        for delegator in {identity.delegator for identity in live_identities}
        if governance.is_user(DirectoryStore(transaction), agent, delegator)
    }
    uids = {
        identity.uid
        for identity in live_identities
        if not identity.recorded or identity.delegator not in users
    }
    if not uids:
        return {}, 0
    selection = Selection(ids=tuple(identity_id(uid) for uid in sorted(uids)))
    if most is not None and (radius := CredentialStore(transaction).measure(selection)).credentials > most:
        raise revocation_result.TooManyError(
            f"this would revoke more than {most}, issued to {label(name)} before this registration: "
            f"{revocation_result.blast(radius)}; nothing was changed",
            f"see: jitid list --live --agent {operand(name)}; then repeat with --yes or --max {radius.credentials}",
        )
    radius, digest = CredentialChanges(transaction).end(selection, State.REVOKED)
    return {**revocation.counts(radius), "ended": digest}, radius.credentials


def users_of(snapshot: View, users: Iterable[str]) -> tuple[str, ...]:
    """Return the users of an agent's name; delegators are given by their own names."""
    return tuple(
        dict.fromkeys(
            user if user.startswith((GROUP, "agent:")) else DirectoryStore(snapshot).own_name(user)
            for user in users
        )
    )


def change(transaction: Transaction, name: str, stated: StatedAgent) -> KeptAgent:
    """Change stated fields of an agent; credentials that were issued already do not change.

    Raises:
        UsageError: the agent was unregistered, nothing is stated, or a stated value is invalid.
        NotFoundError: there is no such agent, or the directory does not have the owner.
        PolicyDeniedError: the owner is disabled, or may not hand out one of the scopes.

    """
    current = in_service(transaction, name)
    if stated == StatedAgent():
        raise UsageError(
            "no change was requested; nothing was changed",
            f"see the record: jitid agent show {operand(name)}",
        )
    scopes = current.scopes if stated.scopes is None else normalise(stated.scopes)
    owner = current.owner
    if stated.owner is not None or stated.scopes is not None:
        owner = _owner(transaction, "agent-change", name, stated.owner or owner, scopes).name
    agent = current._replace(
        owner=owner,
        purpose=current.purpose if stated.purpose is None else _checked_purpose(stated.purpose),
        scopes=scopes,
        audiences=current.audiences if stated.audiences is None else stated.audiences,
        kinds=stated.kinds or current.kinds,
        max_ttl=stated.max_ttl or current.max_ttl,
        users=current.users if stated.users is None else users_of(transaction, stated.users),
        concurrency=None if stated.unlimited else stated.concurrency or current.concurrency,
    )
    if agent == current:
        return _kept(transaction, name, None)
    DirectoryChanges(transaction).put_agents([agent])
    old, new = _limits(current), _limits(agent)
    changed = {fact: new[fact] for fact in new if new[fact] != old[fact]}
    unlimited = agent.concurrency is None and current.concurrency is not None
    event = transaction.append(
        "agent-change", {"agent": name, **changed, "unlimited": True if unlimited else None}
    )
    return _kept(transaction, name, event.seq)


def review(transaction: Transaction, name: str, due: Due) -> KeptAgent:
    """Record a review of the credentials and limits of an agent, and the date of the next review.

    Raises:
        UsageError: the agent was unregistered, or the date has passed.
        NotFoundError: there is no such agent.

    """
    agent = in_service(transaction, name)
    now = transaction.now
    agent = agent._replace(review_at=due.time(now), reviewed_at=now)
    DirectoryChanges(transaction).put_agents([agent])
    (description,) = described(transaction, [agent])
    event = transaction.append(
        "agent-review",
        {
            "agent": name,
            "owner": agent.owner,
            "scopes": list(agent.scopes),
            "live": description.live,
            "beyond": list(description.beyond) or None,
            "review": agent.review_at,
        },
    )
    return _kept(transaction, name, event.seq)


def resume(transaction: Transaction, name: str) -> KeptAgent:
    """Resume a suspended agent, so that identities can be issued to it; another agent is left unchanged.

    Raises:
        UsageError: the agent was unregistered.
        NotFoundError: there is no such agent, or the directory no longer has its owner.
        PolicyDeniedError: its owner is disabled.

    """
    agent = in_service(transaction, name)
    if agent.suspended_at is None:
        return _kept(transaction, name, None)
    _owner(transaction, "agent-resume", name, agent.owner, ())
    DirectoryChanges(transaction).put_agents([agent._replace(suspended_at=None, suspended_as=None)])
    event = transaction.append("agent-resume", {"agent": name})
    return _kept(transaction, name, event.seq)


def in_service(snapshot: View, name: str) -> Agent:
    """Return the record of an agent. Raises NotFoundError, and UsageError if the agent was unregistered."""
    agent = record_of(snapshot, name)
    if agent.unregistered_at is not None:
        raise UsageError(
            f"agent {label(name)} was unregistered at {format_time(agent.unregistered_at)}; nothing was changed",
            f"to register it again: jitid agent register {operand(name)}",
        )
    return agent


def _owner(
    snapshot: View, operation: str, name: str, owner: str, scopes: tuple[Scope, ...] | tuple[str, ...]
) -> Delegator:
    """Return the delegator who shall own an agent.

    Raises:
        NotFoundError: the directory has no delegator of that name.
        PolicyDeniedError: the delegator is disabled, or may not hand out one of the scopes.

    """
    person = DirectoryStore(snapshot).find_delegator(owner)
    if person is None:
        raise NotFoundError(
            f"owner {label(owner)} is not in the directory; nothing was changed",
            f"to add this delegator: jitid delegator add {owner}; or name another with --owner",
        )
    facts = {"asked": operation, "agent": name, "delegator": person.name, "scopes": list(scopes) or None}
    if person.disabled_at is not None:
        instead = "name another with --owner"
        if operation == "agent-resume":
            instead = f"change the owner: jitid agent change {operand(name)} --owner DELEGATOR"
        governance.must_not_object([governance.disabled(person, instead)], facts)
    governance.permitted_scopes(
        person, None, tuple(Scope(scope) for scope in scopes), facts, [], allow_narrower=False
    )
    return person


def _beyond(agent: Agent, owner: Delegator | None) -> tuple[str, ...]:
    if owner is None or owner.entitlements is None:
        return ()
    return uncovered([Scope(scope) for scope in owner.entitlements], [Scope(scope) for scope in agent.scopes])


def _checked_purpose(text: str) -> str:
    check_text(text, "the purpose")
    if not text.strip():
        raise UsageError("the purpose is blank; nothing was changed", "state the agent's purpose")
    return text


def _kept(transaction: Transaction, name: str, event: int | None) -> KeptAgent:
    agent = record_of(transaction, name)
    return KeptAgent(
        agent, event, DirectoryStore(transaction).holdings([agent])[agent.key].live, transaction.now
    )


def _limits(agent: Agent) -> dict[str, Any]:
    """Return the facts about a record that an event records: all stated fields of the agent."""
    return {
        "owner": agent.owner,
        "purpose": agent.purpose,
        "scopes": list(agent.scopes),
        "audiences": list(agent.audiences),
        "kinds": list(agent.kinds),
        "users": list(agent.users),
        "max_ttl": agent.max_ttl,
        "concurrency": agent.concurrency,
    }


class WithdrawnAgent(Record):
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
        revocation_result.guard(CredentialStore(transaction).measure(selection), most)
    radius, digest = CredentialChanges(transaction).end(selection, State.REVOKED)
    return {**revocation.counts(radius), "ended": digest}, radius, 0
