"""Verbs declared for `cli/identity`."""

from __future__ import annotations

from jitid.capabilities.identity.filter_store import SORT_KEYS, Filter
from jitid.capabilities.inventory.operations import REVOKED
from jitid.errors import UsageError
from jitid.formats.columns import Columns
from jitid.model.types import TASK
from jitid.operation.base import READS, Verb, dry_run_flag, limit_opt, max_opt, reason_opt, yes_flag
from jitid.values.declaration import FieldType, args, flag, opt, optional_arg, opts
from jitid.values.field_types import (
    AGENT,
    AUDIENCE,
    DELEGATOR,
    DURATION,
    EVENT,
    FILE,
    FOLDER,
    ID,
    ID_OR_FILE,
    LIMIT,
    TEXT,
    choice,
    texts,
    typed_as,
)
from jitid.values.ids import parse_id
from jitid.values.names import check_issuer

CREDENTIAL = (
    "id jti task agent delegator delegated_by delegator_proof kind state sensitivity scopes audiences purpose depth "
    "parent issued_at expires_at ended_at signed_by process delegator_state delegated"
)
"""The fields of a credential. Append new ones: scripts and remedies refer to fields by their number."""


BOUND = Columns("jitid.list/1", CREDENTIAL, brief="id task agent state left process", more="left")
"""The view of `list` if some credentials belong to processes: `alive`, `gone`, or `unknown` on this machine."""


def _id_word(*, token_files: bool) -> FieldType[str]:
    """Return the type of ids whose error has a hint for a token, a file or a task in their place.

    `token_files`: the verb has --token-file, besides --task.
    """

    def parse(text: str, _label: str) -> str:
        try:
            parse_id(text)
        except UsageError as error:
            from jitid.cli.hints import hint_for_word

            error.hint = error.hint or hint_for_word(text, token_files=token_files)
            raise
        return text

    return typed_as(ID, parse=parse)


class VerifyCommand(Verb):
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
        texts(check_issuer, "ISS", {}),
        "--issuer",
        help="Without a ledger: whose tokens are taken (default: the setting).",
    )


class AuthorizeCommand(Verb):
    """Say whether a token may be used for an action now, and record the action.

    It may if the token is valid, a scope of it covers the action, and directory and policy, asked as they are
    now, permit this agent that for this delegator. Exit status 0 says allow, 4 deny, 8 that the token is not
    valid. Each action is recorded before it is answered, allowed or denied. With --batch there is a JSON line in
    for each action, with token, action, resource and perhaps context and id, and a JSON line out.
    """

    verb = "authorize"
    function = "identity.authorize:authorize"
    view = Columns(
        "jitid.authorize/1",
        "decision reason rules scope identity jti agent delegator chain task action resource at event",
        single=True,
    )

    token_file: str | None = opt(FILE, "--token-file", help="The token; standard input if absent or `-`.")
    action: str | None = opt(TEXT, "--action", help="What is to be done, as s3:GetObject.", metavar="ACTION")
    resource: str | None = opt(TEXT, "--resource", help="What it is done to.")
    context: str | None = opt(
        TEXT, "--context", help="What policies may know of it: an object, or @FILE.", metavar="JSON"
    )
    audience: tuple[str, ...] = opts(AUDIENCE, "--audience", help="Accept tokens meant for AUD; repeatable.")
    batch: bool = flag("--batch", help="Answer each JSON line of standard input with another.")


class InspectCommand(Verb):
    """Tell everything about a token or an id.

    Claims, chain, state, task, the decision behind it and how many descend from it; the names are those of
    RFC 7662. A token comes from a file or standard input, never from the command line.
    """

    verb = "inspect"
    function = "identity.inspect:inspect"
    effect = READS
    view = Columns(
        "jitid.inspect/1",
        "active reason state sub act chain scope aud iss=issuer exp iat nbf jti client_id=credential.agent "
        "token_type txn=credential.task delegator_proof delegator_state authorization_details id parent depth kind "
        "sensitivity purpose task descendants live_descendants last_used_at scopes_used decision ended "
        "kid=credential.signed_by process template at_target revocation_list delegated may_kind token_use may_audience "
        "may_act",
        single=True,
    )

    subject: str | None = optional_arg(
        ID_OR_FILE,
        "[ID|FILE]",
        help="An id, or a file with a token; `-`: standard input.",
        verb_refuses_tokens=True,
    )


class ListCommand(Filter, Verb):
    """List credentials.

    Newest first; every condition must hold. To page, give the last `jti` seen to --after: rows that are
    issued meanwhile do not move the pages. Off a terminal there are all columns, tab-separated, no header.
    """

    verb = "list"
    function = "identity.list:list_"
    effect = READS
    view = Columns(
        "jitid.list/1",
        CREDENTIAL,
        brief="id task agent delegator state left",
        # It changes every second, so it is shown only in a terminal's table or by its name.
        more="left",
    )

    process: str | None = opt(
        choice("alive", "gone", "unknown", metavar="STATE", label="state of a process"),
        "--process",
        help="Live, and given to a process that is alive, gone or unknown.",
    )
    sort: str = opt(
        choice(*SORT_KEYS, *(f"-{key}" for key in SORT_KEYS), metavar="FIELD"),
        "--sort",
        help="Sort by FIELD; -FIELD turns it round (-issued_at).",
        absent="-issued_at",
    )
    limit: int | None = limit_opt()
    after: str | None = opt(ID, "--after", help="Go on after ID, the last one seen.")


class TreeCommand(Verb):
    """Show who delegated to whom.

    From the root of each ID's tree down, or all the trees of a task. On a terminal it is drawn; elsewhere
    there is a line an identity, parents first. `--format mermaid` and `--format dot` (or --as) write the
    source of a drawing.
    """

    verb = "tree"
    function = "identity.list:tree"
    effect = READS
    view = Columns("jitid.tree/1", "depth id parent agent task delegator state scopes expires_at")
    formats = ("mermaid", "dot")

    ids: tuple[str, ...] = args(_id_word(token_files=False), "[ID]...", help="Identities or credentials.")
    task: str | None = opt(TASK, "--task", help="Of this task.")
    shape: str | None = opt(
        choice("mermaid", "dot", metavar="SHAPE", label="shape"),
        "--as",
        help="mermaid or dot: the tree as a drawing's source.",
    )
    limit: int = opt(LIMIT, "--limit", help="At most N rows.", absent=1_000)


class RevokeCommand(Verb):
    """End credentials before their time, with everything that descends from them.

    Values of one sort are alternatives, different sorts narrow one another: `--task A --agent b` is b's on A.
    What was already dead is no error. More than --max (100 unless configured) needs --yes. What a target has made
    ends there too; --wait tries again what the target does not confirm.
    """

    verb = "revoke"
    function = "identity.revoke:revoke"
    view = REVOKED

    ids: tuple[str, ...] = args(
        _id_word(token_files=True), "[ID]...", help="Identities or credentials.", verb_refuses_tokens=True
    )
    task: tuple[str, ...] = opts(TASK, "--task", help="Those of a task; repeatable.")
    delegator: tuple[str, ...] = opts(
        DELEGATOR, "--delegator", help="Those of a root delegator, or what agent:NAME delegated; repeatable."
    )
    agent: tuple[str, ...] = opts(AGENT, "--agent", help="Those of an agent; repeatable.")
    tree: tuple[str, ...] = opts(
        _id_word(token_files=False), "--tree", help="The whole tree of ID, from its root down; repeatable."
    )
    token_file: tuple[str, ...] = opts(
        FILE, "--token-file", help="The one whose token is in FILE; `-` is standard input."
    )
    ids_file: str | None = opt(FILE, "--ids-file", help="A file with an id a line; `-` is standard input.")
    reason: str | None = reason_opt()
    dry_run: bool = dry_run_flag()
    max_: int | None = max_opt()
    yes: bool = yes_flag()
    wait: int | None = opt(DURATION, "--wait", help="Try so long until targets confirm that nothing is left.")


class ExplainCommand(Verb):
    """Explain a decision: its inputs, its rules, and what would be decided now.

    It is the one that made a credential, the latest of an identity, or that of an audit event. The rules are
    shown as they were then, with the hash of each. What would be decided now is told as if the same were asked
    today, of the policy and the directory as they are, on a task that is open.
    """

    verb = "explain"
    function = "identity.inspect:explain"
    effect = READS
    view = Columns(
        "jitid.explain/1",
        "decision=then.decision reason event operation at by id jti count rules=then.rules granted=then.granted "
        "refused lifetime needs=then.needs asked approvers policy stored texts now differs",
        single=True,
    )

    subject: str | None = optional_arg(
        ID_OR_FILE,
        "[ID|FILE]",
        help="An id, or a file with a token; `-`: standard input.",
        verb_refuses_tokens=True,
    )
    event: int | None = opt(EVENT, "--event", help="The decision of audit event N, such as a denial.")
