"""Operations on leaks."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Self

from jitid.errors import UsageError
from jitid.formats.columns import Columns
from jitid.model.leak import LEAK, MOST_PLACES, LeakFilter, Sighting
from jitid.operation.base import IDEMPOTENT, READS, Operation
from jitid.values.declaration import arg, args, flag, leaves, local, required_opt, value, values
from jitid.values.field_types import COUNT, ID, ROWS, SHORT_REASON

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jitid.capabilities.leak.exposure import LeakDetails, LeakPage
    from jitid.capabilities.leak.leaks import ClosedLeaks, LeakReport, ReportedLeaks
    from jitid.capabilities.leak.timeline import Account
    from jitid.capabilities.leak.trace_result import Traced
    from jitid.search.find import Finds


LEAK_FIELDS = (
    "leak=leak.key id jti task agent delegator kind source reported_at added_at state valid dead_at exposure "
    "offline_until proved_at closed_at successors delegated lives_until=leak.kin_until places=place_count place "
    "refused_since accepted_until exposure_verifiers"
)
LEAK_BRIEF = "leak jti agent source state exposure"
"""Columns for a terminal of 80 columns, if the source is short."""
LEAKS = Columns("jitid.leak-list/1", LEAK_FIELDS, brief=LEAK_BRIEF)


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
    """Tell everything about a leak.

    By the jti of what leaked it tells of each place where that was found.
    """

    summary = "Tell everything about leaks, by their numbers or by what leaked."
    roles = ("responder", "auditor")
    effect = READS
    verb = "leak show"
    function = "leak.leak_verbs:show"
    view = Columns(
        "jitid.leak/1",
        f"{LEAK_FIELDS} reason=leaked.reason purpose=leaked.credential.purpose chain "
        "issued_at=leaked.credential.issued_at expires_at=leaked.credential.expires_at added_by "
        "event=leaked.leak.event ended_by ended_reason ended_event=leaked.credential.ended_event closed_by "
        "closed_reason closed_event=leaked.leak.closed_event revoke sightings",
    )

    leak: int | str = local(arg(LEAK, "ID", help="The number of a leak, or the jti of what leaked."))
    numbers: tuple[int, ...] = values(COUNT, default=())
    jtis: tuple[str, ...] = values(ID, default=())


class RecountLeaks(Operation["list[Account]"]):
    """Tell what became of leaks, for the report of an incident.

    Who delegated, for what and with which rights, where it was found and what it was used for before the report and
    after it, when it ended and what ended with it, and for how long it was exposed; each step with its audit event.
    At a terminal and with --format markdown it is Markdown.
    """

    roles = ("responder", "auditor")
    effect = READS
    slow = True
    verb = "leak timeline"
    function = "leak.leak_verbs:timeline"
    view = Columns("jitid.leak-timeline/1", "at leak what by event told")
    formats = ("markdown",)

    leaks: tuple[int | str, ...] = local(
        args(
            LEAK,
            "ID...",
            help="The number of a leak, or the jti of what leaked.",
            required=True,
            verb_refuses_tokens=True,
        )
    )
    numbers: tuple[int, ...] = values(COUNT, default=())
    jtis: tuple[str, ...] = values(ID, default=())


class CloseLeaks(Operation["ClosedLeaks"]):
    """Close leaks: somebody is done with them.

    The reason must be given. What still works is not closed without --yes. A jti closes all its leaks.
    """

    roles = ("responder",)
    verb = "leak close"
    function = "leak.leak_verbs:close"
    view = Columns("jitid.leak-close/1", "closed already valid living event", single=True)

    leaks: tuple[int | str, ...] = local(
        args(LEAK, "ID...", help="The number of a leak, or the jti of what leaked.", required=True)
    )
    numbers: tuple[int, ...] = values(COUNT, default=())
    jtis: tuple[str, ...] = values(ID, default=())
    reason: str = required_opt(SHORT_REASON, "--reason", help="Why; kept in the audit log.")
    valid_too: bool = flag("--yes", help="Close also what still works.", default=False)
    accept_clock: bool = False


class ProveLeaks(Operation[int]):
    """Prove of what leaked and is dead that no verifier takes it that asks the ledger, and count it."""

    roles = ("responder", "sweeper")
    effect = IDEMPOTENT
    slow = True

    accept_clock: bool = False
