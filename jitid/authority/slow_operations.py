"""Which operations may look at the whole ledger or wait for targets, and so take longer than others."""

from __future__ import annotations

from typing import Any

from jitid.capabilities.integrity import operations as integrity_operations
from jitid.capabilities.issue import operations as issue_operations
from jitid.capabilities.leak import operations as leak_operations
from jitid.capabilities.report import operations as report_operations
from jitid.capabilities.sweep import operations as sweep_operations
from jitid.operation import base as ops

_LONG = (
    sweep_operations.Sweep,
    sweep_operations.ForeseeFix,
    sweep_operations.Fix,
    report_operations.MakeReport,
    integrity_operations.VerifyLog,
    integrity_operations.Prune,
    integrity_operations.ExportLog,
    leak_operations.ProveLeaks,
    leak_operations.RecountLeaks,
    issue_operations.Attach,
    sweep_operations.FlyCanaries,
    ops.PolicyOperation,
    ops.PublicationOperation,
    ops.TargetOperation,
)


def is_long(kind: type[ops.Operation[Any]]) -> bool:
    """Tell whether such an operation may look at the whole ledger, or wait for targets."""
    return issubclass(kind, _LONG)
