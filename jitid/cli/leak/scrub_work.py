"""The last step of `jitid scan --agents --scrub`: confirm, replace dead secrets, and report each file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitid.capabilities.scan.scrub import SORTS, Scrub
from jitid.errors import ExitStatus
from jitid.system.xdg import home
from jitid.values.text import number_of

if TYPE_CHECKING:
    from jitid.capabilities.scan.scrub import ScrubbedFile
    from jitid.capabilities.sweep.scan_result import ScanResult
    from jitid.cli.invocation import Invocation
    from jitid.cli.leak import commands
    from jitid.search.find import SecretSearch


def scrub(
    cli: Invocation, args: commands.ScanCommand, result: ScanResult, secret_search: SecretSearch | None
) -> None:
    """Replace the dead secrets that a scan has found. Raises UsageError if the user does not confirm it."""
    dead = [hit for hit in result.dead or () if hit.sort in SORTS]
    files = len({hit.place for hit in dead})
    if dead and not args.dry_run and not args.yes:
        from jitid.cli.input_lines import confirm

        confirm(
            f"replace dead secrets in {number_of(files, 'file')}",
            files,
            f"the number of files, {files}, to replace them; any other answer changes none",
        )
    results: list[ScrubbedFile] = []
    try:
        results.extend(Scrub(secret_search, home(), dry_run=args.dry_run).files(dead))
    finally:
        cli.show_records(args.shown_view(), results)
    if result.tally.missed:
        cli.note("some files were not searched: see jitid scan --agents")
        cli.status = ExitStatus.INCOMPLETE
    elif result.unreported:
        cli.note("some secrets have more places than one search lists: repeat the command")
        cli.status = ExitStatus.PARTIAL
    elif any(each.state == "kept" or each.reason is not None for each in results):
        cli.status = ExitStatus.PARTIAL
