"""Performs the operations on targets outside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from jitid import provision, settling
from jitid.authority import target_operations as ops
from jitid.targets import Targets

if TYPE_CHECKING:
    from jitid.authority.inside import Inside
    from jitid.authority.operations import TargetOperation
    from jitid.issuance import Issued


def made(inside: Inside, issued: Sequence[Issued]) -> list[Issued]:
    """Return what was recorded with the secrets that its targets have made. Raises as `provision` does."""
    return provision.provision(inside.ledger, targets_of(inside), issued)


def perform(inside: Inside, operation: TargetOperation[Any]) -> object:
    """Perform an operation and return its answer."""
    match operation:
        case ops.Settle(ids=ids, event=event, target=target, waiting=waiting, limit=limit):
            return settling.settle(
                inside.ledger,
                targets_of(inside),
                target=target,
                event=event,
                ids=ids,
                waiting=waiting,
                limit=limit,
            )
        case _:
            raise TypeError(operation)


def targets_of(inside: Inside) -> Targets:
    """Return the targets of the configuration, perhaps none."""
    return Targets((), inside.ledger.names.issuer) if inside.targets is None else inside.targets()
