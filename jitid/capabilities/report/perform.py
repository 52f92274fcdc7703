"""The operation that reports: a survey of the ledger, and what a sweep of the same view finds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitid.capabilities.report import operations as ops
from jitid.capabilities.report import sprawl_report
from jitid.capabilities.sweep.rule import Sight
from jitid.capabilities.sweep.rules import NAMES, rule_of
from jitid.capabilities.sweep.run_rules import check_clock, sweep

if TYPE_CHECKING:
    from jitid.operation.context import Context

_LEFT_OUT = ("offline-valid", "audit-gap", "policy-drift")
"""What only a sweep is asked: what nobody can mend, what reads the whole audit log where no head is kept, and what asks
the policy, which a report can do without."""


def perform(context: Context, operation: ops.AnyOperation) -> sprawl_report.Report:
    """Report the state of identity sprawl.

    Raises:
        IntegrityError: the clock has jumped ahead, so that by it all would be dead.
        UsageError: the time or the number of days cannot be reported.

    """
    ledger = context.ledger
    clock = ledger.condition().clock()
    # What lies before the last event is vouched for by the ledger, whatever the clock says.
    if not operation.accept_clock and (operation.at is None or operation.at > clock.mark):
        check_clock(clock)
    with ledger.read() as snapshot:
        sight = Sight(snapshot, ledger.names, clock, operation.limits)
        # A report asks no target.
        rules = [rule for name in NAMES if name not in _LEFT_OUT and not (rule := rule_of(name)).abroad]
        return sprawl_report.make(
            snapshot,
            ledger.names,
            at=operation.at,
            days=operation.days,
            limits=operation.limits,
            found=sweep(sight, rules),
        )
