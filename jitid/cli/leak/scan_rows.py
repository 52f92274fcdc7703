"""The findings and the coverage of a scan, and the requested action."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from jitid.capabilities.sweep.finding import Coverage, Finding, Severity, Swept
from jitid.capabilities.sweep.scan_findings import RULES
from jitid.cli.sweep.findings_output import FindingsOutput, RecordConverter, new_run
from jitid.errors import JitidError, UsageError
from jitid.formats.cell import counted
from jitid.model.leak import starred
from jitid.values.record import Record

if TYPE_CHECKING:
    from jitid.capabilities.leak.leaks import LeakReport
    from jitid.capabilities.scan.hits import ScanTally
    from jitid.capabilities.sweep.findings_view import FindingRow, Wording
    from jitid.cli.invocation import Invocation
    from jitid.cli.leak import commands
    from jitid.config.effective import Config


_NAMED = 5
_UNITS = ("bytes", "kB", "MB", "GB", "TB")
_STEP = 1000


def write(
    cli: Invocation,
    args: commands.ScanCommand,
    wording: Wording,
    results: Iterable[Finding | Coverage | Swept],
) -> RecordConverter:
    """Write the findings. Return the totals of the written findings. Raises OutputError."""
    converter = RecordConverter(
        cli, new_run(), Severity(args.fail_on or Severity.HIGH), (), None, lambda _: None
    )
    findings = FindingsOutput(args.view, RULES, wording, partial(_row, args.view.fields))
    findings.write(cli, args.out, converter.records((), results))
    return converter


def _row(fields: Sequence[str], record: FindingRow) -> Mapping[str, Any]:
    """Return a finding with its evidence in fields."""
    evidence = record["evidence"]
    own = {name: record.get(name) for name in ("state", "severity", "rule", "subject", "summary", "remedy")}
    own |= {"fingerprint": record["fingerprint"], "life": evidence.get("state")}
    return {name: own[name] if name in own else evidence.get(name) for name in fields}


class Searched(Record):
    """The extent of a scan."""

    unit: str
    """Name of an item, such as a file."""
    tally: ScanTally
    mistyped: int
    """Number of strings that look like tokens, but are cut or mistyped."""
    untold: int
    """Number of places that are not reported, of strings with many places."""


def coverage(rule: str, extent: Searched, *, with_ledger: bool) -> Coverage:
    """Return the coverage: the searched data, and the missed data."""
    unit, tally, mistyped, unreported = extent
    searched = f"searched {counted(tally.items, unit)}, {size(tally.bytes)}"
    if tally.passed:
        passed = ", ".join(f"{reason} ({count:,})" for reason, count in sorted(tally.passed.items()))
        searched += f"; passed over: {passed}"
    if tally.histories:
        searched += f"; the history of {repositories(tally.histories)} was not searched"
    if mistyped:
        searched += f"; {counted(mistyped, 'token is', 'tokens are')} cut or mistyped"
    if unreported:
        more = counted(unreported, "more place", "more places")
        searched += f"; {more} of strings of which the first places are told"
    unknown = None if with_ledger else "whether what was found lives, for there is no ledger here"
    return Coverage(rule, searched, tuple(_missed(tally)), unknown)


def repositories(count: int) -> str:
    """Return a number of repositories in words."""
    return "a git repository" if count == 1 else f"{count:,} git repositories"


def size(count: int) -> str:
    """Return a number of bytes in a unit for people."""
    amount, unit = float(count), 0
    while amount >= _STEP and unit < len(_UNITS) - 1:
        amount, unit = amount / _STEP, unit + 1
    return f"{count} {_UNITS[0]}" if unit == 0 else f"{amount:.3g} {_UNITS[unit]}"


def _missed(tally: ScanTally) -> Iterator[str]:
    for reason, count in sorted(tally.missed.items()):
        paths = sorted(tally.named[reason])
        first_paths = ", ".join(map(starred, paths[:_NAMED]))
        more = f" and {count - _NAMED:,} more" if count > _NAMED else ""
        yield f"{reason}: {first_paths}{more}"


class Action(Record):
    """The requested action on proved secrets."""

    report: LeakReport | None
    """None to record nothing."""
    revoke: bool
    reason: str | None
    most: int | None
    dry_run: bool


def action(cli: Invocation, paths: Sequence[str], args: commands.ScanCommand) -> Action | None:
    """Return the requested action, or None. Raises UsageError for guards without an action."""
    if args.yes and args.max_ is not None:
        raise UsageError("--yes and --max contradict each other", "--yes ends however many there are")
    if not args.revoke and (args.reason is not None or args.max_ is not None or args.yes):
        raise UsageError("--reason, --max and --yes go with --revoke", "add --revoke, or leave them out")
    if not args.report and args.source is not None:
        raise UsageError("--source goes with --report", "add --report, or leave it out")
    if not (args.report or args.revoke):
        if args.dry_run:
            raise UsageError("--dry-run goes with --revoke or --report", "add one, or leave it out")
        return None
    # Most scans do not need this import.
    from jitid.capabilities.leak.leaks import LONGEST_SOURCE, LeakReport, check_source

    max_count: int | None = None
    if args.revoke:
        max_count = cli.most(args.max_, yes=args.yes)
    joined_paths = " ".join("stdin" if path == "-" else path for path in paths)
    source_name = args.source if args.source is not None else joined_paths[:LONGEST_SOURCE]
    report = LeakReport(check_source(source_name), None) if args.report else None
    return Action(report, args.revoke, args.reason, max_count, args.dry_run)


def own_folder(config: Config) -> frozenset[tuple[int, int]]:
    """Return device and inode of the folder of ledger and keys, where secrets are in their proper place."""
    from jitid.authority.open_local import home_path

    if config.remote is not None:
        return frozenset()
    try:
        status = os.stat(home_path(config))
    except (OSError, JitidError):
        return frozenset()
    return frozenset({(status.st_dev, status.st_ino)})
