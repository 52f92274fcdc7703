"""`jitid ledger check` and `ledger vacuum`: check the files of the ledger, and reclaim their free space."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitid.backup.destination import OUT
from jitid.cli import read_input
from jitid.cli.invocation import Invocation
from jitid.cli.ledger import doctor
from jitid.cli.ledger.ledger_backup import ProgressDisplay, backup_hint, must_be_a_path
from jitid.doctor import upkeep
from jitid.formats import checklist
from jitid.formats.display import Display
from jitid.system import output

if TYPE_CHECKING:
    from jitid.cli.ledger import commands

CHECKED = doctor.FIELDS
VACUUMED = ("before", "after", "saved", "log")


def check(cli: Invocation, args: commands.LedgerCheckCommand) -> None:
    """Perform `jitid ledger check`."""
    cli.expect(CHECKED)
    config = cli.config()
    if args.backup is None:
        with doctor.progress(cli):
            checks = upkeep.check(config)
    else:
        must_be_a_path(args.backup)
        display = ProgressDisplay(cli)
        try:
            with backup_hint():
                checks = list(
                    upkeep.check_backup(
                        config,
                        args.backup,
                        display.stage,
                        read_input.file_of(0) if args.backup == OUT else None,
                    )
                )
        finally:
            display.end()
    rows = [doctor.row(cli, result) for result in checks]
    if cli.by_eye():
        output.write(checklist.text(rows, cli.coloured()))
    else:
        cli.show(Display("jitid.ledger-check/1", CHECKED, rows))
    error = doctor.verdict(checks)
    if error is not None:
        raise error


def vacuum(cli: Invocation) -> None:
    """Perform `jitid ledger vacuum`."""
    cli.expect(VACUUMED)
    display = ProgressDisplay(cli)
    try:
        result = upkeep.vacuum(cli.config(), display.stage)
    finally:
        display.end()
    row = {
        "before": result.before,
        "after": result.after,
        "saved": result.before - result.after,
        "log": result.log_left,
    }
    if cli.field is not None or cli.format_name() is not None:
        cli.show(Display("jitid.ledger-vacuum/1", VACUUMED, [row], one=True))
    else:
        output.write(f"{result.before} bytes before, {result.after} after\n")
    if result.log_left:
        cli.note("somebody was reading an old state: what that held back goes as soon as nobody does")
