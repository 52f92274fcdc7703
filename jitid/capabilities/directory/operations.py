"""The operations on the directory: its delegators and the recurring agents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from jitid.formats.columns import Columns
from jitid.model.directory import ALIAS
from jitid.operation.base import READS, Operation, PagedOperation, dry_run_flag, max_opt, reason_opt, yes_flag
from jitid.values.declaration import arg, computed, flag, local, value, values
from jitid.values.field_types import (
    AGENT,
    COUNT,
    FILTER,
    MAX_ROWS,
    REASON,
    REGISTERED_AGENT,
    ROWS,
    number,
    typed_as,
)
from jitid.values.record import Record

if TYPE_CHECKING:
    from jitid.capabilities.directory.delegators import DelegatorDetails, Disabled, Edit, Edited, Enabled
    from jitid.capabilities.directory.recurrence import Classified, RecurrenceRule
    from jitid.capabilities.directory.registry import Described, Due, KeptAgent, StatedAgent, WithdrawnAgent
    from jitid.capabilities.directory.roster.roster_entry import Roster, StatedDelegator
    from jitid.capabilities.directory.roster_diff import Reconciled, RosterSource
    from jitid.model.credential import Credential
    from jitid.model.directory import AgentState, Delegator


KEPT = Columns("jitid.agent-kept/1", "agent=agent.name state owner live review_at event", single=True)
"""The outcome of a change of an agent's record."""
_WITHDRAWN = (
    "agent=agent.name state kept ended credentials identities matched tasks delegators offline_until event dry_run "
    "confirmed unconfirmed refused_since accepted_until"
)
BY_NAME, BY_SOURCE = (
    "name state sensitivity entitlements groups manager aliases",
    "imported added_at disabled_at",
)
DELEGATOR_FIELDS = f"{BY_NAME} external_id=delegator.external {BY_SOURCE}"
KNOWN = typed_as(ALIAS, None, "known")
"""Any name of a delegator in the directory."""


class RegisterAgent(Operation["KeptAgent"]):
    """Record an agent that recurs."""

    roles = ("admin",)

    name: str = value(AGENT)
    stated: StatedAgent
    due: Due
    most: int | None = value(COUNT, default=None)
    """The maximum number of live credentials, issued under its name before, that may end; None for any number."""
    accept_clock: bool = False


class ChangeAgent(Operation["KeptAgent"]):
    """Change what is stated of an agent."""

    roles = ("admin",)

    name: str = value(AGENT)
    stated: StatedAgent
    accept_clock: bool = False


class ReviewAgent(Operation["KeptAgent"]):
    """Record a review of an agent: of the credentials that it has, and of those that it may have."""

    roles = ("admin",)

    name: str = value(AGENT)
    due: Due
    accept_clock: bool = False


class ResumeAgent(Operation["KeptAgent"]):
    """Let a suspended agent be issued to again.

    Its owner must be known, and not disabled.
    """

    roles = ("admin",)
    verb = "agent resume"
    function = "directory.agent_verbs:resume"
    view = KEPT

    name: str = arg(REGISTERED_AGENT, "NAME", help="The name of an agent.")
    accept_clock: bool = False


class SuspendAgent(Operation["WithdrawnAgent"]):
    """Issue nothing to an agent until it is resumed, and end what it holds.

    What it delegated ends too, unless all that is to live on with --keep-live. More than --max (100 unless
    configured) needs --yes.
    """

    roles = ("admin",)
    verb = "agent suspend"
    function = "directory.agent_verbs:suspend"
    view = Columns("jitid.agent-suspend/1", _WITHDRAWN, single=True)

    name: str = arg(REGISTERED_AGENT, "NAME", help="The name of an agent.")
    keep_live: bool = flag("--keep-live", help="Let what it holds live on.", default=False)
    reason: str | None = reason_opt()
    most: int | None = computed(COUNT, absent=0)
    """The maximum number of live credentials that may end; None for any number."""
    dry_run: bool = dry_run_flag()
    max_: int | None = local(max_opt())
    yes: bool = local(yes_flag())
    accept_clock: bool = False


class UnregisterAgent(Operation["WithdrawnAgent"]):
    """End the record of an agent, and what it holds.

    What it delegated ends too, unless all that is to live on with --keep-live. Nothing is issued under its name
    any more, unless it is registered again. More than --max (100 unless configured) needs --yes.
    """

    roles = ("admin",)
    verb = "agent unregister"
    function = "directory.agent_verbs:unregister"
    view = Columns("jitid.agent-unregister/1", _WITHDRAWN, single=True)

    name: str = arg(REGISTERED_AGENT, "NAME", help="The name of an agent.")
    keep_live: bool = flag("--keep-live", help="Let what it holds live on.", default=False)
    reason: str | None = reason_opt()
    most: int | None = computed(COUNT, absent=0)
    dry_run: bool = dry_run_flag()
    max_: int | None = local(max_opt())
    yes: bool = local(yes_flag())
    accept_clock: bool = False


class AgentDetails(Record):
    """All about an agent that is registered, or was."""

    record: Described
    issues: list[Credential]
    """The agent's latest credentials, newest first."""
    now: int


class ShowAgent(Operation["AgentDetails"]):
    """Tell everything about an agent."""

    roles = ("responder", "auditor", "admin")
    effect = READS

    name: str = value(AGENT)
    issues: int = value(number(0, MAX_ROWS))
    """The maximum number of the agent's latest credentials to return."""


class AgentPage(Record):
    """Records of agents, and the time of their states."""

    records: list[Described]
    now: int


class ListAgents(PagedOperation["AgentPage"]):
    """List records of agents in the order of their names, a page at a time."""

    roles = ("responder", "auditor", "admin")
    effect = READS

    owner: str | None = value(FILTER, default=None)
    """Any name of the owner."""
    state: AgentState | None = None
    after: str | None = value(FILTER, default=None)
    limit: int = value(ROWS)

    def following(self, row: Described) -> Self:
        """Return the request that continues after an agent."""
        return self.replace(after=row.agent.name)

    def rows_of(self, answer: AgentPage) -> list[Described]:
        """Return the records."""
        return list(answer.records)

    def joined(self, answer: AgentPage, rows: list[Described]) -> AgentPage:
        """Return a page with all records."""
        return answer._replace(records=rows)


class ClassifyAgents(Operation["Classified"]):
    """Say for each agent's name whether it should have a record, from what the ledger remembers of it."""

    roles = ("auditor", "admin")
    effect = READS

    names: tuple[str, ...] = values(AGENT, default=())
    """Names of agents; empty for all."""
    rule: RecurrenceRule
    limit: int = value(ROWS)


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
    """Disable a delegator, and end all credentials that descend from that delegator.

    This includes credentials issued under any other name of the delegator. Agents of the delegator are suspended; open
    requests for approval, and approvals that are granted and unused, are withdrawn. More than --max
    (100 unless configured) needs --yes.
    """

    roles = ("admin",)
    verb = "delegator disable"
    function = "directory.delegator_verbs:disable"
    view = Columns(
        "jitid.delegator-disable/1",
        "name=delegator.name ended credentials=departure.radius.credentials identities=departure.radius.identities "
        "tasks=departure.radius.tasks offline_until=departure.radius.offline_until kept_live "
        "agents=departure.ties.agents others=departure.ties.others requests=departure.ties.requests "
        "grants=departure.ties.grants access=departure.ties.access event dry_run",
        single=True,
    )

    name: str = arg(KNOWN, "NAME", help="Any name of a known delegator.")
    keep_live: bool = flag(
        "--keep-live", help="What descends from them lives on until it ends by itself.", default=False
    )
    reason: str | None = reason_opt()
    most: int | None = computed(COUNT, absent=0)
    """The maximum number of live credentials that may end; None for any number."""
    dry_run: bool = dry_run_flag()
    max_: int | None = local(max_opt())
    yes: bool = local(yes_flag())
    accept_clock: bool = False


class EnableDelegator(Operation["Enabled"]):
    """Let a disabled delegator delegate again.

    What ended stays ended, and the agents that were suspended with them stay so.
    """

    roles = ("admin",)
    verb = "delegator enable"
    function = "directory.delegator_verbs:enable"
    view = Columns("jitid.delegator-enable/1", "name suspended event", single=True)

    name: str = arg(KNOWN, "NAME", help="Any name of a known delegator.")
    reason: str | None = reason_opt()
    accept_clock: bool = False


class ShowDelegator(Operation["DelegatorDetails"]):
    """Tell everything about a delegator.

    This includes the number of live credentials that descend from the delegator, the delegator's agents, open requests
    for approval, and approvals that are granted and unused.
    """

    roles = ("responder", "auditor", "admin")
    effect = READS
    verb = "delegator show"
    function = "directory.delegator_verbs:show"
    view = Columns(
        "jitid.delegator/1", f"{DELEGATOR_FIELDS} live agents suspended requests grants access", single=True
    )

    name: str = arg(KNOWN, "NAME", help="Any name of a known delegator.")


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
