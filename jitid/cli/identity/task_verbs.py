"""`jitid task`: list, show, share and transfer tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jitid.authority.open import open_authority
from jitid.capabilities.inventory.operations import GiveTask, ListTasks, ShareTask, ShowTask, TaskRow
from jitid.capabilities.inventory.task_sharing import check_shared
from jitid.cli import record_rows
from jitid.cli.identity.list import limit_of
from jitid.cli.invocation import Invocation
from jitid.errors import UsageError
from jitid.formats.display import Display
from jitid.values.names import check_delegator
from jitid.values.text import quote

if TYPE_CHECKING:
    from jitid.cli.identity import commands

FIELDS = (
    "task",
    "state",
    "sensitivity",
    "purpose",
    "opened_at",
    "deadline",
    "ended_at",
    "credentials",
    "live",
    "opener",
    "shared",
)
BRIEF = ("task", "opener", "state", "sensitivity", "deadline", "credentials", "live")
STATES = ("open", "overdue", "ended")


def list_(cli: Invocation, args: commands.TaskListCommand) -> None:
    """Perform `jitid task list`."""
    state = args.state
    cli.expect(FIELDS)
    if state is not None and state not in STATES:
        raise UsageError(f"{quote(state)} is no state of a task", f"choose one of: {', '.join(STATES)}")
    cursor = args.after
    rows = open_authority(cli.config()).perform(
        ListTasks(state=state, after=cursor, limit=limit_of(args.limit))
    )
    cli.show(
        Display("jitid.task-list/1", record_rows.columns(cli, FIELDS, BRIEF), [_row(row) for row in rows])
    )


def show(cli: Invocation, args: commands.TaskShowCommand) -> None:
    """Perform `jitid task show`."""
    cli.expect(FIELDS)
    row = open_authority(cli.config()).perform(ShowTask(name=args.task))
    cli.show(Display("jitid.task/1", FIELDS, [_row(row)], one=True))


def share(cli: Invocation, args: commands.TaskShareCommand) -> None:
    """Perform `jitid task share`."""
    cli.expect(FIELDS)
    if not args.whom:
        raise UsageError("no delegator is named", "such as --with bob, or --with group:oncall")
    operation = ShareTask(
        task=args.task,
        names=tuple(map(check_shared, args.whom)),
        end=args.end,
        accept_clock=cli.accept_clock,
    )
    row = open_authority(cli.config()).perform(operation)
    cli.show(Display("jitid.task/1", FIELDS, [_row(row)], one=True))


def give(cli: Invocation, args: commands.TaskGiveCommand) -> None:
    """Perform `jitid task give`."""
    cli.expect(FIELDS)
    if args.to is None:
        raise UsageError("no new owner is named", "such as --to bob")
    operation = GiveTask(task=args.task, to=check_delegator(args.to), accept_clock=cli.accept_clock)
    row = open_authority(cli.config()).perform(operation)
    cli.show(Display("jitid.task/1", FIELDS, [_row(row)], one=True))


def _row(row: TaskRow) -> dict[str, Any]:
    task = row.task
    return {
        "task": task.name,
        "state": task.state_at(row.now),
        "sensitivity": task.sensitivity,
        "purpose": task.purpose,
        "opened_at": record_rows.time(task.opened_at),
        "deadline": record_rows.time(task.deadline),
        "ended_at": record_rows.time(task.ended_at),
        "credentials": row.credentials,
        "live": row.live,
        "opener": task.opener,
        "shared": list(row.shared) or None,
    }
