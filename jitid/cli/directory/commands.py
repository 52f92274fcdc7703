"""Verbs declared for `cli/directory`."""

from __future__ import annotations

from jitid.capabilities.access.operations import GRANTED
from jitid.capabilities.directory.operations import BY_NAME, BY_SOURCE, DELEGATOR_FIELDS, KEPT, KNOWN
from jitid.errors import UsageError
from jitid.formats.columns import Columns
from jitid.model.access import ROLE
from jitid.model.directory import ALIAS, CONCURRENCY, GROUP, OWNER, PERSON, check_alias
from jitid.model.types import KIND, PURPOSE, SENSITIVITY, TASK
from jitid.operation.base import READS, Verb, dry_run_flag, limit_opt, max_opt, reason_opt, yes_flag
from jitid.values.declaration import Declared, arg, args, flag, opt, optional_arg, opts
from jitid.values.field_types import (
    ACCESS_ID,
    AGENT,
    AUDIENCE,
    COUNT,
    DELEGATOR,
    DURATION,
    FILE,
    REGISTERED_AGENT,
    SCOPE,
    SHARE_NAME,
    WHEN,
    choice,
    typed_as,
)
from jitid.values.ids import parse_access_id
from jitid.values.names import check_delegator
from jitid.values.scope import Scope

_AGENT = (
    "agent=agent.name state owner=agent.owner owner_state purpose scopes beyond audiences kinds max_ttl concurrency "
    "live last_issued_at review_at registered_at reviewed_at suspended_at suspended_as unregistered_at users"
)


_EDITED = Columns("jitid.delegator-change/1", f"{DELEGATOR_FIELDS} changed live event", single=True)


def _holder(text: str, _label: str) -> str:
    if text.startswith("acc_"):
        parse_access_id(text)
        return text
    return check_delegator(text)


def _subject(text: str, _label: str) -> str:
    if " " not in text:
        raise UsageError(
            "a subject has no blank in it",
            "write 'ISS SUB', its `iss` and its `sub` with one blank between them",
        )
    return check_alias(text)


_NEW_PERSON = typed_as(PERSON, None, "delegators")
_PERSON = typed_as(PERSON, None, "known")
_SUBJECT = typed_as(ALIAS, "SUBJECT", parse=_subject)


class AccessGrantCommand(Verb):
    """Grant a person or a service access to an authority, and print the access token.

    The caller authenticates with the access token (jitid --remote, or the HTTP header Authorization). It is printed
    once, alone on a line, and cannot be shown again.

    A caller without a role may issue for itself, delegate from, renew and hand back its own credentials, and decide
    on approvals for its groups. Each role is granted separately; no role includes another.

    A verifier sees tokens for its own audiences (--audience), or for any (--all-audiences). A service with an
    audience of its own may exchange a token for that audience if `may_act` in the token names the service.

    With --key a client authenticates with its private key (RFC 7523), and the verb prints the id. FILE has the
    public key: a JWK, PEM, or a line of OpenSSH.
    """

    verb = "access grant"
    function = "directory.access_verbs:grant"
    view = GRANTED

    name: str = arg(DELEGATOR, "NAME", help="A person or a service: user:NAME, system:NAME.")
    role: tuple[str, ...] = opts(
        ROLE,
        "--role",
        help="What they may do: issuer, verifier, responder, sweeper, auditor, admin; repeatable.",
    )
    audience: tuple[str, ...] = opts(
        AUDIENCE, "--audience", help="An audience of its own; repeatable. It sees tokens for these alone."
    )
    all_audiences: bool = flag("--all-audiences", help="Let it see tokens for any audience.")
    ttl: int | None = opt(
        DURATION,
        "--ttl",
        help="For how long (default: a token 12h and at most 30d, a key 30d and at most 365d).",
    )
    key: str | None = opt(
        FILE, "--key", help="Register the public key in FILE (JWK, PEM, OpenSSH); no access token is made."
    )
    out: str | None = opt(FILE, "--out", help="Write the access token to FILE, mode 0600.")


class AccessRevokeCommand(Verb):
    """Revoke access: one by its id, or all access of a person or a service.

    For a caller with a role, an id also revokes the predecessors and successors that its holder made by rotation: a
    thief may have made them. Those that a role rotated stay; a caller without a role revokes only the id itself.

    Credentials that were issued to the caller stay valid: jitid-revoke(1) revokes them.
    """

    verb = "access revoke"
    function = "directory.access_verbs:revoke"
    view = Columns("jitid.access-revoke/1", "ended=ids event", single=True)

    whose: tuple[str, ...] = args(
        typed_as(ACCESS_ID, parse=_holder),
        "WHOSE...",
        help="Ids of access credentials, or names.",
        required=True,
    )
    reason: str | None = reason_opt()


class AccessBootstrapCommand(Verb):
    """Write the bootstrap credential, which grants access to the first administrator.

    It is written to a new FILE. For one hour it can grant the role admin, once, and nothing else. If an
    administrator exists already, no bootstrap credential is made.
    """

    verb = "access bootstrap"
    function = "directory.access_verbs:bootstrap"

    file: str = arg(FILE, "FILE", help="The file to make; it must not be there yet.")


class DelegatorOptions(Declared):
    """The stated properties of a delegator in the directory."""

    entitlement: tuple[Scope, ...] = opts(
        SCOPE,
        "--entitlement",
        help="They may hand out what SCOPE covers, and nothing that none covers; repeatable.",
    )
    no_entitlements: bool = flag(
        "--no-entitlements", help="They may hand out no scope but by an --entitlement beside it."
    )
    group: tuple[str, ...] = opts(GROUP, "--group", help="They are in GROUP; repeatable.")
    manager: str | None = opt(_NEW_PERSON, "--manager", help="The manager of the delegator.")
    alias: tuple[str, ...] = opts(ALIAS, "--alias", help="Another name of theirs; repeatable.")
    subject: tuple[str, ...] = opts(
        _SUBJECT,
        "--subject",
        help="Who they are in ID tokens, as 'ISS SUB', the `iss` and the `sub`; repeatable.",
    )


class DelegatorAddCommand(DelegatorOptions, Verb):
    """Add a delegator to the directory.

    Without --entitlement and --no-entitlements the policy alone decides which scopes the delegator may hand out. Each
    name and alias, on a command line or in an ID token, means this delegator. The first use makes the ledger, its
    signing key and the default policy, and says so.
    """

    verb = "delegator add"
    function = "directory.delegator_verbs:add"
    view = _EDITED

    name: str = arg(_NEW_PERSON, "NAME", help="Their name: NAME, user:NAME or system:NAME.")
    sensitivity: str | None = opt(
        SENSITIVITY, "--sensitivity", help="The highest that they may hand out (default: critical)."
    )


class DelegatorChangeCommand(DelegatorOptions, Verb):
    """Change what a delegator may hand out, and who they are.

    What is not named stays. --entitlement, --group and --alias add to what there is: with --no-groups beside it,
    --group says all of them. What was issued already keeps what it holds until it ends.
    """

    verb = "delegator change"
    function = "directory.delegator_verbs:change"
    view = _EDITED

    name: str = arg(KNOWN, "NAME", help="Any name of a known delegator.")
    policy_alone: bool = flag("--policy-alone", help="Leave it to the policy alone what they may hand out.")
    remove_entitlement: tuple[Scope, ...] = opts(
        SCOPE, "--remove-entitlement", help="Take this entitlement away; repeatable."
    )
    sensitivity: str | None = opt(SENSITIVITY, "--sensitivity", help="The highest that they may hand out.")
    no_groups: bool = flag("--no-groups", help="They are in no group but by a --group beside it.")
    remove_group: tuple[str, ...] = opts(
        GROUP, "--remove-group", help="They are in GROUP no longer; repeatable."
    )
    no_manager: bool = flag("--no-manager", help="Remove the manager.")
    no_aliases: bool = flag(
        "--no-aliases", help="They have no alias but by an --alias or --subject beside it."
    )
    remove_alias: tuple[str, ...] = opts(
        ALIAS, "--remove-alias", help="NAME or 'ISS SUB' is theirs no longer; repeatable."
    )


class DelegatorListCommand(Verb):
    """List delegators.

    In the order of their names; every condition must hold. To page, give the last name seen to --after. What
    --format jsonl prints is what `delegator import` takes.
    """

    verb = "delegator list"
    function = "directory.delegator_verbs:list_"
    view = Columns(
        "jitid.delegator-list/1",
        f"{BY_NAME} external_id=external {BY_SOURCE}",
        brief="name state sensitivity entitlements groups",
    )
    effect = READS

    group: str | None = opt(GROUP, "--group", help="In this group.")
    disabled: bool = flag("--disabled", help="Only those who are disabled.")
    enabled: bool = flag("--enabled", help="Only those who are not.")
    after: str | None = opt(_PERSON, "--after", help="Go on after the delegator NAME.")
    limit: int | None = limit_opt()


class DelegatorImportCommand(Verb):
    """Make the directory say what a list of delegators says (CSV, SCIM, JSON lines).

    Whom it names is added, changed, enabled or disabled as it says, all of them or, if a line cannot be meant, nobody.
    Whoever is disabled so is as by `delegator disable`. More than --max (100 unless configured) needs --yes.
    """

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

    file: str = arg(FILE, "FILE", help="A file with delegators; `-`: standard input.")
    as_: str | None = opt(
        choice("csv", "scim", "jsonl", metavar="FORM", label="form of a list"),
        "--as",
        help="csv, scim or jsonl (default: by how FILE's name ends).",
    )
    full: bool = flag("--full", help="Disable also those whom an import has brought and FILE lacks.")
    reason: str | None = reason_opt()
    dry_run: bool = dry_run_flag()
    max_: int | None = opt(COUNT, "--max", help="Refuse to disable or end more than N without --yes.")
    yes: bool = flag("--yes", help="Disable and end without asking, however many.")


class AgentRecordOptions(Declared):
    """The stated properties of an agent's record."""

    owner: str | None = opt(OWNER, "--owner", help="Who answers for it: a known delegator.")
    purpose: str | None = opt(PURPOSE, "--purpose", help="What it is for.")
    scope: tuple[Scope, ...] = opts(SCOPE, "--scope", help="What covers what it may hold; repeatable.")
    audience: tuple[str, ...] = opts(
        AUDIENCE, "--audience", help="Who its credentials may be meant for; repeatable (default: as usual)."
    )
    kind: tuple[str, ...] = opts(
        KIND, "--kind", help="What it may be given; repeatable (default: jwt and opaque)."
    )
    max_ttl: int | None = opt(
        DURATION, "--max-ttl", help="How long a credential lives at most (default: 1h)."
    )
    concurrency: int | None = opt(
        CONCURRENCY, "--concurrency", help="How many identities may live at once (default: any number)."
    )
    may_use: tuple[str, ...] = opts(
        SHARE_NAME,
        "--may-use",
        help="A delegator, group:NAME or agent:NAME that may use the name; repeatable.",
    )


class AgentRegisterCommand(AgentRecordOptions, Verb):
    """Register an agent that recurs.

    Somebody known must own it, who may hand out all its scopes, and its purpose must be told. From then on
    it is issued nothing beyond its record, and nothing while it is suspended or its review is overdue. What
    lives under its name already ends, unless it was issued under an earlier record for a delegator who may use
    the name now. More than --max (100 unless configured) needs --yes.
    """

    verb = "agent register"
    function = "directory.agent_verbs:register"
    view = KEPT

    name: str = arg(AGENT, "NAME", help="The name of an agent.")
    review: str | None = opt(
        WHEN, "--review", help="When it is to be reviewed: a duration or a time (default: 90d)."
    )
    max_: int | None = max_opt()
    yes: bool = yes_flag()


class AgentChangeCommand(AgentRecordOptions, Verb):
    """Change what is recorded of an agent.

    What is stated takes the place of what was there, all its scopes that of all; the rest stays. What it holds
    stays as it was issued, until it is renewed or ends; nothing more is obtained by it than the record has now.
    """

    verb = "agent change"
    function = "directory.agent_verbs:change"
    view = KEPT

    name: str = arg(REGISTERED_AGENT, "NAME", help="The name of an agent.")
    clear: tuple[str, ...] = opts(
        choice("scope", "audience", "concurrency", "may-use", metavar="WHAT"),
        "--clear",
        help="Let it have no scope, audience or concurrency; repeatable.",
    )


class AgentShowCommand(Verb):
    """Tell everything about a registered agent.

    That is its record, what its owner is now, how many identities of it live, and what it was issued last.
    """

    verb = "agent show"
    function = "directory.agent_verbs:show"
    view = Columns("jitid.agent/1", f"{_AGENT} issues", single=True)
    effect = READS

    name: str = arg(REGISTERED_AGENT, "NAME", help="The name of an agent.")


class AgentListCommand(Verb):
    """List registered agents.

    In the order of their names; those that were unregistered too. An overdue one should have been reviewed, and
    is issued nothing until it is.
    """

    verb = "agent list"
    function = "directory.agent_verbs:list_"
    view = Columns("jitid.agent-list/1", _AGENT, brief="agent state owner live review_at")
    effect = READS

    owner: str | None = opt(OWNER, "--owner", help="Of this owner.")
    state: str | None = opt(
        choice(
            "registered", "overdue", "suspended", "unregistered", metavar="STATE", label="state of an agent"
        ),
        "--state",
        help="registered, overdue, suspended or unregistered.",
    )
    limit: int | None = limit_opt()
    after: str | None = opt(REGISTERED_AGENT, "--after", help="Go on after the agent NAME.")


class AgentReviewCommand(Verb):
    """Record that somebody has looked at an agent, and show what it holds.

    Shown is what there was to look at: who owns it, what it may hold, which of that its owner may not hand out
    themselves, and how many identities of it live.
    """

    verb = "agent review"
    function = "directory.agent_verbs:review"
    view = Columns("jitid.agent-review/1", f"{_AGENT} event", single=True)

    name: str = arg(REGISTERED_AGENT, "NAME", help="The name of an agent.")
    next_: str | None = opt(
        WHEN, "--next", help="When that is due again: a duration or a time (default: 90d)."
    )


class AgentClassifyCommand(Verb):
    """Say for each agent's name whether it should be registered.

    From what the ledger remembers it says `register`, with the command that does it, `unregister`, or that a name
    should stay as it is. What is to be done comes first.
    """

    verb = "agent classify"
    function = "directory.agent_verbs:classify"
    view = Columns(
        "jitid.agent-classify/1",
        "agent advice why command state identities live tasks days interval longest_interval first_issued_at "
        "last_issued_at run_time_p50 run_time_p95 run_time_longest concurrency delegators delegator delegated scopes "
        "scopes_from audiences kinds max_ttl",
        brief="agent advice why",
    )
    effect = READS

    names: tuple[str, ...] = args(AGENT, "[NAME]...", help="Names of agents; all of them if absent.")
    days: int | None = opt(COUNT, "--days", help="For how many days to look back (default: 90).")
    limit: int | None = limit_opt()


class AgentSuggestCommand(Verb):
    """Write the policy that permits an agent what it needs.

    It permits the scopes that were used where use is reported, otherwise those that were granted, to whom, for
    how long and when it happened, and nothing besides. With --task alone it is about all agents of that task.
    """

    verb = "agent suggest"
    function = "directory.agent_verbs:suggest"
    view = Columns(
        "jitid.agent-suggest/1",
        "agent policy rules scopes scopes_from max_ttl delegators identities=practice.identities "
        "credentials=practice.credentials uses=practice.uses first_at=practice.first_at last_at=practice.last_at",
    )
    effect = READS

    name: str | None = optional_arg(AGENT, "[NAME]", help="The name of an agent.")
    task: str | None = opt(TASK, "--task", help="What was issued on this task alone.")
    days: int | None = opt(COUNT, "--days", help="For how many days to look back (default: 90).")
