"""Shares of tasks with delegators and groups, in SQL for SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from jitid.ledger import select
from jitid.ledger.transaction import Changes
from jitid.ledger.view import Store

if TYPE_CHECKING:
    from jitid.ledger.transaction import Transaction


class TaskShare(NamedTuple):
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
