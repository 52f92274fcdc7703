"""The operations on the directory, taken to those who perform them."""

from __future__ import annotations

from typing import Any

from jitid.authority import agent_operations as agents
from jitid.authority import delegator_operations as delegators
from jitid.operation.base import DirectoryOperation
from jitid.operation.context import Inside


def perform(inside: Inside, operation: DirectoryOperation[Any]) -> object:
    """Perform an operation on delegators or agents."""
    if isinstance(operation, agents.AgentOperation):
        from jitid.authority import registering

        return registering.perform(inside, operation)
    if isinstance(operation, delegators.DelegatorOperation):
        from jitid.authority import delegating

        return delegating.perform(inside, operation)
    raise TypeError(f"nobody performs {operation!r}")
