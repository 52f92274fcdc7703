"""The decision of a policy, and the parts of a request that the policy reads."""

# Without `from __future__ import annotations`, which has the annotation of each field compiled at every start.
from typing import TYPE_CHECKING, NamedTuple, Self

from jitid.policy.policy_request import PolicyRequest

if TYPE_CHECKING:
    from jitid.policy.classes import Classes


class PolicyLooks(NamedTuple):
    """The parts of a request that a policy reads. Requests that agree in them get the same decision."""

    facts: frozenset[str]
    """Names of facts in `context`, of the issue or of a scope."""
    agent: bool
    """Whether a rule may read the name of the principal."""
    task: bool
    scope: bool
    """Whether a rule may read the scope itself, not only whether it has a wildcard."""
    approvals: bool
    classes: "Classes"
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


class Refusal(NamedTuple):
    """A scope or a kind that is refused, and the rules that refused it."""

    scope: str
    rules: tuple[str, ...]


class PolicyUse(NamedTuple):
    """An intended use of a credential."""

    request: PolicyRequest
    """The terms on which it was issued, with `action` and `used`."""
    resource: str
    approved: frozenset[str] = frozenset()
    """The groups that approved of its issue."""


class Misuse(NamedTuple):
    """The refusal of a use of a credential: its rules and its reason."""

    rules: tuple[str, ...]
    reason: str


class Decision(NamedTuple):
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
