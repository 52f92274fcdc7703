"""Tasks and their shares compared with the audit events that opened, shared, gave and retired them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from jitid.errors import IntegrityError
from jitid.task import ADOPTED
from jitid.text import quote

if TYPE_CHECKING:
    from jitid.ledger.protocol import Snapshot
    from jitid.task import Task

MARK = b'"op":"task-'
"""What stands in each event about the owner or the shares of a task: in a text the quotes would be escaped."""
RETIRED = b'"op":"retire"'


class TaskMembers:
    """Takes the events about tasks, and says at their end which rows are not as those tell.

    An event names a task by the number of the event that opened it (`of`): that never changes.
    """

    def __init__(self, snapshot: Snapshot, *, pruned: bool) -> None:
        """`pruned`: credentials may be gone, by which one could tell who opened the tasks from before."""
        self._snapshot = snapshot
        self._pruned = pruned
        last = snapshot.segments.last()
        self._cut = 0 if last is None else last.through
        self._opened: dict[int, Mapping[str, Any]] = {}
        self._given: dict[int, tuple[int, str]] = {}
        self._shares: dict[tuple[int, str], list[tuple[int, int | None]]] = {}
        self._retired: dict[int, int] = {}
        self._retired_names: set[str] = set()
        """Those of tasks that were retired before names had owners."""

    def open(self, seq: int, event: Mapping[str, Any]) -> None:
        """Go on with an event that opened a task."""
        self._opened[seq] = {
            "name": event["task"],
            "opener": event.get("opener", event["delegator"]),
            "purpose": event.get("purpose"),
            "sensitivity": event["opened"]["sensitivity"],
            "deadline": event["opened"]["deadline"],
            "opened_at": event["at"],
        }

    def take(self, seq: int, event: Mapping[str, Any]) -> None:
        """Go on with an event that shared a task, gave it away or retired it."""
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

    def must_be_done(self) -> None:
        """Compare the rows.

        Raises:
            IntegrityError: one was edited, removed or inserted.

        """
        events: dict[int, int] = {}
        for task in self._snapshot.all_tasks():
            events[task.key] = task.event
            if task.name.startswith(ADOPTED):
                continue
            self._compare(task)
        for seq, told in self._opened.items():
            raise IntegrityError(
                f"event {seq} opened the task {quote(told['name'])}, and the ledger no longer says so"
            )
        if (name := self._snapshot.wrongly_opened(self._pruned)) is not None:
            raise IntegrityError(f"the task {quote(name)} does not belong to who opened it first")
        found: dict[tuple[int, str], list[tuple[int, int | None]]] = {}
        for share in self._snapshot.shares.all():
            found.setdefault((events.get(share.task, 0), share.name), []).append(
                (share.event, share.ended_event)
            )
        if found != self._shares:
            raise IntegrityError("with whom tasks are shared is not as the events tell")

    def _compare(self, task: Task) -> None:
        told = self._opened.pop(task.event, None)
        given = self._given.get(task.event)
        if (task.given_event or None) != (None if given is None else given[0]):
            raise IntegrityError(f"the owner of the task {quote(task.name)} is not as the events tell")
        if given is not None and task.opener != given[1]:
            raise IntegrityError(f"the owner of the task {quote(task.name)} was changed in the ledger")
        if told is not None:
            expected = {**told, "opener": task.opener if given is not None else told["opener"]}
            if any(getattr(task, field) != value for field, value in expected.items()):
                raise IntegrityError(f"the task {quote(task.name)} is not as event {task.event} opened it")
        elif task.given_event is None and task.event > self._cut:
            raise IntegrityError(f"the ledger has a task {quote(task.name)} that no event opened")
        at = self._retired.get(task.event)
        if at is not None and task.ended_at is None:
            raise IntegrityError(f"the task {quote(task.name)} was retired, and the ledger no longer says so")
        if (
            at is None
            and task.ended_at is not None
            and not self._cut
            and task.name not in self._retired_names
        ):
            raise IntegrityError(f"the task {quote(task.name)} has ended, and no event says so")
