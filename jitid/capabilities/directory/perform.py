"""The operations on the directory, taken to those who perform them."""

from __future__ import annotations

from typing import Any

from jitid.capabilities.directory import agent_operations as agents
from jitid.capabilities.directory import delegator_operations as delegators
from jitid.operation.base import DirectoryOperation
from jitid.operation.context import Inside


def perform(inside: Inside, operation: DirectoryOperation[Any]) -> object:
    """Perform an operation on delegators or agents."""
    if isinstance(operation, agents.AgentOperation):
        from jitid.capabilities.directory import agent_perform

        return agent_perform.perform(inside, operation)
    if isinstance(operation, delegators.DelegatorOperation):
        from jitid.capabilities.directory import delegator_perform

        return delegator_perform.perform(inside, operation)
    raise TypeError(f"nobody performs {operation!r}")
