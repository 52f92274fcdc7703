"""The directory's checks of a request, beside the policy: whether to delegate at all, and within which limits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from jitid.capabilities.directory.delegator_store import SUSPENDED_AS
from jitid.capabilities.directory.store import DirectoryStore
from jitid.errors import InvalidCredentialError, PolicyDeniedError
from jitid.model.credential import Kind, bare_kind
from jitid.model.directory import Agent, AgentState, Delegator, DirectoryEntry
from jitid.model.task import most_sensitive
from jitid.policy.policy_request import NO_DIRECTORY_FACTS, DirectoryFacts
from jitid.values import audience, strict_json
from jitid.values.record import Record
from jitid.values.scope import Scope, uncovered
from jitid.values.text import label, operand, quote
from jitid.values.times import format_time

USERS = "agent-users"
"""The rule that limits the use of a registered agent's name."""
_HINTS = 3
"""The maximum number of hints in an error; it has the reasons of all objections."""


class Objection(Record):
    """A rule of the directory that refuses a request, with the reason and a hint."""

    rule: str
    reason: str
    hint: str


def directory_facts(entry: DirectoryEntry) -> DirectoryFacts:
    """Return the facts about a delegator and an agent that policies can use."""
    delegator, agent = entry.delegator, entry.agent
    if delegator is None and agent is None:
        return NO_DIRECTORY_FACTS
    registered = agent is not None and agent.unregistered_at is None
    return DirectoryFacts(
        delegator is not None,
        () if delegator is None else delegator.groups,
        None if delegator is None else delegator.manager,
        registered,
        agent.owner if agent is not None and registered else None,
    )


def known_as(snapshot: DirectoryStore, name: str, subject: str | None) -> str:
    """Return the name for directory lookups: the subject of an ID token if the directory has it, otherwise `name`."""
    return name if subject is None or not snapshot.is_delegator(subject) else subject


def proved_as_another(snapshot: DirectoryStore, name: str, subject: str | None) -> list[Objection]:
    """Return the objection if a root's ID token no longer proves the delegator who has its name.

    `subject` is the subject of that token. The directory may have bound the name to another subject since.
    """
    if subject is None or snapshot.is_delegator(subject):
        return []
    foreign = foreign_subject(snapshot.find_delegator(name), subject, "delegator-subject")
    return [] if foreign is None else [foreign]


def foreign_subject(person: Delegator | None, subject: str | None, rule: str) -> Objection | None:
    """Return the objection if the directory binds a delegator to other subjects of ID tokens; otherwise None.

    Without this check, an issuer could use a name or an alias to prove a person whose subject is from another issuer.
    `person` must have all aliases.
    """
    bound = () if person is None else tuple(alias for alias in person.aliases if " " in alias)
    if person is None or subject is None or not bound or subject in bound:
        return None
    from shlex import quote as word

    return Objection(
        rule,
        f"{label(person.name)} is bound to subjects of ID tokens, and {quote(subject)} is not one of them",
        f"if it is the same person: jitid delegator change {person.name} --subject {word(subject)}",
    )


def recorded_facts(facts: DirectoryFacts) -> dict[str, Any] | None:
    """Return the facts for an audit event: the fields that differ from `NO_DIRECTORY_FACTS`; None if none differs."""
    if facts == NO_DIRECTORY_FACTS:
        return None
    fields = facts._asdict()
    differing = {name: value for name, value in fields.items() if value != getattr(NO_DIRECTORY_FACTS, name)}
    return {name: list(value) if name == "groups" else value for name, value in differing.items()}


def read_directory_facts(facts: Mapping[str, Any] | None) -> DirectoryFacts:
    """Return the directory facts that an audit event records."""
    facts = facts or {}
    return NO_DIRECTORY_FACTS._replace(**{**facts, "groups": tuple(facts.get("groups", ()))})


def objections(
    entry: DirectoryEntry,
    delegator: str,
    sensitivity: str,
    *,
    known_only: bool,
    now: int,
) -> list[Objection]:
    """Return the objections to any issue for this delegator or to this agent now; empty if an issue is possible."""
    refusals = []
    person, agent = entry.delegator, entry.agent
    if person is None:
        if known_only:
            refusals.append(unknown(delegator))
    elif person.disabled_at is not None:
        refusals.append(disabled(person))
    elif most_sensitive(sensitivity, person.sensitivity) != person.sensitivity:
        refusals.append(
            Objection(
                "delegator-sensitivity",
                f"{label(person.name)} may delegate up to {person.sensitivity}, and the sensitivity is {sensitivity}",
                "name a delegator with a higher sensitivity limit",
            )
        )
    if agent is not None and agent.state_at(now) is not AgentState.REGISTERED:
        refusals.append(_out_of_service(agent, now))
    return refusals


def unknown(delegator: str) -> Objection:
    """Return the objection to a delegator that the directory does not have, but must have."""
    return Objection(
        "delegator-unknown",
        f"the directory has no {label(delegator)}, and the setting `delegators` requires known ones",
        f"to add this delegator: jitid delegator add {delegator}",
    )


def disabled(person: Delegator, instead: str = "name another delegator") -> Objection:
    """Return the objection to a disabled delegator; `instead` begins the hint."""
    return Objection(
        "delegator-disabled",
        f"{label(person.name)} was disabled at {format_time(person.disabled_at or 0)}",
        f"{instead}; for its record: jitid delegator show {person.name}",
    )


def not_a_user(agent: Agent, caller: str) -> Objection:
    """Return the objection to a caller without a right to the name of a registered agent.

    The owner may use the name, and so may the users in the record and identities that were issued under the record.
    """
    return Objection(
        USERS,
        f"agent {label(agent.name)} is registered, and its record does not let {label(caller)} use its name",
        f"use another name; or its owner {agent.owner} has the caller added: "
        f"jitid agent change {operand(agent.name)} --may-use {caller}",
    )


def not_by_a_project(agent: Agent) -> Objection:
    """Return the objection to a registered name that only the file of a working folder states."""
    return Objection(
        USERS,
        f"agent {label(agent.name)} is registered, and only a file `.jitid.toml` states its name",
        f"state the agent: --agent {operand(agent.name)}; or in your own file: "
        f"jitid config set agent {operand(agent.name)}",
    )


def is_user(snapshot: DirectoryStore, agent: Agent, name: str) -> bool:
    """Return whether a delegator may use the name of an agent: only its owner and the users in its record may."""
    person = snapshot.find_delegator(name)
    names = {name} if person is None else {name, person.name, *person.aliases}
    groups = () if person is None else person.groups
    return (
        agent.owner in names
        or not names.isdisjoint(agent.users)
        or any(f"group:{group}" in agent.users for group in groups)
    )


def proved_as(snapshot: DirectoryStore, name: str, subject: str, proved_at: int | None) -> str | None:
    """Return the own name of the delegator that a foreign token proves now.

    None if the directory binds that delegator to other subjects. If the directory has no such delegator, `name`.

    Raises:
        InvalidCredentialError: the delegator is disabled, or was disabled after the token was issued.

    """
    person = snapshot.find_delegator(known_as(snapshot, name, subject))
    if person is None:
        return name
    if person.disabled_at is not None:
        raise InvalidCredentialError(disabled(person).reason)
    must_be_newer(proved_at, person)
    return None if foreign_subject(person, subject, "") is not None else person.name


def must_be_newer(proved_at: int | None, person: Delegator | None) -> None:
    """Raise InvalidCredentialError if a proof is not newer than the person's last disabling, enabled again or not.

    Raises:
        InvalidCredentialError: the proof is older, or its age is unknown.

    """
    # A rule of the directory refuses a delegator that is disabled now.
    if person is None or person.disabled_last is None or person.disabled_at is not None:
        return
    must_follow(proved_at, person.disabled_last, f"{label(person.name)} was disabled")


def must_follow(proved_at: int | None, event_time: int, event: str) -> None:
    """Refuse a proof that is not newer than an event at `event_time`: within one second, the order is unknown.

    Raises:
        InvalidCredentialError: the proof is not newer, or its age is unknown.

    """
    if proved_at is None or proved_at <= event_time:
        raise InvalidCredentialError(
            f"the ID token was issued before {event} (at {format_time(event_time)}) and is no longer accepted",
            "log in again for a new ID token",
        )


def out_of_service(records: Iterable[Agent | None], now: int) -> list[Objection]:
    """Return the objections to records that must not act or delegate now; None stands for an agent without a record."""
    return [
        _out_of_service(record, now)
        for record in records
        if record is not None and record.state_at(now) is not AgentState.REGISTERED
    ]


def _out_of_service(agent: Agent, now: int) -> Objection:
    name, state = label(agent.name), agent.state_at(now)
    if state is AgentState.SUSPENDED:
        reason = f" ({quote(agent.suspended_as)})" if agent.suspended_as else ""
        return Objection(
            "agent-suspended",
            f"agent {name} was suspended at {format_time(agent.suspended_at or 0)}{reason}",
            (
                f"once its owner {agent.owner} is enabled, or the agent has another owner"
                if agent.suspended_as == SUSPENDED_AS
                else "to resume the agent"
            )
            + f": jitid agent resume {operand(agent.name)}",
        )
    if state is AgentState.UNREGISTERED:
        return Objection(
            "agent-unregistered",
            f"agent {name} was unregistered at {format_time(agent.unregistered_at or 0)}",
            f"use another name, or register the agent again: jitid agent register {operand(agent.name)}",
        )
    return Objection(
        "agent-overdue",
        f"agent {name} was due for review at {format_time(agent.review_at)}",
        f"its owner {agent.owner} must review it: jitid agent review {operand(agent.name)}",
    )


def beyond_kinds(agent: Agent | None, kinds: Iterable[str]) -> dict[str, str]:
    """Return the kinds, with or without templates, that an agent's record does not permit, each with the reason."""
    if agent is None:
        return {}
    reason = f"agent {label(agent.name)} may have {', '.join(agent.kinds)} only"
    return {kind: reason for kind in kinds if bare_kind(kind) not in agent.kinds}


def records_of(snapshot: DirectoryStore, agents: Iterable[str]) -> list[Agent]:
    """Return the existing records of these agents."""
    return [record for record in map(snapshot.find_agent, dict.fromkeys(agents)) if record is not None]


def beyond_each(
    records: Iterable[Agent],
    kinds: Sequence[str],
    audiences: Sequence[str],
    usual: Sequence[str],
    details: Sequence[str],
    *,
    own: Sequence[str] = (),
) -> list[Objection]:
    """Return the objections to credentials that exceed the current records of the agents that pass rights on."""
    return [
        objection
        for record in records
        for objection in (
            *beyond_limits(record, kinds, audiences, usual, 0, 0, own=own),
            *beyond_scopes(None, record, details),
        )
    ]


def beyond_limits(
    agent: Agent | None,
    kinds: Sequence[str],
    audiences: Sequence[str],
    usual: Sequence[str],
    live: int,
    more: int,
    *,
    own: Sequence[str] = (),
) -> list[Objection]:
    """Return the objections to `more` identities for these audiences, for a registered agent with `live` identities.

    `kinds` are the kind of the credential, which is first, and the kinds that its holder may obtain. `audiences` are
    the audiences of the credential and those its holder may obtain. `usual` are the audiences of an agent whose record
    lists none. `own` are the names of the authority: each agent may have an identity token for them, but no JWT-SVID.
    """
    refusals: list[Objection] = []
    if agent is None:
        return refusals
    name = label(agent.name)
    if excess_kinds := beyond_kinds(agent, kinds):
        lacking = ", ".join(map(quote, list(excess_kinds)[:5]))
        refusals.append(
            Objection(
                "agent-kind",
                f"{next(iter(excess_kinds.values()))}, not {lacking}",
                f"permitted kinds: {', '.join(agent.kinds)}",
            )
        )
    allowed = agent.audiences or usual
    exempt = () if kinds[0] == Kind.JWT_SVID else own
    foreign = audience.uncovered((*allowed, *exempt), audiences)
    if foreign:
        from shlex import quote as word

        refusals.append(
            Objection(
                "agent-audience",
                f"agent {name} may not have credentials for {', '.join(map(quote, foreign[:5]))}",
                f"permitted audiences: {', '.join(agent.audiences)}"
                if agent.audiences
                # The usual audience may be the authority alone, and callers do not name it as an audience.
                else "omit it, or add it to the record: "
                f"jitid agent change --audience {word(foreign[0])} {operand(agent.name)}",
            )
        )
    if agent.concurrency is not None and live + more > agent.concurrency:
        refusals.append(
            Objection(
                "agent-concurrency",
                f"agent {name} has {live} live {'identity' if live == 1 else 'identities'} of at most "
                f"{agent.concurrency}" + (f", and {more} more were requested" if more > 1 else ""),
                f"wait until one expires, or revoke one: jitid list --live --agent {agent.name}; "
                f"or raise the limit: jitid agent change --concurrency N {operand(agent.name)}",
            )
        )
    return refusals


_TOO_MUCH = {
    "agent-audience": "audience",
    "agent-scope": "scope",
    "delegator-entitlement": "scope",
    "detail-type": "detail",
}


def must_not_object(refusals: Sequence[Objection], facts: Mapping[str, Any]) -> None:
    """Raise PolicyDeniedError if the directory has an objection.

    Raises:
        PolicyDeniedError: there is an objection.

    """
    if not refusals:
        return
    rules = [objection.rule for objection in refusals]
    reason = "; ".join(f"rule `{objection.rule}`: {objection.reason}" for objection in refusals)
    # A caller who follows the hint of one objection alone would run into the next.
    hint = "; and ".join(dict.fromkeys(objection.hint for objection in refusals[:_HINTS]))
    raise PolicyDeniedError(
        f"denied: {reason}",
        hint,
        {**facts, "rules": rules, "reason": reason},
        _TOO_MUCH.get(rules[0]) if len(set(rules)) == 1 else None,
    )


def limits(person: Delegator | None, agent: Agent | None) -> list[tuple[str, Sequence[str], str]]:
    """Return the limits on scopes: each with its rule, the permitted scopes, and the reason against other scopes."""
    bounds: list[tuple[str, Sequence[str], str]] = []
    if person is not None and person.entitlements is not None:
        bounds.append(
            (
                "delegator-entitlement",
                person.entitlements,
                f"outside the entitlements of {label(person.name)}",
            )
        )
    if agent is not None:
        bounds.append(("agent-scope", agent.scopes, f"outside the record of agent {label(agent.name)}"))
    return bounds


def permitted_scopes(
    person: Delegator | None,
    agent: Agent | None,
    scopes: tuple[Scope, ...],
    facts: Mapping[str, Any],
    notes: list[str],
    *,
    allow_narrower: bool,
) -> tuple[Scope, ...]:
    """Return the scopes that the delegator may hand out and the agent may hold.

    Raises:
        PolicyDeniedError: a scope exceeds these limits; with `allow_narrower`, all scopes do.

    """
    for rule, allowed, reason in limits(person, agent):
        wider = uncovered([Scope(scope) for scope in allowed], scopes)
        if not wider:
            continue
        excess = frozenset(wider)
        remaining = tuple([scope for scope in scopes if scope not in excess])
        if not (allow_narrower and remaining):
            listed = ", ".join(quote(scope) for scope in wider[:5])
            objection = Objection(
                rule,
                f"{reason}: scope {listed}",
                f"permitted scopes: {', '.join(map(quote, allowed[:10])) or 'none'}",
            )
            must_not_object([objection], facts)
        notes.extend(f"without scope {quote(scope)}: {reason} (rule `{rule}`)" for scope in wider)
        scopes = remaining
    return scopes


def beyond_scopes(person: Delegator | None, agent: Agent | None, details: Sequence[str]) -> list[Objection]:
    """Return the objections to `authorization_details` (RFC 9396): limits are scopes, which do not bound details."""
    if not details:
        return []
    return [
        Objection(
            rule,
            f"{reason}: authorization details, which scopes do not limit",
            "request scopes instead of --detail",
        )
        for rule, _, reason in limits(person, agent)
    ]


def beyond_types(types: Sequence[str], details: Sequence[str]) -> list[Objection]:
    """Return the objections to `authorization_details` whose type is not in `types` (RFC 9396, section 5).

    Without `types` any type is accepted.
    """
    if not types:
        return []
    unknown = dict.fromkeys(
        type_name for detail in details if (type_name := strict_json.loads(detail)["type"]) not in types
    )
    return [
        Objection(
            "detail-type",
            f"authorization details of the type {quote(type_name)} are not supported",
            f"supported types: {', '.join(types)}",
        )
        for type_name in unknown
    ]


def longest(agent: Agent | None) -> tuple[int, str] | None:
    """Return the longest lifetime of a registered agent's credential, in seconds, and the name of the limit."""
    return None if agent is None else (agent.max_ttl, f"the record of agent {label(agent.name)}")
