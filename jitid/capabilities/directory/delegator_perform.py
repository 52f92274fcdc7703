"""Performs the operations on the directory's delegators."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitid.capabilities.directory import delegator_operations as ops
from jitid.capabilities.directory import delegators
from jitid.capabilities.directory.store import DirectoryStore

if TYPE_CHECKING:
    from jitid.capabilities.directory.delegators import DelegatorDetails, Disabled, Edited, Enabled
    from jitid.capabilities.directory.import_delegators import Reconciled
    from jitid.model.directory import Delegator
    from jitid.operation.context import Context


def add_delegator(context: Context, operation: ops.AddDelegator) -> Edited:
    """Add a delegator to the directory."""
    with context.ledger.write(accept_clock=operation.accept_clock) as transaction:
        return delegators.add(transaction, operation.stated)


def change_delegator(context: Context, operation: ops.ChangeDelegator) -> Edited:
    """Change the directory's record of a delegator."""
    with context.ledger.write(accept_clock=operation.accept_clock) as transaction:
        return delegators.change(transaction, operation.name, operation.edit)


def enable_delegator(context: Context, operation: ops.EnableDelegator) -> Enabled:
    """Let a delegator delegate again."""
    with context.ledger.write(accept_clock=operation.accept_clock) as transaction:
        return delegators.enable(transaction, operation.name, operation.reason)


def disable_delegator(context: Context, operation: ops.DisableDelegator) -> Disabled:
    """Disable a delegator and end all that depends on it, or return the extent of that."""
    name, keep_live = operation.name, operation.keep_live
    if operation.dry_run:
        with context.ledger.read() as snapshot:
            return delegators.preview_disable(snapshot, name, keep_live=keep_live)
    with context.ledger.write(accept_clock=operation.accept_clock) as transaction:
        disabled = delegators.disable(
            transaction, name, operation.reason, operation.most, keep_live=keep_live
        )
    return disabled._replace(unproved=context.prove_leaks_refused())


def import_delegators(context: Context, operation: ops.ImportDelegators) -> Reconciled:
    """Make the directory match a list, or return the changes."""
    from jitid.capabilities.directory.import_delegators import preview, reconcile

    roster, full = operation.roster, operation.full
    if operation.dry_run:
        with context.ledger.read() as snapshot:
            return preview(snapshot, roster, full=full)
    with context.ledger.write(accept_clock=operation.accept_clock) as transaction:
        reconciled = reconcile(
            transaction, roster, operation.source, operation.reason, operation.most, full=full
        )
    return reconciled._replace(unproved=context.prove_leaks_refused())


def show_delegator(context: Context, operation: ops.ShowDelegator) -> DelegatorDetails:
    """Return all about a delegator."""
    with context.ledger.read() as snapshot:
        return delegators.details(snapshot, operation.name)


def list_delegators(context: Context, operation: ops.ListDelegators) -> list[Delegator]:
    """Return delegators in the order of their names."""
    with context.ledger.read() as snapshot:
        return DirectoryStore(snapshot).delegators(
            group=operation.group,
            disabled=operation.disabled,
            after=operation.after,
            limit=operation.limit,
        )
