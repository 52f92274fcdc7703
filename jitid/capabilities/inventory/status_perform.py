"""Performs the operation that summarizes the present state of a ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitid.capabilities.directory import ownership
from jitid.capabilities.identity.filter_store import Filter
from jitid.capabilities.inventory import status_operations as ops
from jitid.capabilities.inventory.status_store import CountStore

if TYPE_CHECKING:
    from jitid.operation.context import Context


def show_status(context: Context, operation: ops.ShowStatus) -> ops.LedgerStatus:
    """Return the counts of the present state; for own objects without the counts of open problems."""
    with context.ledger.read() as snapshot:
        store = CountStore(snapshot)
        own = operation.delegator is not None or operation.under is not None
        live, expiring, next_expiry = store.live(
            Filter(delegator=operation.delegator, under=operation.under), operation.soon
        )
        openers = () if operation.delegator is None else ownership.names_of(snapshot, operation.delegator)
        open_tasks, overdue_tasks = (0, 0) if operation.under is not None else store.tasks(openers)
        attention = dict.fromkeys(ops.ATTENTION, 0)
        if not own:
            attention = store.attention()
        return ops.LedgerStatus(
            now=snapshot.now,
            issuer=snapshot.names.issuer,
            live=live,
            expiring=expiring,
            next_expiry=next_expiry,
            open_tasks=open_tasks,
            overdue_tasks=overdue_tasks,
            **attention,
            own=own,
        )
