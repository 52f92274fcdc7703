"""The last step of `jitid scan --agents --scrub`: confirm, replace secrets, and report each file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitid.capabilities.scan.scrub import REPLACED, Scrub
from jitid.errors import ExitStatus
from jitid.formats.cell import counted
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
    """Replace the found secrets that no verifier accepts. Raises UsageError if the user does not confirm it."""
    hits = [hit for hit in result.refused or () if hit.sort in REPLACED]
    kept = [(hit, reason) for hit, reason in result.kept if hit.sort in (*REPLACED, "keys")]
    kept += [(hit, "a private key, never replaced") for hit in result.refused or () if hit.sort == "keys"]
    files = len({hit.place for hit in hits})
    if hits and not args.dry_run and not args.yes:
        from jitid.cli.input_lines import confirm

        confirm(
            f"replace refused secrets in {number_of(files, 'file')}",
            files,
            f"the number of files, {files}, to replace them; any other answer changes none",
        )
    results: list[ScrubbedFile] = []
    try:
        results.extend(Scrub(secret_search, home(), dry_run=args.dry_run).files(hits, kept))
    finally:
        cli.show_records(args.shown_view(), results)
    if result.unknown:
        stay = counted(len(result.unknown), "secret in jitid's form stays", "secrets in jitid's form stay")
        cli.note(f"{stay}: this ledger does not know {'it' if len(result.unknown) == 1 else 'them'}")
    if result.tally.missed:
        cli.note("some files were not searched: see jitid scan --agents")
        cli.status = ExitStatus.INCOMPLETE
    elif result.unreported:
        cli.note("some secrets have more places than one search lists: repeat the command")
        cli.status = ExitStatus.PARTIAL
    elif any(each.state == "kept" or each.reason is not None for each in results):
        cli.status = ExitStatus.PARTIAL
