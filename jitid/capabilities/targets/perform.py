"""Execution of the operations on targets."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from jitid.capabilities.targets import operations as ops
from jitid.capabilities.targets import settle
from jitid.issuers.targets import Targets

if TYPE_CHECKING:
    from jitid.operation.context import Context


def perform(context: Context, operation: ops.AnyOperation) -> object:
    """Perform an operation and return its answer."""
    match operation:
        case ops.Settle(ids=ids, event=event, target=target, waiting=waiting, limit=limit):
            settled = settle.settle(
                context.ledger,
                targets_of(context),
                target=target,
                event=event,
                ids=ids,
                waiting=waiting,
                limit=limit,
            )
            if settled.done:
                # Leaked credentials are proved refused only now. If this cannot be recorded, the next end or sweep
                # does it.
                context.prove_leaks_refused()
            return settled
        case ops.ExamineTargets():
            from jitid.capabilities.targets import visit

            return list(visit.visit(context, targets_of(context)))
        case _:
            assert_never(operation)


def targets_of(context: Context) -> Targets:
    """Return the targets of the configuration, perhaps none."""
    return Targets((), context.ledger.names.issuer) if context.targets is None else context.targets()
