"""Check of tasks and their shares against the audit events that opened, shared, gave and retired them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from jitid.capabilities.adopt.store import adopted_digest
from jitid.capabilities.audit.cut_store import CutStore
from jitid.capabilities.identity.share_store import ShareStore
from jitid.capabilities.identity.task_store import TaskStore
from jitid.errors import IntegrityError
from jitid.model.task import ADOPTED, UNKNOWN_OWNER
from jitid.values.text import label
from jitid.values.times import NO_EXPIRY

if TYPE_CHECKING:
    from jitid.ledger.view import View
    from jitid.model.task import Task

MARK = b'"op":"task-'
"""Bytes of every event about the owner or the shares of a task: inside a text the quotes would be escaped."""
RETIRED = b'"op":"retire"'


class TaskMembers:
    """The comparison of tasks and shares with the events about them.

    An event names a task by the number of the event that opened it (`of`), which never changes.
    """

    def __init__(self, snapshot: View, *, pruned: bool) -> None:
        """Keep the view; `pruned` is whether credentials may be gone that show the opener of an old task."""
        self._snapshot = snapshot
        self._pruned = pruned
        last_segment = CutStore(snapshot).last()
        self._cut = 0 if last_segment is None else last_segment.through
        self._opened: dict[int, Mapping[str, Any]] = {}
        self._taken: set[int] = set()
        """Events for which the task that they opened was found: each event opens one task."""
        self._adopting: dict[int, tuple[int, str | None]] = {}
        """Events that adopted secrets: the time, and the digest of the tasks, which earlier versions did not record."""
        self._given: dict[int, tuple[int, str]] = {}
        self._shares: dict[tuple[int, str], list[tuple[int, int | None]]] = {}
        self._from_before = False
        self._retired: dict[int, int] = {}
        self._retired_names: set[str] = set()
        """Names of tasks that were retired before names had owners."""

    def adopt(self, seq: int, event: Mapping[str, Any]) -> None:
        """Take an event that adopted secrets, each with a separate task."""
        self._adopting[seq] = (event["at"], event.get("tasks"))

    def open(self, seq: int, event: Mapping[str, Any]) -> None:
        """Take an event that opened a task."""
        self._opened[seq] = {
            "name": event["task"],
            "opener": event.get("opener", event["delegator"]),
            "purpose": event.get("purpose"),
            "sensitivity": event["opened"]["sensitivity"],
            "deadline": event["opened"]["deadline"],
            "opened_at": event["at"],
        }

    def take(self, seq: int, event: Mapping[str, Any]) -> None:
        """Take an event that shared a task, gave it away or retired it."""
        if "of" not in event:
            self._retired_names.add(event["task"])
            return
        of: int = event["of"]
        match event["op"]:
            case "retire":
                self._retired.setdefault(of, event["at"])
            case "task-give":
                self._given[of] = (seq, event["to"])
            case "task-share":
                for name in event["with"]:
                    self._shares.setdefault((of, name), []).append((seq, None))
            case "task-unshare":
                for name in event["with"]:
                    shares = self._shares[of, name]
                    shares[-1] = (shares[-1][0], seq)

    def compare_rows(self, *, from_before: bool) -> None:
        """Compare the rows.

        Args:
            from_before: whether the ledger may have tasks from before events stated the owner of a task.

        Raises:
            IntegrityError: a row was edited, removed or inserted.

        """
        self._from_before = from_before
        events: dict[int, int] = {}
        adopted: dict[int, list[Task]] = {}
        for task in TaskStore(self._snapshot).all_tasks():
            events[task.key] = task.event
            if task.name.startswith(ADOPTED):
                adopted.setdefault(task.event, []).append(task)
            self._compare(task)
        for seq, tasks in adopted.items():
            self._compare_adopted(seq, tasks)
        for seq, opened in self._opened.items():
            raise IntegrityError(
                f"event {seq} opened the task {label(opened['name'])}, and the ledger no longer says so"
            )
        if (name := TaskStore(self._snapshot).wrongly_opened(self._pruned)) is not None:
            raise IntegrityError(f"the task {label(name)} does not belong to who opened it first")
        shares: dict[tuple[int, str], list[tuple[int, int | None]]] = {}
        for share in ShareStore(self._snapshot).all():
            shares.setdefault((events.get(share.task, 0), share.name), []).append(
                (share.event, share.ended_event)
            )
        if shares != self._shares:
            raise IntegrityError("with whom tasks are shared is not as the events tell")

    def _may_be(self, task: Task) -> bool:
        """Return whether a task may exist without an event that opened it."""
        if task.given_event != 0:
            return 0 < task.event <= self._cut or (task.given_event is not None and task.event > 0)
        if not self._from_before:
            return False
        if task.event == 0:
            return task.opener == UNKNOWN_OWNER
        event = self._snapshot.event(task.event)
        if event is None:
            return 0 < task.event <= self._cut
        document = event.document()
        stated = (document.get("task", task.name), document.get("delegator", task.opener))
        return stated == (task.name, task.opener)

    def _compare_adopted(self, seq: int, tasks: list[Task]) -> None:
        digest = self._adopting.get(seq, (0, None))[1]
        transferred = any(task.event in self._given for task in tasks)
        if not transferred and digest not in (None, adopted_digest(tasks)):
            raise IntegrityError(f"the tasks of what event {seq} adopted are not in the ledger as it says")

    def _compare(self, task: Task) -> None:
        opened: Mapping[str, Any] | None = self._opened.pop(task.event, None)
        if task.name.startswith(ADOPTED) and task.event in self._adopting:
            # The digest of the event covers its opener and sensitivity.
            adopted_at, _ = self._adopting[task.event]
            opened = opened or {"opener": task.opener, "deadline": NO_EXPIRY, "opened_at": adopted_at}
        transfer = self._given.get(task.event)
        if (task.given_event or None) != (None if transfer is None else transfer[0]):
            raise IntegrityError(f"the owner of the task {label(task.name)} is not as the events tell")
        if transfer is not None and task.opener != transfer[1]:
            raise IntegrityError(f"the owner of the task {label(task.name)} was changed in the ledger")
        if opened is not None:
            expected = {**opened, "opener": task.opener if transfer is not None else opened["opener"]}
            if any(getattr(task, field) != value for field, value in expected.items()):
                raise IntegrityError(f"the task {label(task.name)} is not as event {task.event} opened it")
        elif task.event in self._taken or not self._may_be(task):
            raise IntegrityError(f"the ledger has a task {label(task.name)} that no event opened")
        if task.event > 0 and task.event not in self._adopting:
            self._taken.add(task.event)
        retired_at = self._retired.get(task.event)
        if retired_at is not None and task.ended_at != retired_at:
            raise IntegrityError(f"the task {label(task.name)} was retired, and the ledger no longer says so")
        if (
            retired_at is None
            and task.ended_at is not None
            and not self._cut
            and task.name not in self._retired_names
        ):
            raise IntegrityError(f"the task {label(task.name)} has ended, and no event says so")
