"""What is asked of the policy, and what it answers."""

# Without `from __future__ import annotations`, which has the annotation of each field compiled at every start.
from typing import TYPE_CHECKING, NamedTuple, Self

if TYPE_CHECKING:
    from datetime import tzinfo

    from jitid.policy.classes import Classes

DEFAULT_DENY = "default-deny"
EVALUATION_ERROR = "evaluation-error"
KIND_BY_NAME = "kind-by-name"
"""The rule that refuses a kind or a template that no permitting rule of the policy reads."""
USUAL_KINDS = ("jwt", "opaque")
"""The kinds that a rule need not name."""
SENSITIVITIES = ("low", "moderate", "high", "critical")
PROOFS = ("asserted", "os-user", "credential", "oidc")
"""How a root delegator can be proved."""


class Standing(NamedTuple):
    """What the directory says of a delegator and of an agent, as far as policies can ask."""

    known: bool = False
    """Whether the directory has the delegator."""
    groups: tuple[str, ...] = ()
    """The delegator's groups, sorted."""
    manager: str | None = None
    """The delegator's manager, as `user:bob`."""
    registered: bool = False
    """Whether the agent is registered: a recurring one."""
    owner: str | None = None
    """Who owns a registered agent, as `user:bob`."""


STRANGERS = Standing()
"""An unknown delegator and an ephemeral agent."""


class PolicyRequest(NamedTuple):
    """One issue as the policy sees it; all of it is data, and none of it becomes policy text."""

    agent: str
    delegator: str
    """With its kind: `user:alice`, `system:ci`, `agent:planner`."""
    delegator_proof: str
    """`asserted`, `os-user`, `credential` or `oidc`: the root delegator's at every depth."""
    task: str
    task_owner: str
    """To whom the task belongs, with its kind: names of tasks are unique for each owner alone."""
    purpose: str | None
    sensitivity: str
    kind: str
    depth: int
    """Hops from the root identity, whose depth is 0."""
    scopes: tuple[str, ...]
    audiences: tuple[str, ...]
    lifetime: int
    """Requested, in seconds, before anything shortens it."""
    now: int
    """Seconds since the epoch."""
    standing: Standing = STRANGERS
    zone: "tzinfo | None" = None
    """Where `hour`, `minute` and `weekday` are told; None for UTC."""
    action: str = ""
    """What the credential is used for (`authorize`); empty for an issue."""
    used: str = "{}"
    """What an enforcement point says of the use: a JSON object as text."""
    template: str = ""
    """What the credential is made from: `TARGET/TEMPLATE`; empty without one."""
    may_kind: tuple[tuple[str, str], ...] = ()
    """The kinds that the holder may obtain later, with their templates; the usual ones are left out."""

    @property
    def by_name(self) -> bool:
        """Whether a rule that permits the issue must name the kind or the template."""
        return self.kind not in USUAL_KINDS or bool(self.template)

    @property
    def delegated(self) -> bool:
        """Whether an agent delegates by its own credential: there is a hop below the root delegator."""
        return self.depth > 0


class Looks(NamedTuple):
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


class Use(NamedTuple):
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
