"""The registry of recurring agents: who answers for each, within which limits, and until when it is to be reviewed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from jitid.capabilities.directory import governance
from jitid.capabilities.directory.ownership import GROUP
from jitid.capabilities.directory.store import DirectoryChanges, DirectoryStore
from jitid.capabilities.identity import revocation
from jitid.capabilities.identity.store import CredentialChanges, CredentialStore
from jitid.errors import NotFoundError, UsageError
from jitid.ledger.transaction import Transaction
from jitid.ledger.view import View
from jitid.model.agent import Agent
from jitid.model.credential import USUAL_KINDS, State
from jitid.model.delegator import Delegator
from jitid.model.ledger_rows import Selection
from jitid.values.ids import identity_id
from jitid.values.names import check_new_agent
from jitid.values.scope import Scope, normalise, uncovered
from jitid.values.text import check_text, label, operand
from jitid.values.times import format_time

MAX_TTL = 3_600
"""How long a credential of an agent lives at most unless it is said, in seconds."""
REVIEWED_EVERY = 90 * 86_400
"""When an agent is to be reviewed unless it is said, in seconds from now."""


class Due(NamedTuple):
    """When something is due, as stated: at a time since the epoch, or so many seconds from now."""

    at: int | None = None
    after: int = REVIEWED_EVERY

    def time(self, now: int) -> int:
        """Return the time. Raises UsageError for one that has passed."""
        at = now + self.after if self.at is None else self.at
        if at <= now:
            raise UsageError(
                f"the review date {format_time(at)} has passed; nothing was changed",
                "state a time to come, or a duration",
            )
        return at


class StatedAgent(NamedTuple):
    """What is said of an agent; None leaves it as it is, or as is usual."""

    owner: str | None = None
    """By any of their names."""
    purpose: str | None = None
    scopes: tuple[Scope, ...] | None = None
    audiences: tuple[str, ...] | None = None
    kinds: tuple[str, ...] | None = None
    max_ttl: int | None = None
    concurrency: int | None = None
    users: tuple[str, ...] | None = None
    """Who may issue under its name besides the owner: delegators by any of their names, `group:NAME`, `agent:NAME`."""
    unlimited: bool = False
    """Any number of its identities may live at the same time."""


class Described(NamedTuple):
    """A record with what stands around it."""

    agent: Agent
    owner: Delegator | None
    """As the directory has them now."""
    live: int
    """How many identities of it live."""
    last_issued_at: int | None
    beyond: tuple[str, ...]
    """Those of its scopes that its owner may not hand out."""

    @property
    def owner_state(self) -> str:
        """What the directory says of its owner: `known`, `disabled`, or `unverified` if it has no such one."""
        if self.owner is None:
            return "unverified"
        return "known" if self.owner.disabled_at is None else "disabled"


class KeptAgent(NamedTuple):
    """What keeping a record came to."""

    agent: Agent
    """As it is now."""
    event: int | None
    """The audit event that tells of it; None if it was so already."""
    live: int
    """How many identities of it live."""
    now: int
    ended: int = 0
    """How many live credentials ended that were issued under its name before this registration."""


def described(snapshot: View, agents: Iterable[Agent]) -> list[Described]:
    """Return records with what stands around them, in their order."""
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
    """Return the record of an agent, also one that has ended.

    Raises:
        NotFoundError: there never was one.

    """
    agent = DirectoryStore(snapshot).find_agent(name)
    if agent is None:
        raise NotFoundError(
            f"there is no record of an agent {label(name)}",
            f"see: jitid agent list; whether it should have one is told by: jitid agent classify {operand(name)}",
        )
    return agent


def register(
    transaction: Transaction, name: str, stated: StatedAgent, due: Due, most: int | None = None
) -> KeptAgent:
    """Record an agent; one that was unregistered is registered anew, in the record that it had.

    What lives under its name already ends, with what descends from it. Only an identity that was issued under an
    earlier registration goes on, if its root delegator may use the name by this one. At most `most` credentials end;
    None for any number.

    Raises:
        TooManyError: more would end; nothing was changed.
        UsageError: it is registered already, or something that is stated cannot be meant.
        NotFoundError: the directory has no such owner.
        PolicyDeniedError: the owner is disabled, or may not hand out one of the scopes.

    """
    check_new_agent(name)
    before = DirectoryStore(transaction).find_agent(name)
    if before is not None and before.unregistered_at is None:
        raise UsageError(
            f"agent {label(name)} is registered already; nothing was changed",
            f"look at it: jitid agent show {operand(name)}; change it: jitid agent change {operand(name)}",
        )
    if stated.owner is None or stated.purpose is None:
        raise UsageError(
            "an agent needs an owner and a purpose; nothing was changed",
            "say who answers for it and what it is for: --owner DELEGATOR --purpose TEXT",
        )
    now = transaction.now
    scopes = normalise(stated.scopes or ())
    agent = Agent(
        0 if before is None else before.key,
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
            "again": before and True,
            **facts,
        },
    )
    return _kept(transaction, name, event.seq)._replace(ended=ended)


def _end_earlier(transaction: Transaction, agent: Agent, most: int | None) -> tuple[Mapping[str, Any], int]:
    """Revoke what lives under the name of an agent that is registered now, but for what its record permits.

    Without a record anybody could have called an agent so. An earlier record may have been another owner's: what was
    issued under that would count as issued under this one.
    """
    name, held = agent.name, DirectoryStore(transaction).live_under(agent.name)
    users = {
        one
        for one in {live.delegator for live in held}
        if governance.is_user(DirectoryStore(transaction), agent, one)
    }
    uids = {live.uid for live in held if not live.recorded or live.delegator not in users}
    if not uids:
        return {}, 0
    selection = Selection(ids=tuple(identity_id(uid) for uid in sorted(uids)))
    if most is not None and (radius := CredentialStore(transaction).measure(selection)).credentials > most:
        raise revocation.TooManyError(
            f"this would end more than {most}, issued under the name {label(name)} before this registration: "
            f"{revocation.blast(radius)}; nothing was changed",
            f"see: jitid list --live --agent {operand(name)}; then repeat it with --yes or --max {radius.credentials}",
        )
    radius, digest = CredentialChanges(transaction).end(selection, State.REVOKED)
    return {**revocation.counts(radius), "ended": digest}, radius.credentials


def users_of(snapshot: View, stated: Iterable[str]) -> tuple[str, ...]:
    """Return who may issue under the name of an agent, delegators by their own names."""
    return tuple(
        dict.fromkeys(
            one if one.startswith((GROUP, "agent:")) else DirectoryStore(snapshot).own_name(one)
            for one in stated
        )
    )


def change(transaction: Transaction, name: str, stated: StatedAgent) -> KeptAgent:
    """Change what is stated of an agent; what it holds already stays as it was issued.

    Raises:
        UsageError: it was unregistered, nothing is stated, or something that is stated cannot be meant.
        NotFoundError: there is no such agent, or the directory has no such owner.
        PolicyDeniedError: the owner is disabled, or may not hand out one of the scopes.

    """
    before = in_service(transaction, name)
    if stated == StatedAgent():
        raise UsageError(
            "nothing is stated that should change; nothing was changed",
            f"see: jitid agent show {operand(name)}",
        )
    scopes = before.scopes if stated.scopes is None else normalise(stated.scopes)
    owner = before.owner
    if stated.owner is not None or stated.scopes is not None:
        owner = _owner(transaction, "agent-change", name, stated.owner or owner, scopes).name
    agent = before._replace(
        owner=owner,
        purpose=before.purpose if stated.purpose is None else _checked_purpose(stated.purpose),
        scopes=scopes,
        audiences=before.audiences if stated.audiences is None else stated.audiences,
        kinds=stated.kinds or before.kinds,
        max_ttl=stated.max_ttl or before.max_ttl,
        users=before.users if stated.users is None else users_of(transaction, stated.users),
        concurrency=None if stated.unlimited else stated.concurrency or before.concurrency,
    )
    if agent == before:
        return _kept(transaction, name, None)
    DirectoryChanges(transaction).put_agents([agent])
    old, new = _limits(before), _limits(agent)
    changed = {fact: new[fact] for fact in new if new[fact] != old[fact]}
    unlimited = agent.concurrency is None and before.concurrency is not None
    event = transaction.append(
        "agent-change", {"agent": name, **changed, "unlimited": True if unlimited else None}
    )
    return _kept(transaction, name, event.seq)


def review(transaction: Transaction, name: str, due: Due) -> KeptAgent:
    """Record that somebody has looked at what an agent holds and may hold, and when that is due again.

    Raises:
        UsageError: it was unregistered, or the date has passed.
        NotFoundError: there is no such agent.

    """
    agent = in_service(transaction, name)
    now = transaction.now
    agent = agent._replace(review_at=due.time(now), reviewed_at=now)
    DirectoryChanges(transaction).put_agents([agent])
    (one,) = described(transaction, [agent])
    event = transaction.append(
        "agent-review",
        {
            "agent": name,
            "owner": agent.owner,
            "scopes": list(agent.scopes),
            "live": one.live,
            "beyond": list(one.beyond) or None,
            "review": agent.review_at,
        },
    )
    return _kept(transaction, name, event.seq)


def resume(transaction: Transaction, name: str) -> KeptAgent:
    """Let a suspended agent be issued to again; one that is in service is left as it is.

    Raises:
        UsageError: it was unregistered.
        NotFoundError: there is no such agent, or the directory has no such owner any more.
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
    """Return a record that was not ended. Raises NotFoundError, and UsageError for one that was."""
    agent = record_of(snapshot, name)
    if agent.unregistered_at is not None:
        raise UsageError(
            f"agent {label(name)} was unregistered at {format_time(agent.unregistered_at)}; nothing was changed",
            f"register it again: jitid agent register {operand(name)}",
        )
    return agent


def _owner(
    snapshot: View, operation: str, name: str, owner: str, scopes: tuple[Scope, ...] | tuple[str, ...]
) -> Delegator:
    """Return who is to answer for an agent.

    Raises:
        NotFoundError: the directory has nobody of that name.
        PolicyDeniedError: they are disabled, or may not hand out one of the scopes.

    """
    person = DirectoryStore(snapshot).find_delegator(owner)
    if person is None:
        raise NotFoundError(
            f"the directory has no {label(owner)}, and an owner must be known; nothing was changed",
            f"add them: jitid delegator add {owner}; or name another with --owner",
        )
    facts = {"asked": operation, "agent": name, "delegator": person.name, "scopes": list(scopes) or None}
    if person.disabled_at is not None:
        instead = "name another with --owner"
        if operation == "agent-resume":
            instead = f"give it another owner: jitid agent change {operand(name)} --owner DELEGATOR"
        governance.must_not_object([governance.disabled(person, instead)], facts)
    governance.permitted_scopes(
        person, None, tuple(Scope(scope) for scope in scopes), facts, [], allow_narrower=False
    )
    return person


def _beyond(agent: Agent, owner: Delegator | None) -> tuple[str, ...]:
    if owner is None or owner.entitlements is None:
        return ()
    return uncovered([Scope(one) for one in owner.entitlements], [Scope(one) for one in agent.scopes])


def _checked_purpose(text: str) -> str:
    check_text(text, "the purpose")
    if not text.strip():
        raise UsageError("the purpose is blank; nothing was changed", "say what the agent is for")
    return text


def _kept(transaction: Transaction, name: str, event: int | None) -> KeptAgent:
    agent = record_of(transaction, name)
    return KeptAgent(
        agent, event, DirectoryStore(transaction).holdings([agent])[agent.key].live, transaction.now
    )


def _limits(agent: Agent) -> dict[str, Any]:
    """Return what an event says of a record: all that is stated of an agent."""
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
