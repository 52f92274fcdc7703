"""Report on identity sprawl: a survey of the ledger, and the findings of a sweep of the same view."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitid.capabilities.report import operations as ops
from jitid.capabilities.report import sprawl_report
from jitid.capabilities.sweep.rule import RuleContext, check_clock, sweep
from jitid.capabilities.sweep.rules import NAMES, rule_of

if TYPE_CHECKING:
    from jitid.operation.context import Context

_LEFT_OUT = ("offline-valid", "exchanged-valid", "audit-gap", "policy-drift")
"""The rules that a report leaves to a sweep.

`offline-valid` and `exchanged-valid` have no remedy, `audit-gap` reads the whole audit log if no head is recorded, and
`policy-drift` queries the policy, which a report does not need.
"""


def make_report(context: Context, operation: ops.MakeReport) -> sprawl_report.Report:
    """Report the state of identity sprawl.

    Raises:
        IntegrityError: the clock has jumped ahead: by this clock, all credentials would have expired.
        UsageError: the time or the number of days cannot be reported.

    """
    ledger = context.ledger
    clock = ledger.condition().clock()
    # The ledger itself confirms times up to its last event, whether or not the clock is right.
    if not operation.accept_clock and (operation.at is None or operation.at > clock.mark):
        check_clock(clock)
    with ledger.read() as snapshot:
        rule_context = RuleContext(snapshot, ledger.names, clock, operation.limits)
        # A report calls no target.
        rules = [rule for name in NAMES if name not in _LEFT_OUT and not (rule := rule_of(name)).abroad]
        return sprawl_report.make(
            snapshot,
            ledger.names,
            at=operation.at,
            days=operation.days,
            limits=operation.limits,
            found=sweep(rule_context, rules),
        )
