"""Execution of the operations on targets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitid.capabilities.targets import operations as ops
from jitid.capabilities.targets import settle as settle_targets
from jitid.issuers.targets import Targets

if TYPE_CHECKING:
    from jitid.capabilities.targets.operations import SettledTargets
    from jitid.model.ledger_condition import Check
    from jitid.operation.context import Context


def settle(context: Context, operation: ops.Settle) -> SettledTargets:
    """End credentials at targets that have ended in the ledger."""
    settled = settle_targets.settle(
        context.ledger,
        targets_of(context),
        target=operation.target,
        event=operation.event,
        ids=operation.ids,
        waiting=operation.waiting,
        limit=operation.limit,
    )
    if settled.done:
        # Leaked credentials are proved refused only now. If this cannot be recorded, the next end or sweep does it.
        context.prove_leaks_refused()
    return settled


def examine_targets(context: Context, operation: ops.ExamineTargets) -> list[Check]:
    """Check each target."""
    del operation
    return list(settle_targets.visit(context, targets_of(context)))


def targets_of(context: Context) -> Targets:
    """Return the targets of the configuration, perhaps none."""
    return Targets((), context.ledger.names.issuer) if context.targets is None else context.targets()
