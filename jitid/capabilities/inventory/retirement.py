"""Retirement of tasks: a task ends with all credentials that were issued for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitid.capabilities.directory import ownership
from jitid.capabilities.identity.revocation import check_reason, counts
from jitid.capabilities.identity.revocation_result import Ended
from jitid.capabilities.identity.store import CredentialChanges, CredentialStore
from jitid.capabilities.identity.task_store import TaskChanges
from jitid.errors import NotFoundError
from jitid.model.credential import State
from jitid.model.ledger_rows import Selection
from jitid.values.text import label

if TYPE_CHECKING:
    from jitid.ledger.transaction import Transaction
    from jitid.ledger.view import View
    from jitid.model.task import Task


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
