"""Callers, and functions that perform operations on their behalf."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jitid.capabilities.issue import operations as issue_operations
from jitid.capabilities.issue.issue_result import Issued
from jitid.model.access import Caller
from jitid.model.request import ProvedActor
from jitid.operation import base as ops
from jitid.values.secret import Secret
from tests.builders import World, request

FOUND_OUT: Mapping[str, Any] = {
    "proved_delegator": "user:alice",
    "proved_subject": "https://id.example alice",
    "proved_actor": ProvedActor("system:builder", "https://ci.example builder", 1),
    "proved_credential": "jti_1",
    "proved_at": 1,
    "proved_login": "acc_1",
    "exchanged": True,
}
"""Fields that a request must not set: only the authority verifies tokens."""


def caller(name: str = "user:bob", *roles: str, **more: Any) -> Caller:
    """Return a caller that authenticates with a credential of jitid and has these roles."""
    fields = {"delegator": name, "proof": "credential", **more}
    return Caller(name, frozenset(roles), **fields)


def ask(world: World, who: Caller, operation: ops.Operation[ops.Result]) -> ops.Result:
    """Perform an operation on behalf of a caller."""
    return world.authority.serving(who).perform(operation)


def issue(world: World, who: Caller, **fields: Any) -> Issued:
    """Issue one credential on behalf of a caller."""
    (issued,) = ask(world, who, issue_operations.Issue(requests=(request(**fields),)))
    return issued


def bearer(issued: Issued) -> Secret:
    """Return the issued token."""
    (one,) = issued.credentials
    return one.secret


def told(world: World, operation: str) -> list[dict[str, Any]]:
    """Return the audit events of one operation."""
    return [event for event in world.events() if event["op"] == operation]
