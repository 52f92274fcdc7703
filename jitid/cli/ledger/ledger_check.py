"""`jitid ledger check` and `ledger vacuum`: check the files of the ledger, and reclaim their free space."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitid.backup.destination import OUT
from jitid.cli import read_input, record_rows
from jitid.cli.invocation import Invocation
from jitid.cli.ledger import doctor
from jitid.cli.ledger.ledger_backup import ProgressDisplay, backup_hint, must_be_a_path
from jitid.doctor import upkeep
from jitid.formats import checklist
from jitid.formats.display import Display
from jitid.system import output

if TYPE_CHECKING:
    from jitid.cli import options

CHECKED = doctor.FIELDS
VACUUMED = ("before", "after", "saved", "log")


def check(cli: Invocation, backup: options.BackupToCheck = None) -> None:
    """Check the ledger itself: its files, its database, its keys and its audit log.

    With BACKUP it checks a backup instead, as `ledger restore` would, and restores nothing. Nothing is changed. Each
    line is ok, warning or failure, with what repairs it. Exit status 7 says that something is damaged, was tampered
    with or is open to others; warnings do not count.
    """
    cli.expect(CHECKED)
    config = cli.config()
    if backup is None:
        with doctor.progress(cli):
            checks = upkeep.check(config)
    else:
        must_be_a_path(backup)
        display = ProgressDisplay(cli)
        try:
            with backup_hint():
                checks = list(
                    upkeep.check_backup(
                        config, backup, display.stage, read_input.file_of(0) if backup == OUT else None
                    )
                )
        finally:
            display.end()
    rows = [doctor.row(cli, result) for result in checks]
    if record_rows.by_eye(cli):
        output.write(checklist.text(rows, cli.coloured()))
    else:
        cli.show(Display("jitid.ledger-check/1", CHECKED, rows))
    error = doctor.verdict(checks)
    if error is not None:
        raise error


def vacuum(cli: Invocation) -> None:
    """Give the room that rows have left back to the file system.

    The database is written anew, in one transaction: writers wait for their turn, readers go on. It takes twice the
    room of what the ledger holds beside it. In PostgreSQL the tables are vacuumed, and nobody waits.
    """
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
