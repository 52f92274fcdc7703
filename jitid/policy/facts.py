"""The facts about a request that a policy can read as `context.NAME`."""

# Without `from __future__ import annotations`, which has the annotation of each field compiled at every start.
from collections.abc import Callable, Mapping
from typing import NamedTuple

from jitid.policy.policy_request import PolicyRequest


class Entity(NamedTuple):
    """A reference to an entity, as a value that can be a key."""

    type: str
    id: str


class RecordValue(NamedTuple):
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
