"""A caller's own tasks and records, and the sharing, the transfer and the retirement of tasks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from jitid.capabilities.directory import ownership
from jitid.capabilities.directory.ownership import find, held_by, root_of
from jitid.capabilities.directory.store import DirectoryStore
from jitid.capabilities.identity.revocation import check_reason, counts
from jitid.capabilities.identity.revocation_result import Ended
from jitid.capabilities.identity.store import CredentialChanges, CredentialStore
from jitid.capabilities.identity.task_store import ShareChanges, TaskChanges, TaskStore
from jitid.capabilities.inventory import operations as inventory_operations
from jitid.capabilities.inventory import status_operations
from jitid.errors import NotFoundError, PolicyDeniedError, UsageError
from jitid.model.credential import State
from jitid.model.ledger_rows import Selection
from jitid.model.task import ADOPTED
from jitid.operation import base as ops
from jitid.values.ids import parse_id
from jitid.values.names import check_delegator, check_share_name
from jitid.values.text import label
from jitid.values.times import format_time

if TYPE_CHECKING:
    from collections.abc import Callable

    from jitid.ledger.contract import Look
    from jitid.ledger.transaction import Transaction
    from jitid.ledger.view import View
    from jitid.model.access import Caller
    from jitid.model.credential import Credential
    from jitid.model.task import Task


MOST_SHARES = 100
"""The maximum number of delegators and groups that a task is shared with."""
GIVEN = "task-give"
SHARED = "task-share"
UNSHARED = "task-unshare"


def share(transaction: Transaction, name: str, names: Sequence[str]) -> Task:
    """Let delegators and groups join a task: they may issue on it, but not end it. Repeating this is not an error.

    Raises:
        NotFoundError: there is no such task.
        UsageError: no name is given, the task has ended or is that of an adopted secret, or too many would share it.

    """
    task = _open_task(transaction, name)
    shared = ShareChanges(transaction).of(task.key)
    owner_names = DirectoryStore(transaction).names_of(task.opener)
    new_names = [
        checked_name
        for checked_name in _checked_names(transaction, names)
        if checked_name not in shared and checked_name not in owner_names
    ]
    if len(shared) + len(new_names) > MOST_SHARES:
        raise UsageError(
            f"a task can be shared with at most {MOST_SHARES} delegators and groups; nothing was changed",
            "share it with a group: jitid task share NAME --with group:GROUP",
        )
    if new_names:
        ShareChanges(transaction).add(task.key, new_names)
        transaction.append(SHARED, {**_about(task), "with": new_names})
    return task


def unshare(transaction: Transaction, name: str, names: Sequence[str]) -> Task:
    """Stop sharing a task with delegators and groups. Credentials that were issued to them stay valid.

    Raises:
        NotFoundError: there is no such task.
        UsageError: no name is given, or the task is that of an adopted secret.

    """
    task = _found(transaction, name)
    shared = ShareChanges(transaction).of(task.key)
    removed = [checked_name for checked_name in _checked_names(transaction, names) if checked_name in shared]
    if removed:
        ShareChanges(transaction).end(task.key, removed)
        transaction.append(UNSHARED, {**_about(task), "with": removed})
    return task


def give(transaction: Transaction, name: str, to: str, *, freely: bool) -> Task:
    """Give a task to another delegator. Unless `freely`, the delegator must have joined it.

    Otherwise the name could be used up for a delegator who does not know of the task.

    Raises:
        NotFoundError: there is no such task.
        PolicyDeniedError: the delegator has not joined the task.
        UsageError: the task has ended, or the delegator has a task of that name.

    """
    task = _open_task(transaction, name)
    (owner,) = _checked_names(transaction, [check_delegator(to)])
    names = DirectoryStore(transaction).names_of(owner)
    if task.opener in names:
        return task
    if not freely and not ShareChanges(transaction).is_joined(task.key, names):
        reason = f"rule `task-give`: {label(owner)} has not joined the task {label(task.name)}"
        raise PolicyDeniedError(
            f"denied: {reason}; nothing was changed",
            f"after a share, {owner} can join it: jitid issue --task {task.full_name}; "
            "a responder can give it to any delegator",
            {"task": task.name, "opener": task.opener, "to": owner, "rules": ["task-give"], "reason": reason},
        )
    if any(TaskStore(transaction).find_task(task.name, owner_name) is not None for owner_name in names):
        raise UsageError(
            f"{label(owner)} already has a task {label(task.name)}; nothing was changed",
            "task names are unique per owner, also after the task has ended",
        )
    # Only the new owner may decide to share the task, so earlier shares end.
    shared = ShareChanges(transaction).of(task.key)
    if shared:
        ShareChanges(transaction).end(task.key, shared)
        transaction.append(UNSHARED, {**_about(task), "with": shared})
    ShareChanges(transaction).give(task.key, transaction.term(owner))
    event = transaction.append(GIVEN, {**_about(task), "to": owner})
    return task._replace(opener=owner, given_event=event.seq)


def _about(task: Task) -> dict[str, Any]:
    """Return the facts about a task that an event records; `of` is the number of the event that opened it."""
    return {"task": task.name, "opener": task.opener, "of": task.event}


def _checked_names(snapshot: View, names: Sequence[str]) -> list[str]:
    if not names:
        raise UsageError("a delegator is required", "such as --with bob, or --with group:oncall")
    checked = [check_share_name(name) for name in names]
    return list(
        dict.fromkeys(
            name if name.startswith(ownership.GROUP) else DirectoryStore(snapshot).own_name(name)
            for name in checked
        )
    )


def _found(snapshot: View, name: str) -> Task:
    task = ownership.named(snapshot, name, None, all_=True)
    if task is None:
        raise NotFoundError(
            f"the ledger has no task {label(name)}; nothing was changed", "see: jitid list --by task"
        )
    if task.name.startswith(ADOPTED):
        raise UsageError("the task of an adopted secret cannot be shared; nothing was changed")
    return task


def _open_task(transaction: Transaction, name: str) -> Task:
    task = _found(transaction, name)
    if not task.is_open_at(transaction.now):
        ended_at = task.deadline if task.ended_at is None else task.ended_at
        raise UsageError(
            f"the task {label(task.name)} ended at {format_time(ended_at)}; nothing was changed",
            "see: jitid list --by task --state open",
        )
    return task


def retire(transaction: Transaction, name: str, reason: str | None) -> Ended:
    """End a task, with every identity and credential of it, and all that descend from them.

    The name is `NAME` or `OWNER/NAME`.

    Raises:
        NotFoundError: there never was such a task.
        UsageError: several tasks have that name.

    """
    check_reason(reason)
    task = _found_task(transaction, name)
    radius, digest = CredentialChanges(transaction).end(Selection(tasks=(task.full_name,)), State.RETIRED)
    if task.ended_at is not None and not radius.credentials:
        return Ended(radius, 0, None, task.name)
    TaskChanges(transaction).end_task(task.key)
    event = transaction.append(
        "retire",
        {
            "task": task.name,
            "opener": task.opener,
            "of": task.event,
            "reason": reason,
            **counts(radius),
            "ended": digest,
        },
    )
    return Ended(radius, radius.credentials, event.seq, task.name)


def preview_retire(snapshot: View, name: str) -> Ended:
    """Return the outcome that retiring a task would have.

    Raises:
        NotFoundError: there never was such a task.
        UsageError: several tasks have that name.

    """
    task = _found_task(snapshot, name)
    return Ended(CredentialStore(snapshot).measure(Selection(tasks=(task.full_name,))), 0, None, task.name)


def _found_task(snapshot: View, name: str) -> Task:
    task = ownership.named(snapshot, name, None, all_=True)
    if task is None:
        raise _no_task(name)
    return task


def _no_task(name: str) -> NotFoundError:
    return NotFoundError(
        f"the ledger has no task {label(name)}; nothing was changed", "to list tasks: jitid list --by task"
    )


def with_tasks(
    snapshot: View, operation: ops.Operation[Any], caller: Caller | None, *, all_: bool
) -> ops.Operation[Any]:
    """Return an operation that names each task as `OWNER/NAME`, which is unique.

    `all_`: the caller may see the tasks of others. Only then an unknown name is left unchanged.

    Raises:
        NotFoundError: the name is not that of a task of the caller, or one shared with the caller.
        UsageError: several tasks have the name.

    """
    delegator = None if caller is None else root_of(snapshot, caller)

    def full(text: str) -> str:
        task = ownership.named(snapshot, text, delegator, all_=all_)
        if task is not None:
            return task.full_name
        if all_:
            return text
        raise NotFoundError(
            f"no task {label(text)} is yours or shared with you; nothing was changed",
            "see: jitid list --by task",
        )

    return _replaced(operation, full)


def _replaced(operation: ops.Operation[Any], full: Callable[[str], str]) -> ops.Operation[Any]:
    field, _, attribute = operation.task_in.partition(".")
    value = getattr(operation, field)
    if not attribute:
        return operation.replace(**{field: full(value)})
    task_names = getattr(value, attribute)
    full_names = (
        full(task_names) if isinstance(task_names, str) else tuple(dict.fromkeys(map(full, task_names)))
    )
    return operation.replace(**{field: value._replace(**{attribute: full_names})})


def _own_part(
    operation: inventory_operations.ShowTree | status_operations.ShowStatus,
    caller: Caller,
    credential: Credential | None,
) -> ops.Operation[Any] | None:
    """Return an operation narrowed to the identity of an agent, or to a delegator; None for another caller.

    The stated values are overwritten: otherwise a caller could see the tree of another.
    """
    if credential is not None:
        return operation.replace(under=credential.id, delegator=None)
    if caller.delegator is None:
        return None
    return operation.replace(under=None, delegator=caller.delegator)


def narrowed(snapshot: View, caller: Caller, operation: ops.Operation[Any]) -> ops.Operation[Any] | None:
    """Return an operation narrowed to the caller's own records; None if it cannot be narrowed.

    A delegator's own records are all that descend from the delegator. An agent's own records are its identity and all
    that descend from it. The owner of the task does not matter: on a shared task, delegators do not see each other's
    credentials.
    """
    credential = held_by(snapshot, caller)
    match operation:
        case inventory_operations.ListCredentials(chosen=chosen):
            if credential is not None:
                return operation.replace(chosen=chosen._replace(under=credential.id))
            if caller.delegator is None or not _is_self(snapshot, caller.delegator, chosen.delegator):
                return None
            return operation.replace(chosen=chosen._replace(delegator=caller.delegator))
        case inventory_operations.ShowTree(ids=ids):
            if not all(is_under(snapshot, caller, id_) for id_ in ids):
                return None
            return _own_part(operation, caller, credential)
        case status_operations.ShowStatus():
            return _own_part(operation, caller, credential)
        case inventory_operations.ListTasks():
            if caller.delegator is None:
                return None
            return operation.replace(within=tuple(ownership.names_of(snapshot, caller.delegator)))
        case inventory_operations.ShowTask():
            return operation
        case inventory_operations.Inspect(id=id_, token=None) if id_ is not None:
            return operation if is_under(snapshot, caller, id_) else None
        case inventory_operations.Revoke(selection=selection, tokens=()) if selection != Selection():
            if not all(is_under(snapshot, caller, id_) for id_ in (*selection.ids, *selection.trees)):
                return None
            if selection._replace(ids=()) == Selection():
                return operation
            if caller.delegator is None or not all(
                _is_self(snapshot, caller.delegator, name) for name in selection.delegators
            ):
                return None
            return operation.replace(selection=selection._replace(delegators=(caller.delegator,)))
        case _:
            return None


def _is_self(snapshot: View, delegator: str, name: str | None) -> bool:
    return name is None or name in DirectoryStore(snapshot).names_of(delegator)


def is_under(snapshot: View, caller: Caller, id_: str) -> bool:
    """Return whether an identity or a credential belongs to the caller, or descends from the caller."""
    credential = _identity(snapshot, id_)
    if credential is None:
        return False
    if caller.delegator is not None:
        return credential.delegator in DirectoryStore(snapshot).names_of(caller.delegator)
    caller_credential = held_by(snapshot, caller)
    if caller_credential is None:
        return False
    ancestor_ids = [ancestor.id for ancestor in CredentialStore(snapshot).lineage(credential.identity_key)]
    return caller_credential.id in (credential.id, *ancestor_ids)


def _identity(snapshot: View, id_: str) -> Credential | None:
    kind, raw = parse_id(id_)
    if kind == "jti":
        return CredentialStore(snapshot).find_credential("jti", raw)
    return CredentialStore(snapshot).latest_of(raw)


def owns(snapshot: View, caller: Caller, text: str) -> bool:
    """Return whether the calling delegator owns a task. Tasks of adopted secrets belong to the admins."""
    task = find(snapshot, text)
    if task is None or caller.delegator is None or task.name.startswith(ADOPTED):
        return False
    return ownership.is_owner(snapshot, task, caller.delegator)


def may_retire(snapshot: View, caller: Caller, text: str) -> bool:
    """Return whether a caller may retire a task: as its owner, or as the agent whose request opened it.

    An agent may do so only if all live credentials of the task descend from its own identity, and the task was never
    given away.
    """
    if owns(snapshot, caller, text):
        return True
    task = find(snapshot, text)
    if task is None or task.given_event or ownership.has_left(snapshot, task.opener):
        return False
    credential = held_by(snapshot, caller)
    if credential is None or not requested_by(snapshot, caller, task.event):
        return False
    own_selection = Selection(ids=(credential.id,))
    joint = CredentialStore(snapshot).measure_together([own_selection, Selection(tasks=(task.full_name,))])
    return joint.credentials == CredentialStore(snapshot).measure(own_selection).credentials


def requested_by(snapshot: View, caller: Caller, seq: int) -> bool:
    """Return whether a request of the caller caused an event."""
    event = snapshot.event(seq)
    document = {} if event is None else event.document()
    if document.get("by") != caller.name:
        return False
    if caller.agent is None:
        return True
    # Agents may share a name, and an agent's credential changes with each renewal. The identity decides.
    credential, jti = held_by(snapshot, caller), document.get("bearer")
    if credential is None or jti is None:
        return False
    if "by_id" in document:
        return bool(document["by_id"] == credential.id)
    holder = CredentialStore(snapshot).find_credential("jti", parse_id(jti)[1])
    return holder is not None and holder.id == credential.id


def resolved(look: Look, operation: ops.Operation[ops.Result]) -> ops.Operation[ops.Result]:
    """Return an operation that names each task as `OWNER/NAME`, for a caller with direct access to the ledger."""
    if not operation.names_task():
        return operation
    with look() as snapshot:
        return with_tasks(snapshot, operation, None, all_=True)


def gives_freely(caller: Caller | None) -> bool:
    """Return whether a caller may give a task to any delegator: a responder, or a caller with direct access."""
    return caller is None or caller.roles is None or "responder" in caller.roles
