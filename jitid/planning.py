"""What an issue would come to: who delegates, on which task, what the policy says, what remains after narrowing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from jitid import delegation, introspection, strictjson
from jitid.credential import Credential
from jitid.errors import InvalidCredentialError, PolicyDeniedError, UsageError
from jitid.issuers.protocol import Draft
from jitid.ledger.protocol import Ancestor, Names, Snapshot
from jitid.lifetime import format_duration, format_time
from jitid.name import spiffe_id
from jitid.policy.cedar import Policy
from jitid.policy.decision import Decision, PolicyRequest
from jitid.scope import Scope, covers, normalise, uncovered
from jitid.secret import Secret
from jitid.task import Task, most_sensitive
from jitid.text import check_text, quote


class IssueRequest(NamedTuple):
    """One request for credentials, as stated: None means that nothing was said. Times are seconds."""

    task: str | None
    delegator: str | None
    agent: str
    kind: str = "jwt"
    scopes: tuple[Scope, ...] = ()
    audiences: tuple[str, ...] = ()
    ttl: int | None = None
    purpose: str | None = None
    sensitivity: str | None = None
    deadline: int | None = None
    """The task's deadline, since the epoch."""
    deadline_after: int | None = None
    """The task's deadline, counted from its opening."""
    details: tuple[str, ...] = ()
    """Each of the `authorization_details` (RFC 9396) as canonical JSON text."""
    parent: Secret | None = None
    """The token that delegates."""
    proved_delegator: str | None = None
    """Whom an ID token of a configured issuer proved to ask."""
    allow_narrower: bool = False
    copies: int = 1


class Terms(NamedTuple):
    """What the configuration says about issuing; the requester cannot choose it. Times are seconds."""

    policy: Policy
    policy_text: str
    caller: str
    """The login of whoever runs this."""
    audiences: tuple[str, ...] = ()
    ttl: int = 900
    sensitivity: str = "moderate"
    purpose: str | None = None
    """The purpose of a task whose first issue states none."""
    task_deadline: int = 86_400
    scope_floors: Mapping[str, str] = {}
    """The least sensitivity of whatever overlaps a scope."""
    audience_floors: Mapping[str, str] = {}
    algorithms: Mapping[str, str] = {}
    """By audience: the signature algorithm that it demands."""

    def algorithm_for(self, audiences: Sequence[str]) -> str:
        """Return the algorithm for a token to these audiences: Ed25519, unless one of them demands another."""
        return next((self.algorithms[name] for name in audiences if name in self.algorithms), "EdDSA")


class Plan(NamedTuple):
    """What will be recorded."""

    draft: Draft
    task: Task | None
    """None if the task is opened by this issue."""
    task_sensitivity: str
    deadline: int
    parent: Credential | None
    decision: Decision
    policy_text: str
    facts: Mapping[str, Any]
    """What the audit event says."""
    notes: tuple[str, ...]


def plan(snapshot: Snapshot, names: Names, request: IssueRequest, terms: Terms) -> Plan:
    """Return what a request comes to at the time of the snapshot.

    Raises:
        PolicyDeniedError: the policy, the parent's grant or the end of the task refuses it.
        InvalidCredentialError: the parent's token is not valid.
        UsageError: the request cannot be meant.

    """
    now = snapshot.now
    above = _parent(snapshot, names, request)
    parent = above.credential if above else None
    delegator, proof = _delegator(request, parent, terms.caller)
    name = request.task or (parent.task if parent else None)
    if name is None:
        raise UsageError("no task is named", "name it with --task, such as --task INC-4821")
    task = snapshot.find_task(name)
    opened = _task(task, name, request, parent, terms, now)
    audiences = (
        request.audiences or (parent.audiences if parent else ()) or terms.audiences or (names.issuer,)
    )
    notes: list[str] = []
    scopes = normalise(request.scopes)
    sensitivity = _sensitivity(opened, parent, scopes, audiences, terms, notes)
    ttl = terms.ttl if request.ttl is None else request.ttl
    _check_values(request, ttl)
    depth = parent.depth + 1 if parent else 0
    facts: dict[str, Any] = {
        "task": name,
        "agent": request.agent,
        "delegator": delegator,
        "proof": proof,
        "kind": request.kind,
        "sensitivity": sensitivity,
        "purpose": opened.purpose,
        "depth": depth,
        "parent": parent.id if parent else None,
        "scopes": list(scopes) or None,
        "audiences": None if audiences == (names.issuer,) else list(audiences),
        "ttl": ttl,
        "policy": terms.policy.digest,
    }
    if task is not None and not task.is_open_at(now):
        _refuse_closed(task, facts)
    if parent is not None:
        scopes = _attenuated(parent, scopes, audiences, request, facts, notes)
    asked = PolicyRequest(
        request.agent,
        delegator,
        proof,
        name,
        opened.purpose,
        sensitivity,
        request.kind,
        depth,
        scopes,
        audiences,
        ttl,
        now,
    )
    settled = {"purpose"} if task is not None else set()
    if task is not None or sensitivity != opened.sensitivity:
        settled.add("sensitivity")
    decision = terms.policy.decide(asked, narrow=request.allow_narrower, fixed=frozenset(settled))
    if not decision.permit:
        nearest = (
            f"what would pass: {decision.nearest}" if decision.nearest else "ask whoever keeps the policy"
        )
        raise PolicyDeniedError(
            f"denied: {decision.reason}",
            nearest,
            {**facts, "rules": list(decision.rules), "reason": decision.reason},
        )
    notes += [
        f"without scope {quote(one.scope)}: refused by {', '.join(one.rules)}" for one in decision.refused
    ]
    lifetime = _lifetime(
        ttl, decision, opened.deadline - now, parent, now, notes, stated=request.ttl is not None
    )
    lineage = above.lineage if above else []
    draft = Draft(
        names.issuer,
        names.trust_domain,
        delegator,
        proof,
        _actors(names, parent, lineage),
        request.agent,
        name,
        opened.purpose,
        sensitivity,
        depth,
        decision.granted,
        audiences,
        f"[{','.join(request.details)}]" if request.details else None,
        now,
        now + lifetime,
    )
    facts |= {
        "rules": list(decision.rules),
        "lifetime": lifetime,
        "ttl": None if ttl == lifetime else ttl,
        "refused": [refusal.scope for refusal in decision.refused] or None,
        "granted": None if decision.granted == tuple(facts["scopes"] or ()) else list(decision.granted),
    }
    return Plan(
        draft,
        task,
        opened.sensitivity,
        opened.deadline,
        parent,
        decision,
        terms.policy_text,
        facts,
        tuple(notes),
    )


def _check_values(request: IssueRequest, ttl: int) -> None:
    if ttl <= 0:
        raise UsageError("a lifetime is at least one second", "such as --ttl 15m")
    if request.purpose is not None:
        check_text(request.purpose, "the purpose")
    if request.details:
        try:
            # They are read again, as one list, whenever somebody delegates from them.
            strictjson.loads(f"[{','.join(request.details)}]", "the list of details")
        except strictjson.StrictJSONError as error:
            raise UsageError(str(error)) from error


def _parent(snapshot: Snapshot, names: Names, request: IssueRequest) -> introspection.Verified | None:
    if request.parent is None:
        return None
    try:
        return introspection.verify(snapshot, names, request.parent.reveal(), None)
    except InvalidCredentialError as error:
        raise InvalidCredentialError(
            f"the parent's credential is not valid: {error.message}", error.hint
        ) from error


def _delegator(request: IssueRequest, parent: Credential | None, caller: str) -> tuple[str, str]:
    """Return who delegates and how that was proved."""
    if parent is not None:
        if request.delegator or request.proved_delegator:
            raise UsageError(
                "a delegator is named beside a parent", "the delegator is the parent's: leave --delegator out"
            )
        return parent.delegator, "parent"
    if request.proved_delegator is not None:
        if request.delegator not in (None, request.proved_delegator):
            raise UsageError(
                f"the ID token proves {quote(request.proved_delegator)}, not {quote(str(request.delegator))}",
                "leave --delegator out",
            )
        return request.proved_delegator, "oidc"
    if request.delegator is None:
        raise UsageError("no delegator is named", "say for whom the agent acts, such as --delegator alice")
    if request.delegator.startswith("agent:"):
        raise UsageError("an agent delegates by its own credential only", "give its token with --parent-file")
    return request.delegator, "os-user" if request.delegator == f"user:{caller}" else "asserted"


def _task(
    task: Task | None, name: str, request: IssueRequest, parent: Credential | None, terms: Terms, now: int
) -> Task:
    """Return the task as it is, or as this issue would open it."""
    if task is None:
        purpose, sensitivity = request.purpose or terms.purpose, request.sensitivity or terms.sensitivity
        if parent is not None:
            purpose = request.purpose or parent.purpose
            sensitivity = request.sensitivity or parent.sensitivity
        after = terms.task_deadline if request.deadline_after is None else request.deadline_after
        deadline = now + after if request.deadline is None else request.deadline
        if deadline <= now:
            raise UsageError(
                f"the deadline {format_time(deadline)} has passed", "state a time to come, or a duration"
            )
        return Task(0, name, purpose, sensitivity, deadline, now, None)
    stated = request.deadline
    if request.deadline_after is not None:
        stated = task.opened_at + request.deadline_after
    for what, wanted, fixed in (
        ("purpose", request.purpose, task.purpose),
        ("sensitivity", request.sensitivity, task.sensitivity),
        ("deadline", None if stated is None else format_time(stated), format_time(task.deadline)),
    ):
        if wanted is not None and wanted != fixed:
            is_now = f"without a {what}" if fixed is None else f"with {what} {quote(fixed)}"
            raise UsageError(
                f"task {quote(name)} was opened {is_now}, which cannot become {quote(wanted)}",
                f"the first issue fixes a task's {what}: leave --{what} out, or name another task",
            )
    return task


def _overlap(first: Scope, second: Scope) -> bool:
    """Tell whether some right is covered by both."""
    ours, theirs = first.split(":"), second.split(":")
    return len(ours) == len(theirs) and all(
        covers(Scope(one), Scope(other)) or covers(Scope(other), Scope(one))
        for one, other in zip(ours, theirs, strict=True)
    )


def _sensitivity(
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
            if _overlap(Scope(pattern), scope) and most_sensitive(least, floor) != least:
                least, why = floor, f"scope {quote(scope)} is"
    for audience in audiences:
        floor = terms.audience_floors.get(audience, least)
        if most_sensitive(least, floor) != least:
            least, why = floor, f"audience {quote(audience)} is"
    if why:
        notes.append(f"judged as {least} instead of {task.sensitivity}: {why} that sensitive")
    return least


def _refuse_closed(task: Task, facts: Mapping[str, Any]) -> None:
    rule = "task-ended" if task.ended_at is not None else "task-deadline"
    when = task.deadline if task.ended_at is None else task.ended_at
    what = "ended" if task.ended_at is not None else "reached its deadline"
    reason = f"rule `{rule}`: task {quote(task.name)} {what} at {format_time(when)}"
    raise PolicyDeniedError(
        f"denied: {reason}",
        "the name of a task that has ended is never used again: name a new task",
        {**facts, "rules": [rule], "reason": reason},
    )


def _attenuated(
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
    covered = ", ".join(quote(scope) for scope in parent.scopes[:10]) or "no scope"
    reason = f"rule `attenuation`: the parent {parent.id} does not hold {what}"
    raise PolicyDeniedError(
        f"denied: {reason}",
        f"what would pass: the same without that; the parent holds {covered}",
        {**facts, "rules": ["attenuation"], "reason": reason},
    )


def _lifetime(
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


def _actors(names: Names, parent: Credential | None, lineage: Sequence[Ancestor]) -> tuple[str, ...]:
    if parent is None:
        return ()
    above = [(parent.agent, parent.task, parent.id), *((one.agent, one.task, one.id) for one in lineage)]
    return tuple(spiffe_id(names.trust_domain, agent, task, id_) for agent, task, id_ in above)
