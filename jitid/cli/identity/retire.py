"""`jitid retire`: end a task."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitid.authority.open import open_authority
from jitid.authority.settle_at_targets import confirm
from jitid.capabilities.inventory.operations import Retire
from jitid.cli.identity.revoke import FIELDS, check_reason, report_ended
from jitid.cli.invocation import Invocation

if TYPE_CHECKING:
    from jitid.cli.identity import commands


def retire(cli: Invocation, args: commands.RetireCommand) -> None:
    """Perform `jitid retire`."""
    cli.expect(FIELDS)
    operation = Retire(
        task=args.task,
        reason=check_reason(args.reason),
        dry_run=args.dry_run,
        accept_clock=cli.accept_clock,
    )
    patience = args.wait
    authority = open_authority(cli.config())
    report_ended(cli, confirm(authority, authority.perform(operation), patience), dry_run=args.dry_run)
