"""An authority that counts its operations, for the metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitid.capabilities.issue import operations as issue_operations
from jitid.capabilities.issue.operations import Attach
from jitid.errors import PolicyDeniedError, RefusedError

if TYPE_CHECKING:
    from jitid.operation.authority import Authority
    from jitid.operation.base import Operation, Result
    from jitid.server.metrics import Metrics


class Counting:
    """An authority that passes operations on, and counts credentials and refusals."""

    def __init__(self, authority: Authority, metrics: Metrics) -> None:
        self._authority = authority
        self._metrics = metrics

    def perform(self, operation: Operation[Result]) -> Result:
        """Perform an operation and return its answer; raise a `JitidError` if it fails."""
        try:
            answer = self._authority.perform(operation)
        except PolicyDeniedError:
            self._metrics.count("denied")
            raise
        except RefusedError:
            self._metrics.count("refused")
            raise
        match operation:
            case issue_operations.Issue(dry_run=False, requests=requests):
                self._metrics.count("issued", len(requests))
            case issue_operations.Renew() | Attach():
                self._metrics.count("issued")
            case _:
                pass
        return answer

    def close(self) -> None:
        """Close the inner authority."""
        self._authority.close()
