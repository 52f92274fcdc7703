"""Operations on the use of credentials: their parameters and the types of their answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitid.operation.base import READS, Operation
from jitid.values.declaration import records, value, values
from jitid.values.field_types import AUDIENCE, ROWS
from jitid.values.record import Record

if TYPE_CHECKING:
    from jitid.capabilities.use.authorization import RecordedUses, UseRequest
    from jitid.model.ledger_rows import Ancestor
    from jitid.model.use import RecordedUse, UseFilter


class Authorize(Operation["RecordedUses"]):
    """Say whether tokens may be used for actions now, and record each action, allowed or denied."""

    roles = ("verifier",)

    asked: tuple[UseRequest, ...] = records(least=1, most=10_000)
    """At least one."""
    audiences: tuple[str, ...] = values(AUDIENCE, default=())
    """The tokens must be for one of these audiences; empty for any audience whose tokens the caller sees."""
    accept_clock: bool = False


class UsePage(Record):
    """Recorded actions, with the chain above each acting identity."""

    uses: list[RecordedUse]
    lineages: dict[int, list[Ancestor]]
    """By the ledger's number of an identity, the nearest first; the root of a chain has none."""


class ListUses(Operation["UsePage"]):
    """Tell what was done at some time, by whom and for whom."""

    roles = ("responder", "auditor")
    effect = READS
    task_in = "chosen.task"

    chosen: UseFilter
    limit: int = value(ROWS)
