"""Queries and changes of tasks and their shares, in SQL for SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from jitid.ledger import select
from jitid.ledger.select import dialect_of
from jitid.ledger.transaction import Changes
from jitid.ledger.view import Store
from jitid.model.task import Task
from jitid.values.record import Record
from jitid.values.times import check_times

if TYPE_CHECKING:
    from jitid.ledger.transaction import Transaction


_TASK_COLUMNS = """t.id, t.name, t.purpose, t.sensitivity, t.deadline, t.opened_at, t.ended_at, o.text, t.event,
           t.given_event"""

_TASK = f"SELECT {_TASK_COLUMNS} FROM task t JOIN term o ON o.id = t.opener"

_EVERY_TASK = f"SELECT {_TASK_COLUMNS} FROM task t LEFT JOIN term o ON o.id = t.opener"

_TASK_WIDTH = 10

_OPEN = """INSERT INTO task (id, name, purpose, sensitivity, deadline, opened_at, opener, event)
           VALUES (?, ?, ?, ?, ?, ?, ?, ?)"""


def _task(row: Any) -> Task:
    check_times(*row[4:7])
    return Task._make(row)


class TaskStore(Store):
    """Queries about tasks, on a view of the ledger."""

    def find_task(self, name: str, opener: str | None = None) -> Task | None:
        """Return the task of that name and `opener`; without `opener`, the only task of that name, if any."""
        if opener is None:
            tasks = self.tasks_named(name, 2)
            return tasks[0] if len(tasks) == 1 else None
        return self._view.once("task", (name, opener), lambda: self._task_of(name, opener))

    def _task_of(self, name: str, opener: str) -> Task | None:
        row = self._one(
            f"{_TASK} WHERE t.name = :name AND t.opener = (SELECT id FROM term WHERE text = :opener)",
            name=name,
            opener=opener,
        )
        return None if row is None else _task(row)

    def tasks_named(self, name: str, limit: int) -> list[Task]:
        """Return the tasks of that name by any owner, the oldest first."""
        rows = self._db.execute(
            f"{_TASK} WHERE t.name = :name ORDER BY t.id LIMIT :most", {"name": name, "most": limit}
        )
        return [_task(row) for row in rows]

    def task_numbered(self, key: int) -> Task | None:
        """Return the task with that number of the ledger."""
        return self._view.once("task", key, lambda: self._task_numbered(key))

    def _task_numbered(self, key: int) -> Task | None:
        row = self._one(f"{_TASK} WHERE t.id = :key", key=key)
        return None if row is None else _task(row)

    def tasks_numbered(self, keys: Iterable[int]) -> dict[int, Task]:
        """Return tasks by the ledger's numbers."""
        return {row[0]: _task(row) for row in select.alike(self._db, f"{_TASK} WHERE t.id", keys)}

    def all_tasks(self) -> Iterator[Task]:
        """Yield all tasks, open and ended."""
        # The left join also finds a task whose owner is missing.
        return map(_task, dialect_of(self._db).stream(self._db, f"{_EVERY_TASK} ORDER BY t.id"))

    def wrongly_opened(self, pruned: bool) -> str | None:
        """Return a task whose owner is not the delegator of its first credential; None if there is no such task.

        Only tasks from before names had owners are checked. If credentials were pruned, the first credential may be
        missing: then the owner need only have some credential of the task.
        """
        from_clause = "FROM identity i JOIN credential c ON c.identity = i.id WHERE i.task = t.id"
        condition = (
            f"EXISTS (SELECT 1 {from_clause}) AND NOT EXISTS (SELECT 1 {from_clause} AND c.delegator = t.opener)"
            if pruned
            else f"""(NOT EXISTS (SELECT 1 {from_clause} AND c.event = t.event AND c.delegator = t.opener)
                      OR EXISTS (SELECT 1 {from_clause} AND c.event < t.event))"""
        )
        row = self._one(
            f"SELECT t.name FROM task t WHERE t.given_event = 0 AND t.event > 0 AND {condition} LIMIT 1"
        )
        return None if row is None else str(row[0])

    def tasks_of(self, names: Iterable[str]) -> dict[tuple[str, str], Task]:
        """Return the tasks of these names by any owner, by name and owner."""
        tasks = map(_task, select.alike(self._db, f"{_TASK} WHERE t.name", names))
        return {(task.name, task.opener): task for task in tasks}

    def find_tasks(
        self, state: str | None, after: int | None, limit: int, within: Sequence[str] = ()
    ) -> list[tuple[Task, int, int]]:
        """Return tasks, newest first, with the number of their credentials and of the live ones.

        `within`: only tasks that one of these names owns, or that are shared with one. `after` is the number of a
        task.
        """
        condition = {
            None: "1 = 1",
            "open": "t.ended_at IS NULL AND t.deadline > :now",
            "overdue": "t.ended_at IS NULL AND t.deadline <= :now",
            "ended": "t.ended_at IS NOT NULL",
        }[state]
        values: dict[str, Any] = {"now": self._now, "limit": limit}
        if after is not None:
            condition += " AND t.id < :after"
            values["after"] = after
        if within:
            names = select.placeholders("whose", within, values)
            condition += f""" AND (t.opener IN (SELECT id FROM term WHERE text IN ({names})) OR t.id IN (
                SELECT task FROM task_share WHERE ended_event IS NULL AND name IN ({names})))"""
        rows = self._db.execute(
            f"""SELECT {_TASK_COLUMNS},
                       (SELECT count(*) FROM identity i JOIN credential c ON c.identity = i.id WHERE i.task = t.id),
                       (SELECT count(*) FROM credential c WHERE c.task = t.id AND {select.LIVE})
                  FROM task t JOIN term o ON o.id = t.opener
                 WHERE {condition} ORDER BY t.id DESC LIMIT :limit""",
            values,
        )
        return [(_task(row[:_TASK_WIDTH]), *row[_TASK_WIDTH:]) for row in rows]

    def count_for_task(self, task: int) -> tuple[int, int]:
        """Return the number of credentials that were issued for a task, and of the live ones."""
        row = self._one(
            f"""SELECT (SELECT count(*) FROM identity i JOIN credential c ON c.identity = i.id WHERE i.task = :task),
                      (SELECT count(*) FROM credential c WHERE c.task = :task AND {select.LIVE})""",
            task=task,
            now=self._now,
        )
        return row[0], row[1]


class TaskChanges(Changes, TaskStore):
    """Changes to tasks."""

    def open_task(
        self,
        name: str,
        purpose: str | None,
        sensitivity: str,
        deadline: int,
        opener: str,
        event: int | None = None,
    ) -> Task:
        """Record a new task, opened by `event` or the next event; the opener must have no other task of that name."""
        opener_key, key = self._transaction.term(opener), self._transaction.next_row_id()
        seq = self._transaction.next_seq() if event is None else event
        row = (key, name, purpose, sensitivity, deadline, self._now, opener_key, seq)
        if key is None:
            (key,) = self._db.execute(f"{_OPEN} RETURNING id", row).fetchone()
        else:
            self._db.execute(_OPEN, row)
        return Task(key, name, purpose, sensitivity, deadline, self._now, None, opener, seq)

    def end_task(self, key: int) -> None:
        """Record that a task ends now."""
        self._transaction.alone()
        self._db.execute(
            "UPDATE task SET ended_at = :now WHERE id = :key AND ended_at IS NULL",
            {"now": self._now, "key": key},
        )


class TaskShare(Record):
    """A present or former share of a task."""

    task: int
    """The ledger's number of the task."""
    name: str
    """The delegator that may join it, or a group as `group:NAME`."""
    event: int
    """The audit event that shared it."""
    ended_event: int | None
    """The audit event that ended the share; None for a present share."""


class ShareStore(Store):
    """Queries about shared tasks, on a view of a SQL ledger."""

    def are_some(self) -> bool:
        """Return whether any task is shared now; if not, lookups by name can be skipped."""
        shared: bool = self._view.once("shared", None, self._any)
        return shared

    def _any(self) -> bool:
        row = self._db.execute("SELECT 1 FROM task_share WHERE ended_event IS NULL LIMIT 1", {}).fetchone()
        return row is not None

    def of(self, task: int) -> list[str]:
        """Return the names that a task is shared with now, sorted."""
        rows = self._db.execute(
            "SELECT name FROM task_share WHERE task = :task AND ended_event IS NULL ORDER BY name",
            {"task": task},
        )
        return [name for (name,) in rows]

    def is_shared(self, task: int, names: Sequence[str]) -> bool:
        """Return whether a task is shared now with one of these names."""
        values: dict[str, Any] = {"task": task}
        among = select.placeholders("name", names, values)
        row = self._db.execute(
            f"SELECT 1 FROM task_share WHERE task = :task AND ended_event IS NULL AND name IN ({among}) LIMIT 1",
            values,
        ).fetchone()
        return row is not None

    def open_with(self, name: str, names: Sequence[str], limit: int) -> list[int]:
        """Return the numbers of the open tasks called `name` that are shared with one of `names`, oldest first."""
        if not self.are_some():
            return []
        values: dict[str, Any] = {"task": name, "now": self._now, "most": limit}
        among = select.placeholders("name", names, values)
        rows = self._db.execute(
            f"""SELECT DISTINCT t.id FROM task_share s JOIN task t ON t.id = s.task
                 WHERE s.name IN ({among}) AND s.ended_event IS NULL
                   AND t.name = :task AND t.ended_at IS NULL AND t.deadline > :now ORDER BY t.id LIMIT :most""",
            values,
        )
        return [key for (key,) in rows]

    def is_joined(self, task: int, delegators: Sequence[str]) -> bool:
        """Return whether an identity was ever issued on a task for one of these root delegators."""
        values: dict[str, Any] = {"task": task}
        among = select.placeholders("name", delegators, values)
        row = self._db.execute(
            f"""SELECT 1 FROM identity i WHERE i.task = :task
                   AND i.delegator IN (SELECT id FROM term WHERE text IN ({among})) LIMIT 1""",
            values,
        ).fetchone()
        return row is not None

    def all(self) -> Iterator[TaskShare]:
        """Yield all shares, present and former, in the order in which they were made."""
        rows = self._db.execute("SELECT task, name, event, ended_event FROM task_share ORDER BY id")
        return map(TaskShare._make, rows)


class ShareChanges(Changes, ShareStore):
    """Changes to shares; each changed row points to the next event."""

    def __init__(self, transaction: Transaction) -> None:
        super().__init__(transaction)
        transaction.alone()

    def add(self, task: int, names: Iterable[str]) -> None:
        """Record that a task is shared with these names, which must not share it already."""
        self._transaction.forget("shared")
        seq = self._transaction.next_seq()
        (last_id,) = self._db.execute("SELECT coalesce(max(id), 0) FROM task_share").fetchone()
        self._db.executemany(
            "INSERT INTO task_share (id, task, name, event) VALUES (?, ?, ?, ?)",
            [(last_id + offset, task, name, seq) for offset, name in enumerate(names, start=1)],
        )

    def end(self, task: int, names: Iterable[str]) -> None:
        """Record that a task is no longer shared with these names."""
        self._transaction.forget("shared")
        seq = self._transaction.next_seq()
        self._db.executemany(
            "UPDATE task_share SET ended_event = ? WHERE task = ? AND name = ? AND ended_event IS NULL",
            [(seq, task, name) for name in names],
        )

    def give(self, task: int, opener: int) -> None:
        """Record the new owner of a task, by the number of the owner's term."""
        self._db.execute(
            "UPDATE task SET opener = :opener, given_event = :seq WHERE id = :task",
            {"opener": opener, "seq": self._transaction.next_seq(), "task": task},
        )
