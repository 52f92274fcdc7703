"""Operations on leaks."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Self

from jitid.errors import UsageError
from jitid.model.leak import MOST_PLACES
from jitid.operation.base import IDEMPOTENT, READS, Operation
from jitid.values.declaration import leaves, value, values
from jitid.values.field_types import COUNT, ID, REASON, ROWS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jitid.capabilities.leak.exposure import LeakDetails, LeakPage
    from jitid.capabilities.leak.leaks import ClosedLeaks, LeakReport, ReportedLeaks
    from jitid.capabilities.leak.timeline import Account
    from jitid.capabilities.leak.trace_result import Traced
    from jitid.model.leak import LeakFilter, Sighting
    from jitid.search.find import Finds


class Trace(Operation["Traced"]):
    """Tell whose credentials strings are that were found somewhere."""

    roles = ("responder", "auditor")
    effect = READS

    finds: Finds


class AddLeaks(Operation["ReportedLeaks"]):
    """Record that what was found in a text has leaked; ids in it do not count."""

    roles = ("responder",)

    finds: Finds
    report: LeakReport
    sightings: Mapping[str, tuple[Sighting, ...]] = leaves(
        None, default=MappingProxyType({}), most=MOST_PLACES
    )
    """Where strings were seen, by their marks (`find.mark`) in hexadecimal; `places.parts` returns this form."""
    dry_run: bool = False
    accept_clock: bool = False

    def checked_request(self) -> Self:
        """Return the request. Raises UsageError for a mark in another form."""
        for mark in self.sightings:
            if len(mark) != 32 or mark.strip("0123456789abcdef"):
                raise UsageError("a mark of 32 hexadecimal digits is wanted")
        return self


class ListLeaks(Operation["LeakPage"]):
    """List leaks, the newest first, a page at a time."""

    roles = ("responder", "auditor")
    effect = READS
    task_in = "chosen.task"

    chosen: LeakFilter
    valid: bool = False
    """Only leaks whose credential verifies."""
    limit: int = value(ROWS)


class ShowLeaks(Operation["list[LeakDetails]"]):
    """Tell everything about leaks, by their numbers or by what leaked."""

    roles = ("responder", "auditor")
    effect = READS

    numbers: tuple[int, ...] = values(COUNT, default=())
    jtis: tuple[str, ...] = values(ID, default=())


class RecountLeaks(Operation["list[Account]"]):
    """Tell what became of leaks, from the issue of what leaked to the close."""

    roles = ("responder", "auditor")
    effect = READS
    slow = True

    numbers: tuple[int, ...] = values(COUNT, default=())
    jtis: tuple[str, ...] = values(ID, default=())


class CloseLeaks(Operation["ClosedLeaks"]):
    """Be done with leaks."""

    roles = ("responder",)

    numbers: tuple[int, ...] = values(COUNT, default=())
    jtis: tuple[str, ...] = values(ID, default=())
    reason: str = value(REASON)
    valid_too: bool = False
    """Also leaks whose credential still works."""
    accept_clock: bool = False


class ProveLeaks(Operation[int]):
    """Prove of what leaked and is dead that no verifier takes it that asks the ledger, and count it."""

    roles = ("responder", "sweeper")
    effect = IDEMPOTENT
    slow = True

    accept_clock: bool = False
