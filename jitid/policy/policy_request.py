"""The request that a policy decides: agent, delegator, task and requested rights."""

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
"""The ways in which a root delegator can be proved."""


class DirectoryFacts(NamedTuple):
    """The directory's facts about a delegator and an agent that policies can read."""

    known: bool = False
    """Whether the directory has the delegator."""
    groups: tuple[str, ...] = ()
    """The delegator's groups, sorted."""
    manager: str | None = None
    """The delegator's manager, as `user:bob`."""
    registered: bool = False
    """Whether the agent is registered, as a recurring agent."""
    owner: str | None = None
    """The owner of a registered agent, as `user:bob`."""


NO_DIRECTORY_FACTS = DirectoryFacts()
"""An unknown delegator and an ephemeral agent."""


class PolicyRequest(NamedTuple):
    """One issue as the policy sees it. All fields are data and never become policy text."""

    agent: str
    delegator: str
    """With its kind: `user:alice`, `system:ci`, `agent:planner`."""
    delegator_proof: str
    """`asserted`, `os-user`, `credential` or `oidc`: the proof of the root delegator, at every depth."""
    task: str
    task_owner: str
    """The owner of the task, with its kind: the name of a task is unique only for its owner."""
    purpose: str | None
    sensitivity: str
    kind: str
    depth: int
    """Number of hops from the root identity, which has depth 0."""
    scopes: tuple[str, ...]
    audiences: tuple[str, ...]
    lifetime: int
    """The requested lifetime in seconds, before any limit shortens it."""
    now: int
    """Seconds since the epoch."""
    standing: DirectoryFacts = NO_DIRECTORY_FACTS
    zone: "tzinfo | None" = None
    """The time zone of `hour`, `minute` and `weekday`; None for UTC."""
    action: str = ""
    """The action for which the credential is used, judged as `authorize`; empty for an issue."""
    used: str = "{}"
    """The enforcement point's facts about the use: a JSON object as text."""
    template: str = ""
    """The template that makes the credential, as `TARGET/TEMPLATE`; empty without a template."""
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
