"""What is asked of the policy, and what it answers."""

# Without `from __future__ import annotations`, which has the annotation of each field compiled at every start.
from typing import TYPE_CHECKING, NamedTuple, Self

from jitid.policy.policy_request import PolicyRequest

if TYPE_CHECKING:
    from jitid.policy.classes import Classes


class PolicyLooks(NamedTuple):
    """What a policy looks at: requests that differ in nothing of it are decided alike."""

    facts: frozenset[str]
    """Names of `context`, of the issue or of a scope."""
    agent: bool
    """Who the principal is."""
    task: bool
    scope: bool
    """What a scope is, and not only whether it has a wildcard."""
    approvals: bool
    classes: "Classes"
    """Which values it tells apart of what it looks at."""

    def with_(self, other: Self) -> Self:
        """Return what either of two policies looks at."""
        return type(self)(
            self.facts | other.facts,
            self.agent or other.agent,
            self.task or other.task,
            self.scope or other.scope,
            self.approvals or other.approvals,
            self.classes.with_(other.classes),
        )

    @property
    def standing(self) -> bool:
        """Whether it asks the directory for more than whether somebody is in it."""
        return self.agent or "delegator" in self.facts


class Refusal(NamedTuple):
    """A scope that is not granted, and the rules that said so."""

    scope: str
    rules: tuple[str, ...]


class PolicyUse(NamedTuple):
    """What a credential is to be used for."""

    request: PolicyRequest
    """The terms on which it was issued, with `action` and `used`."""
    resource: str
    approved: frozenset[str] = frozenset()
    """The groups that approved of its issue."""


class Misuse(NamedTuple):
    """Why a credential may not be used for something, and the rules that said so."""

    rules: tuple[str, ...]
    reason: str


class Decision(NamedTuple):
    """The answer of the policy with its reason; anything but a clear yes is `permit=False`."""

    permit: bool
    rules: tuple[str, ...]
    """Ids of the policies that decided the issue; if only scopes were refused, of those that refused them.

    `default-deny` stands where no policy permits, `evaluation-error` where no answer could be had."""
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
    """The groups whose approval would make it pass; none if that is not what it lacks."""
    nearest: str | None
    """What to change so that the same request would pass; None if it passes, or if nothing was found."""
    renew_ttl: int | None = None
    """The least `@renew_ttl`, in seconds, of the policies that permit the issue: so long may a renewal live, whatever
    its predecessor was given."""
    refused_kinds: tuple[Refusal, ...] = ()
    """The kinds, with their templates, that the holder may not obtain."""
