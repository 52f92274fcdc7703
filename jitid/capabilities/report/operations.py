"""The operation that reports on identity sprawl."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitid.operation.base import READS, Operation
from jitid.values.declaration import value
from jitid.values.field_types import TIME, number

if TYPE_CHECKING:
    from jitid.capabilities.report.sprawl_report import Report
    from jitid.capabilities.sweep.finding import Thresholds


class MakeReport(Operation["Report"]):
    """Report identity sprawl, at present or at a past time."""

    roles = ("sweeper", "auditor")
    effect = READS
    slow = True

    at: int | None = value(TIME, default=None)
    """Seconds since the epoch; None for now."""
    days: int = value(number(1, 3_660))
    """The number of days of UTC in the trend."""
    limits: Thresholds
    accept_clock: bool = False
