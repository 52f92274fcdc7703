"""Sharing a task, giving it to another owner, and its retirement with all credentials that were issued for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from jitid.capabilities.directory import ownership
from jitid.capabilities.directory.store import DirectoryStore
from jitid.capabilities.identity.revocation import check_reason, counts
from jitid.capabilities.identity.revocation_result import Ended
from jitid.capabilities.identity.store import CredentialChanges, CredentialStore
from jitid.capabilities.identity.task_store import ShareChanges, TaskChanges, TaskStore
from jitid.errors import NotFoundError, PolicyDeniedError, UsageError
from jitid.model.credential import State
from jitid.model.ledger_rows import Selection
from jitid.model.task import ADOPTED
from jitid.values.names import check_delegator, check_share_name
from jitid.values.text import label
from jitid.values.times import format_time

if TYPE_CHECKING:
    from jitid.ledger.transaction import Transaction
    from jitid.ledger.view import View
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
            f"a task is shared with at most {MOST_SHARES} delegators and groups; nothing was changed",
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
            f"{owner} joins it first, once it is shared: jitid issue --task {task.full_name}; "
            "a responder gives it to anybody",
            {"task": task.name, "opener": task.opener, "to": owner, "rules": ["task-give"], "reason": reason},
        )
    if any(TaskStore(transaction).find_task(task.name, owner_name) is not None for owner_name in names):
        raise UsageError(
            f"{label(owner)} has a task {label(task.name)} already; nothing was changed",
            "a name belongs to one task of each owner, also after that has ended",
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
        raise UsageError("no delegator is named", "such as --with bob, or --with group:oncall")
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
        raise NotFoundError(f"there is no task {label(name)}; nothing was changed", "see: jitid task list")
    if task.name.startswith(ADOPTED):
        raise UsageError("the task of an adopted secret is not shared; nothing was changed")
    return task


def _open_task(transaction: Transaction, name: str) -> Task:
    task = _found(transaction, name)
    if not task.is_open_at(transaction.now):
        ended_at = task.deadline if task.ended_at is None else task.ended_at
        raise UsageError(
            f"the task {label(task.name)} is over since {format_time(ended_at)}; nothing was changed",
            "see: jitid task list --state open",
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
        f"there never was a task {label(name)}; nothing was changed", "jitid task list shows what there is"
    )
