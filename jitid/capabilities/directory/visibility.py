"""Visibility of tasks and events for a caller without a role."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jitid.capabilities.directory import ownership
from jitid.capabilities.directory.store import DirectoryStore
from jitid.capabilities.identity.store import CredentialStore
from jitid.model.task import TaskName
from jitid.values.ids import parse_id

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jitid.ledger.view import View
    from jitid.model.access import Caller
    from jitid.model.credential import Credential
    from jitid.model.task import Task


def groups_of(snapshot: View, caller: Caller) -> tuple[str, ...]:
    """Return the groups for which a caller may approve."""
    person = None if caller.delegator is None else DirectoryStore(snapshot).find_delegator(caller.delegator)
    return () if person is None or person.disabled_at is not None else tuple(person.groups)


def find(snapshot: View, text: str) -> Task | None:
    """Return the task that an operation names; `own_tasks` has replaced the name by `OWNER/NAME`."""
    return ownership.named(snapshot, text, None, all_=True)


_SEEN = frozenset(
    {"seq", "op", "at", "by", "as", "reason", "state", "identity", "rules", "policy", "ttl", "lifetime"}
    | {"refused", "approval", "approvers", "asking"}
)
"""Members of an event that the people it concerns may read.

Members about other ended credentials, their tasks, and the credential of the caller are not among them.
"""


def seen(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the members of an audit event that the people it concerns may read."""
    return {name: value for name, value in document.items() if name in _SEEN}


def reads_all(caller: Caller | None) -> bool:
    """Return whether a caller may read the records of other people."""
    return caller is None or caller.roles is None or not {"responder", "auditor"}.isdisjoint(caller.roles)


def lists_approvals(caller: Caller | None) -> bool:
    """Return whether a caller may list all requests for approval."""
    return caller is None or caller.roles is None or not {"admin", "auditor"}.isdisjoint(caller.roles)


def as_seen(snapshot: View, caller: Caller | None, task: Task) -> Task:
    """Return a task, without its purpose if that is hidden from the caller."""
    return task._replace(purpose=None) if is_hidden_from(snapshot, caller, task) else task


def is_hidden_from(snapshot: View, caller: Caller | None, task: Task) -> bool:
    """Return whether the purpose of a task is hidden from a caller, such as a delegator who has not joined it."""
    if caller is None or reads_all(caller):
        return False
    credential = held_by(snapshot, caller)
    if credential is not None:
        # An agent delegates on its own task and below it, and sees the purpose of no other task.
        task_name = TaskName(task.name, task.opener)
        return task.key != credential.task_key and not ownership.is_below(snapshot, credential, task_name)
    delegator = root_of(snapshot, caller)
    return delegator is None or not (
        ownership.is_owner(snapshot, task, delegator) or ownership.has_joined(snapshot, task, delegator)
    )


def root_of(snapshot: View, caller: Caller) -> str | None:
    """Return the delegator of a caller: the caller, or the calling agent's delegator; None without a delegator."""
    if caller.delegator is not None:
        return DirectoryStore(snapshot).own_name(caller.delegator)
    credential = held_by(snapshot, caller)
    return None if credential is None else credential.delegator


def held_by(snapshot: View, caller: Caller) -> Credential | None:
    """Return the credential of the calling agent; None if the caller is not an agent."""
    if caller.agent is None or caller.credential is None:
        return None
    return CredentialStore(snapshot).find_credential("jti", parse_id(caller.credential)[1])
