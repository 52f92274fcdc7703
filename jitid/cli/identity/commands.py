"""The verbs `list`, `status`, `whoami` and `login`; operations declare the others."""

from __future__ import annotations

from jitid.capabilities.identity.filter_store import SORT_KEYS, Filter
from jitid.capabilities.inventory.operations import TASK_STATES, ListTasks, ShowTree
from jitid.formats.columns import Columns
from jitid.model.credential import State
from jitid.operation.base import READS, Verb, rows_opt
from jitid.values.declaration import args, flag, opt
from jitid.values.field_types import DURATION, ID, STATED_ID, TEXT, choice, typed_as

_ISSUED = (
    "id jti task agent delegator delegated_by delegator_proof kind state sensitivity scopes audiences purpose"
)
CREDENTIAL = (
    f"{_ISSUED} depth parent issued_at expires_at ended_at signed_by process delegator_state delegated"
)
"""The fields of a credential. Append new ones: scripts and remedies refer to fields by their number."""


BOUND = Columns(
    "jitid.list/1",
    CREDENTIAL,
    brief="id task agent delegator state left process",
    spare="left process delegator",
    more="left",
)
"""The view of `list` if some credentials belong to processes: `alive`, `gone`, or `unknown` on this machine."""


class ListCommand(Filter, Verb):
    """List credentials, delegation trees or tasks.

    The newest come first; all conditions must match. For the next page, pass the last `jti` to --after; new rows do not
    move the pages. A pipe gets all columns, tab-separated, without a header.

    --tree draws the delegations, from the root down. --by task lists tasks, with the number of their
    credentials; their states are open, overdue and ended.
    """

    verb = "list"
    function = "identity.list:list_"
    formats = ("mermaid", "dot")
    effect = READS
    view = Columns(
        "jitid.list/1",
        CREDENTIAL,
        brief="id task agent delegator state left",
        spare="left delegator",
        # It changes every second, so it is shown only in a terminal's table or by its name.
        more="left",
    )

    ids: tuple[str, ...] = args(STATED_ID, "[ID]...", help="Only these identities or credentials.")
    tree: bool = flag("--tree", help="Draw the delegation trees of IDs or of --task; alone, all live ones.")
    shape: str | None = opt(
        choice("mermaid", "dot", metavar="SHAPE", label="shape"),
        "--as",
        help="With --tree: a diagram for mermaid or dot.",
    )
    by: str | None = opt(
        choice("task", metavar="task", label="value of `--by`"),
        "--by",
        help="List tasks, with their credentials.",
    )
    state: str | None = opt(
        choice(*State, *TASK_STATES, metavar="STATE", label="state"),
        "--state",
        help="Such as active, expired or revoked; of tasks: open.",
    )
    process: str | None = opt(
        choice("alive", "gone", "unknown", metavar="STATE", label="state of a process"),
        "--process",
        help="Live, of a process that is alive, gone or unknown.",
    )
    sort: str = opt(
        choice(*SORT_KEYS, *(f"-{key}" for key in SORT_KEYS), metavar="FIELD"),
        "--sort",
        help="Sort by FIELD; -FIELD: descending (-issued_at).",
        absent="-issued_at",
    )
    limit: int = rows_opt()
    after: str | None = opt(
        typed_as(ID, "ID|TASK", parse=lambda text, _: text),
        "--after",
        help="Start after this credential or task.",
    )

    def shown_view(self) -> Columns:
        """Return the fields of credentials, of nodes of a tree, or of tasks."""
        return ShowTree.view if self.tree else ListTasks.view if self.by else self.view


class StatusCommand(Verb):
    """Show live and expiring credentials, and open problems.

    It ends with one command to run next. Without a role at an authority, it counts only your own credentials.
    """

    verb = "status"
    function = "identity.status:status"
    effect = READS
    view = Columns(
        "jitid.status/1",
        "live expiring next_expiry open_tasks overdue_tasks leaked standing unsettled approvals swept_at "
        "findings ledger issuer next login login_issuer login_expires_at",
        single=True,
    )

    soon: int = opt(DURATION, "--soon", help="Count credentials that expire within (15m).", absent=900)


class WhoamiCommand(Verb):
    """Show your identity, roles and powers here.

    The output has your login, the ledger or the authority, your roles, and the credential that `issue` delegates from.
    `confinement` states whether this user can read the signing key or act as a person.
    """

    verb = "whoami"
    function = "identity.status:whoami"
    effect = READS
    view = Columns(
        "jitid.whoami/1",
        "caller delegator proof roles agent task expires_at ledger issuer confinement reason "
        "login login_issuer login_expires_at state",
        single=True,
    )


class LoginCommand(Verb):
    """Log in at an identity provider.

    The provider is an issuer of the configuration with a `client_id`; a browser opens there. A login expires after the
    setting login_lifetime, or earlier with --out. At an authority you are then a caller without a role. Beside a
    ledger, credentials that this system user issues for you have the delegator proof `oidc`.

    Register a public client (native application, PKCE) with the redirect address http://127.0.0.1/login at the
    provider: see jitid-login(7).
    """

    verb = "login"
    function = "identity.login:login"
    view = Columns("jitid.login/1", "delegator issuer authenticated_at expires_at access state", single=True)

    issuer: str | None = opt(
        TEXT,
        "--issuer",
        help="Issuer of the configuration, or its host (default: the only one).",
        metavar="ISSUER",
    )
    device: bool = flag("--device", help="Confirm a code in a browser on another device.")
    no_browser: bool = flag("--no-browser", help="Print the address, and open no browser.")
    fresh: bool = flag("--fresh", help="Require a new authentication at the provider.")
    ends: bool = flag("--out", help="Log out.")
