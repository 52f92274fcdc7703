"""Performs the operations on leaks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitid.capabilities.leak import operations as leak_operations

if TYPE_CHECKING:
    from jitid.capabilities.leak import exposure, timeline
    from jitid.ledger.view import View


def look_at_leaks(
    snapshot: View,
    operation: leak_operations.ListLeaks | leak_operations.ShowLeaks | leak_operations.RecountLeaks,
) -> exposure.LeakPage | list[exposure.LeakDetails] | list[timeline.Account]:
    """List leaks, or tell everything about some, or what became of them."""
    from jitid.capabilities.leak import exposure, timeline
    from jitid.model.leak import LeakFilter

    if isinstance(operation, leak_operations.RecountLeaks):
        return timeline.tell(snapshot, LeakFilter(operation.numbers, operation.jtis))
    if isinstance(operation, leak_operations.ListLeaks):
        return exposure.page(snapshot, operation.chosen, operation.limit, valid=operation.valid)
    return exposure.details(snapshot, LeakFilter(operation.numbers, operation.jtis))
