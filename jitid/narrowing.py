"""Narrowing a request: by floors of sensitivity, by what the parent holds, by the least of all limits of time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jitid import delegation, strictjson
from jitid.credential import Credential
from jitid.errors import PolicyDeniedError
from jitid.lifetime import format_duration
from jitid.policy.decision import Decision
from jitid.request import IssueRequest, Terms
from jitid.scope import Scope, overlap, uncovered
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
    parent: Credential,
    scopes: tuple[Scope, ...],
    audiences: Sequence[str],
    request: IssueRequest,
    facts: Mapping[str, Any],
    notes: list[str],
) -> tuple[Scope, ...]:
    """Return the scopes that may be delegated.

    Raises:
        PolicyDeniedError: the child would hold more than its parent.

    """
    held = [Scope(scope) for scope in parent.scopes]
    if request.allow_narrower and (wider := uncovered(held, scopes)):
        kept = tuple(scope for scope in scopes if scope not in wider)
        if kept:
            notes.extend(f"without scope {quote(scope)}: the parent does not hold it" for scope in wider)
            scopes = kept
    details = [strictjson.dumps(detail) for detail in strictjson.loads(parent.details or "[]", "details")]
    wants = delegation.Grant(scopes, audiences, request.details, parent.expires_at, parent.depth + 1)
    holds = delegation.Grant(held, parent.audiences, details, parent.expires_at, parent.depth)
    found = delegation.widenings(holds, wants)
    if not found:
        return scopes
    what = "; ".join(f"{item.what} {', '.join(quote(value) for value in item.values[:5])}" for item in found)
    reason = f"rule `attenuation`: the parent {parent.id} does not hold {what}"
    held_instead = {"scope": parent.scopes, "audience": parent.audiences, "detail": details}
    holds_what = "; ".join(
        f"{item.what} " + (", ".join(quote(value) for value in held_instead[item.what][:10]) or "none")
        for item in found
        if item.what in held_instead
    )
    raise PolicyDeniedError(
        f"denied: {reason}",
        f"what would pass: the same without that; the parent holds {holds_what}",
        {**facts, "rules": ["attenuation"], "reason": reason},
    )


def lifetime(
    ttl: int,
    decision: Decision,
    until_deadline: int,
    parent: Credential | None,
    now: int,
    notes: list[str],
    *,
    stated: bool,
) -> int:
    """Return the least of what was asked, what the policy allows, and what task and parent have left."""
    limits = [(until_deadline, "the task's deadline")]
    if decision.max_ttl is not None:
        limits.insert(0, (decision.max_ttl, f"rule `{decision.ttl_rule}`"))
    if parent is not None:
        limits.append((parent.expires_at - now, "the parent's expiry"))
    least, why = min(limits)
    if least >= ttl:
        return ttl
    # Who stated no lifetime takes the parent's rest for granted.
    if stated or why != "the parent's expiry":
        notes.append(
            f"the lifetime is {format_duration(least)} instead of {format_duration(ttl)}: limited by {why}"
        )
    return least
