"""The operations that change nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jitid.capabilities.directory import visibility
from jitid.capabilities.identity import introspection
from jitid.capabilities.identity.share_store import ShareStore
from jitid.capabilities.identity.store import CredentialStore
from jitid.capabilities.identity.task_store import TaskStore
from jitid.capabilities.inventory import operations as inventory_operations
from jitid.capabilities.targets.store import OutsideStore
from jitid.capabilities.use.store import UseStore
from jitid.errors import IntegrityError, InvalidCredentialError, NotFoundError, UsageError
from jitid.ledger.seal import find as find_seal
from jitid.ledger.seal import sealed
from jitid.model.credential import is_taken_elsewhere
from jitid.model.ledger_rows import Filter, Names
from jitid.values.text import label, quote

if TYPE_CHECKING:
    from jitid.ledger.view import View
    from jitid.model.caller import Caller
    from jitid.model.task import Task


def inspect(
    snapshot: View, names: Names, operation: inventory_operations.Inspect, caller: Caller | None
) -> inventory_operations.Inspection:
    """Tell everything about a credential, named by its id or by itself."""
    if operation.token is not None:
        credential = introspection.recognise(snapshot, names, operation.token.reveal(), shown=True)
    elif operation.id is not None:
        credential = introspection.find(snapshot, operation.id)
    else:
        raise UsageError("nothing is named", "give an id, or a token on standard input")
    reason = None
    try:
        seal = find_seal(snapshot)
        if seal is not None:
            # What it was when the ledger was sealed can be read; what it is now, the other ledger knows.
            raise InvalidCredentialError(sealed(seal).message)
        introspection.judge(snapshot, credential, None)
    except InvalidCredentialError as error:
        reason = error.message
    task = TaskStore(snapshot).task_numbered(credential.task_key)
    if task is None:
        raise IntegrityError(
            f"the task of {credential.id} is missing from the ledger", "run: jitid audit verify"
        )
    below, live = CredentialStore(snapshot).descendants(credential.identity_key)
    return inventory_operations.Inspection(
        credential,
        reason is None,
        reason,
        CredentialStore(snapshot).lineage(credential.identity_key),
        task,
        names.issuer,
        names.trust_domain,
        below,
        live,
        _told(snapshot, credential.event, caller),
        None if credential.ended_event is None else _told(snapshot, credential.ended_event, caller),
        UseStore(snapshot).used_by([credential.identity_key]).get(credential.identity_key, ()),
        OutsideStore(snapshot).of([credential.key]).get(credential.key)
        if is_taken_elsewhere(credential.kind)
        else None,
    )


def _told(snapshot: View, seq: int, caller: Caller | None) -> dict[str, Any] | None:
    """Return an audit event as somebody may read it whom it concerns."""
    event = snapshot.event(seq)
    if event is None:
        return None
    return event.document() if visibility.reads_all(caller) else visibility.seen(event.document())


def list_credentials(
    snapshot: View, operation: inventory_operations.ListCredentials
) -> inventory_operations.Page:
    """List credentials, a page at a time."""
    rows = CredentialStore(snapshot).credentials(
        operation.chosen,
        operation.sort,
        descending=operation.descending,
        after=operation.after,
        limit=operation.limit,
    )
    return inventory_operations.Page(rows, snapshot.now)


def show_tree(snapshot: View, operation: inventory_operations.ShowTree) -> inventory_operations.Page:
    """Show who delegated to whom, from the root of an id's tree or of all a task's trees down."""
    tops: dict[int, None] = {}
    under = None if operation.under is None else introspection.find(snapshot, operation.under).identity_key

    def top(identity: int) -> int:
        return CredentialStore(snapshot).root_of(identity) if under is None else under

    for text in operation.ids:
        tops[top(introspection.find(snapshot, text).identity_key)] = None
    if operation.task is not None:
        if visibility.find(snapshot, operation.task) is None:
            raise NotFoundError(f"there never was a task {label(operation.task)}", "see: jitid task list")
        chosen = Filter(task=operation.task, delegator=operation.delegator, under=operation.under)
        after = None
        while page := CredentialStore(snapshot).credentials(
            chosen, "id", descending=False, after=after, limit=operation.limit
        ):
            tops.update((top(row.identity_key), None) for row in page)
            after = page[-1].jti
            if len(tops) >= operation.limit:
                break
    rows = [row for one in tops for row in CredentialStore(snapshot).subtree(one, operation.limit)]
    return inventory_operations.Page(rows[: operation.limit], snapshot.now)


def list_tasks(
    snapshot: View, caller: Caller | None, operation: inventory_operations.ListTasks
) -> list[inventory_operations.TaskRow]:
    """List tasks, newest first."""
    after = None
    if operation.after is not None:
        after = visibility.find(snapshot, operation.after)
        if after is None:
            raise NotFoundError(
                f"there is no task {quote(operation.after)} to continue after", "see: jitid task list"
            )
    found = TaskStore(snapshot).find_tasks(
        operation.state, after and after.key, operation.limit, operation.within
    )
    return [
        inventory_operations.TaskRow(visibility.as_seen(snapshot, caller, task), count, live, snapshot.now)
        for task, count, live in found
    ]


def show_task(
    snapshot: View, caller: Caller | None, operation: inventory_operations.ShowTask
) -> inventory_operations.TaskRow:
    """Show one task."""
    task = visibility.find(snapshot, operation.name)
    if task is None:
        raise NotFoundError(f"there never was a task {label(operation.name)}", "see: jitid task list")
    return row_of(snapshot, caller, task)


def row_of(snapshot: View, caller: Caller | None, task: Task) -> inventory_operations.TaskRow:
    """Return a task with what was issued for it, and with whom it is shared."""
    count, live = TaskStore(snapshot).count_for_task(task.key)
    shared = tuple(ShareStore(snapshot).of(task.key))
    return inventory_operations.TaskRow(
        visibility.as_seen(snapshot, caller, task), count, live, snapshot.now, shared
    )
