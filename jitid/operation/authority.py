"""The interface of an authority, local or remote."""

from __future__ import annotations

from typing import Protocol

from jitid.operation.base import Operation, Result


class Authority(Protocol):
    """An authority: it issues, verifies and revokes credentials, and records events."""

    def perform(self, operation: Operation[Result]) -> Result:
        """Perform an operation and return its answer; raise a `JitidError` if it fails."""

    def close(self) -> None:
        """Release the resources."""
