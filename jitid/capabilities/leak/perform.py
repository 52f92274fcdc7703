"""Performs the operations on leaks."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from jitid.capabilities.leak import operations as ops

if TYPE_CHECKING:
    from jitid.operation.context import Context


def perform(context: Context, operation: ops.AnyOperation) -> object:
    """Perform an operation and return its answer."""
    match operation:
        case ops.AddLeaks() | ops.CloseLeaks() | ops.ProveLeaks():
            return _change(context, operation)
        case _:
            return _look(context, operation)


def _change(context: Context, operation: ops.AddLeaks | ops.CloseLeaks | ops.ProveLeaks) -> object:
    from jitid.capabilities.leak import leaks
    from jitid.model.leak import LeakFilter

    ledger, accept_clock = context.ledger, operation.accept_clock
    match operation:
        case ops.AddLeaks(finds=finds, report=report, sightings=sightings, dry_run=dry_run):
            return leaks.add(ledger, finds, report, sightings, dry_run=dry_run, accept_clock=accept_clock)
        case ops.CloseLeaks(numbers=numbers, jtis=jtis, reason=reason, valid_too=valid_too):
            chosen = LeakFilter(numbers, jtis)
            return leaks.close(ledger, chosen, reason, valid_too=valid_too, accept_clock=accept_clock)
        case ops.ProveLeaks():
            return leaks.prove(ledger, accept_clock=accept_clock)
        case _:
            assert_never(operation)


def _look(
    context: Context, operation: ops.Trace | ops.ListLeaks | ops.ShowLeaks | ops.RecountLeaks
) -> object:
    from jitid.model.leak import LeakFilter

    with context.ledger.read() as snapshot:
        match operation:
            case ops.Trace():
                from jitid.capabilities.leak import trace_strings

                return trace_strings.trace(snapshot, context.ledger.names, operation.finds)
            case ops.ListLeaks():
                from jitid.capabilities.leak import exposure

                return exposure.page(snapshot, operation.chosen, operation.limit, valid=operation.valid)
            case ops.ShowLeaks():
                from jitid.capabilities.leak import exposure

                return exposure.details(snapshot, LeakFilter(operation.numbers, operation.jtis))
            case ops.RecountLeaks():
                from jitid.capabilities.leak import timeline

                return timeline.accounts(snapshot, LeakFilter(operation.numbers, operation.jtis))
            case _:
                assert_never(operation)
