"""The findings of a scan, as rows for a format."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

from jitid.capabilities.sweep.finding import Coverage, Finding, Swept
from jitid.capabilities.sweep.findings_json import document, lines
from jitid.capabilities.sweep.findings_view import SCAN, SweptRows, covered
from jitid.cli.leak.scan_findings import RULES
from jitid.cli.sweep.sweep_rows import RecordConverter, Whole
from jitid.errors import JitidError, UsageError
from jitid.formats.figures import counted
from jitid.model.leak import starred
from jitid.system import output
from jitid.system.files import writing_public

if TYPE_CHECKING:
    from jitid.capabilities.leak.leaks import LeakReport
    from jitid.capabilities.scan.item import ScanTally
    from jitid.capabilities.sweep.finding import Severity
    from jitid.capabilities.sweep.findings_view import Wording
    from jitid.cli.invocation import Invocation
    from jitid.config.effective import Config


SCHEMA = "jitid.scan/1"
_OF_EVIDENCE = (
    "path",
    "line",
    "commit",
    "inside",
    "match",
    "proof",
    "jti",
    "id",
    "kind",
    "agent",
    "task",
    "delegator",
    "chain",
)
FIELDS = ("state", "severity", "rule", "subject", "summary", "remedy", *_OF_EVIDENCE, "life", "fingerprint")
"""The fields of a finding. Coverage is a row too, with the state `examined` or `missed`."""
_NAMED = 5
_UNITS = ("bytes", "kB", "MB", "GB", "TB")
_STEP = 1000


def write(
    cli: Invocation, request: ScanRequest, results: Iterable[Finding | Coverage | Swept]
) -> RecordConverter:
    """Write the findings to standard output, or to a file that is replaced completely or not at all.

    Return the totals of the written findings. Raises OutputError.
    """
    converter = RecordConverter(cli, _name(), request.fail_on, (), None, lambda _: None)
    records = Whole(converter.records((), results))
    # Errors must be raised before anything is written.
    first_record = next(records, None)
    records.check()
    assert first_record is not None
    text = _text(cli, request, chain([first_record], records))
    if request.out is None or request.own != "prometheus":
        output.put(text, request.out)
    else:
        # A collector's file is public. Other formats contain names that are not public.
        with writing_public(request.out) as file:
            for piece in text:
                file.write(piece)
    records.check()
    return converter


def _name() -> str:
    from uuid import UUID

    from jitid.values.ids import new_uuid7

    return str(UUID(bytes=new_uuid7(time.time_ns() // 1_000_000, os.urandom(10))))


def _text(cli: Invocation, request: ScanRequest, records: SweptRows) -> Iterator[str]:
    from jitid.cli.show import pieces
    from jitid.formats.display import Display, Format

    if cli.field is not None:
        rows = _flat(records, coverage=False)
        return pieces(Display(SCHEMA, FIELDS, rows), Format.TSV, cli.field, colour=False)
    to_screen = request.out is None and output.is_terminal()
    match request.own or cli.format_name() or ("table" if to_screen else "tsv"):
        case "sarif":
            from jitid.capabilities.sweep import findings_sarif

            return findings_sarif.text(records, RULES, request.wording)
        case "prometheus":
            from jitid.capabilities.sweep import findings_prometheus

            return findings_prometheus.text(records, RULES, request.wording)
        case "html":
            from jitid.capabilities.sweep import findings_html

            return findings_html.text(records, RULES, cli.command, request.wording)
        case "table":
            from jitid.capabilities.sweep import findings_text

            return findings_text.text(
                records,
                RULES,
                cli.coloured(request.out),
                cli.command,
                verbose=cli.verbose,
                wording=request.wording,
            )
        case "json":
            return document(records, SCHEMA)
        case "jsonl":
            return lines(records)
        case other:
            rows = _flat(records, coverage=True, quiet=cli.quiet)
            return pieces(Display(SCHEMA, FIELDS, rows), Format(other), None, colour=False)


def _flat(records: SweptRows, *, coverage: bool, quiet: bool = False) -> Iterator[Mapping[str, Any]]:
    """Yield records as rows with the same fields; with `coverage` for formats that have no other place for it."""
    complete = False
    for record in records:
        if "state" in record:
            row = {name: record.get(name) for name in FIELDS}
            evidence = record["evidence"]
            yield row | {name: evidence.get(name) for name in _OF_EVIDENCE} | {"life": evidence.get("state")}
        elif "summary" in record:
            complete = True
        elif coverage:
            extent = record["coverage"]
            if not quiet:
                yield {"state": "examined", "summary": covered(extent)}
            for reason in extent["missed"]:
                yield {"state": "missed", "summary": reason}
    if coverage and not complete:
        yield {"state": "missed", "summary": SCAN.broken}


class Searched(NamedTuple):
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


class ScanRequest(NamedTuple):
    """The requested form of the result."""

    own: str | None
    """A format that only this verb has, if requested."""
    fail_on: Severity
    out: str | None
    wording: Wording


class Action(NamedTuple):
    """The requested action on proved secrets."""

    report: LeakReport | None
    """None to record nothing."""
    revoke: bool
    reason: str | None
    most: int | None
    dry_run: bool


def scan_request(
    cli: Invocation, own_format: str | None, fail_on: str | None, out: str | None
) -> ScanRequest:
    """Return the requested form of the result. Raises UsageError."""
    from jitid.capabilities.sweep.findings_view import SCAN
    from jitid.cli.sweep.sweep_rows import severity_of

    cli.expect(FIELDS)
    return ScanRequest(own_format, severity_of(fail_on), out, SCAN)


def action(
    cli: Invocation,
    paths: Sequence[str],
    source: str | None,
    reason: str | None,
    max_: int | None,
    *,
    report: bool,
    revoke: bool,
    dry_run: bool,
    yes: bool,
) -> Action | None:
    """Return the requested action, or None. Raises UsageError for guards without an action."""
    if yes and max_ is not None:
        raise UsageError("--yes and --max contradict each other", "--yes ends however many there are")
    if not revoke and (reason is not None or max_ is not None or yes):
        raise UsageError("--reason, --max and --yes go with --revoke", "add --revoke, or leave them out")
    if not report and source is not None:
        raise UsageError("--source goes with --report", "add --report, or leave it out")
    if not (report or revoke):
        if dry_run:
            raise UsageError("--dry-run goes with --revoke or --report", "add one, or leave it out")
        return None
    # Most scans do not need this import.
    from jitid.capabilities.leak.leaks import LONGEST_SOURCE, LeakReport, check_source

    max_count: int | None = None
    if revoke:
        from jitid.cli.identity.revoke import check_reason, most_of

        check_reason(reason)
        max_count = None if yes else most_of(cli, max_)
    joined_paths = " ".join("stdin" if path == "-" else path for path in paths)
    source_name = source if source is not None else joined_paths[:LONGEST_SOURCE]
    return Action(
        LeakReport(check_source(source_name), None) if report else None, revoke, reason, max_count, dry_run
    )


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
