"""Whoever performs operations: here in this process, or elsewhere."""

from __future__ import annotations

from typing import Protocol

from jitid.operation.base import Operation, Result


class Authority(Protocol):
    """The one that issues, verifies, revokes and remembers."""

    def perform(self, operation: Operation[Result]) -> Result:
        """Perform an operation and return its answer, or raise a `JitidError` that says why not."""

    def close(self) -> None:
        """Release what it holds."""
