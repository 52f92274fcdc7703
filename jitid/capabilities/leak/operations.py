"""Operations on leaks."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Self

from jitid.errors import UsageError
from jitid.formats.columns import Columns
from jitid.model.leak import LEAK, MOST_PLACES, LeakFilter, Sighting
from jitid.operation.base import IDEMPOTENT, READS, Operation
from jitid.values.declaration import args, flag, leaves, local, required_opt, value, values
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
LEAK_BRIEF = "leak jti agent state exposure_verifiers"
"""Columns for a terminal of 80 columns; of the exposures the longer one, which no early refusal by the ledger hides."""
LEAKS = Columns("jitid.leak-list/1", LEAK_FIELDS, brief=LEAK_BRIEF)


class Trace(Operation["Traced"]):
    """Identify the credentials of found strings."""

    roles = ("responder", "auditor")
    effect = READS

    finds: Finds


class AddLeaks(Operation["ReportedLeaks"]):
    """Record the credentials of found strings as leaked; ids are ignored."""

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
                raise UsageError("a mark must have 32 hexadecimal digits")
        return self


class ListLeaks(Operation["LeakPage"]):
    """Return a page of leaks, the newest first."""

    roles = ("responder", "auditor")
    effect = READS
    task_in = "chosen.task"

    chosen: LeakFilter
    valid: bool = False
    """Only leaks whose credential verifies."""
    limit: int = value(ROWS)


class ShowLeaks(Operation["list[LeakDetails]"]):
    """Show all facts about leaks, or their history.

    A jti shows each leak of that credential. --timeline shows a history for an incident report: the delegation chain
    and rights, the places where the secret was found, its uses, its end, and the exposure. Each step names its audit
    event. The history is Markdown at a terminal and with --format markdown.
    """

    summary = "Return all facts about leaks, by their numbers or by the jtis of their credentials."
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
    formats = ("markdown",)

    leaks: tuple[int | str, ...] = local(
        args(
            LEAK,
            "ID...",
            help="Number of a leak, or jti of its credential.",
            required=True,
            verb_refuses_tokens=True,
        )
    )
    timeline: bool = local(flag("--timeline", help="Show the history, for an incident report."))
    numbers: tuple[int, ...] = values(COUNT, default=())
    jtis: tuple[str, ...] = values(ID, default=())

    def shown_view(self) -> Columns | None:
        """Return the fields of a leak, or of a step in its history."""
        return TIMELINE if self.timeline else self.view


TIMELINE = Columns("jitid.leak-timeline/1", "at leak what by event told")
"""The fields of a step in the history of a leak."""


class RecountLeaks(Operation["list[Account]"]):
    """Return the history of leaks."""

    roles = ("responder", "auditor")
    effect = READS
    slow = True

    numbers: tuple[int, ...] = values(COUNT, default=())
    jtis: tuple[str, ...] = values(ID, default=())


class CloseLeaks(Operation["ClosedLeaks"]):
    """Close leaks that need no further action.

    --reason is required. While the credential still works, closing its leak requires --yes. A jti closes all leaks of
    that credential.
    """

    roles = ("responder",)
    verb = "leak close"
    function = "leak.leak_verbs:close"
    view = Columns("jitid.leak-close/1", "closed already valid living event", single=True)

    leaks: tuple[int | str, ...] = local(
        args(LEAK, "ID...", help="Number of a leak, or jti of its credential.", required=True)
    )
    numbers: tuple[int, ...] = values(COUNT, default=())
    jtis: tuple[str, ...] = values(ID, default=())
    reason: str = required_opt(SHORT_REASON, "--reason", help="Reason for the audit log.")
    valid_too: bool = flag("--yes", "-y", help="Also close leaks of working credentials.", default=False)
    accept_clock: bool = False


class ProveLeaks(Operation[int]):
    """Record proof that the ledger refuses leaked credentials that have ended; return the number of new proofs."""

    roles = ("responder", "sweeper")
    effect = IDEMPOTENT
    slow = True

    accept_clock: bool = False
