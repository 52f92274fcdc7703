"""Callers, and asking in their name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jitid.capabilities.issue import operations as issue_operations
from jitid.capabilities.issue.issuance import Issued
from jitid.model.caller import Caller
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
    "exchanged": True,
}
"""What a caller may not say in a request: the authority alone finds out whom a token proves."""


def caller(name: str = "user:bob", *roles: str, **more: Any) -> Caller:
    """Return somebody with a credential of ours, in these roles."""
    fields = {"delegator": name, "proof": "credential", **more}
    return Caller(name, frozenset(roles), **fields)


def ask(world: World, who: Caller, operation: ops.Operation[ops.Result]) -> ops.Result:
    """Perform an operation for somebody."""
    return world.authority.serving(who).perform(operation)


def issue(world: World, who: Caller, **fields: Any) -> Issued:
    """Issue one credential for somebody."""
    (issued,) = ask(world, who, issue_operations.Issue(requests=(request(**fields),)))
    return issued


def bearer(issued: Issued) -> Secret:
    """Return the token that was issued."""
    (one,) = issued.credentials
    return one.secret


def told(world: World, operation: str) -> list[dict[str, Any]]:
    """Return the audit events of one sort."""
    return [event for event in world.events() if event["op"] == operation]
