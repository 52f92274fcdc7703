"""What the policy is asked: who acts, for whom, with which rights."""

# Without `from __future__ import annotations`, which has the annotation of each field compiled at every start.

from typing import TYPE_CHECKING, NamedTuple

from jitid.model.credential import USUAL_KINDS

if TYPE_CHECKING:
    from datetime import tzinfo


DEFAULT_DENY = "default-deny"


EVALUATION_ERROR = "evaluation-error"


KIND_BY_NAME = "kind-by-name"
"""The rule that refuses a kind or a template that no permitting rule of the policy reads."""


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
