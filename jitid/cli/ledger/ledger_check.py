"""`jitid ledger check` and `ledger vacuum`: check the files of the ledger, and reclaim their free space."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitid.backup.destination import OUT
from jitid.cli import read_input, record_rows
from jitid.cli.invocation import Globals
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


def check(given: Globals, backup: options.BackupToCheck = None) -> None:
    """Check the ledger itself: its files, its database, its keys and its audit log.

    With BACKUP it checks a backup instead, as `ledger restore` would, and restores nothing. Nothing is changed. Each
    line is ok, warning or failure, with what repairs it. Exit status 7 says that something is damaged, was tampered
    with or is open to others; warnings do not count.
    """
    given.expect(CHECKED)
    config = given.config()
    if backup is None:
        with doctor.progress(given):
            checks = upkeep.check(config)
    else:
        must_be_a_path(backup)
        display = ProgressDisplay(given)
        try:
            with backup_hint():
                checks = list(
                    upkeep.check_backup(
                        config, backup, display.stage, read_input.file_of(0) if backup == OUT else None
                    )
                )
        finally:
            display.end()
    found = [doctor.row(given, one) for one in checks]
    if record_rows.by_eye(given):
        output.write(checklist.text(found, given.coloured()))
    else:
        given.show(Display("jitid.ledger-check/1", CHECKED, found))
    error = doctor.verdict(checks)
    if error is not None:
        raise error


def vacuum(given: Globals) -> None:
    """Give the room that rows have left back to the file system.

    The database is written anew, in one transaction: writers wait for their turn, readers go on. It takes twice the
    room of what the ledger holds beside it. In PostgreSQL the tables are vacuumed, and nobody waits.
    """
    given.expect(VACUUMED)
    display = ProgressDisplay(given)
    try:
        done = upkeep.vacuum(given.config(), display.stage)
    finally:
        display.end()
    row = {
        "before": done.before,
        "after": done.after,
        "saved": done.before - done.after,
        "log": done.log_left,
    }
    if given.field is not None or given.format_name() is not None:
        given.show(Display("jitid.ledger-vacuum/1", VACUUMED, [row], one=True))
    else:
        output.write(f"{done.before} bytes before, {done.after} after\n")
    if done.log_left:
        given.note("somebody was reading an old state: what that held back goes as soon as nobody does")
