"""Narrowing a request: by floors of sensitivity, by what the parent holds, by the least of all limits of time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from jitid import delegation, reach
from jitid.credential import PROOFS, Credential
from jitid.delegation import Grant
from jitid.errors import PolicyDeniedError, UsageError
from jitid.lifetime import format_duration
from jitid.policy.decision import Decision
from jitid.request import Terms
from jitid.scope import Scope, normalise, overlap, uncovered
from jitid.task import Task, most_sensitive
from jitid.text import quote


def sensitivity(
    task: Task,
    parent: Credential | None,
    scopes: Sequence[Scope],
    audiences: Sequence[str],
    terms: Terms,
    notes: list[str],
) -> str:
    """Return how sensitive this issue is: as its task, or more if what it asks for has a floor."""
    least, why = task.sensitivity, ""
    if parent is not None and parent.task != task.name and most_sensitive(least, parent.sensitivity) != least:
        least, why = parent.sensitivity, f"the parent's task {quote(parent.task)} is"
    for pattern, floor in terms.scope_floors.items():
        for scope in scopes:
            if overlap(Scope(pattern), scope) and most_sensitive(least, floor) != least:
                least, why = floor, f"scope {quote(scope)} is"
    for audience in audiences:
        floor = terms.audience_floors.get(audience, least)
        if most_sensitive(least, floor) != least:
            least, why = floor, f"audience {quote(audience)} is"
    if why:
        notes.append(f"judged as {least} instead of {task.sensitivity}: {why} that sensitive")
    return least


def attenuated(
    parent: str,
    holds: Grant,
    scopes: tuple[Scope, ...],
    audiences: Sequence[str],
    details: Sequence[str],
    facts: Mapping[str, Any],
    notes: list[str],
    *,
    allow_narrower: bool,
) -> tuple[Scope, ...]:
    """Return the scopes that may be delegated by the identity `parent`, which holds what it `holds`.

    Raises:
        PolicyDeniedError: the child would hold more than its parent.

    """
    if allow_narrower and (wider := uncovered(holds.scopes, scopes)):
        kept = tuple(scope for scope in scopes if scope not in wider)
        if kept:
            notes.extend(f"without scope {quote(scope)}: the parent does not hold it" for scope in wider)
            scopes = kept
    found = delegation.widenings(holds, Grant(scopes, audiences, details, holds.expires_at, holds.depth + 1))
    if not found:
        return scopes
    what = "; ".join(f"{item.what} {', '.join(quote(value) for value in item.values[:5])}" for item in found)
    reason = f"rule `attenuation`: the parent {parent} does not hold {what}"
    held_instead = {"scope": holds.scopes, "audience": holds.audiences, "detail": holds.details}
    holds_what = "; ".join(
        f"{item.what} " + (", ".join(quote(value) for value in held_instead[item.what][:10]) or "none")
        for item in found
        if item.what in held_instead
    )
    raise PolicyDeniedError(
        f"denied: {reason}",
        f"what would pass: the same without that; the parent holds {holds_what}",
        {**facts, "rules": ["attenuation"], "reason": reason},
        found[0].what if len(found) == 1 else None,
    )


def carried(kind: str, scopes: Iterable[Scope]) -> tuple[Scope, ...]:
    """Return the scopes that a credential of a kind is asked to carry, each once.

    Raises:
        UsageError: it proves an identity, and carries none.

    """
    found = normalise(scopes)
    if found and kind in PROOFS:
        raise UsageError(
            f"a credential of the kind {kind} proves an identity, and carries no scope", "leave --scope out"
        )
    return found


def held_by(parent: Credential, *, exchanged: bool = False) -> Grant:
    """Return what a credential lets its holder delegate; or what one that was `exchanged` lets the actor obtain."""
    return Grant(
        [Scope(scope) for scope in parent.scopes],
        reach.actor_reach(parent.may_act) if exchanged else parent.may_audience,
        delegation.detail_texts(parent.details),
        parent.expires_at,
        parent.depth,
    )


def lifetime(
    ttl: int,
    decision: Decision,
    until_deadline: int,
    until_parents_end: int | None,
    lived: int,
    notes: list[str],
    *,
    stated: bool,
    agents: tuple[int, str] | None = None,
    renews: int | None = None,
) -> tuple[int, str | None]:
    """Return the least of what was asked, what the policy allows, and what task and parent leave; and what limits it.

    `agents` is what the record of the agent allows for one credential, with its words. What the policy allows is
    counted from the first issue of the identity, which has `lived` for so many seconds. What is renewed lives no longer
    than its predecessor was given to live (`renews`), unless the policy says `@renew_ttl`.
    """
    limits = [(until_deadline, "the task's deadline")]
    if decision.max_ttl is not None:
        since = " counted from the first issue" if lived else ""
        limits.insert(0, (decision.max_ttl - lived, f"rule `{decision.ttl_rule}`{since}"))
    if agents is not None:
        limits.append(agents)
    if renews is not None:
        longest = max(renews, decision.renew_ttl or 0)
        limits.append((longest, "the life of the credential that is renewed"))
    if until_parents_end is not None:
        limits.append((until_parents_end, "the parent's expiry"))
    least, why = min(limits)
    least = max(least, 0)
    if least >= ttl:
        return ttl, None
    # Who stated no lifetime takes the parent's rest for granted.
    if stated or why != "the parent's expiry":
        notes.append(
            f"the lifetime is {format_duration(least)} instead of {format_duration(ttl)}: limited by {why}"
        )
    return least, why
