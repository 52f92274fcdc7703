"""Verbs declared for `cli/identity`."""

from __future__ import annotations

from jitid.cli.command import Command
from jitid.model.types import ANY_KIND, SENSITIVITY, TASK
from jitid.operation.verb import READS
from jitid.values.declaration import arg, args, flag, opt, optional_arg, opts
from jitid.values.field_types import (
    AGENT,
    AUDIENCE,
    COUNT,
    DELEGATOR,
    DURATION,
    EVENT,
    FILE,
    FOLDER,
    ID,
    ID_OR_FILE,
    KEY_ID,
    SCOPE,
    STATED_ID,
    TEXT,
    TIME,
    choice,
)
from jitid.values.scope import Scope


class VerifyCommand(Command):
    """Say whether a token is valid: silent and 0 if it is, 8 with the reason on standard error if not.

    Signature, issuer, type, audience, expiry, the ledger's state of it and of everything it descends from
    are checked. The token is read from FILE or from standard input. With --published, or --jwks and --status-list,
    no ledger is asked: what was published says whether it was ended.
    """

    verb = "verify"
    function = "identity.verify:verify"
    effect = READS

    file: str | None = optional_arg(
        FILE, "[FILE]", help="A file with a token; standard input if absent or `-`.", verb_refuses_tokens=True
    )
    audience: tuple[str, ...] = opts(AUDIENCE, "--audience", help="Accept tokens meant for AUD; repeatable.")
    status_list: str | None = opt(
        FILE, "--status-list", help="Ask no ledger but this status list, which the token names."
    )
    jwks: str | None = opt(FILE, "--jwks", help="With --status-list: the keys that sign both (JWKS).")
    published: str | None = opt(
        FOLDER, "--published", help="Ask no ledger but what `jitid publish` wrote into DIR."
    )
    issuer: str | None = opt(
        TEXT,
        "--issuer",
        help="Without a ledger: whose tokens are taken (default: the setting).",
        metavar="ISS",
    )


class AuthorizeCommand(Command):
    """Say whether a token may be used for an action now, and record the action.

    It may if the token is valid, a scope of it covers the action, and directory and policy, asked as they are
    now, permit this agent that for this delegator. Exit status 0 says allow, 4 deny, 8 that the token is not
    valid. Each action is recorded before it is answered, allowed or denied. With --batch there is a JSON line in
    for each action, with token, action, resource and perhaps context and id, and a JSON line out.
    """

    verb = "authorize"
    function = "identity.authorize:authorize"

    token_file: str | None = opt(FILE, "--token-file", help="The token; standard input if absent or `-`.")
    action: str | None = opt(TEXT, "--action", help="What is to be done, as s3:GetObject.", metavar="ACTION")
    resource: str | None = opt(TEXT, "--resource", help="What it is done to.")
    context: str | None = opt(
        TEXT, "--context", help="What policies may know of it: an object, or @FILE.", metavar="JSON"
    )
    audience: tuple[str, ...] = opts(AUDIENCE, "--audience", help="Accept tokens meant for AUD; repeatable.")
    batch: bool = flag("--batch", help="Answer each JSON line of standard input with another.")


class InspectCommand(Command):
    """Tell everything about a token or an id.

    Claims, chain, state, task, the decision behind it and how many descend from it; the names are those of
    RFC 7662. A token comes from a file or standard input, never from the command line.
    """

    verb = "inspect"
    function = "identity.inspect:inspect"
    effect = READS

    subject: str | None = optional_arg(
        ID_OR_FILE,
        "[ID|FILE]",
        help="An id, or a file with a token; `-`: standard input.",
        verb_refuses_tokens=True,
    )


class ListCommand(Command):
    """List credentials.

    Newest first; every condition must hold. To page, give the last `jti` seen to --after: rows that are
    issued meanwhile do not move the pages. Off a terminal there are all columns, tab-separated, no header.
    """

    verb = "list"
    function = "identity.list:list_"
    effect = READS

    task: str | None = opt(TASK, "--task", help="Of this task.")
    delegator: str | None = opt(
        DELEGATOR, "--delegator", help="Of this root delegator, or delegated by agent:NAME."
    )
    agent: str | None = opt(AGENT, "--agent", help="Of this agent.")
    kind: str | None = opt(ANY_KIND, "--kind", help="Of this kind.")
    state: str | None = opt(
        choice("pending", "active", "expired", "revoked", "retired", "superseded", metavar="STATE"),
        "--state",
        help="pending, active, expired, revoked, retired or superseded.",
    )
    live: bool = flag("--live", help="Only what is alive.")
    unsettled: bool = flag("--unsettled", help="Only what has ended, and is still to be ended at its target.")
    sensitivity: str | None = opt(SENSITIVITY, "--sensitivity", help="Of this sensitivity.")
    proof: str | None = opt(
        choice("asserted", "os-user", "credential", "oidc", "parent", metavar="PROOF"),
        "--proof",
        help="Delegator proved so: asserted, os-user, credential, parent or oidc.",
    )
    scope: Scope | None = opt(SCOPE, "--scope", help="Holding exactly this scope.")
    audience: str | None = opt(AUDIENCE, "--audience", help="Meant for this audience.")
    purpose: str | None = opt(TEXT, "--purpose", help="Of a task with this purpose.")
    id_: str | None = opt(ID, "--id", help="This identity or credential.")
    parent: str | None = opt(ID, "--parent", help="Delegated by this identity.")
    depth: int | None = opt(COUNT, "--depth", help="So many delegations from the root.")
    signed_by: str | None = opt(KEY_ID, "--signed-by", help="Signed by this key.")
    process: str | None = opt(
        choice("alive", "gone", "unknown", metavar="STATE"),
        "--process",
        help="Live, and given to a process that is alive, gone or unknown.",
    )
    since: int | None = opt(TIME, "--since", help="From TIME on (RFC 3339).")
    until: int | None = opt(TIME, "--until", help="Before TIME (RFC 3339).")
    expires_before: int | None = opt(TIME, "--expires-before", help="Expiring before TIME (RFC 3339).")
    expires_after: int | None = opt(TIME, "--expires-after", help="Expiring at TIME or later (RFC 3339).")
    sort: str | None = opt(
        choice(
            "issued_at",
            "expires_at",
            "task",
            "agent",
            "delegator",
            "depth",
            "id",
            "-issued_at",
            "-expires_at",
            "-task",
            "-agent",
            "-delegator",
            "-depth",
            "-id",
            metavar="FIELD",
        ),
        "--sort",
        help="Sort by FIELD; -FIELD turns it round (-issued_at).",
    )
    limit: int | None = opt(COUNT, "--limit", help="At most N rows.")
    after: str | None = opt(ID, "--after", help="Go on after ID, the last one seen.")


class TreeCommand(Command):
    """Show who delegated to whom.

    From the root of each ID's tree down, or all the trees of a task. On a terminal it is drawn; elsewhere
    there is a line an identity, parents first. `--format mermaid` and `--format dot` (or --as) write the
    source of a drawing.
    """

    verb = "tree"
    function = "identity.tree:tree"
    effect = READS

    ids: tuple[str, ...] = args(STATED_ID, "[ID]...", help="Identities or credentials.")
    task: str | None = opt(TASK, "--task", help="Of this task.")
    shape: str | None = opt(
        choice("mermaid", "dot", metavar="SHAPE"),
        "--as",
        help="mermaid or dot: the tree as a drawing's source.",
    )
    limit: int | None = opt(COUNT, "--limit", help="At most N rows.")


class RevokeCommand(Command):
    """End credentials before their time, with everything that descends from them.

    Values of one sort are alternatives, different sorts narrow one another: `--task A --agent b` is b's on A.
    What was already dead is no error. More than --max (100 unless configured) needs --yes. What a target has made
    ends there too; --wait tries again what the target does not confirm.
    """

    verb = "revoke"
    function = "identity.revoke:revoke"

    ids: tuple[str, ...] = args(
        STATED_ID, "[ID]...", help="Identities or credentials.", verb_refuses_tokens=True
    )
    task: tuple[str, ...] = opts(TASK, "--task", help="Those of a task; repeatable.")
    delegator: tuple[str, ...] = opts(
        DELEGATOR, "--delegator", help="Those of a root delegator, or what agent:NAME delegated; repeatable."
    )
    agent: tuple[str, ...] = opts(AGENT, "--agent", help="Those of an agent; repeatable.")
    tree: tuple[str, ...] = opts(ID, "--tree", help="The whole tree of ID, from its root down; repeatable.")
    token_file: tuple[str, ...] = opts(
        FILE, "--token-file", help="The one whose token is in FILE; `-` is standard input."
    )
    ids_file: str | None = opt(FILE, "--ids-file", help="A file with an id a line; `-` is standard input.")
    reason: str | None = opt(TEXT, "--reason", help="Why; kept in the audit log.")
    dry_run: bool = flag("--dry-run", help="Say what would be done, and do nothing.")
    max_: int | None = opt(COUNT, "--max", help="Refuse to end more than N without --yes.")
    yes: bool = flag("--yes", help="End them without asking, however many.")
    wait: int | None = opt(DURATION, "--wait", help="Try so long until targets confirm that nothing is left.")


class RetireCommand(Command):
    """End a task, with every identity and credential of it.

    What descends from them ends too, and the task's name is never used again. Retiring twice is no error.
    --dry-run says what would end. What a target has made ends there too; --wait tries again what the target does
    not confirm.
    """

    verb = "retire"
    function = "identity.retire:retire"

    task: str = arg(TASK, "TASK", help="The name of a task, or OWNER/NAME.")
    reason: str | None = opt(TEXT, "--reason", help="Why; kept in the audit log.")
    dry_run: bool = flag("--dry-run", help="Say what would be done, and do nothing.")
    wait: int | None = opt(DURATION, "--wait", help="Try so long until targets confirm that nothing is left.")


class ExplainCommand(Command):
    """Explain a decision: its inputs, its rules, and what would be decided now.

    It is the one that made a credential, the latest of an identity, or that of an audit event. The rules are
    shown as they were then, with the hash of each. What would be decided now is told as if the same were asked
    today, of the policy and the directory as they are, on a task that is open.
    """

    verb = "explain"
    function = "identity.explain:explain"
    effect = READS

    subject: str | None = optional_arg(
        ID_OR_FILE,
        "[ID|FILE]",
        help="An id, or a file with a token; `-`: standard input.",
        verb_refuses_tokens=True,
    )
    event: int | None = opt(EVENT, "--event", help="The decision of audit event N, such as a denial.")
