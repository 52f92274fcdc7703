"""Operations on leaks."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from jitid.operation.base import Operation

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

    finds: Finds


class AddLeaks(Operation["ReportedLeaks"]):
    """Record that what was found in a text has leaked; ids in it do not count."""

    finds: Finds
    report: LeakReport
    sightings: Mapping[str, tuple[Sighting, ...]] = MappingProxyType({})
    """Where strings were seen, by their marks (`find.mark`) in hexadecimal; `places.parts` returns this form."""
    dry_run: bool = False
    accept_clock: bool = False


class ListLeaks(Operation["LeakPage"]):
    """List leaks, the newest first, a page at a time."""

    task_in = "chosen.task"

    chosen: LeakFilter
    valid: bool = False
    """Only leaks whose credential verifies."""
    limit: int


class ShowLeaks(Operation["list[LeakDetails]"]):
    """Tell everything about leaks, by their numbers or by what leaked."""

    numbers: tuple[int, ...] = ()
    jtis: tuple[str, ...] = ()


class RecountLeaks(Operation["list[Account]"]):
    """Tell what became of leaks, from the issue of what leaked to the close."""

    slow = True

    numbers: tuple[int, ...] = ()
    jtis: tuple[str, ...] = ()


class CloseLeaks(Operation["ClosedLeaks"]):
    """Be done with leaks."""

    numbers: tuple[int, ...] = ()
    jtis: tuple[str, ...] = ()
    reason: str
    valid_too: bool = False
    """Also leaks whose credential still works."""
    accept_clock: bool = False


class ProveLeaks(Operation[int]):
    """Prove of what leaked and is dead that no verifier takes it that asks the ledger, and count it."""

    slow = True

    accept_clock: bool = False


AnyOperation = Trace | AddLeaks | ListLeaks | ShowLeaks | RecountLeaks | CloseLeaks | ProveLeaks
