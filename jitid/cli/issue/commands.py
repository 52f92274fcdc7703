"""Verbs declared for `cli/issue`."""

from __future__ import annotations

from jitid.cli.command import Command
from jitid.model.types import MAY_KIND, SENSITIVITY, TASK
from jitid.operation.verb import READS
from jitid.values.declaration import arg, args, flag, opt, opts
from jitid.values.field_types import (
    AGENT,
    APPROVAL_ID,
    AUDIENCE,
    COMMAND,
    COUNT,
    DELEGATOR,
    DURATION,
    FILE,
    FOLDER,
    KIND_TEMPLATE,
    SCOPE,
    TEXT,
    TIME,
    WHEN,
    choice,
)
from jitid.values.scope import Scope


class IssueCommand(Command):
    """Issue a task-scoped credential and print its token, alone on a line.

    It needs --task and --delegator; or --parent-file, to delegate from the credential whose token is there.
    The delegator is a claim unless it is proved: by your own login, by an ID token, or by a parent's token.
    The first use makes ledger, signing key and policy, and says so. With --count or --from-file there is a
    JSON line for each credential; more than max_issue (10,000 unless configured) needs --yes.

    Where the policy wants an approval, the request for it gets an id, and this ends with status 4, or waits for as
    long as --wait says. Once it is granted, the same line issues.
    """

    verb = "issue"
    function = "issue.issue:issue"

    task: str | None = opt(TASK, "--task", help="The task the identity is for.", env="JITID_TASK")
    delegator: str | None = opt(
        DELEGATOR, "--delegator", help="Who asks: NAME, user:NAME or system:NAME.", env="JITID_DELEGATOR"
    )
    delegator_token_file: str | None = opt(
        FILE,
        "--delegator-token-file",
        help="An ID token that proves the delegator; `-` is standard input.",
        env="JITID_DELEGATOR_TOKEN_FILE",
    )
    agent: str | None = opt(AGENT, "--agent", help="Who acts (default: agent).", env="JITID_AGENT")
    kind: str | None = opt(
        KIND_TEMPLATE,
        "--kind",
        help="What to make: jwt (default), opaque … or KIND:TEMPLATE.",
        env="JITID_KIND",
    )
    scope: tuple[Scope, ...] = opts(
        SCOPE, "--scope", help="A right, as segment:segment; repeatable.", env="JITID_SCOPE"
    )
    audience: tuple[str, ...] = opts(
        AUDIENCE,
        "--audience",
        help="A service that it is shown to; repeatable (default: an identity token).",
        env="JITID_AUDIENCE",
    )
    may_audience: tuple[str, ...] = opts(
        AUDIENCE,
        "--may-audience",
        help="A service it may obtain tokens for, as https://*.example.com; repeatable.",
        env="JITID_MAY_AUDIENCE",
    )
    may_act: tuple[str, ...] = opts(
        TEXT,
        "--may-act",
        help="Let CALLER exchange it for tokens for AUD,…; repeat for the next in a chain.",
        metavar="CALLER=AUD",
    )
    ttl: int | None = opt(
        DURATION, "--ttl", help="How long it lives, as 90s or 15m (default).", env="JITID_TTL"
    )
    purpose: str | None = opt(
        TEXT, "--purpose", help="Why; fixed by a task's first issue.", env="JITID_PURPOSE"
    )
    sensitivity: str | None = opt(
        SENSITIVITY,
        "--sensitivity",
        help="low, moderate (default), high or critical.",
        env="JITID_SENSITIVITY",
    )
    deadline: str | None = opt(
        WHEN, "--deadline", help="When a new task ends: a duration (24h) or a time.", env="JITID_DEADLINE"
    )
    parent_file: str | None = opt(
        FILE,
        "--parent-file",
        help="The token to delegate from; `-` is standard input.",
        env="JITID_PARENT_FILE",
    )
    detail: tuple[str, ...] = opts(
        TEXT, "--detail", help="An authorization detail (RFC 9396); repeatable.", metavar="JSON"
    )
    allow_narrower: bool = flag(
        "--allow-narrower", help="Take the scopes that are permitted, and say which are not."
    )
    out: str | None = opt(FILE, "--out", help="Write the token to FILE, mode 0600.", env="JITID_OUT")
    count: int | None = opt(COUNT, "--count", help="Issue N credentials, one JSON line each.")
    from_file: str | None = opt(
        FILE, "--from-file", help="Issue one for each JSON line; `-` is standard input."
    )
    yes: bool = flag("--yes", help="Issue as many as --count or --from-file says without asking.")
    dry_run: bool = flag("--dry-run", help="Say what would be done, and do nothing.")
    as_of: int | None = opt(
        TIME, "--as-of", help="With --dry-run: what the policy would say at TIME (RFC 3339)."
    )
    wait: int | None = opt(DURATION, "--wait", help="Wait so long for an approval, if one is needed.")
    public_key: str | None = opt(
        FILE, "--public-key", help="The key for a certificate, made by you; `-` is standard input."
    )
    may_kind: tuple[str, ...] = opts(
        MAY_KIND,
        "--may-kind",
        help="A kind that its holder may obtain, as KIND[:TEMPLATE]; repeatable (default: jwt, opaque).",
        env="JITID_MAY_KIND",
    )


class RunCommand(Command):
    """Run a command that has an identity of its own while it runs.

    With --audience the command finds a token for that service in the file $JITID_TOKEN_FILE, one for each further
    service in $JITID_TOKEN_FILE_2 and so on: in memory, renewed before it expires, always whole. The file
    $JITID_PARENT_FILE has its identity token, for jitid alone: a `jitid issue` or `jitid run` inside delegates from it.
    When the command ends, its identity ends, with all that descends from it.

    With --secret it has further credentials of that identity, all of them or it does not start: each is in the file
    $JITID_SECRET_NAME, and a database's, a cloud's or a host's also where psql, the AWS tools and ssh look.

    An agent under your own user is not confined: it can read the signing key, and at a socket it is you. Only another
    user closes this: `jitid serve --socket` under its own user, and the agent under another. The man page has the
    commands.

    It may run until $JITID_EXPIRES_AT, then it gets a TERM and after --grace a KILL (status 124). Otherwise the
    status is the command's own. 125: it was refused, or failed before the command started.
    """

    verb = "run"
    function = "issue.run:run"
    runs_command = True

    command: tuple[str, ...] = args(COMMAND, "CMD...", help="The command, after `--`.", required=True)
    task: str | None = opt(TASK, "--task", help="The task the identity is for.", env="JITID_TASK")
    delegator: str | None = opt(
        DELEGATOR, "--delegator", help="Who asks: NAME, user:NAME or system:NAME.", env="JITID_DELEGATOR"
    )
    delegator_token_file: str | None = opt(
        FILE,
        "--delegator-token-file",
        help="An ID token that proves the delegator; `-` is standard input.",
        env="JITID_DELEGATOR_TOKEN_FILE",
    )
    agent: str | None = opt(
        AGENT, "--agent", help="Who acts (default: the program's name).", env="JITID_AGENT"
    )
    kind: str | None = opt(
        KIND_TEMPLATE,
        "--kind",
        help="What to make: jwt (default), opaque … or KIND:TEMPLATE.",
        env="JITID_KIND",
    )
    scope: tuple[Scope, ...] = opts(
        SCOPE, "--scope", help="A right, as segment:segment; repeatable.", env="JITID_SCOPE"
    )
    audience: tuple[str, ...] = opts(
        AUDIENCE,
        "--audience",
        help="A service that it is shown to; repeatable (default: an identity token).",
        env="JITID_AUDIENCE",
    )
    may_audience: tuple[str, ...] = opts(
        AUDIENCE,
        "--may-audience",
        help="A service it may obtain tokens for, as https://*.example.com; repeatable.",
        env="JITID_MAY_AUDIENCE",
    )
    may_act: tuple[str, ...] = opts(
        TEXT,
        "--may-act",
        help="Let CALLER exchange it for tokens for AUD,…; repeat for the next in a chain.",
        metavar="CALLER=AUD",
    )
    ttl: int | None = opt(
        DURATION, "--ttl", help="How long it lives, as 90s or 15m (default).", env="JITID_TTL"
    )
    purpose: str | None = opt(
        TEXT, "--purpose", help="Why; fixed by a task's first issue.", env="JITID_PURPOSE"
    )
    sensitivity: str | None = opt(
        SENSITIVITY,
        "--sensitivity",
        help="low, moderate (default), high or critical.",
        env="JITID_SENSITIVITY",
    )
    deadline: str | None = opt(
        WHEN, "--deadline", help="When a new task ends: a duration (24h) or a time.", env="JITID_DEADLINE"
    )
    parent_file: str | None = opt(
        FILE,
        "--parent-file",
        help="The token to delegate from; `-` is standard input.",
        env="JITID_PARENT_FILE",
    )
    detail: tuple[str, ...] = opts(
        TEXT, "--detail", help="An authorization detail (RFC 9396); repeatable.", metavar="JSON"
    )
    allow_narrower: bool = flag(
        "--allow-narrower", help="Take the scopes that are permitted, and say which are not."
    )
    env: str | None = opt(
        TEXT, "--env", help="Give the command its token in VAR too; it is then not renewed.", metavar="VAR"
    )
    file: str | None = opt(
        FOLDER, "--file", help="Keep the token in the file DIR/token instead of in memory."
    )
    on_exit: str | None = opt(
        choice("revoke", "keep", metavar="WHAT"),
        "--on-exit",
        help="revoke (default) or keep what the command was given.",
    )
    grace: str | None = opt(
        TEXT, "--grace", metavar="DURATION", help="At its last moment, from TERM to KILL (default 10s)."
    )
    wait: int | None = opt(DURATION, "--wait", help="Wait so long for an approval, if one is needed.")
    secret: tuple[str, ...] = opts(
        TEXT,
        "--secret",
        help="A further credential for the command, as NAME=KIND[:TEMPLATE]; repeatable.",
        metavar="NAME=KIND",
        env="JITID_SECRET",
    )
    may_kind: tuple[str, ...] = opts(
        MAY_KIND,
        "--may-kind",
        help="A kind that its holder may obtain, as KIND[:TEMPLATE]; repeatable (default: jwt, opaque).",
        env="JITID_MAY_KIND",
    )


class RenewCommand(Command):
    """Renew a credential: its successor belongs to the same identity.

    The policy decides anew. Nothing lives longer than the policy's longest lifetime, counted from the first
    issue of the identity. The old token works for a moment more (`overlap`, 30s), and what was delegated from
    it lives on. Without --token-file the new token is printed.

    A certificate, or what a target outside made, is not renewed: another one is issued. `run --secret` does so in time.
    """

    verb = "renew"
    function = "issue.renew:renew"

    token_file: str | None = opt(
        FILE,
        "--token-file",
        help="The token to renew; FILE is rewritten in place. Standard input if absent or `-`.",
    )
    ttl: int | None = opt(
        DURATION, "--ttl", help="How long the successor lives (default: as its predecessor)."
    )
    allow_narrower: bool = flag(
        "--allow-narrower", help="Take the scopes that are permitted, and say which are not."
    )
    out: str | None = opt(FILE, "--out", help="Write it to FILE, for its owner alone (0600).")


class ApproveListCommand(Command):
    """List requests for approval.

    The newest first: those that wait for somebody's word, and those that were granted and not used yet. With
    --open and --group they are those that wait for the word of that group. An authority shows a caller without
    the role admin or auditor the requests that the caller's own groups must approve.
    """

    verb = "approve list"
    function = "issue.approve_verbs:list_"
    effect = READS

    open_: bool = flag("--open", help="Only those that wait for somebody's word.")
    all_: bool = flag("--all", help="Also those that were used or denied, or expired.")
    group: str | None = opt(
        TEXT, "--group", help="Only those that this group has to approve.", metavar="GROUP"
    )
    limit: int | None = opt(COUNT, "--limit", help="At most N rows.")


class ApproveShowCommand(Command):
    """Tell all that an approver has to know about a request.

    Who asks, for whom and for what; which rules ask for the approval, with their text as it was then; and what each
    group has said.
    """

    verb = "approve show"
    function = "issue.approve_verbs:show"
    effect = READS

    request: str = arg(APPROVAL_ID, "REQUEST", help="The id of a request for approval.")


class ApproveGrantCommand(Command):
    """Grant a request: what it asks for can be issued once.

    Beside a private ledger all callers are its owner: another person needs an authority (jitid serve). You are who your
    login says, or the ID token in --delegator-token-file; a name is never taken for it. You have to be a known
    delegator of a group that has to approve, and neither the one who asks nor anybody up the chain of delegation. Look
    at it first: jitid approve show.
    """

    verb = "approve grant"
    function = "issue.approve_verbs:grant"

    request: str = arg(APPROVAL_ID, "REQUEST", help="The id of a request for approval.")
    for_: int | None = opt(
        DURATION, "--for", help="How long it may be used (default and most: approval_lifetime)."
    )
    group: str | None = opt(
        TEXT, "--group", help="Speak for this group alone (default: all of your own).", metavar="GROUP"
    )
    reason: str | None = opt(TEXT, "--reason", help="Why; kept in the audit log.")
    delegator_token_file: str | None = opt(
        FILE,
        "--delegator-token-file",
        help="An ID token that proves who you are (default: your login does); `-` is standard input.",
    )


class ApproveDenyCommand(Command):
    """Deny a request, granted or not, and end it.

    What was issued with it is not ended by that. Who asks for the same again makes a new request.
    """

    verb = "approve deny"
    function = "issue.approve_verbs:deny"

    request: str = arg(APPROVAL_ID, "REQUEST", help="The id of a request for approval.")
    group: str | None = opt(
        TEXT, "--group", help="Speak for this group alone (default: all of your own).", metavar="GROUP"
    )
    reason: str | None = opt(TEXT, "--reason", help="Why; shown to whoever asks, and kept in the audit log.")
    delegator_token_file: str | None = opt(
        FILE,
        "--delegator-token-file",
        help="An ID token that proves who you are (default: your login does); `-` is standard input.",
    )
