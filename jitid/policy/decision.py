"""The decision of a policy: its answer, the rules that decided, and the sentence that explains it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Self

from jitid.policy.policy_request import DEFAULT_DENY, KIND_BY_NAME, PolicyRequest, has_purpose
from jitid.values.record import Record
from jitid.values.text import label, quote
from jitid.values.times import format_duration

if TYPE_CHECKING:
    from jitid.policy.classes import Classes


class PolicyLooks(Record):
    """The parts of a request that a policy reads. Requests that agree in them get the same decision."""

    facts: frozenset[str]
    """Names of facts in `context`, of the issue or of a scope."""
    agent: bool
    """Whether a rule may read the name of the principal."""
    task: bool
    scope: bool
    """Whether a rule may read the scope itself, not only whether it has a wildcard."""
    approvals: bool
    classes: Classes
    """The values that the policy distinguishes."""

    def with_(self, other: Self) -> Self:
        """Return the parts that at least one of two policies reads."""
        return type(self)(
            self.facts | other.facts,
            self.agent or other.agent,
            self.task or other.task,
            self.scope or other.scope,
            self.approvals or other.approvals,
            self.classes.with_(other.classes),
        )

    @property
    def reads_directory_facts(self) -> bool:
        """Whether a rule may read more from the directory than whether an agent or a delegator is in it."""
        return self.agent or "delegator" in self.facts


class Refusal(Record):
    """A scope or a kind that is refused, and the rules that refused it."""

    scope: str
    rules: tuple[str, ...]


class PolicyUse(Record):
    """An intended use of a credential."""

    request: PolicyRequest
    """The terms on which it was issued, with `action` and `used`."""
    resource: str
    approved: frozenset[str] = frozenset()
    """The groups that approved of its issue."""


class Misuse(Record):
    """The refusal of a use of a credential: its rules and its reason."""

    rules: tuple[str, ...]
    reason: str


class Decision(Record):
    """The decision of the policy with its reason; `permit` is False in any doubt."""

    permit: bool
    rules: tuple[str, ...]
    """Ids of the policies that decided the issue; if only scopes were refused, of the policies that refused them.

    `default-deny` means that no policy permits the request, `evaluation-error` that the engine gave no answer.
    """
    granted: tuple[str, ...]
    """The scopes to grant, in the order requested; empty in a denial."""
    refused: tuple[Refusal, ...]
    max_ttl: int | None
    """The least `@max_ttl`, in seconds, of the policies that permit the issue and the granted scopes."""
    ttl_rule: str | None
    """The policy that `max_ttl` comes from."""
    policy: str
    """SHA-256 of the policy files, in hexadecimal."""
    reason: str
    needs: tuple[str, ...]
    """The groups whose approval would permit the request; empty if approvals alone would not."""
    nearest: str | None
    """The changes with which the same request would pass; None if it passes, or if none were found."""
    renew_ttl: int | None = None
    """The least `@renew_ttl`, in seconds, of the policies that permit the issue.

    It limits the lifetime of a renewal, regardless of the predecessor's lifetime.
    """
    refused_kinds: tuple[Refusal, ...] = ()
    """The kinds, with their templates, that the holder may not obtain."""


_NO_CONTEXT = ("failed to parse schema from request", "failed to build request")
"""Cedar's messages about an invalid context (cedarpy 4.8, 4.12).

Only the facts that an enforcement point states can be invalid; jitid makes the rest.
"""

_TYPED = re.compile(r"expected (\w+), got string")


def permitted(rules: Sequence[str], refused: Sequence[Refusal]) -> str:
    """Return the reason of a permission, with the scopes that it leaves out."""
    left_out = f", without {_scopes(refused)}" if refused else ""
    return f"{_named(rules)} {'permits' if len(rules) == 1 else 'permit'} it{left_out}"


def denied(request: PolicyRequest, rules: Sequence[str], error: str) -> str:
    """Return the reason of a denial of the issue; `error` is Cedar's error, if the evaluation failed."""
    return f"{_because(rules, error)}: {_summary(request)}"


def unnamed(request: PolicyRequest) -> str:
    """Return the reason of a denial of a kind that no permitting rule names."""
    kind = _kind(request.kind, request.template)
    return f"rule `{KIND_BY_NAME}`: no permitting rule names the kind {kind}: {_summary(request)}"


def kinds_denied(request: PolicyRequest, refused: Sequence[Refusal]) -> str:
    """Return the reason of a denial of kinds that the holder of a credential would be permitted to obtain."""
    because = _because(refused[0].rules, "")
    if tuple(refused[0].rules) == (KIND_BY_NAME,):
        because = f"rule `{KIND_BY_NAME}`: no permitting rule names the kind"
    shown = ", ".join(quote(refusal.scope) for refusal in refused[:5])
    return f"{because}: to obtain {shown}, requested by {_summary(request)}"


def naming_rule(request: PolicyRequest) -> str:
    """Return advice to add the rule that the policy lacks: one with the request's kind and template."""
    # Denials are rare, and permitted requests should not pay for loading this.
    from jitid.policy.cedar_text import string

    return (
        "the same after this rule is added to the policy: permit(principal, "
        f'action == Action::"issue", resource) when {{ context.kind == {string(request.kind)} && '
        f"context.template == {string(request.template)} }};"
    )


def _kind(kind: str, template: str) -> str:
    return quote(f"{kind}:{template}" if template else kind)


def scopes_denied(request: PolicyRequest, refused: Sequence[Refusal], error: str) -> str:
    """Return the reason of a denial of scopes, by the rules that refused the first of them."""
    return f"{_because(refused[0].rules, error)}: {_scopes(refused)}, requested by {_summary(request)}"


def misused(request: PolicyRequest, resource: str, rules: Sequence[str], error: str) -> str:
    """Return the reason why a credential may not be used for the request's action on a resource."""
    return f"{_because(rules, _plainer(error))}: {quote(request.action)} on {quote(resource)}, by {_summary(request)}"


def unapproved(request: PolicyRequest, groups: Sequence[str], rules: Sequence[str]) -> str:
    """Return the reason of a denial that an approval would lift."""
    approvers = " and ".join(quote(group) for group in groups)
    suffix = "" if tuple(rules) == (DEFAULT_DENY,) else f" ({_named(rules)})"
    return f"an approval by {approvers} is required{suffix}: {_summary(request)}"


def about_use(permitted: bool, rules: Sequence[str], error: str) -> str:
    """Return the reason why a credential may or may not be used."""
    if not permitted:
        return _because(rules, _plainer(error))
    if not rules:
        return "no rule limits the use of credentials"
    return f"{_named(rules)} {'permits' if len(rules) == 1 else 'permit'} it"


def _plainer(error: str) -> str:
    """Return Cedar's message about a use, with a remedy where one is known."""
    if error.startswith(_NO_CONTEXT):
        return "the context has an unsupported value: null, a fraction, a malformed address, decimal, entity or time"
    match = _TYPED.search(error)
    if match is not None and match[1] in ("ipaddr", "decimal", "datetime", "duration"):
        return f"{error}; declare the type {match[1]} in use.cedarschema"
    return error


def _because(rules: Sequence[str], error: str) -> str:
    if error:
        return f"{_named(rules)} could not be evaluated ({error})"
    if tuple(rules) == (DEFAULT_DENY,):
        return f"no policy rule permits this (`{DEFAULT_DENY}`)"
    return f"{_named(rules)} {'forbids' if len(rules) == 1 else 'forbid'} it"


def _summary(request: PolicyRequest) -> str:
    purpose = "with a purpose" if has_purpose(request) else "no purpose"
    return (
        f"agent {label(request.agent)} for {label(request.delegator)} ({_word(request.delegator_proof)})"
        f" on task {label(request.task)} (sensitivity {_word(request.sensitivity)}, depth {request.depth},"
        f" {purpose}, kind {_word(request.kind)}, {format_duration(request.lifetime)})"
    )


def _word(text: str) -> str:
    return text if text.isascii() and text.replace("-", "").isalnum() and len(text) <= 20 else quote(text)


def _named(rules: Sequence[str]) -> str:
    *others, last = (f"`{name}`" for name in rules)
    return f"rules {', '.join(others)} and {last}" if others else f"rule {last}"


def _scopes(refused: Sequence[Refusal]) -> str:
    shown = ", ".join(quote(refusal.scope) for refusal in refused[:5])
    more = f" and {len(refused) - 5} more" if len(refused) > 5 else ""
    return ("scope " if len(refused) == 1 else "scopes ") + shown + more


class PolicyOutcome(Record):
    """The outcome of a request or of a use."""

    decision: str
    """`permit`, `deny` or `approval`."""
    rules: tuple[str, ...]
    granted: tuple[str, ...]
    lifetime: int | None
    """Seconds: the requested lifetime, or the policy's limit if that is less; None if no credential is issued."""
    needs: tuple[str, ...]
    reason: str

    @property
    def effect(self) -> tuple[object, ...]:
        """The parts of the outcome that the caller notices."""
        return self.decision, frozenset(self.granted), self.lifetime, self.needs


def outcome(decision: Decision, ttl: int) -> PolicyOutcome:
    """Return the outcome of a decision for a caller that requested `ttl` seconds."""
    word = "permit" if decision.permit else "approval" if decision.needs else "deny"
    lifetime = None
    if decision.permit:
        lifetime = ttl if decision.max_ttl is None else min(ttl, decision.max_ttl)
    return PolicyOutcome(word, decision.rules, decision.granted, lifetime, decision.needs, decision.reason)
