"""Performs the operations that list, show and end credentials and tasks, and share tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jitid.capabilities.directory import ownership
from jitid.capabilities.directory.store import DirectoryStore
from jitid.capabilities.identity import recognise_token, validity
from jitid.capabilities.identity.filter_store import Filter
from jitid.capabilities.identity.store import CredentialStore
from jitid.capabilities.identity.task_store import TaskStore
from jitid.capabilities.inventory import operations as ops
from jitid.errors import IntegrityError, InvalidCredentialError, NotFoundError, PolicyDeniedError, UsageError
from jitid.ledger.contract import find_seal as find_seal
from jitid.ledger.contract import sealed
from jitid.model.credential import is_accepted_elsewhere
from jitid.model.ledger_rows import Selection
from jitid.values.text import label, quote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from jitid.capabilities.identity.revocation_result import Ended
    from jitid.ledger.transaction import Transaction
    from jitid.ledger.view import View
    from jitid.model.access import Caller
    from jitid.model.credential import Credential
    from jitid.model.task import Task
    from jitid.operation.context import Context


def revoke(context: Context, operation: ops.Revoke) -> Ended:
    """End credentials, or return their number."""
    from jitid.capabilities.identity import revocation
    from jitid.capabilities.identity.perform import with_unsettled

    if operation.dry_run:
        with context.ledger.read() as snapshot:
            return revocation.preview(snapshot, _selection(snapshot, operation))
    with context.ledger.write(accept_clock=operation.accept_clock) as transaction:
        selection = _selection(transaction, operation)
        ended = revocation.revoke(
            transaction, selection, operation.reason, operation.most, closing=operation.closing
        )
        ended = with_unsettled(transaction, ended, selection)
    return ended._replace(unproved=context.prove_leaks_refused())


def _selection(snapshot: View, operation: ops.Revoke) -> Selection:
    """Return the selection with the identities of the presented tokens; this ledger must have issued each."""
    chosen = operation.selection
    jtis = [
        recognise_token.recognise(snapshot, snapshot.names, token.reveal()).jti for token in operation.tokens
    ]
    unknown = CredentialStore(snapshot).unknown_of((*chosen.ids, *chosen.trees))
    if unknown is not None:
        raise NotFoundError(f"the ledger has no {quote(unknown)}; nothing was changed", "see: jitid list")
    delegators = [
        name for delegator in chosen.delegators for name in DirectoryStore(snapshot).known_by(delegator)
    ]
    return chosen._replace(ids=(*chosen.ids, *jtis), delegators=tuple(dict.fromkeys(delegators)))


def retire(context: Context, operation: ops.Retire) -> Ended:
    """End a task, or return the number of its credentials."""
    from jitid.capabilities.identity.perform import with_unsettled
    from jitid.capabilities.inventory import task_sharing

    if operation.dry_run:
        with context.ledger.read() as snapshot:
            return task_sharing.preview_retire(snapshot, operation.task)
    with context.ledger.write(accept_clock=operation.accept_clock) as transaction:
        ended = task_sharing.retire(transaction, operation.task, operation.reason)
        ended = with_unsettled(transaction, ended, Selection(tasks=(operation.task,)))
    return ended._replace(unproved=context.prove_leaks_refused())


def share_task(context: Context, operation: ops.ShareTask) -> ops.TaskRow:
    """Share a task, or end shares of it."""
    from jitid.capabilities.inventory import task_sharing

    change = task_sharing.unshare if operation.end else task_sharing.share
    return _changed(
        context, operation, lambda transaction: change(transaction, operation.task, operation.names)
    )


def give_task(context: Context, operation: ops.GiveTask) -> ops.TaskRow:
    """Give a task to another owner."""
    from jitid.capabilities.inventory import task_sharing
    from jitid.capabilities.inventory.task_sharing import gives_freely

    freely = gives_freely(context.caller)
    return _changed(
        context,
        operation,
        lambda transaction: task_sharing.give(transaction, operation.task, operation.to, freely=freely),
    )


def _changed(
    context: Context, operation: ops.ShareTask | ops.GiveTask, change: Callable[[Transaction], Task]
) -> ops.TaskRow:
    """Return a task after a change. Record a denial."""
    from jitid.capabilities.identity.record_denial import record_denial

    try:
        with context.ledger.write(accept_clock=operation.accept_clock) as transaction:
            return _row(transaction, context.caller, change(transaction))
    except PolicyDeniedError as denial:
        record_denial(context.ledger, context.terms, denial, {}, accept_clock=operation.accept_clock)
        raise


def inspect(context: Context, operation: ops.Inspect) -> ops.Inspection:
    """Return all facts about a credential, named by its id or given as a token."""
    with context.ledger.read() as snapshot:
        if operation.token is not None:
            credential = recognise_token.recognise(
                snapshot, snapshot.names, operation.token.reveal(), shown=True
            )
        elif operation.id is not None:
            credential = validity.find(snapshot, operation.id)
        else:
            raise UsageError("an id or a token is required", "pass an id, or a token on standard input")
        return _inspection(snapshot, credential, context.caller)


def _inspection(snapshot: View, credential: Credential, caller: Caller | None) -> ops.Inspection:
    # `jitid list` uses this module, too, and should not pay for loading these.
    from jitid.capabilities.session.store import SessionStore
    from jitid.capabilities.targets.store import OutsideStore
    from jitid.capabilities.use.store import UseStore

    reason = None
    try:
        seal = find_seal(snapshot)
        if seal is not None:
            # A sealed ledger has only the state at the time of sealing; the other ledger has the current one.
            raise InvalidCredentialError(sealed(seal).message)
        validity.judge(snapshot, credential, None)
    except InvalidCredentialError as error:
        reason = error.message
    task = TaskStore(snapshot).task_numbered(credential.task_key)
    if task is None:
        raise IntegrityError(
            f"the task of {credential.id} is missing from the ledger", "run: jitid audit verify"
        )
    descendants, live_descendants = CredentialStore(snapshot).descendants(credential.identity_key)
    return ops.Inspection(
        credential,
        reason is None,
        reason,
        CredentialStore(snapshot).lineage(credential.identity_key),
        task,
        snapshot.names.issuer,
        snapshot.names.trust_domain,
        descendants,
        live_descendants,
        _visible_event(snapshot, credential.event, caller),
        None if credential.ended_event is None else _visible_event(snapshot, credential.ended_event, caller),
        UseStore(snapshot).used_by([credential.identity_key]).get(credential.identity_key, ()),
        OutsideStore(snapshot).of([credential.key]).get(credential.key)
        if is_accepted_elsewhere(credential.kind)
        else None,
        SessionStore(snapshot).of(credential.identity_key),
    )


def _visible_event(snapshot: View, seq: int, caller: Caller | None) -> dict[str, Any] | None:
    """Return an audit event with the members that the caller may read."""
    event = snapshot.event(seq)
    if event is None:
        return None
    return event.document() if ownership.reads_all(caller) else ownership.seen(event.document())


def list_credentials(context: Context, operation: ops.ListCredentials) -> ops.Page:
    """Return a page of credentials."""
    with context.ledger.read() as snapshot:
        rows = CredentialStore(snapshot).credentials(
            operation.chosen,
            operation.sort,
            descending=operation.descending,
            after=operation.after,
            limit=operation.limit,
        )
        return ops.Page(rows, snapshot.now)


def show_tree(context: Context, operation: ops.ShowTree) -> ops.Page:
    """Return delegation trees: from the root of an id's tree, or of all trees of a task, downwards."""
    with context.ledger.read() as snapshot:
        rows = [
            row
            for root in _roots(snapshot, operation)
            for row in CredentialStore(snapshot).subtree(root, operation.limit)
        ]
        return ops.Page(rows[: operation.limit], snapshot.now)


def _roots(snapshot: View, operation: ops.ShowTree) -> Iterable[int]:
    """Return the identities at the top of the trees to show, each once."""
    roots: dict[int, None] = {}
    under = None if operation.under is None else validity.find(snapshot, operation.under).identity_key

    def top(identity: int) -> int:
        return CredentialStore(snapshot).root_of(identity) if under is None else under

    for id_ in operation.ids:
        roots[top(validity.find(snapshot, id_).identity_key)] = None
    if operation.task is not None:
        if ownership.find(snapshot, operation.task) is None:
            raise NotFoundError(
                f"the ledger has no task {label(operation.task)}", "see: jitid list --by task"
            )
        chosen = Filter(task=operation.task, delegator=operation.delegator, under=operation.under)
        after = None
        while page := CredentialStore(snapshot).credentials(
            chosen, "id", descending=False, after=after, limit=operation.limit
        ):
            roots.update((top(row.identity_key), None) for row in page)
            after = page[-1].jti
            if len(roots) >= operation.limit:
                break
    return roots


def list_tasks(context: Context, operation: ops.ListTasks) -> list[ops.TaskRow]:
    """Return tasks, newest first."""
    with context.ledger.read() as snapshot:
        previous_task = None
        if operation.after is not None:
            previous_task = ownership.find(snapshot, operation.after)
            if previous_task is None:
                raise NotFoundError(
                    f"the ledger has no task {quote(operation.after)} to continue after",
                    "see: jitid list --by task",
                )
        rows = TaskStore(snapshot).find_tasks(
            operation.state, previous_task and previous_task.key, operation.limit, operation.within
        )
        return [
            ops.TaskRow(ownership.as_seen(snapshot, context.caller, task), count, live, snapshot.now)
            for task, count, live in rows
        ]


def show_task(context: Context, operation: ops.ShowTask) -> ops.TaskRow:
    """Return one task with its counts and shares."""
    with context.ledger.read() as snapshot:
        task = ownership.find(snapshot, operation.name)
        if task is None:
            raise NotFoundError(
                f"the ledger has no task {label(operation.name)}", "see: jitid list --by task"
            )
        return _row(snapshot, context.caller, task)


def _row(snapshot: View, caller: Caller | None, task: Task) -> ops.TaskRow:
    """Return a task with the number of its credentials, and the names that it is shared with."""
    from jitid.capabilities.identity.task_store import ShareStore

    count, live = TaskStore(snapshot).count_for_task(task.key)
    shared = tuple(ShareStore(snapshot).of(task.key))
    return ops.TaskRow(ownership.as_seen(snapshot, caller, task), count, live, snapshot.now, shared)
