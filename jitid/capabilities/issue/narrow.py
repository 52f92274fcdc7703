"""Narrow a request: by floors of sensitivity, by the parent's grant, by the shortest limit of time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from jitid.capabilities.directory import governance
from jitid.errors import PolicyDeniedError, UsageError
from jitid.model import delegation
from jitid.model.credential import MOST_KINDS, PROOFS, USUAL_KINDS, Credential, named_kind, parse_kind
from jitid.model.delegation import Grant
from jitid.model.directory import Agent
from jitid.model.ledger_rows import Ancestor, Names
from jitid.model.request import IssueRequest
from jitid.model.task import Task, most_sensitive
from jitid.operation import reach
from jitid.operation.context import Terms
from jitid.policy.decision import Decision
from jitid.values.names import may_reach
from jitid.values.record import Record
from jitid.values.scope import MOST_SCOPES, Scope, may_overlap, normalise, uncovered
from jitid.values.text import label, quote
from jitid.values.times import format_duration


class Judged(Record):
    """The sensitivity of an issue."""

    own: str
    """By its task, and by the floors of its scopes and audiences."""
    why: str
    """The scope or audience whose floor raised it above its task, with a verb; empty if none did."""
    chain: str | None
    """By the most sensitive identity or task of the chain above it; None for the root of a chain."""

    @property
    def level(self) -> str:
        """The higher of both levels: the policy sees it, and an identity keeps it."""
        return self.own if self.chain is None else most_sensitive(self.own, self.chain)

    @property
    def exceeds(self) -> bool:
        """Whether it is more sensitive than the chain above it; a delegated identity must not be."""
        return self.chain is not None and self.level != self.chain


def sensitivity(
    task: str,
    chain: str | None,
    scopes: Iterable[Scope],
    audiences: Iterable[str],
    terms: Terms,
    *,
    may_audience: Iterable[str] = (),
) -> Judged:
    """Return how sensitive an issue is, on a task with the sensitivity `task`, below a chain with `chain`.

    `may_audience` are the audiences that may be requested later: origins, also with wildcards for labels of the host.
    """
    level, reason = task, ""
    if terms.scope_floors:
        scopes = tuple(scopes)
        for pattern, floor in terms.scope_floors.items():
            for scope in scopes:
                if most_sensitive(level, floor) != level and may_overlap(Scope(pattern), scope):
                    level, reason = floor, f"scope {quote(scope)} is"
    if terms.audience_floors:
        for audience in audiences:
            floor = terms.audience_floors.get(audience, level)
            if most_sensitive(level, floor) != level:
                level, reason = floor, f"audience {quote(audience)} is"
        for origin in may_audience:
            for audience, floor in terms.audience_floors.items():
                if most_sensitive(level, floor) != level and may_reach(origin, audience):
                    level, reason = floor, f"audience {quote(origin)} is"
    return Judged(level, reason, chain)


def sensitivity_of(parent: Credential, lineage: Iterable[Ancestor]) -> str:
    """Return the highest sensitivity in the chain from a credential up to its root, tasks included."""
    return most_sensitive(parent.sensitivity, *(ancestor.sensitivity for ancestor in lineage))


def note_raised(judged: Judged, task: str, above: str, notes: list[str]) -> None:
    """Note why an issue is more sensitive than its task; `above` names the chain above it."""
    if judged.level == task:
        return
    reason = judged.why if judged.level == judged.own else f"{above} is"
    notes.append(f"sensitivity raised from {task} to {judged.level}: {reason} {judged.level}")


def must_not_exceed(judged: Judged, task: Task, parent: str, facts: Mapping[str, Any]) -> None:
    """Refuse a child that is more sensitive than the identity `parent`.

    Raises:
        PolicyDeniedError: the child is more sensitive.

    """
    if not judged.exceeds:
        return
    subject = judged.why or f"task {label(task.name)} is"
    reason = (
        f"rule `attenuation`: {subject} {judged.own}, and the parent {parent} is {judged.chain}: "
        "a child must not be more sensitive than its parent"
    )
    raise PolicyDeniedError(
        f"denied: {reason}",
        f"delegate from an identity with the sensitivity {judged.own}, or omit that scope, audience or task",
        {**facts, "rules": ["attenuation"], "reason": reason},
    )


def check_audiences(names: Names, audiences: Sequence[str]) -> None:
    """Raise UsageError for an audience that is a former name of the ledger: it is not accepted for much longer."""
    former = next((audience for audience in audiences if audience in names.former), None)
    if former is not None:
        raise UsageError(
            f"{quote(former)} is a former name of this ledger; its issuer is now {names.issuer}",
            "for an identity token, which the authority accepts, omit --audience",
        )


def attenuated(
    parent: str,
    grant: Grant,
    scopes: tuple[Scope, ...],
    audiences: Sequence[str],
    details: Sequence[str],
    facts: Mapping[str, Any],
    notes: list[str],
    *,
    allow_narrower: bool,
    kinds: Sequence[str] = (),
) -> tuple[Scope, ...]:
    """Return the scopes that the identity `parent` may delegate from its `grant`.

    `kinds` are the kind of the child itself and the kinds that its holder may obtain.

    Raises:
        PolicyDeniedError: the child would hold more than its parent.

    """
    if allow_narrower and (wider := uncovered(grant.scopes, scopes)):
        beyond = frozenset(wider)
        kept = tuple([scope for scope in scopes if scope not in beyond])
        if kept:
            notes.extend(f"without scope {quote(scope)}: the parent does not hold it" for scope in wider)
            scopes = kept
    child = Grant(scopes, audiences, details, grant.expires_at, grant.depth + 1, kinds)
    widenings = delegation.widenings(grant, child)
    if not widenings:
        return scopes
    from shlex import quote as word

    lacking = "; ".join(
        f"{item.what} {', '.join(quote(value) for value in item.values[:5])}" for item in widenings
    )
    reason = f"rule `attenuation`: the parent {parent} does not hold {lacking}"
    held_instead: dict[str, Sequence[str]] = {
        "scope": grant.scopes,
        "audience": grant.audiences,
        "detail": grant.details,
        "kind": grant.kinds or (),
    }
    held_text = "; ".join(
        f"stay within the parent's {item.what} {', '.join(quote(value) for value in values[:10])}"
        if (values := held_instead[item.what])
        else f"omit the {item.what}: the parent has none"
        for item in widenings
        if item.what in held_instead
    )
    advice = "".join(
        f"; or issue the parent with{''.join(f' --may-{item.what} {word(value)}' for value in item.values[:5])}"
        for item in widenings
        if item.what in ("kind", "audience")
    )
    if any("*" in scope for scope in grant.scopes) and any(item.what == "scope" for item in widenings):
        advice += "; a `*` covers one segment: see jitid help scopes"
    raise PolicyDeniedError(
        f"denied: {reason}",
        f"{held_text}{advice}",
        {**facts, "rules": ["attenuation"], "reason": reason},
        widenings[0].what if len(widenings) == 1 else None,
    )


def carried(kind: str, scopes: Iterable[Scope], *, narrower: bool = False) -> tuple[Scope, ...]:
    """Return the requested scopes of a credential of that kind, each once.

    With `narrower`, a scope that another scope covers stays: it may be permitted where the wider scope is not.

    Raises:
        UsageError: the kind proves an identity, and carries no scope.

    """
    distinct = tuple(sorted(set(scopes))) if narrower else normalise(scopes)
    if distinct and kind in PROOFS:
        raise UsageError(
            f"a credential of the kind {kind} cannot have scopes: it proves an identity only", "omit --scope"
        )
    return distinct


def few_enough(
    scopes: tuple[Scope, ...], holder: str, notes: list[str], *, allow_narrower: bool
) -> tuple[Scope, ...]:
    """Return the scopes that a new credential takes over from `holder`; that row may be older than the limit.

    Raises:
        UsageError: there are more scopes than the limit, and the request does not allow fewer.

    """
    if len(scopes) <= MOST_SCOPES:
        return scopes
    if not allow_narrower:
        raise UsageError(
            f"{holder} has {len(scopes)} scopes, but a new credential at most {MOST_SCOPES}; nothing was changed",
            f"keep the first {MOST_SCOPES}: --allow-narrower; or issue one with fewer scopes: jitid issue",
        )
    notes.append(f"without {len(scopes) - MOST_SCOPES} scopes: the maximum is {MOST_SCOPES}")
    return scopes[:MOST_SCOPES]


def obtainable(
    request: IssueRequest, terms: Terms, parent: Credential | None, records: Sequence[Agent], notes: list[str]
) -> tuple[str, ...]:
    """Return the kinds that the holder of a new credential may obtain, with the templates that they are made from.

    A request that names no kinds gets the usual kinds, if the parent and the records of the agent and of the agents
    above it allow them.

    Raises:
        UsageError: a kind or a template is unknown, or there are too many.

    """
    if not request.may_kind and parent is None and not records:
        return USUAL_KINDS
    if len(request.may_kind) > MOST_KINDS:
        raise UsageError(f"too many kinds to obtain: {len(request.may_kind)}; the maximum is {MOST_KINDS}")
    kinds = tuple(dict.fromkeys(_spelled(text, terms) for text in request.may_kind)) or USUAL_KINDS
    if request.may_kind and not request.allow_narrower:
        return kinds
    unobtainable: dict[str, str] = {}
    for record in records:
        unobtainable |= governance.beyond_kinds(record, kinds)
    if parent is not None and (parent_kinds := parent.may_kind) is not None:
        unobtainable |= {
            kind: f"the parent {parent.id} may not obtain it" for kind in kinds if kind not in parent_kinds
        }
    if request.may_kind:
        notes.extend(f"without kind {quote(kind)}: {reason}" for kind, reason in unobtainable.items())
    return tuple(kind for kind in kinds if kind not in unobtainable)


def inherited(
    records: Sequence[Agent], kinds: Sequence[str] | None, notes: list[str], *, allow_narrower: bool
) -> tuple[str, ...] | None:
    """Return the kinds of a grant that is passed on, without kinds that the record of an agent no longer allows.

    Usual kinds are left out in any case: no request need have stated them. Other kinds stay and are refused later,
    unless the request has `allow_narrower`.
    """
    if kinds is None:
        return None
    unobtainable: dict[str, str] = {}
    for record in records:
        unobtainable |= governance.beyond_kinds(record, kinds)
    lost = {kind: reason for kind, reason in unobtainable.items() if allow_narrower or kind in USUAL_KINDS}
    notes.extend(f"without kind {quote(kind)}: {reason}" for kind, reason in lost.items())
    return tuple(kind for kind in kinds if kind not in lost)


def _spelled(text: str, terms: Terms) -> str:
    kind, template = parse_kind(text)
    chosen = terms.chosen(kind, template)
    return named_kind(kind, None if chosen is None else chosen.qualified_template)


def permitted_kinds(kinds: Sequence[str], decision: Decision) -> tuple[str, ...]:
    """Return the kinds of a grant without the kinds that a decision refuses."""
    if not decision.refused_kinds:
        return kinds if isinstance(kinds, tuple) else tuple(kinds)
    refused = {refusal.scope for refusal in decision.refused_kinds}
    return tuple(kind for kind in kinds if kind not in refused)


def held_by(parent: Credential, *, exchanged: bool = False) -> Grant:
    """Return the grant that a credential's holder may delegate; with `exchanged`, the grant of a caller in `may_act`.

    The token was shown to that caller, which obtains tokens only, for the audiences in `may_act`. Other kinds have no
    audience.
    """
    kinds = parent.may_kind
    if exchanged:
        kinds = tuple([kind for kind in USUAL_KINDS if kinds is None or kind in kinds])
    return Grant(
        [Scope(scope) for scope in parent.scopes],
        reach.actor_reach(parent.may_act) if exchanged else parent.may_audience,
        delegation.detail_texts(parent.details),
        parent.expires_at,
        parent.depth,
        kinds,
    )


def lifetime(
    ttl: int,
    decision: Decision,
    until_deadline: int,
    until_parents_end: int | None,
    age: int,
    notes: list[str],
    *,
    stated: bool,
    others: Sequence[tuple[int, str]] = (),
    predecessor_lifetime: int | None = None,
) -> tuple[int, str | None]:
    """Return the shortest of the requested lifetime and all limits, in seconds, and the words for the limit.

    The limits are those of the policy, the task and the parent. `others` are further limits, each with its words, such
    as the limit in the agent's record. The policy's limit counts from the first issue of the identity, `age` seconds
    ago. A renewed credential gets at most the lifetime of its predecessor (`predecessor_lifetime`), or `@renew_ttl` of
    the policy if that is longer.
    """
    limits = [(until_deadline, "the task's deadline")]
    if decision.max_ttl is not None:
        suffix = " counted from the first issue" if age else ""
        limits.insert(0, (decision.max_ttl - age, f"rule `{decision.ttl_rule}`{suffix}"))
    limits += others
    if predecessor_lifetime is not None:
        longest = max(predecessor_lifetime, decision.renew_ttl or 0)
        limits.append((longest, "the lifetime of the renewed credential"))
    if until_parents_end is not None:
        limits.append((until_parents_end, "the parent's expiry"))
    shortest, limit = min(limits)
    shortest = max(shortest, 0)
    if shortest >= ttl:
        return ttl, None
    # A request without a lifetime expects the limit of the parent's expiry.
    if stated or limit != "the parent's expiry":
        rule = f"; see: jitid policy show {decision.ttl_rule}" if limit.startswith("rule ") else ""
        notes.append(
            f"the lifetime is {format_duration(shortest)} instead of {format_duration(ttl)}: limited by {limit}{rule}"
        )
    return shortest, limit
