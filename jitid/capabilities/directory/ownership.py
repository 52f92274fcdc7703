"""Ownership of tasks, and their visibility for a caller without a role."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from jitid.capabilities.directory.store import DirectoryStore
from jitid.capabilities.identity.store import CredentialStore
from jitid.capabilities.identity.task_store import TaskStore
from jitid.errors import NotFoundError, PolicyDeniedError, UsageError
from jitid.model.task import ADOPTED, TaskName, check_new_task, most_sensitive, parse_task, written_task
from jitid.values.ids import parse_id
from jitid.values.record import Record
from jitid.values.text import label

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jitid.ledger.view import View
    from jitid.model.access import Caller
    from jitid.model.credential import Credential
    from jitid.model.directory import DirectoryEntry
    from jitid.model.request import IssueRequest
    from jitid.model.task import Task
    from jitid.operation.context import Terms


GROUP = "group:"
"""Prefix of a group's name among the names with which a task is shared."""
_MOST_NAMED = 5
"""The maximum number of tasks with the same name that an error lists."""


class TaskOfRequest(Record):
    """The task that a request is on."""

    name: str
    task: Task | None
    """None for a new task, which the request opens."""
    joined: bool
    """Whether another delegator opened the task, and may have chosen its sensitivity to suit themselves."""
    offered: tuple[str, ...] = ()
    """Tasks with this name that others share with the delegator; the request opens a new task instead."""


def on_task(
    snapshot: View,
    request: IssueRequest,
    parent: Credential | None,
    delegator: str,
    entry: DirectoryEntry,
    terms: Terms,
) -> TaskOfRequest:
    """Return the task that a request is on.

    A bare name means the delegator's own task, then a task of another delegator that they have joined. To join a
    shared task, the request must use its full name, `OWNER/NAME`: otherwise the owner would choose the task that
    others issue on. An agent delegates on its own task and on tasks below it, `TASK/NAME`. A token is exchanged on its
    own task.

    Raises:
        NotFoundError: the named task of another delegator does not exist, or is not shared with this delegator.
        PolicyDeniedError: the parent may not delegate on the named task.
        UsageError: no task is named, the name is ambiguous, or the name is invalid for a new task.

    """
    if parent is not None and (request.task is None or _is_parents(request.task, parent)):
        task = TaskStore(snapshot).task_numbered(parent.task_key)
        return TaskOfRequest(
            parent.task, task, task is not None and _is_joined(snapshot, task, delegator, entry)
        )
    if request.task is None:
        raise UsageError("a task is required", "name it with --task, such as --task INC-4821")
    task_name = parse_task(request.task)
    if parent is not None:
        _must_be_below(snapshot, request, task_name, parent)
    in_directory = entry.delegator is not None
    if (
        in_directory
        and task_name.opener not in (None, delegator)
        and task_name.opener in DirectoryStore(snapshot).names_of(delegator)
    ):
        task_name = task_name._replace(opener=delegator)
    task = _own(snapshot, task_name, request.task, delegator, in_directory=in_directory)
    if task is None and task_name.opener not in (None, delegator):
        task = _of_another(snapshot, task_name, delegator, entry, terms)
    offered: tuple[str, ...] = ()
    if task is None and task_name.opener is None and parent is None:
        shared_tasks = _shared_all(snapshot, task_name.name, _names(snapshot, delegator, entry))
        task = _only(
            [shared_task for shared_task in shared_tasks if has_joined(snapshot, shared_task, delegator)]
        )
        offered = tuple(shared_task.full_name for shared_task in shared_tasks)
    if task is None:
        return TaskOfRequest(_new(task_name), None, joined=False, offered=offered)
    return TaskOfRequest(task.name, task, _is_joined(snapshot, task, delegator, entry))


def is_below(snapshot: View, credential: Credential, task_name: TaskName) -> bool:
    """Return whether a task is below the task of a credential, and both tasks belong to the credential's delegator.

    A task of another delegator has no tasks below it: the delegator's own `NAME/...` is below their own `NAME`.
    """
    if not task_name.name.startswith(f"{credential.task}/"):
        return False
    own_names = DirectoryStore(snapshot).names_of(credential.delegator)
    return credential.task_opener in own_names and (task_name.opener is None or task_name.opener in own_names)


def _must_be_below(snapshot: View, request: IssueRequest, task_name: TaskName, parent: Credential) -> None:
    """Raise PolicyDeniedError if a task is neither the parent's task nor below it.

    Otherwise an agent could read its delegator's tasks, lower their sensitivity, use up names for tasks, and end the
    credentials that its delegator issues on such a task.
    """
    assert request.task is not None
    if not request.exchanged and is_below(snapshot, parent, task_name):
        return
    hint = "omit the task"
    if request.exchanged:
        reason = "rule `own-task`: a token can be exchanged on its own task only"
    else:
        reason = "rule `own-task`: an agent may delegate only on its own task and on tasks below that"
        below = TaskName(f"{parent.task}/{task_name.name.rpartition('/')[2]}", None)
        if is_below(snapshot, parent, below):
            hint = f"name a task below it, such as {below.name}; or omit the task"
    raise PolicyDeniedError(
        f"denied: {reason}; {label(request.task)} is neither {label(parent.task)} nor below it; nothing was issued",
        hint,
        {
            "task": parent.task,
            "agent": request.agent,
            "delegator": parent.delegator,
            "rules": ["own-task"],
            "reason": f"{reason}: {request.task}",
        },
    )


def _is_parents(text: str, parent: Credential) -> bool:
    return text in (parent.task, written_task(parent.task_opener, parent.task))


def _new(task_name: TaskName) -> str:
    if task_name.name.startswith(ADOPTED):
        raise UsageError(
            f"the task name {label(task_name.name)} has the prefix of adopted secrets",
            "use another task name",
        )
    # `parse_task` has checked a bare name, which does not begin with the name of an owner.
    return task_name.name if task_name.opener is None else check_new_task(task_name.name)


def _own(
    snapshot: View, task_name: TaskName, text: str, delegator: str, *, in_directory: bool
) -> Task | None:
    """Return the task with that name that belongs to a delegator, under any of the delegator's names."""
    if task_name.opener in (None, delegator):
        task = TaskStore(snapshot).find_task(task_name.name, delegator)
        if task is not None:
            return task
    if task_name.opener is not None:
        # The name of an old task, from before names had owners, may look like `OWNER/NAME`.
        task = TaskStore(snapshot).find_task(text, delegator)
    if task is None and in_directory:
        for name in DirectoryStore(snapshot).names_of(delegator):
            if name != delegator and task is None and task_name.opener in (None, delegator):
                task = TaskStore(snapshot).find_task(task_name.name, name)
    return task


def _of_another(
    snapshot: View, parsed: TaskName, delegator: str, entry: DirectoryEntry, terms: Terms
) -> Task:
    """Return the task of another delegator if `delegator` may join it. Raises NotFoundError."""
    assert parsed.opener is not None
    task = TaskStore(snapshot).find_task(parsed.name, parsed.opener)
    if task is None:
        own_name = DirectoryStore(snapshot).own_name(parsed.opener)
        task = None if own_name == parsed.opener else TaskStore(snapshot).find_task(parsed.name, own_name)
    if task is not None and (
        terms.any_delegator or may_join(snapshot, task, _names(snapshot, delegator, entry))
    ):
        return task
    # The message is the same whether the task exists or not: a stranger must not learn that.
    raise NotFoundError(
        f"no task {label(written_task(parsed.opener, parsed.name))} is shared with {label(delegator)}; "
        "nothing was issued",
        f"its owner can share it: jitid task share {parsed.name} --with {delegator}",
    )


def _names(snapshot: View, delegator: str, entry: DirectoryEntry) -> list[str]:
    """Return the names with which a task may be shared so that a delegator may join it."""
    if entry.delegator is None:
        return [delegator]
    return [
        *DirectoryStore(snapshot).names_of(delegator),
        *(f"{GROUP}{group}" for group in entry.delegator.groups),
    ]


def names_of(snapshot: View, delegator: str) -> list[str]:
    """Return the names like `_names`, for a delegator whose entry has not been read yet."""
    person = DirectoryStore(snapshot).find_delegator(delegator)
    if person is None:
        return [delegator]
    return [*DirectoryStore(snapshot).names_of(delegator), *(f"{GROUP}{group}" for group in person.groups)]


def _shared(snapshot: View, name: str, names: Sequence[str]) -> Task | None:
    """Return the open task with that name that is shared with one of these names. Raises UsageError for several."""
    return _only(_shared_all(snapshot, name, names))


def _shared_all(snapshot: View, name: str, names: Sequence[str]) -> list[Task]:
    from jitid.capabilities.identity.task_store import ShareStore

    keys = ShareStore(snapshot).open_with(name, names, _MOST_NAMED)
    if not keys:
        return []
    tasks = TaskStore(snapshot).tasks_numbered(keys)
    return [tasks[key] for key in keys if not has_left(snapshot, tasks[key].opener)]


def may_join(snapshot: View, task: Task, names: Sequence[str]) -> bool:
    """Return whether a task is shared with one of these names, and its owner is not disabled."""
    from jitid.capabilities.identity.task_store import ShareStore

    return ShareStore(snapshot).is_shared(task.key, names) and not has_left(snapshot, task.opener)


def has_left(snapshot: View, opener: str) -> bool:
    """Return whether a delegator is disabled.

    Their shares have no effect until a responder gives the task to another delegator.
    """
    person = DirectoryStore(snapshot).find_delegator(opener)
    return person is not None and person.disabled_at is not None


def _only(tasks: Sequence[Task]) -> Task | None:
    if len(tasks) > 1:
        raise ambiguous(tasks)
    return tasks[0] if tasks else None


def ambiguous(tasks: Sequence[Task]) -> UsageError:
    """Return the error for a name that several tasks have."""
    listed = ", ".join([task.full_name for task in tasks])
    return UsageError(f"several tasks have the name {label(tasks[0].name)}", f"use one of: {listed}")


def _is_joined(snapshot: View, task: Task, delegator: str, entry: DirectoryEntry) -> bool:
    """Return whether another delegator may have chosen the sensitivity of a task."""
    if task.given_event:
        return True
    return task.opener != delegator and (
        entry.delegator is None or task.opener not in DirectoryStore(snapshot).names_of(delegator)
    )


def owner_for_policy(snapshot: View, task: Task, delegator: str, root: str | None) -> str:
    """Return the owner of a task, as the policy sees it for a delegator's credential on that task.

    `root` is the id of the root identity; None for a new one. If that identity is older than the transfer of the task
    to another owner, the policy sees the delegator as the owner. A transfer must not turn such credentials into
    credentials on a task of another delegator.
    """
    if not task.given_event or root is None or task.opener in DirectoryStore(snapshot).names_of(delegator):
        return task.opener
    root_credential = CredentialStore(snapshot).first_of(parse_id(root)[1])
    is_later = root_credential is not None and root_credential.event > task.given_event
    return task.opener if is_later else DirectoryStore(snapshot).own_name(delegator)


def judged_sensitivity(task: Task, request: IssueRequest, parent: Credential | None, terms: Terms) -> str:
    """Return the sensitivity of a joined task for a request: at least that of a task opened by the caller."""
    if parent is not None:
        return most_sensitive(task.sensitivity, parent.sensitivity, request.sensitivity or task.sensitivity)
    return most_sensitive(task.sensitivity, request.sensitivity or terms.sensitivity)


def named(snapshot: View, text: str, delegator: str | None, *, all_: bool) -> Task | None:
    """Return the task that a text means to a caller; None if there is no such task.

    Args:
        snapshot: a view of the ledger.
        text: `NAME`, or `OWNER/NAME`.
        delegator: the caller's delegator; None if the caller is not a delegator.
        all_: whether the caller may see the tasks of others. If not, these must be shared with the delegator or
            joined.

    Raises:
        UsageError: several tasks have that name.

    """
    task_name = parse_task(text)
    if delegator is not None:
        task = _own(
            snapshot,
            task_name,
            text,
            delegator,
            in_directory=DirectoryStore(snapshot).is_delegator(delegator),
        )
        if task is not None:
            return task
    if task_name.opener is not None:
        task = TaskStore(snapshot).find_task(task_name.name, task_name.opener)
        if task is None and all_:
            # The text may use another name of the owner. The name of an old task may look like `OWNER/NAME`.
            owner = DirectoryStore(snapshot).own_name(task_name.opener)
            task = TaskStore(snapshot).find_task(task_name.name, owner) or TaskStore(snapshot).find_task(text)
        return task if task is not None and (all_ or _is_visible(snapshot, task, delegator)) else None
    if delegator is not None:
        task = _shared(snapshot, task_name.name, names_of(snapshot, delegator))
        if task is not None:
            return task
    return _only(TaskStore(snapshot).tasks_named(task_name.name, _MOST_NAMED)) if all_ else None


def _is_visible(snapshot: View, task: Task, delegator: str | None) -> bool:
    if delegator is None:
        return False
    return may_join(snapshot, task, names_of(snapshot, delegator)) or has_joined(snapshot, task, delegator)


def has_joined(snapshot: View, task: Task, delegator: str) -> bool:
    """Return whether an identity was ever issued on a task for a delegator. They may then read its purpose."""
    from jitid.capabilities.identity.task_store import ShareStore

    return ShareStore(snapshot).is_joined(task.key, DirectoryStore(snapshot).names_of(delegator))


def is_owner(snapshot: View, task: Task, delegator: str) -> bool:
    """Return whether a task belongs to a delegator that is not disabled."""
    return task.opener in DirectoryStore(snapshot).names_of(delegator) and not has_left(snapshot, delegator)


def groups_of(snapshot: View, caller: Caller) -> tuple[str, ...]:
    """Return the groups for which a caller may approve."""
    person = None if caller.delegator is None else DirectoryStore(snapshot).find_delegator(caller.delegator)
    return () if person is None or person.disabled_at is not None else tuple(person.groups)


def find(snapshot: View, text: str) -> Task | None:
    """Return the task that an operation names; `own_tasks` has replaced the name by `OWNER/NAME`."""
    return named(snapshot, text, None, all_=True)


_SEEN = frozenset(
    {"seq", "op", "at", "by", "as", "reason", "state", "identity", "rules", "policy", "ttl", "lifetime"}
    | {"refused", "approval", "approvers", "asking", "closing"}
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
        return task.key != credential.task_key and not is_below(snapshot, credential, task_name)
    delegator = root_of(snapshot, caller)
    return delegator is None or not (
        is_owner(snapshot, task, delegator) or has_joined(snapshot, task, delegator)
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
