"""Operations that list, show and end credentials and tasks, and share tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from jitid.formats.columns import Columns
from jitid.model.types import TASK
from jitid.operation.base import (
    IDEMPOTENT,
    READS,
    Operation,
    PagedOperation,
    dry_run_flag,
    max_opt,
    reason_opt,
    subject_arg,
    yes_flag,
)
from jitid.values.declaration import (
    arg,
    args,
    authority_only,
    computed,
    flag,
    local,
    opt,
    opts,
    required_opt,
    value,
    values,
)
from jitid.values.field_types import (
    AGENT,
    COUNT,
    DELEGATOR,
    DURATION,
    EVENT,
    FILE,
    FILTER,
    ID,
    ROWS,
    SHARE_NAME,
    STATED_ID,
    choice,
    text,
    typed_as,
)
from jitid.values.ids import PREFIXES
from jitid.values.record import Record

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jitid.capabilities.identity.filter_store import Filter
    from jitid.capabilities.identity.revocation_result import Ended
    from jitid.model.client_session import ClientSession
    from jitid.model.credential import Credential
    from jitid.model.ledger_rows import Ancestor, Selection
    from jitid.model.target import Outside
    from jitid.model.task import Task
    from jitid.model.use import Used
    from jitid.values.secret import Secret


def _wait_opt() -> int | None:
    return opt(DURATION, "--wait", help="Maximum time to retry unconfirmed targets.")


class Inspection(Record):
    """All facts about a token or an id."""

    credential: Credential
    active: bool
    reason: str | None
    """Why the credential is not active; None if it is."""
    lineage: list[Ancestor]
    task: Task
    issuer: str
    trust_domain: str
    descendants: int
    live_descendants: int
    event: Mapping[str, Any] | None
    """The audit event that issued it, with the request and the rules that decided."""
    ended_event: Mapping[str, Any] | None
    used: Sequence[Used]
    """The uses of its identity by scope, as far as enforcement points reported them."""
    outside: Outside | None = None
    """The credential at its target and the outcome of ending it there; None if jitid itself made the credential."""
    session: ClientSession | None = None
    """The client's names for the identity; None if no client reported a session."""


_CLAIMS = "active reason state sub act chain scope aud iss=issuer exp iat nbf jti client_id=credential.agent token_type"
_IDENTITY = (
    "txn=credential.task delegator_proof delegator_state authorization_details id parent depth kind sensitivity "
    "purpose task descendants live_descendants last_used_at scopes_used decision ended"
)


class Inspect(Operation["Inspection"]):
    """Show everything about a token, id, task, agent or delegator.

    Of a credential: claims, chain, state, task, decision, and the number of descendants, with the field names of RFC
    7662. Pass a token by a file or standard input, never on the command line. --why explains the decision that issued
    it, and the decision of the current policy and directory.
    """

    summary = "Return all facts about a credential, by its token or its id."
    roles = ("responder", "auditor")
    for_own = True
    effect = READS
    verb = "inspect"
    function = "identity.inspect:inspect"
    view = Columns(
        "jitid.inspect/1",
        f"{_CLAIMS} {_IDENTITY} kid=credential.signed_by process template at_target revocation_list delegated may_kind "
        "token_use may_audience may_act subject exchanged_until session",
        single=True,
    )

    subject: str | None = local(subject_arg())
    task: str | None = local(opt(TASK, "--task", "-t", help="Show this task."))
    why: bool = local(flag("--why", help="Explain the decision: inputs, rules, today's outcome."))
    event: int | None = local(opt(EVENT, "--event", help="Explain audit event N, such as a denial."))
    id: str | None = value(ID, default=None)
    token: Secret | None = None

    def shown_view(self) -> Columns | None:
        """Return the fields of a credential; None if the line may name an object of another type."""
        subject = self.subject or "-"
        is_credential = subject == "-" or subject.startswith(PREFIXES)
        return self.view if is_credential and not (self.why or self.event or self.task) else None


class Page(Record):
    """Credentials, and the time of their states."""

    credentials: list[Credential]
    now: int


class ListCredentials(PagedOperation["Page"]):
    """List credentials, a page at a time."""

    roles = ("responder", "auditor")
    for_own = True
    effect = READS
    task_in = "chosen.task"

    chosen: Filter
    sort: str = value(text(32, "the order"))
    descending: bool
    after: str | None = value(FILTER)
    limit: int = value(ROWS)

    def following(self, row: Credential) -> Self:
        """Return the request that continues after a credential."""
        return self.replace(after=row.jti)

    def rows_of(self, answer: Page) -> list[Credential]:
        """Return the credentials."""
        return list(answer.credentials)

    def joined(self, answer: Page, rows: list[Credential]) -> Page:
        """Return a page with all credentials."""
        return answer._replace(credentials=rows)


class ShowTree(Operation["Page"]):
    """Return delegation trees: the whole tree of each id, from its root, or all trees of a task."""

    roles = ("responder", "auditor")
    for_own = True
    effect = READS
    task_in = "task"
    view = Columns("jitid.tree/1", "depth id parent agent task delegator state scopes expires_at")

    ids: tuple[str, ...] = values(ID, default=())
    task: str | None = value(TASK, default=None)
    limit: int = value(ROWS)
    delegator: str | None = authority_only(default=None)
    """Only descendants of this root delegator."""
    under: str | None = authority_only(default=None)
    """The id of an identity: only that identity and its descendants."""


REVOKED = Columns(
    "jitid.revoke/1",
    "ended=credentials credentials=radius.credentials identities matched tasks delegators "
    "offline_until=radius.offline_until event dry_run confirmed unconfirmed refused_since accepted_until "
    "exchanged_until=radius.exchanged_until",
    single=True,
)
"""The outcome of a revocation."""


class Revoke(Operation["Ended"]):
    """Revoke credentials and all their descendants.

    Repeat an option to match any of its values; different options must all match. More than --max credentials
    (default: 100) require --yes. Ended credentials are accepted. Credentials of a target are deleted
    there too; --wait retries until the target confirms it.
    """

    roles = ("responder",)
    for_own = True
    effect = IDEMPOTENT
    task_in = "selection.tasks"
    # An authority without it bars no process.
    dispensable = (("closing",),)
    verb = "revoke"
    function = "identity.revoke:revoke"
    view = REVOKED

    ids: tuple[str, ...] = local(
        args(STATED_ID, "[ID]...", help="Ids of identities or credentials.", verb_refuses_tokens=True)
    )
    task: tuple[str, ...] = local(opts(TASK, "--task", "-t", help="All of a task; repeatable."))
    delegator: tuple[str, ...] = local(
        opts(
            DELEGATOR,
            "--delegator",
            "-d",
            help="All of a root delegator, or from agent:NAME; repeatable.",
        )
    )
    agent: tuple[str, ...] = local(opts(AGENT, "--agent", "-a", help="All of an agent; repeatable."))
    tree: tuple[str, ...] = local(
        opts(STATED_ID, "--tree", help="The whole tree of ID, from its root; repeatable.")
    )
    token_file: tuple[str, ...] = local(
        opts(FILE, "--token-file", help="Identity of the token in FILE; `-` for stdin.")
    )
    ids_file: str | None = local(opt(FILE, "--ids-file", help="File with one id per line; `-` for stdin."))
    selection: Selection
    tokens: tuple[Secret, ...] = ()
    """Tokens whose identities are revoked as well."""
    reason: str | None = reason_opt()
    closing: bool = False
    """Whether the program that the identities are bound to closes them, and may have others: the end of a session."""
    most: int | None = computed(COUNT, absent=0)
    """The maximum number of live credentials that may end; None for any number."""
    dry_run: bool = dry_run_flag()
    max_: int | None = local(max_opt())
    yes: bool = local(yes_flag())
    wait: int | None = local(_wait_opt())
    accept_clock: bool = False


class Retire(Operation["Ended"]):
    """Retire a task and revoke all its credentials.

    Descendants on other tasks are revoked too. The task's name can never be used again. Retiring twice has no effect.
    Credentials of a target are deleted there too; --wait retries until the target confirms it.
    """

    roles = ("responder",)
    for_own = True
    effect = IDEMPOTENT
    task_in = "task"
    verb = "retire"
    function = "identity.revoke:retire"
    view = REVOKED

    task: str = arg(TASK, "TASK", help="Name of a task, or OWNER/NAME.")
    reason: str | None = reason_opt()
    dry_run: bool = dry_run_flag()
    wait: int | None = local(_wait_opt())
    accept_clock: bool = False


class TaskRow(Record):
    """A task with the number of its credentials."""

    task: Task
    credentials: int
    live: int
    now: int
    shared: tuple[str, ...] = ()
    """The delegators that the task is shared with, and groups as `group:NAME`."""

    @property
    def state(self) -> str:
        """`open`, `overdue` or `ended`."""
        return self.task.state_at(self.now)

    @property
    def sharing(self) -> tuple[str, ...] | None:
        """As `shared`; None if it is not shared."""
        return self.shared or None


_TASK_FIELDS = (
    "task=task.name state sensitivity purpose opened_at deadline ended_at credentials live opener "
    "shared=sharing"
)
_TASK = Columns("jitid.task/1", _TASK_FIELDS, single=True)
TASK_STATES = ("open", "overdue", "ended")
NEW_OWNER = typed_as(DELEGATOR, "DELEGATOR", "known")


class ListTasks(PagedOperation["list[TaskRow]"]):
    """Return tasks, newest first."""

    roles = ("responder", "auditor")
    for_own = True
    effect = READS
    view = Columns(
        "jitid.task-list/1",
        _TASK_FIELDS,
        brief="task opener state sensitivity deadline credentials live",
        spare="sensitivity credentials",
    )
    task_in = "after"

    state: str | None = value(choice(*TASK_STATES, metavar="STATE", label="state of a task"))
    """An overdue task is past its deadline and not retired."""
    limit: int = value(ROWS)
    after: str | None = value(TASK)
    """The last task already seen."""
    within: tuple[str, ...] = authority_only(default=())
    """Only tasks that one of these names owns, or that are shared with one of them; empty for all."""

    def following(self, row: TaskRow) -> Self:
        """Return the request that continues after a task."""
        return self.replace(after=row.task.full_name)

    def rows_of(self, answer: list[TaskRow]) -> list[TaskRow]:
        """Return the tasks."""
        return answer

    def joined(self, answer: list[TaskRow], rows: list[TaskRow]) -> list[TaskRow]:  # noqa: ARG002 - it has no other part
        """Return all tasks."""
        return rows


class ShowTask(Operation["TaskRow"]):
    """Return one task."""

    roles = ("responder", "auditor")
    for_own = True
    effect = READS
    view = _TASK
    task_in = "name"

    name: str = value(TASK)


class ShareTask(Operation["TaskRow"]):
    """Share a task, so that others can issue on it.

    Others join the task by its full name, OWNER/NAME; they cannot retire it. --end withdraws a share; credentials that
    were issued before stay valid.
    """

    # Responders handle the tasks of disabled delegators.
    roles = ("responder",)
    for_own = True
    verb = "task share"
    view = _TASK
    task_in = "task"

    task: str = arg(TASK, "TASK", help="Name of a task, or OWNER/NAME.")
    names: tuple[str, ...] = opts(SHARE_NAME, "--with", help="Delegator, or group:NAME; repeatable.")
    end: bool = flag("--end", help="Withdraw the share instead.", default=False)
    accept_clock: bool = False


class GiveTask(Operation["TaskRow"]):
    """Give a task to another owner.

    The new owner must have joined the task, unless a responder gives it. The former owner can no longer retire it.
    """

    roles = ("responder",)
    for_own = True
    verb = "task give"
    view = _TASK
    task_in = "task"

    task: str = arg(TASK, "TASK", help="Name of a task, or OWNER/NAME.")
    to: str = required_opt(NEW_OWNER, "--to", help="New owner of the task.")
    accept_clock: bool = False
