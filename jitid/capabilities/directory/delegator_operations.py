"""The operations on the directory's delegators; `delegator_perform.py` performs them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitid.model.directory import ALIAS
from jitid.operation.base import Operation
from jitid.operation.verb import READS
from jitid.values.declaration import value
from jitid.values.field_types import COUNT, FILTER, REASON, ROWS

if TYPE_CHECKING:
    from jitid.capabilities.directory.delegators import DelegatorDetails, Disabled, Edit, Edited, Enabled
    from jitid.capabilities.directory.import_delegators import Reconciled, RosterSource
    from jitid.capabilities.directory.roster.roster_entry import Roster, StatedDelegator
    from jitid.model.directory import Delegator


class AddDelegator(Operation["Edited"]):
    """Add a delegator to the directory."""

    roles = ("admin",)

    stated: StatedDelegator
    accept_clock: bool = False


class ChangeDelegator(Operation["Edited"]):
    """Change what the directory has of a delegator."""

    roles = ("admin",)

    name: str = value(ALIAS)
    edit: Edit
    accept_clock: bool = False


class DisableDelegator(Operation["Disabled"]):
    """Disable a delegator, and end what hangs on them."""

    roles = ("admin",)

    name: str = value(ALIAS)
    keep_live: bool = False
    """Keep the credentials valid that descend from the delegator."""
    reason: str | None = value(REASON, default=None)
    most: int | None = value(COUNT)
    """The maximum number of live credentials that may end; None for any number."""
    dry_run: bool = False
    accept_clock: bool = False


class EnableDelegator(Operation["Enabled"]):
    """Let a delegator delegate again."""

    roles = ("admin",)

    name: str = value(ALIAS)
    reason: str | None = value(REASON, default=None)
    accept_clock: bool = False


class ShowDelegator(Operation["DelegatorDetails"]):
    """Tell everything about a delegator."""

    roles = ("responder", "auditor", "admin")
    effect = READS

    name: str = value(ALIAS)


class ListDelegators(Operation["list[Delegator]"]):
    """List delegators in the order of their names, a page at a time."""

    roles = ("responder", "auditor", "admin")
    effect = READS

    group: str | None = value(FILTER, default=None)
    disabled: bool | None = None
    """None for both."""
    after: str | None = value(FILTER, default=None)
    limit: int = value(ROWS)


class ImportDelegators(Operation["Reconciled"]):
    """Make the directory say what a list says."""

    roles = ("admin",)

    roster: Roster
    source: RosterSource
    full: bool = False
    """Whether the list is complete: imported delegators that it lacks are then disabled."""
    reason: str | None = value(REASON, default=None)
    most: int | None = value(COUNT)
    """The maximum number of delegators disabled, and of live credentials ended; None for any number."""
    dry_run: bool = False
    accept_clock: bool = False
