"""Performs the operations on the directory's delegators."""

from __future__ import annotations

from typing import assert_never

from jitid.capabilities.directory import delegator_operations as ops
from jitid.capabilities.directory import delegators
from jitid.capabilities.directory.delegators import Disabled
from jitid.capabilities.directory.import_delegators import Reconciled
from jitid.capabilities.directory.store import DirectoryStore
from jitid.operation.context import Context


def perform(context: Context, operation: ops.AnyOperation) -> object:
    """Perform an operation on delegators."""
    ledger = context.ledger
    match operation:
        case ops.ShowDelegator():
            with ledger.read() as snapshot:
                return delegators.details(snapshot, operation.name)
        case ops.ListDelegators(group=group, disabled=disabled, after=after, limit=limit):
            with ledger.read() as snapshot:
                return DirectoryStore(snapshot).delegators(
                    group=group, disabled=disabled, after=after, limit=limit
                )
        case ops.AddDelegator():
            with ledger.write(accept_clock=operation.accept_clock) as transaction:
                return delegators.add(transaction, operation.stated)
        case ops.ChangeDelegator():
            with ledger.write(accept_clock=operation.accept_clock) as transaction:
                return delegators.change(transaction, operation.name, operation.edit)
        case ops.EnableDelegator():
            with ledger.write(accept_clock=operation.accept_clock) as transaction:
                return delegators.enable(transaction, operation.name, operation.reason)
        case ops.DisableDelegator():
            return _disable(context, operation)
        case ops.ImportDelegators():
            return _import(context, operation)
        case _:
            assert_never(operation)


def _disable(context: Context, operation: ops.DisableDelegator) -> Disabled:
    name, keep_live = operation.name, operation.keep_live
    if operation.dry_run:
        with context.ledger.read() as snapshot:
            return delegators.preview_disable(snapshot, name, keep_live=keep_live)
    with context.ledger.write(accept_clock=operation.accept_clock) as transaction:
        disabled = delegators.disable(
            transaction, name, operation.reason, operation.most, keep_live=keep_live
        )
    return disabled._replace(unproved=context.prove_leaks_refused())


def _import(context: Context, operation: ops.ImportDelegators) -> Reconciled:
    from jitid.capabilities.directory import import_delegators

    roster, full = operation.roster, operation.full
    if operation.dry_run:
        with context.ledger.read() as snapshot:
            return import_delegators.preview(snapshot, roster, full=full)
    with context.ledger.write(accept_clock=operation.accept_clock) as transaction:
        reconciled = import_delegators.reconcile(
            transaction, roster, operation.source, operation.reason, operation.most, full=full
        )
    return reconciled._replace(unproved=context.prove_leaks_refused())
