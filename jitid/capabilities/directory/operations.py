"""The operations on the directory: its delegators and the recurring agents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from jitid.errors import UsageError
from jitid.formats.columns import Columns
from jitid.model.directory import AGENT_STATE, ALIAS, CONCURRENCY, GROUP, OWNER, PERSON, check_alias
from jitid.model.types import KIND, PURPOSE, SENSITIVITY
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
            "a subject has no blank in it",
            "write 'ISS SUB', its `iss` and its `sub` with one blank between them",
        )
    return check_alias(text)


class AgentOptions(Declared):
    """The stated properties of an agent's record."""

    owner: str | None = local(opt(OWNER, "--owner", help="Who answers for it: a known delegator."))
    purpose: str | None = local(opt(PURPOSE, "--purpose", help="What it is for."))
    scope: tuple[Scope, ...] = local(opts(SCOPE, "--scope", help="What covers what it may hold; repeatable."))
    audience: tuple[str, ...] = local(
        opts(
            AUDIENCE,
            "--audience",
            help="Who its credentials may be meant for; repeatable (default: as usual).",
        )
    )
    kind: tuple[str, ...] = local(
        opts(KIND, "--kind", help="What it may be given; repeatable (default: jwt and opaque).")
    )
    max_ttl: int | None = local(
        opt(DURATION, "--max-ttl", help="How long a credential lives at most (default: 1h).")
    )
    concurrency: int | None = local(
        opt(CONCURRENCY, "--concurrency", help="How many identities may live at once (default: any number).")
    )
    may_use: tuple[str, ...] = local(
        opts(
            SHARE_NAME,
            "--may-use",
            help="A delegator, group:NAME or agent:NAME that may use the name; repeatable.",
        )
    )


class RegisterAgent(AgentOptions, Operation["KeptAgent"]):
    """Register an agent that recurs.

    Somebody known must own it, who may hand out all its scopes, and its purpose must be told. From then on
    it is issued nothing beyond its record, and nothing while it is suspended or its review is overdue. What
    lives under its name already ends, unless it was issued under an earlier record for a delegator who may use
    the name now. More than --max (100 unless configured) needs --yes.
    """

    roles = ("admin",)
    verb = "agent register"
    function = "directory.agent_verbs:register"
    view = KEPT

    name: str = arg(AGENT, "NAME", help="The name of an agent.")
    review: str | None = local(
        opt(WHEN, "--review", help="When it is to be reviewed: a duration or a time (default: 90d).")
    )
    stated: StatedAgent
    due: Due
    most: int | None = computed(COUNT, absent=0, default=None)
    """The maximum number of live credentials, issued under its name before, that may end; None for any number."""
    max_: int | None = local(max_opt())
    yes: bool = local(yes_flag())
    accept_clock: bool = False


class ChangeAgent(AgentOptions, Operation["KeptAgent"]):
    """Change what is recorded of an agent.

    What is stated takes the place of what was there, all its scopes that of all; the rest stays. What it holds
    stays as it was issued, until it is renewed or ends; nothing more is obtained by it than the record has now.
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
            help="Let it have no scope, audience or concurrency; repeatable.",
        )
    )
    stated: StatedAgent
    accept_clock: bool = False


class ReviewAgent(Operation["KeptAgent"]):
    """Record that somebody has looked at an agent, and show what it holds.

    Shown is what there was to look at: who owns it, what it may hold, which of that its owner may not hand out
    themselves, and how many identities of it live.
    """

    summary = "Record that an agent was reviewed."
    roles = ("admin",)
    verb = "agent review"
    function = "directory.agent_verbs:review"
    view = Columns("jitid.agent-review/1", f"{_AGENT} event", durations="max_ttl", single=True)

    name: str = arg(REGISTERED_AGENT, "NAME", help="The name of an agent.")
    next_: str | None = local(
        opt(WHEN, "--next", help="When that is due again: a duration or a time (default: 90d).")
    )
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


class _WithdrawOperation(Operation["WithdrawnAgent"]):
    """An operation that takes an agent out of service, and ends what it holds."""

    roles = ("admin",)

    name: str = arg(REGISTERED_AGENT, "NAME", help="The name of an agent.")
    keep_live: bool = flag("--keep-live", help="Let what it holds live on.", default=False)
    reason: str | None = reason_opt()
    most: int | None = computed(COUNT, absent=0)
    """The maximum number of live credentials that may end; None for any number."""
    dry_run: bool = dry_run_flag()
    max_: int | None = local(max_opt())
    yes: bool = local(yes_flag())
    accept_clock: bool = False


class SuspendAgent(_WithdrawOperation):
    """Issue nothing to an agent until it is resumed, and end what it holds.

    What it delegated ends too, unless all that is to live on with --keep-live. More than --max (100 unless
    configured) needs --yes.
    """

    verb = "agent suspend"
    function = "directory.agent_verbs:suspend"
    view = Columns("jitid.agent-suspend/1", _WITHDRAWN, single=True)


class UnregisterAgent(_WithdrawOperation):
    """End the record of an agent, and what it holds.

    What it delegated ends too, unless all that is to live on with --keep-live. Nothing is issued under its name
    any more, unless it is registered again. More than --max (100 unless configured) needs --yes.
    """

    verb = "agent unregister"
    function = "directory.agent_verbs:unregister"
    view = Columns("jitid.agent-unregister/1", _WITHDRAWN, single=True)


class AgentDetails(Record):
    """All about an agent that is registered, or was."""

    record: Described
    issues: list[Credential]
    """The agent's latest credentials, newest first."""
    now: int


class ShowAgent(Operation["AgentDetails"]):
    """Tell everything about a registered agent.

    That is its record, what its owner is now, how many identities of it live, and what it was issued last.
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
    """List registered agents.

    In the order of their names; those that were unregistered too. An overdue one should have been reviewed, and
    is issued nothing until it is.
    """

    roles = ("responder", "auditor", "admin")
    effect = READS
    verb = "agent list"
    function = "directory.agent_verbs:list_"
    view = Columns(
        "jitid.agent-list/1", _AGENT, brief="agent state owner live review_at", durations="max_ttl"
    )

    owner: str | None = opt(filtered(OWNER), "--owner", help="Of this owner.", default=None)
    """Any name of the owner."""
    state: AgentState | None = opt(
        AGENT_STATE, "--state", help="registered, overdue, suspended or unregistered.", default=None
    )
    limit: int = rows_opt()
    after: str | None = opt(
        filtered(REGISTERED_AGENT), "--after", help="Go on after the agent NAME.", default=None
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
    """Say for each agent's name whether it should be registered.

    From what the ledger remembers it says `register`, with the command that does it, `unregister`, or that a name
    should stay as it is. What is to be done comes first.
    """

    roles = ("auditor", "admin")
    effect = READS
    verb = "agent classify"
    function = "directory.agent_verbs:classify"
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

    names: tuple[str, ...] = args(
        AGENT, "[NAME]...", help="Names of agents; all of them if absent.", default=()
    )
    days: int | None = local(opt(COUNT, "--days", help="For how many days to look back (default: 90)."))
    rule: RecurrenceRule
    limit: int = rows_opt()


class DelegatorOptions(Declared):
    """The stated properties of a delegator in the directory."""

    entitlement: tuple[Scope, ...] = local(
        opts(
            SCOPE,
            "--entitlement",
            help="They may hand out what SCOPE covers, and nothing that none covers; repeatable.",
        )
    )
    no_entitlements: bool = local(
        flag("--no-entitlements", help="They may hand out no scope but by an --entitlement beside it.")
    )
    group: tuple[str, ...] = local(opts(GROUP, "--group", help="They are in GROUP; repeatable."))
    manager: str | None = local(opt(_NEW_PERSON, "--manager", help="The manager of the delegator."))
    alias: tuple[str, ...] = local(opts(ALIAS, "--alias", help="Another name of theirs; repeatable."))
    subject: tuple[str, ...] = local(
        opts(
            typed_as(ALIAS, "SUBJECT", parse=_subject),
            "--subject",
            help="Who they are in ID tokens, as 'ISS SUB', the `iss` and the `sub`; repeatable.",
        )
    )


class AddDelegator(DelegatorOptions, Operation["Edited"]):
    """Add a delegator to the directory.

    Without --entitlement and --no-entitlements the policy alone decides which scopes the delegator may hand out. Each
    name and alias, on a command line or in an ID token, means this delegator. The first use makes the ledger, its
    signing key and the default policy, and says so.
    """

    roles = ("admin",)
    verb = "delegator add"
    function = "directory.delegator_verbs:add"
    view = _EDITED

    name: str = local(arg(_NEW_PERSON, "NAME", help="Their name: NAME, user:NAME or system:NAME."))
    sensitivity: str | None = local(
        opt(SENSITIVITY, "--sensitivity", help="The highest that they may hand out (default: critical).")
    )
    stated: StatedDelegator
    accept_clock: bool = False


class ChangeDelegator(DelegatorOptions, Operation["Edited"]):
    """Change what a delegator may hand out, and who they are.

    What is not named stays. --entitlement, --group and --alias add to what there is: with --no-groups beside it,
    --group says all of them. What was issued already keeps what it holds until it ends.
    """

    roles = ("admin",)
    verb = "delegator change"
    function = "directory.delegator_verbs:change"
    view = _EDITED

    name: str = arg(_KNOWN, "NAME", help="Any name of a known delegator.")
    policy_alone: bool = local(
        flag("--policy-alone", help="Leave it to the policy alone what they may hand out.")
    )
    remove_entitlement: tuple[Scope, ...] = local(
        opts(SCOPE, "--remove-entitlement", help="Take this entitlement away; repeatable.")
    )
    sensitivity: str | None = local(
        opt(SENSITIVITY, "--sensitivity", help="The highest that they may hand out.")
    )
    no_groups: bool = local(flag("--no-groups", help="They are in no group but by a --group beside it."))
    remove_group: tuple[str, ...] = local(
        opts(GROUP, "--remove-group", help="They are in GROUP no longer; repeatable.")
    )
    no_manager: bool = local(flag("--no-manager", help="Remove the manager."))
    no_aliases: bool = local(
        flag("--no-aliases", help="They have no alias but by an --alias or --subject beside it.")
    )
    remove_alias: tuple[str, ...] = local(
        opts(ALIAS, "--remove-alias", help="NAME or 'ISS SUB' is theirs no longer; repeatable.")
    )
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

    name: str = arg(_KNOWN, "NAME", help="Any name of a known delegator.")
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

    name: str = arg(_KNOWN, "NAME", help="Any name of a known delegator.")
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
        "jitid.delegator/1", f"{_DELEGATOR} live agents suspended requests grants access", single=True
    )

    name: str = arg(_KNOWN, "NAME", help="Any name of a known delegator.")


class ListDelegators(Operation["list[Delegator]"]):
    """List delegators.

    In the order of their names; every condition must hold. To page, give the last name seen to --after. What
    --format jsonl prints is what `delegator import` takes.
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

    group: str | None = opt(filtered(GROUP), "--group", help="In this group.", default=None)
    only_disabled: bool = local(flag("--disabled", help="Only those who are disabled."))
    only_enabled: bool = local(flag("--enabled", help="Only those who are not."))
    disabled: bool | None = None
    """None for both."""
    after: str | None = opt(
        filtered(typed_as(PERSON, None, "known")),
        "--after",
        help="Go on after the delegator NAME.",
        default=None,
    )
    limit: int = rows_opt()


class ImportDelegators(Operation["Reconciled"]):
    """Make the directory say what a list of delegators says (CSV, SCIM, JSON lines).

    Whom it names is added, changed, enabled or disabled as it says, all of them or, if a line cannot be meant, nobody.
    Whoever is disabled so is as by `delegator disable`. More than --max (100 unless configured) needs --yes.
    """

    summary = "Make the directory say what a list of delegators says."
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

    file: str = local(arg(FILE, "FILE", help="A file with delegators; `-`: standard input."))
    as_: str | None = local(
        opt(
            choice("csv", "scim", "jsonl", metavar="FORM", label="form of a list"),
            "--as",
            help="csv, scim or jsonl (default: by how FILE's name ends).",
        )
    )
    roster: Roster
    source: RosterSource
    full: bool = flag(
        "--full", help="Disable also those whom an import has brought and FILE lacks.", default=False
    )
    reason: str | None = reason_opt()
    most: int | None = computed(COUNT, absent=0)
    """The maximum number of delegators disabled, and of live credentials ended; None for any number."""
    dry_run: bool = dry_run_flag()
    max_: int | None = local(opt(COUNT, "--max", help="Refuse to disable or end more than N without --yes."))
    yes: bool = local(flag("--yes", help="Disable and end without asking, however many."))
    accept_clock: bool = False
