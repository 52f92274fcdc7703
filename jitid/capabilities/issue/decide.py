"""The decision about one credential, in the steps that issue, renewal and attachment share.

Each of them describes the credential as a `Proposal`. The limits of the directory, of the agents' records and of the
chain above then narrow it, the policy decides, and the least of all limits of time is its lifetime.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from jitid.capabilities.directory import governance, name_rights
from jitid.capabilities.identity import validity
from jitid.capabilities.issue import narrow
from jitid.errors import PolicyDeniedError
from jitid.issuers.issuer import Draft
from jitid.model.credential import is_outside, named_kind, recorded_kinds
from jitid.model.delegation import Grant
from jitid.model.directory import Agent, DirectoryEntry
from jitid.model.ledger_rows import Names
from jitid.model.task import Task
from jitid.operation.context import Terms
from jitid.operation.reach import Reach
from jitid.policy.decision import Decision
from jitid.policy.policy_request import PolicyRequest
from jitid.values.record import Record
from jitid.values.scope import Scope, normalise
from jitid.values.text import quote

if TYPE_CHECKING:
    from jitid.issuers.targets import ChosenTarget


class Proposal(Record):
    """A credential that may be made. Each step returns it narrower, or refuses it."""

    delegator: str
    """The root delegator."""
    proof: str
    """How the root delegator was proved."""
    agent: str
    task: Task
    depth: int
    kind: str
    chosen: ChosenTarget | None
    """The target, or its template, that makes it; None if jitid makes it without a template."""
    template: str | None
    scopes: tuple[Scope, ...]
    within: Reach
    details: Sequence[str]
    kinds: tuple[str, ...] | None
    """The kinds that its holder may obtain; None, any kind, only in rows from before grants named kinds."""
    sensitivity: str
    ttl: int
    """The requested lifetime in seconds."""
    is_ttl_stated: bool
    entry: DirectoryEntry
    """The entry of delegator and agent in the directory."""
    records: Sequence[Agent]
    """The records of the agents above in the chain."""
    right: name_rights.NameRight
    """The right by which it has the agent's name."""
    allow_narrower: bool
    """Whether the request accepts fewer scopes and kinds than it states."""

    def facts(self, terms: Terms) -> dict[str, Any]:
        """Return the members of its audit event that are known before the decision; None where the default applies."""
        task, chosen = self.task, self.chosen
        target = None if chosen is None or not is_outside(self.kind) else chosen.target
        return {
            "task": task.name,
            "opener": None if task.opener == self.delegator else task.opener,
            "agent": self.agent,
            "delegator": self.delegator,
            "kind": self.kind,
            "template": self.template,
            "target": None if target is None else target.name,
            "purpose": task.purpose,
            "depth": self.depth or None,
            "scopes": list(self.scopes) or None,
            **self.within.facts(self.kind),
            "ttl": self.ttl,
            "policy": terms.policy.digest,
            "standing": governance.recorded_facts(governance.directory_facts(self.entry)),
            "zone": terms.zone_name,
            "may_kind": recorded_kinds(self.kinds),
            "named_by": self.right.by,
        }

    def objections(
        self,
        names: Names,
        terms: Terms,
        now: int,
        *,
        others: int,
        copies: int,
        to_delegator: Iterable[governance.Objection] = (),
    ) -> list[governance.Objection]:
        """Return the objections of the directory, and of the records of its agent and of the agents above.

        `others` are the live identities of the agent, `copies` the identities that this credential adds, and
        `to_delegator` further objections to the delegator.
        """
        entry, accepted = self.entry, terms.audiences or names.accepted(now)
        kinds, limited = (self.kind, *(self.kinds or ())), self.within.limited(self.kind)
        objections = governance.objections(
            entry, self.delegator, self.sensitivity, known_only=terms.known_delegators_only, now=now
        )
        objections += to_delegator
        objections += governance.beyond_limits(entry.agent, kinds, limited, accepted, others, copies)
        objections += governance.beyond_scopes(entry.delegator, entry.agent, self.details)
        objections += governance.beyond_types(terms.detail_types, self.details)
        if self.records:
            objections += governance.out_of_service(self.records, now)
            objections += governance.beyond_each(self.records, kinds, limited, accepted, self.details)
        return objections

    def attenuated(
        self, holder: str, grant: Grant, facts: Mapping[str, Any], notes: list[str], *, any_kind: bool = False
    ) -> Self:
        """Return it with the scopes that the identity `holder` holds.

        With `any_kind`, the holder's row is from before grants named kinds, and permits every kind.

        Raises:
            PolicyDeniedError: it would hold more than the holder.

        """
        scopes = narrow.attenuated(
            holder,
            grant,
            self.scopes,
            self.within.obtainable,
            self.details,
            facts,
            notes,
            allow_narrower=self.allow_narrower,
            kinds=() if any_kind else (named_kind(self.kind, self.template), *(self.kinds or ())),
        )
        return self._replace(scopes=scopes)

    def within_limits(self, facts: Mapping[str, Any], notes: list[str]) -> Self:
        """Return it with the scopes that the delegator and the agents' records permit. Raises PolicyDeniedError."""
        scopes = self.scopes
        for person, agent in (
            (self.entry.delegator, self.entry.agent),
            *((None, record) for record in self.records),
        ):
            scopes = governance.permitted_scopes(
                person, agent, scopes, facts, notes, allow_narrower=self.allow_narrower
            )
        return self._replace(scopes=scopes)

    def policy_request(
        self, terms: Terms, owner: str, time: int, may_kind: tuple[tuple[str, str], ...]
    ) -> PolicyRequest:
        """Return the request to the policy; `owner` is the task's, and `may_kind` the kinds to judge."""
        return PolicyRequest(
            self.agent,
            self.delegator,
            self.proof,
            self.task.name,
            owner,
            self.task.purpose,
            self.sensitivity,
            self.kind,
            self.depth,
            self.scopes,
            self.within.audiences,
            self.ttl,
            time,
            governance.directory_facts(self.entry),
            terms.zone,
            template=self.template or "",
            may_kind=may_kind,
        )

    def permitted(
        self,
        decision: Decision,
        facts: Mapping[str, Any],
        notes: list[str],
        explained: Callable[[], Decision],
    ) -> tuple[Self, Decision]:
        """Return it without the kinds that a decision refuses, and the decision; `explained` returns it with advice.

        Raises:
            PolicyDeniedError: the decision is a refusal.

        """
        must_permit(decision, facts, notes, explained)
        if self.allow_narrower:
            decision = decision._replace(granted=normalise(map(Scope, decision.granted)))
        return self._replace(kinds=self.kinds and narrow.permitted_kinds(self.kinds, decision)), decision

    def lifetime(
        self,
        decision: Decision,
        now: int,
        until: int | None,
        notes: list[str],
        *,
        age: int = 0,
        predecessor_lifetime: int | None = None,
    ) -> tuple[int, str | None]:
        """Return its lifetime in seconds, and the name of the limit that shortened it; None if no limit did.

        `until` is when the credentials that it rests on expire. The other arguments are those of `narrow.lifetime`.
        """
        return narrow.lifetime(
            self.ttl,
            decision,
            self.task.deadline - now,
            None if until is None else until - now,
            age,
            notes,
            stated=self.is_ttl_stated,
            others=_name_limits(self.entry.agent, self.right, now),
            predecessor_lifetime=predecessor_lifetime,
        )

    def latest(self, decision: Decision, first_at: int) -> int:
        """Return the time until which it may be renewed at most; `first_at` is when the identity was first issued."""
        deadline = self.task.deadline
        return deadline if decision.max_ttl is None else min(deadline, first_at + decision.max_ttl)

    def draft(
        self,
        names: Names,
        decision: Decision,
        now: int,
        lifetime: int,
        *,
        proof: str,
        actors: tuple[str, ...],
        details: str | None,
        public_key: str | None,
        registered: bool,
    ) -> Draft:
        """Return the contents of the credential; `proof` is the recorded one, `actors` are the SPIFFE ids above."""
        return Draft(
            names.issuer,
            names.trust_domain,
            self.delegator,
            proof,
            actors,
            self.agent,
            self.task.name,
            self.task.purpose,
            self.sensitivity,
            self.depth,
            decision.granted,
            self.within.audiences,
            details,
            now,
            now + lifetime,
            None if self.chosen is None else self.chosen.template,
            {} if self.chosen is None else self.chosen.options,
            public_key,
            registered,
            self.within.may_audience,
            self.within.may_act,
            self.kinds,
        )

    def decided(self, request_facts: Mapping[str, Any], decision: Decision, lifetime: int) -> dict[str, Any]:
        """Return the members of its audit event that the decision adds to those of the request."""
        return {
            "rules": list(decision.rules),
            "lifetime": lifetime,
            "ttl": None if self.ttl == lifetime else self.ttl,
            "refused": [refusal.scope for refusal in decision.refused] or None,
            "refused_kinds": [refusal.scope for refusal in decision.refused_kinds] or None,
            "granted": None
            if decision.granted == tuple(request_facts["scopes"] or ())
            else list(decision.granted),
            "may_kind": recorded_kinds(self.kinds),
        }


class FurtherPlan(Record):
    """The outcome of planning a renewal or an attachment."""

    draft: Draft
    kind: str
    template: str | None
    """The template that it is made from: `TARGET/TEMPLATE`."""
    decision: Decision
    facts: Mapping[str, Any]
    notes: tuple[str, ...]
    maximum: int
    """The latest time until which policy and task permit renewals, in seconds since the epoch."""
    recurring: int | None
    """The number of the agent's record, if the agent is registered."""
    chosen: ChosenTarget | None = None
    """The target, or its template, that an attached credential is made from."""


def _name_limits(agent: Agent | None, right: name_rights.NameRight, now: int) -> list[tuple[int, str]]:
    """Return the limits of a lifetime because of the agent's name: each in seconds, with its words."""
    longest = governance.longest(agent)
    limits = [] if longest is None else [longest]
    if right.until is not None:
        limits.append((right.until - now, name_rights.LENDER))
    return limits


def must_not_rest_on_too_many(verified: validity.Verified, facts: Mapping[str, Any]) -> None:
    """Refuse to make a credential from another that rests on too many others: each verification walks them all.

    Raises:
        PolicyDeniedError: the new credential would rest on more than `validity.MAX_GROUNDS` credentials.

    """
    if len(verified.grounds) < validity.MAX_GROUNDS:
        return
    reason = (
        f"rule `delegation-length`: it would depend on more than {validity.MAX_GROUNDS} other credentials"
    )
    raise PolicyDeniedError(
        f"denied: {reason}",
        "delegate from a credential nearer to the root, or issue a new root: jitid issue",
        {**facts, "rules": ["delegation-length"], "reason": reason},
    )


def must_permit(
    decision: Decision, facts: Mapping[str, Any], notes: list[str], explained: Callable[[], Decision]
) -> None:
    """Note the scopes that a decision leaves out; `explained` returns the decision with its advice.

    Raises:
        PolicyDeniedError: the decision is a refusal.

    """
    if not decision.permit:
        denial = PolicyDeniedError(
            f"denied: {decision.reason}",
            "contact the owner of the policy",
            {**facts, "rules": list(decision.rules), "reason": decision.reason},
            "scope" if _only_scopes(decision) else None,
        )
        denial.advice = lambda: _advice(explained())
        raise denial
    notes += [
        f"without scope {quote(refusal.scope)}: refused by {', '.join(refusal.rules)}"
        for refusal in decision.refused
    ]
    notes += [
        f"without kind {quote(refusal.scope)}: refused by {', '.join(refusal.rules)}"
        for refusal in decision.refused_kinds
    ]


def _advice(decision: Decision) -> str | None:
    return f"nearest permitted request: {decision.nearest}" if decision.nearest else None


def _only_scopes(decision: Decision) -> bool:
    """Return whether a denial refuses only scopes: then its rules are exactly the rules that refused the scopes."""
    return bool(decision.refused) and {rule for refusal in decision.refused for rule in refusal.rules} == set(
        decision.rules
    )
