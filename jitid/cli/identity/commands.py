"""The verb `list`, which lists by the processes of this machine, too; operations declare the others."""

from __future__ import annotations

from jitid.capabilities.identity.filter_store import SORT_KEYS, Filter
from jitid.formats.columns import Columns
from jitid.operation.base import READS, Verb, rows_opt
from jitid.values.declaration import opt
from jitid.values.field_types import DURATION, ID, choice

_ISSUED = (
    "id jti task agent delegator delegated_by delegator_proof kind state sensitivity scopes audiences purpose"
)
CREDENTIAL = (
    f"{_ISSUED} depth parent issued_at expires_at ended_at signed_by process delegator_state delegated"
)
"""The fields of a credential. Append new ones: scripts and remedies refer to fields by their number."""


BOUND = Columns("jitid.list/1", CREDENTIAL, brief="id task agent state left process", more="left")
"""The view of `list` if some credentials belong to processes: `alive`, `gone`, or `unknown` on this machine."""


class ListCommand(Filter, Verb):
    """List credentials.

    The newest come first; all conditions must match. For the next page, pass the last `jti` to --after; new rows do not
    move the pages. A pipe gets all columns, tab-separated, without a header.
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
        help="Live, of a process that is alive, gone or unknown.",
    )
    sort: str = opt(
        choice(*SORT_KEYS, *(f"-{key}" for key in SORT_KEYS), metavar="FIELD"),
        "--sort",
        help="Sort by FIELD; -FIELD: descending (-issued_at).",
        absent="-issued_at",
    )
    limit: int = rows_opt()
    after: str | None = opt(ID, "--after", help="Start after this credential.")


class StatusCommand(Verb):
    """Show what is live, what expires soon, and what needs attention.

    It ends with one command to run next. Without a role at an authority, it counts only your own credentials.
    """

    verb = "status"
    function = "identity.status:status"
    effect = READS
    view = Columns(
        "jitid.status/1",
        "live expiring next_expiry open_tasks overdue_tasks leaked standing unsettled approvals swept_at "
        "findings ledger issuer next",
        single=True,
    )

    soon: int = opt(DURATION, "--soon", help="Count credentials that expire within (15m).", absent=900)


class WhoamiCommand(Verb):
    """Show who you are to jitid here, and what you may do.

    Login, ledger or authority, roles, the credential that `issue` delegates from, and whether this user can read
    the signing key or act as a person.
    """

    verb = "whoami"
    function = "identity.status:whoami"
    effect = READS
    view = Columns(
        "jitid.whoami/1",
        "caller delegator proof roles agent task expires_at ledger issuer confinement reason",
        single=True,
    )
