"""The request that a policy decides, and the facts about it that a policy can read as `context.NAME`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from jitid.model.credential import USUAL_KINDS
from jitid.values.record import Record

if TYPE_CHECKING:
    from datetime import tzinfo


DEFAULT_DENY = "default-deny"
EVALUATION_ERROR = "evaluation-error"
KIND_BY_NAME = "kind-by-name"
"""The rule that refuses a kind or a template that no permitting rule of the policy reads."""
SENSITIVITIES = ("low", "moderate", "high", "critical")


PROOFS = ("asserted", "os-user", "credential", "oidc")
"""The ways in which a root delegator can be proved."""


class DirectoryFacts(Record):
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


class PolicyRequest(Record):
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
    zone: tzinfo | None = None
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


class Entity(Record):
    """A reference to an entity, as a value that can be a key."""

    type: str
    id: str


class RecordValue(Record):
    """A JSON object as text, as a value that can be a key."""

    text: str


# Cedar spends one to two microseconds on each member of a context, and fourteen on an entity: more than on the
# decision itself. So a question includes only the facts that some policy reads.
# jitid.cedarschema declares the same names; a test compares the two.
FACTS: Mapping[str, Callable[[PolicyRequest], object]] = {
    "agent": lambda request: request.agent,
    "agent_registered": lambda request: request.standing.registered,
    "delegator": lambda request: Entity("Delegator", request.delegator),
    "delegator_name": lambda request: request.delegator,
    "delegator_kind": lambda request: request.delegator.partition(":")[0],
    "delegator_known": lambda request: request.standing.known,
    "delegator_proof": lambda request: request.delegator_proof,
    "delegated": lambda request: request.delegated,
    "task": lambda request: request.task,
    "task_owner": lambda request: request.task_owner,
    "purpose": lambda request: request.purpose or "",
    "has_purpose": lambda request: has_purpose(request),
    "sensitivity": lambda request: request.sensitivity,
    "kind": lambda request: request.kind,
    "template": lambda request: request.template,
    "depth": lambda request: request.depth,
    "lifetime": lambda request: request.lifetime,
    "audiences": lambda request: tuple(request.audiences),
    "now": lambda request: request.now,
    "hour": lambda request: local_time(request) // 3600 % 24,
    "minute": lambda request: local_time(request) // 60 % 60,
    # ISO 8601: Monday is 1. The epoch fell on a Thursday.
    "weekday": lambda request: (local_time(request) // 86400 + 3) % 7 + 1,
    "action": lambda request: request.action,
    "use": lambda request: RecordValue(request.used),
    "scope": lambda _: "",
    "wildcard": lambda request: any("*" in scope for scope in request.scopes),
}

SCOPE_FACTS: Mapping[str, Callable[[str], object]] = {
    "scope": lambda scope: scope,
    "wildcard": lambda scope: "*" in scope,
}
"""The facts that differ in a `grant` question: its only scope, and whether this scope has a wildcard."""


def has_purpose(request: PolicyRequest) -> bool:
    """Return whether the request gives a purpose that is more than blanks."""
    return bool(request.purpose and request.purpose.strip())


def local_time(request: PolicyRequest) -> int:
    """Return the local time of the request in its zone, in seconds since the epoch as if it were UTC."""
    if request.zone is None:
        return request.now
    from datetime import datetime

    try:
        offset = datetime.fromtimestamp(request.now, request.zone).utcoffset()
    except (ValueError, OverflowError, OSError):
        # Times beyond the calendar have no zone.
        return request.now
    return request.now if offset is None else request.now + int(offset.total_seconds())
