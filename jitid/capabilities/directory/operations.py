"""The operations on the directory: its delegators and the recurring agents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from jitid.errors import UsageError
from jitid.formats.columns import Columns
from jitid.model.directory import AGENT_STATE, ALIAS, CONCURRENCY, GROUP, OWNER, PERSON, check_alias
from jitid.model.types import KIND, PURPOSE, SENSITIVITY, TASK
from jitid.operation.base import (
    READS,
    Operation,
    PagedOperation,
    dry_run_flag,
    max_opt,
    reason_opt,
    rows_opt,
    yes_flag,
)
from jitid.values.declaration import Declared, arg, args, computed, flag, local, opt, opts
from jitid.values.field_types import (
    AGENT,
    AUDIENCE,
    COUNT,
    DURATION,
    FILE,
    MAX_ROWS,
    REGISTERED_AGENT,
    SCOPE,
    SHARE_NAME,
    WHEN,
    choice,
    filtered,
    number,
    typed_as,
)
from jitid.values.record import Record
from jitid.values.scope import Scope

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
_AGENT = (
    "agent=agent.name state owner=agent.owner owner_state purpose scopes beyond audiences kinds max_ttl concurrency "
    "live last_issued_at review_at registered_at reviewed_at suspended_at suspended_as unregistered_at users"
)
_BY_NAME, _BY_SOURCE = (
    "name state sensitivity entitlements groups manager aliases",
    "imported added_at disabled_at",
)
_DELEGATOR = f"{_BY_NAME} external_id=delegator.external {_BY_SOURCE}"
_EDITED = Columns("jitid.delegator-change/1", f"{_DELEGATOR} changed live event", single=True)
_NEW_PERSON = typed_as(PERSON, None, "delegators")
_KNOWN = typed_as(ALIAS, None, "known")
"""Any name of a delegator in the directory."""


def _subject(text: str, _label: str) -> str:
    if " " not in text:
        raise UsageError(
            "not a subject: expected `iss` and `sub` with one space between them",
            "write 'ISS SUB'",
        )
    return check_alias(text)


class AgentOptions(Declared):
    """The stated properties of an agent's record."""

    owner: str | None = local(opt(OWNER, "--owner", help="The owner, a known delegator."))
    purpose: str | None = local(opt(PURPOSE, "--purpose", help="The agent's purpose."))
    scope: tuple[Scope, ...] = local(opts(SCOPE, "--scope", "-s", help="Permitted scope; repeatable."))
    audience: tuple[str, ...] = local(
        opts(
            AUDIENCE,
            "--audience",
            help="Permitted audience; repeatable.",
        )
    )
    kind: tuple[str, ...] = local(
        opts(KIND, "--kind", "-k", help="Permitted kind (default: jwt, opaque); repeatable.")
    )
    max_ttl: int | None = local(
        opt(DURATION, "--max-ttl", help="Maximum lifetime of credentials (default: 1h).")
    )
    concurrency: int | None = local(
        opt(CONCURRENCY, "--concurrency", help="Limit of live identities (default: unlimited).")
    )
    may_use: tuple[str, ...] = local(
        opts(
            SHARE_NAME,
            "--may-use",
            help="Permitted user of the name: a delegator, group:NAME, agent:NAME; repeatable.",
        )
    )


class RegisterAgent(AgentOptions, Operation["KeptAgent"]):
    """Register a recurring agent.

    --owner and --purpose are required. The owner must be allowed to hand out all of the agent's scopes. Credentials
    stay within the record. None are issued while the agent is suspended or its review is overdue.

    Live credentials issued under this name before are revoked. Exception: an earlier record permitted them, and
    their delegator may use the name now. More than --max (default: 100) requires --yes.
    """

    roles = ("admin",)
    verb = "agent register"
    function = "directory.agent_verbs:register"
    view = KEPT

    name: str = arg(AGENT, "NAME", help="The name of an agent.")
    review: str | None = local(opt(WHEN, "--review", help="Time of its review, or the delay (default: 90d)."))
    stated: StatedAgent
    due: Due
    most: int | None = computed(COUNT, absent=0, default=None)
    """The maximum number of live credentials, issued under its name before, that may end; None for any number."""
    max_: int | None = local(max_opt())
    yes: bool = local(yes_flag())
    accept_clock: bool = False


class ChangeAgent(AgentOptions, Operation["KeptAgent"]):
    """Change the record of a registered agent.

    An option replaces all earlier values of its field: --scope replaces all scopes. Other fields are unchanged.
    Live credentials stay valid as issued until they expire or are renewed. New credentials obtained with them stay
    within the new record.
    """

    roles = ("admin",)
    verb = "agent change"
    function = "directory.agent_verbs:change"
    view = KEPT

    name: str = arg(REGISTERED_AGENT, "NAME", help="The name of an agent.")
    clear: tuple[str, ...] = local(
        opts(
            choice("scope", "audience", "concurrency", "may-use", metavar="WHAT"),
            "--clear",
            help="Clear scope, audience, concurrency or may-use; repeatable.",
        )
    )
    stated: StatedAgent
    accept_clock: bool = False


class ReviewAgent(Operation["KeptAgent"]):
    """Record the review of an agent, and show its record.

    The output has the owner, the permitted scopes and the number of live identities. Scopes that the owner may not
    hand out are listed as `beyond`.
    """

    summary = "Record the review of an agent."
    roles = ("admin",)
    verb = "agent review"
    function = "directory.agent_verbs:review"
    view = Columns("jitid.agent-review/1", f"{_AGENT} event", durations="max_ttl", single=True)

    name: str = arg(REGISTERED_AGENT, "NAME", help="The name of an agent.")
    next_: str | None = local(
        opt(WHEN, "--next", help="Time of the next review, or the delay (default: 90d).")
    )
    due: Due
    accept_clock: bool = False


class ResumeAgent(Operation["KeptAgent"]):
    """Resume a suspended agent.

    Credentials can then be issued to it again. Its owner must be in the directory, and not disabled.
    """

    roles = ("admin",)
    verb = "agent resume"
    function = "directory.agent_verbs:resume"
    view = KEPT

    name: str = arg(REGISTERED_AGENT, "NAME", help="The name of an agent.")
    accept_clock: bool = False


class _WithdrawOperation(Operation["WithdrawnAgent"]):
    """An operation that takes an agent out of service, and revokes its credentials."""

    roles = ("admin",)

    name: str = arg(REGISTERED_AGENT, "NAME", help="The name of an agent.")
    keep_live: bool = flag("--keep-live", help="Do not revoke the agent's live credentials.", default=False)
    reason: str | None = reason_opt()
    most: int | None = computed(COUNT, absent=0)
    """The maximum number of live credentials that may end; None for any number."""
    dry_run: bool = dry_run_flag()
    max_: int | None = local(max_opt())
    yes: bool = local(yes_flag())
    accept_clock: bool = False


class SuspendAgent(_WithdrawOperation):
    """Suspend an agent, and revoke its credentials.

    Credentials that the agent delegated are revoked too. --keep-live revokes none of them. No credentials are issued
    to the agent until `agent resume`. More than --max (default: 100) requires --yes.
    """

    verb = "agent suspend"
    function = "directory.agent_verbs:suspend"
    view = Columns("jitid.agent-suspend/1", _WITHDRAWN, single=True)


class UnregisterAgent(_WithdrawOperation):
    """Unregister an agent, and revoke its credentials.

    Credentials that the agent delegated are revoked too. --keep-live revokes none of them. No credentials are issued
    under its name until it is registered again. More than --max (default: 100) requires --yes.
    """

    verb = "agent unregister"
    function = "directory.agent_verbs:unregister"
    view = Columns("jitid.agent-unregister/1", _WITHDRAWN, single=True)


class AgentDetails(Record):
    """The record of a registered or unregistered agent, with its latest credentials."""

    record: Described
    issues: list[Credential]
    """The agent's latest credentials, newest first."""
    now: int


class ShowAgent(Operation["AgentDetails"]):
    """Show the record of a registered agent.

    The output also has the owner's state, the number of live identities and the latest credentials.
    """

    roles = ("responder", "auditor", "admin")
    effect = READS
    verb = "agent show"
    function = "directory.agent_verbs:show"
    view = Columns("jitid.agent/1", f"{_AGENT} issues", durations="max_ttl", single=True)

    name: str = arg(REGISTERED_AGENT, "NAME", help="The name of an agent.")
    issues: int = computed(number(0, MAX_ROWS), absent=5)
    """The maximum number of the agent's latest credentials to return."""


class AgentPage(Record):
    """Records of agents, and the time of their states."""

    records: list[Described]
    now: int


class ListAgents(PagedOperation["AgentPage"]):
    """List registered agents, sorted by name.

    Unregistered agents are listed too. No credentials are issued to an overdue agent until it is reviewed.
    """

    roles = ("responder", "auditor", "admin")
    effect = READS
    verb = "agent list"
    function = "directory.agent_verbs:list_"
    view = Columns(
        "jitid.agent-list/1", _AGENT, brief="agent state owner live review_at", durations="max_ttl"
    )

    owner: str | None = opt(filtered(OWNER), "--owner", help="Only agents of this owner.", default=None)
    """Any name of the owner."""
    state: AgentState | None = opt(
        AGENT_STATE, "--state", help="registered, overdue, suspended, unregistered.", default=None
    )
    limit: int = rows_opt()
    after: str | None = opt(
        filtered(REGISTERED_AGENT), "--after", help="Continue after the agent NAME.", default=None
    )

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
    """Advise which agents to register, and which policy they need.

    The advice is based on the ledger's history: `register`, with its command, `unregister`, or no change. Names that
    need a change are listed first. --policy prints a policy for the used scopes instead, or for the granted
    scopes if no use was reported. Delegators, lifetimes and times are limited to the recorded ones.
    """

    roles = ("auditor", "admin")
    effect = READS
    summary = "Advise which agents to register or unregister."
    verb = "agent advise"
    function = "directory.agent_verbs:advise"
    view = Columns(
        "jitid.agent-classify/1",
        "agent advice why command state identities=past.identities live=past.live tasks=past.tasks days=past.days "
        "interval longest_interval first_issued_at=past.first_at last_issued_at run_time_p50=past.run_time.p50 "
        "run_time_p95=past.run_time.p95 run_time_longest=past.run_time.longest concurrency=past.concurrency "
        "delegators=past.delegators delegator=past.delegator delegated=past.delegated scopes=need.scopes "
        "scopes_from=need.scopes_from audiences=need.audiences kinds=need.kinds max_ttl=need.max_ttl",
        brief="agent advice why",
        durations="interval longest_interval run_time_p50 run_time_p95 run_time_longest max_ttl",
    )

    names: tuple[str, ...] = args(AGENT, "[NAME]...", help="Names of agents (default: all).", default=())
    days: int | None = local(opt(COUNT, "--days", help="Number of days to examine (default: 90)."))
    policy: bool = local(flag("--policy", help="Print the policy for the recorded practice."))
    task: str | None = local(opt(TASK, "--task", "-t", help="With --policy: only this task."))
    rule: RecurrenceRule
    limit: int = rows_opt()

    def shown_view(self) -> Columns | None:
        """Return the fields of an advice; None with --policy, which has others."""
        return None if self.policy else self.view


class DelegatorOptions(Declared):
    """The stated properties of a delegator in the directory."""

    entitlement: tuple[Scope, ...] = local(
        opts(
            SCOPE,
            "--entitlement",
            help="Permitted scope (all others are refused); repeatable.",
        )
    )
    no_entitlements: bool = local(flag("--no-entitlements", help="Permit only scopes of --entitlement."))
    group: tuple[str, ...] = local(opts(GROUP, "--group", help="A group of the delegator; repeatable."))
    manager: str | None = local(opt(_NEW_PERSON, "--manager", help="The manager of the delegator."))
    alias: tuple[str, ...] = local(opts(ALIAS, "--alias", help="Another name of the delegator; repeatable."))
    subject: tuple[str, ...] = local(
        opts(
            typed_as(ALIAS, "SUBJECT", parse=_subject),
            "--subject",
            help="Subject in ID tokens, 'ISS SUB'; repeatable.",
        )
    )


class AddDelegator(DelegatorOptions, Operation["Edited"]):
    """Add a delegator to the directory.

    Without --entitlement and --no-entitlements the policy alone decides which scopes the delegator may hand out.
    The name and each alias identify this delegator, on the command line and in ID tokens. The first use creates the
    ledger, its signing key and the default policy, and prints a note.
    """

    roles = ("admin",)
    verb = "delegator add"
    function = "directory.delegator_verbs:add"
    view = _EDITED

    name: str = local(arg(_NEW_PERSON, "NAME", help="The name: NAME, user:NAME or system:NAME."))
    sensitivity: str | None = local(
        opt(SENSITIVITY, "--sensitivity", help="Highest sensitivity (default: critical).")
    )
    stated: StatedDelegator
    accept_clock: bool = False


class ChangeDelegator(DelegatorOptions, Operation["Edited"]):
    """Change a delegator's entitlements, names and groups.

    Other fields are unchanged. --entitlement, --group and --alias add values. With --no-entitlements, --no-groups or
    --no-aliases they replace all earlier values. Issued credentials stay valid as issued until they expire.
    """

    roles = ("admin",)
    verb = "delegator change"
    function = "directory.delegator_verbs:change"
    view = _EDITED

    name: str = arg(_KNOWN, "NAME", help="Any name of a known delegator.")
    policy_alone: bool = local(flag("--policy-alone", help="Remove all limits: the policy alone decides."))
    remove_entitlement: tuple[Scope, ...] = local(
        opts(SCOPE, "--remove-entitlement", help="Remove this entitlement; repeatable.")
    )
    sensitivity: str | None = local(opt(SENSITIVITY, "--sensitivity", help="Highest sensitivity."))
    no_groups: bool = local(flag("--no-groups", help="Remove all groups except those of --group."))
    remove_group: tuple[str, ...] = local(
        opts(GROUP, "--remove-group", help="Remove this group; repeatable.")
    )
    no_manager: bool = local(flag("--no-manager", help="Remove the manager."))
    no_aliases: bool = local(flag("--no-aliases", help="Remove aliases except --alias and --subject."))
    remove_alias: tuple[str, ...] = local(
        opts(ALIAS, "--remove-alias", help="Remove NAME or subject 'ISS SUB'; repeatable.")
    )
    edit: Edit
    accept_clock: bool = False


class DisableDelegator(Operation["Disabled"]):
    """Disable a delegator, and revoke all its credentials.

    All credentials that descend from any name of the delegator are revoked. Its agents are suspended. Its open
    requests for approval and its unused approvals are withdrawn. More than --max (default: 100) requires --yes.
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

    name: str = arg(_KNOWN, "NAME", help="Any name of a known delegator.")
    keep_live: bool = flag("--keep-live", help="Do not revoke the live credentials.", default=False)
    reason: str | None = reason_opt()
    most: int | None = computed(COUNT, absent=0)
    """The maximum number of live credentials that may end; None for any number."""
    dry_run: bool = dry_run_flag()
    max_: int | None = local(max_opt())
    yes: bool = local(yes_flag())
    accept_clock: bool = False


class EnableDelegator(Operation["Enabled"]):
    """Enable a disabled delegator.

    Revoked credentials stay revoked, and suspended agents stay suspended.
    """

    roles = ("admin",)
    verb = "delegator enable"
    function = "directory.delegator_verbs:enable"
    view = Columns("jitid.delegator-enable/1", "name suspended event", single=True)

    name: str = arg(_KNOWN, "NAME", help="Any name of a known delegator.")
    reason: str | None = reason_opt()
    accept_clock: bool = False


class ShowDelegator(Operation["DelegatorDetails"]):
    """Show the directory entry of a delegator.

    The output also has the delegator's agents and number of live credentials, open requests for approval and unused
    approvals.
    """

    roles = ("responder", "auditor", "admin")
    effect = READS
    verb = "delegator show"
    function = "directory.delegator_verbs:show"
    view = Columns(
        "jitid.delegator/1", f"{_DELEGATOR} live agents suspended requests grants access", single=True
    )

    name: str = arg(_KNOWN, "NAME", help="Any name of a known delegator.")


class ListDelegators(Operation["list[Delegator]"]):
    """List delegators, sorted by name.

    All given options must match. For the next page, pass the last name to --after. `delegator import` reads the output
    of --format jsonl.
    """

    roles = ("responder", "auditor", "admin")
    effect = READS
    verb = "delegator list"
    function = "directory.delegator_verbs:list_"
    view = Columns(
        "jitid.delegator-list/1",
        f"{_BY_NAME} external_id=external {_BY_SOURCE}",
        brief="name state sensitivity entitlements groups",
    )

    group: str | None = opt(filtered(GROUP), "--group", help="Only delegators in this group.", default=None)
    only_disabled: bool = local(flag("--disabled", help="Only disabled delegators."))
    only_enabled: bool = local(flag("--enabled", help="Only enabled delegators."))
    disabled: bool | None = None
    """None for both."""
    after: str | None = opt(
        filtered(typed_as(PERSON, None, "known")),
        "--after",
        help="Continue after the delegator NAME.",
        default=None,
    )
    limit: int = rows_opt()


class ImportDelegators(Operation["Reconciled"]):
    """Import a list of delegators (CSV, SCIM or JSON lines).

    Delegators in the list are added, changed, enabled or disabled to match it. If a line is invalid, nothing is
    changed. Disabling has the effects of `delegator disable`. More than --max (default: 100) requires --yes.
    """

    summary = "Import a list of delegators."
    roles = ("admin",)
    verb = "delegator import"
    function = "directory.delegator_import:import_"
    view = Columns(
        "jitid.delegator-import/1",
        "people added=added.number changed=changed.number enabled=enabled.number disabled=disabled.number "
        "missing=missing.number staying=staying.number ended credentials=departure.radius.credentials "
        "identities=departure.radius.identities offline_until=departure.radius.offline_until "
        "agents=departure.ties.agents requests=departure.ties.requests grants=departure.ties.grants "
        "access=departure.ties.access names changes event dry_run",
        single=True,
    )

    file: str = local(arg(FILE, "FILE", help="The file with the list; `-`: standard input."))
    as_: str | None = local(
        opt(
            choice("csv", "scim", "jsonl", metavar="FORM", label="form of a list"),
            "--as",
            help="csv, scim, jsonl (default: by FILE's ending).",
        )
    )
    roster: Roster
    source: RosterSource
    full: bool = flag("--full", help="Disable imported delegators missing in FILE.", default=False)
    reason: str | None = reason_opt()
    most: int | None = computed(COUNT, absent=0)
    """The maximum number of delegators disabled, and of live credentials ended; None for any number."""
    dry_run: bool = dry_run_flag()
    max_: int | None = local(opt(COUNT, "--max", help="Disable or revoke at most N without --yes."))
    yes: bool = local(flag("--yes", "-y", help="Skip the limit and the confirmation."))
    accept_clock: bool = False
