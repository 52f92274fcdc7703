"""Performs the operations on leaks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitid.capabilities.leak import operations as ops
from jitid.model.leak import LeakFilter

if TYPE_CHECKING:
    from jitid.capabilities.leak.exposure import LeakDetails, LeakPage
    from jitid.capabilities.leak.leaks import ClosedLeaks, ReportedLeaks
    from jitid.capabilities.leak.timeline import Account
    from jitid.capabilities.leak.trace_result import Traced
    from jitid.operation.context import Context

# Each operation loads only the modules that perform it.


def trace(context: Context, operation: ops.Trace) -> Traced:
    """Find the credentials of strings."""
    from jitid.capabilities.leak import trace_strings

    with context.ledger.read() as snapshot:
        return trace_strings.trace(snapshot, context.ledger.names, operation.finds)


def add_leaks(context: Context, operation: ops.AddLeaks) -> ReportedLeaks:
    """Record leaks of the strings."""
    from jitid.capabilities.leak import leaks

    return leaks.add(
        context.ledger,
        operation.finds,
        operation.report,
        operation.sightings,
        dry_run=operation.dry_run,
        accept_clock=operation.accept_clock,
    )


def list_leaks(context: Context, operation: ops.ListLeaks) -> LeakPage:
    """Return a page of leaks."""
    from jitid.capabilities.leak import exposure

    with context.ledger.read() as snapshot:
        return exposure.page(snapshot, operation.chosen, operation.limit, valid=operation.valid)


def show_leaks(context: Context, operation: ops.ShowLeaks) -> list[LeakDetails]:
    """Return all facts about leaks."""
    from jitid.capabilities.leak import exposure

    with context.ledger.read() as snapshot:
        return exposure.details(snapshot, LeakFilter(operation.numbers, operation.jtis))


def recount_leaks(context: Context, operation: ops.RecountLeaks) -> list[Account]:
    """Return the history of leaks."""
    from jitid.capabilities.leak import timeline

    with context.ledger.read() as snapshot:
        return timeline.accounts(snapshot, LeakFilter(operation.numbers, operation.jtis))


def close_leaks(context: Context, operation: ops.CloseLeaks) -> ClosedLeaks:
    """Close leaks."""
    from jitid.capabilities.leak import leaks

    return leaks.close(
        context.ledger,
        LeakFilter(operation.numbers, operation.jtis),
        operation.reason,
        valid_too=operation.valid_too,
        accept_clock=operation.accept_clock,
    )


def prove_leaks(context: Context, operation: ops.ProveLeaks) -> int:
    """Prove that verification refuses leaked credentials."""
    from jitid.capabilities.leak import leaks

    return leaks.prove(context.ledger, accept_clock=operation.accept_clock)
