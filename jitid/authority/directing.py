"""Performs the operations on the directory: those on delegators and those on agents."""

from __future__ import annotations

from typing import Any

from jitid.authority import directory_operations as ops
from jitid.authority.inside import Inside
from jitid.authority.operations import DirectoryOperation


def perform(inside: Inside, operation: DirectoryOperation[Any]) -> object:
    """Perform an operation on the directory."""
    if isinstance(operation, ops.AnyDelegatorOperation):
        from jitid.authority import delegating

        return delegating.perform(inside, operation)
    raise TypeError(f"nothing performs a {type(operation).__name__}")
