"""`jitid doctor` and `jitid ledger check`: check the installation, the ledger and its keys, or a backup."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from jitid.authority import open_local
from jitid.cli.invocation import Invocation
from jitid.cli.ledger import commands
from jitid.doctor import installation_check
from jitid.errors import ExitStatus, JitidError
from jitid.formats import checklist
from jitid.ledger.sqlite import folder
from jitid.model.ledger_condition import Check, Status
from jitid.system import output

if TYPE_CHECKING:
    from jitid.formats.columns import Columns

_BY_SEVERITY = (ExitStatus.INTEGRITY, ExitStatus.USAGE, ExitStatus.REFUSED, ExitStatus.STORAGE)
"""Storage is last: its status promises that a retry may help, which is false while another check fails."""

_LARGE = 32 << 20
"""Size in bytes of a database that takes more than a moment to examine."""


def doctor(cli: Invocation) -> None:
    """Perform `jitid doctor`."""
    trouble = cli.try_config()
    view = commands.DoctorCommand.view
    cli.expect(view.named)
    with _progress(cli):
        checks = installation_check.check(cli.config(), trouble)
    _report(cli, view, checks)


def check(cli: Invocation, args: commands.LedgerCheckCommand) -> None:
    """Perform `jitid ledger check`."""
    from jitid.doctor import upkeep

    config = cli.config()
    if args.backup is None:
        with _progress(cli):
            checks = upkeep.check(config)
    else:
        from jitid.cli.ledger.ledger_verbs import backup_hint, stages, standard_input

        with stages(cli) as display, backup_hint():
            checks = list(
                upkeep.check_backup(config, args.backup, display.stage, standard_input(args.backup))
            )
    _report(cli, args.view, checks)


def _report(cli: Invocation, view: Columns, checks: list[Check]) -> None:
    """Show the results of checks. Raises the error of the most severe failure."""

    def repair(check: Check) -> dict[str, str | None]:
        # The command acts on the same ledger.
        return {"repair": None if check.repair is None else cli.command(check.repair)}

    if cli.by_eye():
        output.write(checklist.text([view.row(each, repair(each)) for each in checks], cli.coloured()))
    else:
        cli.show_records(view, checks, repair)
    error = _verdict(checks)
    if error is not None:
        raise error


@contextmanager
def _progress(cli: Invocation) -> Iterator[None]:
    """Show at a terminal that the ledger is examined: a large one takes seconds."""
    text = b"jitid: examining the ledger"
    visible = os.isatty(2) and not cli.quiet and _is_large(cli)
    if visible:
        os.write(2, text)
    try:
        yield
    finally:
        if visible:
            os.write(2, b"\r" + b" " * len(text) + b"\r")


def _is_large(cli: Invocation) -> bool:
    try:
        path = os.path.join(open_local.home_path(cli.config()), folder.DATABASE)
        return os.lstat(path).st_size >= _LARGE
    except (JitidError, OSError, ValueError):
        # The checks report the error.
        return False


def _verdict(checks: list[Check]) -> JitidError | None:
    """Return the error for the failed checks, or None."""
    failures = [check for check in checks if check.status is Status.FAILURE]
    if not failures:
        return None
    # A remote authority may refuse with any other status.
    rank = {status: index for index, status in enumerate(_BY_SEVERITY)}
    most_severe = min(failures, key=lambda check: rank.get(check.exit_status, len(rank)))
    names = Counter(check.name for check in failures)
    summary = ", ".join(name if count == 1 else f"{name} ({count})" for name, count in names.items())
    error = JitidError(f"failed checks: {summary}", "the report names a repair for each")
    error.code = most_severe.code or error.code
    error.exit_status = most_severe.exit_status
    error.retryable = most_severe.exit_status is ExitStatus.STORAGE
    return error
