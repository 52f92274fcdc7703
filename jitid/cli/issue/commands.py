"""Verbs declared for `cli/issue`."""

from __future__ import annotations

from jitid.capabilities.issue.request_options import RequestOptions
from jitid.capabilities.run.option_types import GRACE, ON_EXIT, SECRET, VARIABLE
from jitid.formats.columns import Columns
from jitid.model.credential import RequestedKind
from jitid.operation.base import Verb, dry_run_flag, private_out_opt
from jitid.values.declaration import args, flag, opt, opts
from jitid.values.field_types import (
    AGENT,
    COMMAND,
    DURATION,
    FILE,
    FOLDER,
    LIMIT,
    TIME,
)

_GRANTED = (
    "task agent delegator delegator_proof parent depth kind sensitivity scopes audiences issued_at expires_at "
    "delegator_state template"
)
_ISSUED = f"token id jti {_GRANTED} secret may_audience may_act"
GRANTED = Columns("jitid.issue/1", f"{_GRANTED} may_audience may_act", single=True)
"""The common fields of copies."""


class IssueCommand(RequestOptions, Verb):
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
    # The kind adds fields, and a dry run has others, so that neither is the view of the verb.
    issued = Columns("jitid.issue/1", _ISSUED, single=True)
    decided = Columns(
        "jitid.decision/1",
        f"decision rules=decision.rules reason=decision.reason {' '.join(GRANTED.fields)} lifetime refused_scopes "
        "notes policy=decision.policy",
        single=True,
    )

    out: str | None = opt(FILE, "--out", help="Write the token to FILE, mode 0600.", env="JITID_OUT")
    count: int | None = opt(LIMIT, "--count", help="Issue N credentials, one JSON line each.")
    from_file: str | None = opt(
        FILE, "--from-file", help="Issue one for each JSON line; `-` is standard input."
    )
    yes: bool = flag("--yes", help="Issue as many as --count or --from-file says without asking.")
    dry_run: bool = dry_run_flag()
    as_of: int | None = opt(
        TIME, "--as-of", help="With --dry-run: what the policy would say at TIME (RFC 3339)."
    )
    wait: int | None = opt(DURATION, "--wait", help="Wait so long for an approval, if one is needed.")
    public_key: str | None = opt(
        FILE, "--public-key", help="The key for a certificate, made by you; `-` is standard input."
    )


class RunCommand(RequestOptions, Verb):
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
    agent: str | None = opt(
        AGENT, "--agent", help="Who acts (default: the program's name).", env="JITID_AGENT", default=None
    )
    env: str | None = opt(
        VARIABLE, "--env", help="Give the command its token in VAR too; it is then not renewed."
    )
    file: str | None = opt(
        FOLDER, "--file", help="Keep the token in the file DIR/token instead of in memory."
    )
    on_exit: str = opt(
        ON_EXIT, "--on-exit", help="revoke (default) or keep what the command was given.", absent="revoke"
    )
    grace: int = opt(GRACE, "--grace", help="At its last moment, from TERM to KILL (default 10s).", absent=10)
    wait: int | None = opt(DURATION, "--wait", help="Wait so long for an approval, if one is needed.")
    secret: tuple[tuple[str, RequestedKind], ...] = opts(
        SECRET,
        "--secret",
        help="A further credential for the command, as NAME=KIND[:TEMPLATE]; repeatable.",
        env="JITID_SECRET",
    )


class RenewCommand(Verb):
    """Renew a credential: its successor belongs to the same identity.

    The policy decides anew. Nothing lives longer than the policy's longest lifetime, counted from the first
    issue of the identity. The old token works for a moment more (`overlap`, 30s), and what was delegated from
    it lives on. Without --token-file the new token is printed.

    A certificate, or what a target outside made, is not renewed: another one is issued. `run --secret` does so in time.
    """

    verb = "renew"
    function = "issue.issue:renew"
    view = Columns("jitid.renew/1", _ISSUED, single=True)

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
    out: str | None = private_out_opt()
