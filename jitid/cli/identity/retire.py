"""`jitid retire`: end a task."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitid.authority.open import open_authority
from jitid.authority.settle_at_targets import confirm
from jitid.capabilities.inventory.operations import Retire
from jitid.cli.identity.revoke import FIELDS, check_reason, report_ended
from jitid.cli.invocation import Invocation
from jitid.model.task import check_task
from jitid.values.times import parse_duration

if TYPE_CHECKING:
    from jitid.cli import options


def retire(
    cli: Invocation,
    task: options.TaskName,
    reason: options.Reason = None,
    dry_run: options.DryRun = False,
    wait: options.WaitForTargets = None,
) -> None:
    """End a task, with every identity and credential of it.

    What descends from them ends too, and the task's name is never used again. Retiring twice is no error.
    --dry-run says what would end. What a target has made ends there too; --wait tries again what the target does
    not confirm.
    """
    cli.expect(FIELDS)
    operation = Retire(
        task=check_task(task),
        reason=check_reason(reason),
        dry_run=dry_run,
        accept_clock=cli.accept_clock,
    )
    patience = None if wait is None else parse_duration(wait)
    authority = open_authority(cli.config())
    report_ended(cli, confirm(authority, authority.perform(operation), patience), dry_run=dry_run)
