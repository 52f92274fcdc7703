"""Which operations may look at the whole ledger or wait for targets, and so take longer than others."""

from __future__ import annotations

from typing import Any

from jitid.operation import base as ops

_LONG = (
    ops.Sweep,
    ops.ForeseeFix,
    ops.Fix,
    ops.MakeReport,
    ops.VerifyLog,
    ops.Prune,
    ops.ExportLog,
    ops.ProveLeaks,
    ops.RecountLeaks,
    ops.PolicyOperation,
    ops.PublicationOperation,
    ops.TargetOperation,
)


def is_long(kind: type[ops.Operation[Any]]) -> bool:
    """Tell whether such an operation may look at the whole ledger, or wait for targets."""
    return issubclass(kind, _LONG)
