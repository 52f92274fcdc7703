"""Verbs declared for `cli/issue`."""

from __future__ import annotations

from jitid.capabilities.issue.request_options import RequestOptions
from jitid.capabilities.run.option_types import FEDERATION, GRACE, ON_EXIT, SECRET, VARIABLE
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
    """Issue a credential for a task and print its token.

    Requires --task and --delegator, or --parent-file to delegate from a token. Without --audience it is an identity
    token, for jitid only. The delegator is unverified unless a login, an ID token or a parent's token proves it. The
    first use creates ledger, signing key and policy. Exit status 4: the policy denies it, or it needs an approval (see
    --wait); after the approval, repeat the same command.
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

    out: str | None = opt(FILE, "--out", "-o", help="Write the token to FILE.", env="JITID_OUT")
    count: int | None = opt(LIMIT, "--count", help="Issue N credentials (JSON lines).")
    from_file: str | None = opt(FILE, "--from-file", help="Issue one per JSON line; `-` for stdin.")
    yes: bool = flag("--yes", "-y", help="Issue more than max_issue credentials.")
    dry_run: bool = dry_run_flag()
    as_of: int | None = opt(TIME, "--as-of", help="With --dry-run: decide as of TIME, or a duration ago.")
    wait: int | None = opt(DURATION, "--wait", help="Maximum time to wait for an approval.")
    public_key: str | None = opt(FILE, "--public-key", help="Public key for a certificate; `-` for stdin.")


class RunCommand(RequestOptions, Verb):
    """Run a command with its own identity; revoke it at the end.

    The file $JITID_TOKEN_FILE has a token for --audience, $JITID_PARENT_FILE the identity token; both are renewed.
    Each --secret is a file $JITID_SECRET_NAME. CMD can read the signing key under your own user. $JITID_EXPIRES_AT is
    after 1h by default, 8h with --sensitivity low. Then CMD gets TERM, and KILL after --grace: status 124. 125: it did
    not start.
    """

    verb = "run"
    function = "issue.run:run"
    runs_command = True

    command: tuple[str, ...] = args(COMMAND, "CMD...", help="Command, after `--`.", required=True)
    agent: str | None = opt(
        AGENT, "--agent", "-a", help="Agent (default: the program's name).", env="JITID_AGENT", default=None
    )
    env: str | None = opt(VARIABLE, "--env", help="Also pass the token in VAR, without renewal.")
    file: str | None = opt(FOLDER, "--file", help="Keep the token in DIR/token, not in memory.")
    on_exit: str = opt(ON_EXIT, "--on-exit", help="revoke (default) or keep the credential.", absent="revoke")
    grace: int = opt(GRACE, "--grace", help="Time from TERM to KILL (default: 10s).", absent=10)
    wait: int | None = opt(DURATION, "--wait", help="Maximum time to wait for an approval.")
    secret: tuple[tuple[str, RequestedKind], ...] = opts(
        SECRET,
        "--secret",
        help="Further credential: NAME=KIND[:TEMPLATE].",
        env="JITID_SECRET",
    )
    for_: tuple[str, ...] = opts(FEDERATION, "--for", help="Vendor, see `federate`; repeatable.")


class RenewCommand(Verb):
    """Renew a credential: issue a successor of the same identity.

    The policy decides again; its maximum lifetime counts from the first issue of the identity. The old token stays
    valid for the `overlap` (30s). Delegated identities are unaffected. Without --token-file the new token is printed.
    Certificates and credentials of targets are never renewed: issue another one, or use `run --secret`.
    """

    verb = "renew"
    function = "issue.issue:renew"
    view = Columns("jitid.renew/1", _ISSUED, single=True)

    token_file: str | None = opt(
        FILE,
        "--token-file",
        help="Token to renew, replaced in FILE (default: stdin).",
    )
    ttl: int | None = opt(DURATION, "--ttl", help="Lifetime (default: that of the old token).")
    allow_narrower: bool = flag("--allow-narrower", help="Renew without refused scopes; report them.")
    out: str | None = private_out_opt()
