"""The steps of a scan: search, query the ledger, record and revoke on request, and report the new state."""

from __future__ import annotations

from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any

from jitid.capabilities.scan.workers import Search
from jitid.capabilities.sweep.finding import Severity
from jitid.capabilities.sweep.findings_view import RecordConverter
from jitid.capabilities.sweep.scan_findings import RULES
from jitid.capabilities.sweep.scan_result import ScanResult, repositories
from jitid.cli.sweep.findings_output import FindingsOutput, remedy_of
from jitid.errors import ExitStatus, JitidError, UsageError
from jitid.system.processes import host_name
from jitid.system.read_input import spared
from jitid.values.text import safe

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping, Sequence

    from jitid.capabilities.identity.revocation_result import Ended
    from jitid.capabilities.scan.hits import Batch, ScanTally, Source
    from jitid.capabilities.sweep.findings_view import FindingRow
    from jitid.capabilities.sweep.scan_result import Action
    from jitid.cli.invocation import Invocation
    from jitid.cli.leak import commands
    from jitid.operation.base import Authority
    from jitid.search.find import SecretSearch


def run(
    cli: Invocation,
    args: commands.ScanCommand,
    action: Action | None,
    source: Source,
    categories: frozenset[str],
) -> None:
    """Scan, and report the findings. Raises PartialError, and any error of the ledger."""
    secret_search = _secret_search(cli) if "secrets" in categories else None
    source.conceal(secret_search)
    with closing(source), Search(source, categories, source.processes, secret_search=secret_search) as search:
        from jitid.authority.open import open_if_there, room

        authority = open_if_there(cli.config(), accept_clock=cli.accept_clock)
        may_prompt = action is not None and _may_prompt(cli, action)
        result = ScanResult(
            authority, source, action, room(cli.config()), accept_clock=cli.accept_clock, holds=may_prompt
        )
        if args.scrub:
            result.refused = []
        with closing(_with_progress(cli, source, result, spared(search.batches()))) as batches:
            result.look_up(batches)
        result.locate()
    if result.refused is not None:
        from jitid.cli.leak.scrub_work import scrub

        if authority is None:
            raise UsageError(
                "there is no ledger to query; nothing was changed", "name one with --ledger or --remote"
            )
        scrub(cli, args, result, secret_search)
        return
    ended: Ended | None = None
    failure: JitidError | None = None
    if action is not None and action.revoke and authority is not None and result.sure:
        from jitid.cli.leak.trace import end

        most = action.most
        try:
            if may_prompt:
                most = _confirmed(cli, authority, result.sure, most)
                result.record_held()
            ended = end(cli, authority, result.sure, action.reason, most, dry_run=action.dry_run)
        except JitidError as error:
            # The findings are reported even so.
            failure = error
    else:
        result.record_held()
    result.refresh()
    try:
        converter = _show(cli, args, source, result, with_ledger=authority is not None)
    finally:
        # Report the recorded leaks and the revocation even if writing the rows fails.
        _report(cli, action, result, ended, with_ledger=authority is not None, failed=failure is not None)
    if failure is not None:
        raise failure
    if ended is not None:
        from jitid.authority.settle_at_targets import must_be_confirmed

        must_be_confirmed(ended)
    if converter.incomplete:
        cli.status = ExitStatus.INCOMPLETE
    elif converter.failed:
        cli.status = ExitStatus.FINDINGS


def _may_prompt(cli: Invocation, action: Action) -> bool:
    """Return whether a user may have to confirm a revocation before anything is recorded."""
    return (
        action.report is not None
        and action.revoke
        and not action.dry_run
        and action.most is not None
        and cli.can_prompt()
    )


def _confirmed(cli: Invocation, authority: Authority, jtis: Iterable[str], limit: int | None) -> int | None:
    """Return the maximum number of credentials to revoke that the user confirms. Raises UsageError."""
    from jitid.authority.open import room
    from jitid.capabilities.inventory.operations import Revoke
    from jitid.cli.identity.revoke import confirmed_many
    from jitid.model.ledger_rows import Selection

    operation = Revoke(selection=Selection(ids=tuple(jtis)), most=limit, accept_clock=cli.accept_clock)
    return confirmed_many(cli, authority, operation, room(cli.config()))


def _secret_search(cli: Invocation) -> SecretSearch | None:
    """Return the search for adopted secrets; None without a ledger or without adopted secrets."""
    from jitid.cli.leak.trace import shapes_of
    from jitid.search.find import SecretSearch

    shapes = shapes_of(cli)
    return None if shapes is None or not shapes.shapes else SecretSearch(shapes.shapes, shapes.prints)


def _with_progress(
    cli: Invocation, source: Source, result: ScanResult, batches: Iterable[Batch]
) -> Generator[Batch, None, None]:
    """Yield the batches, and show the progress after each."""
    from jitid.cli.progress import ProgressLine

    with ProgressLine(cli) as progress:
        for batch in batches:
            yield batch
            progress.show(source.unit, result.tally, result.hits)


def _show(
    cli: Invocation, args: commands.ScanCommand, source: Source, result: ScanResult, *, with_ledger: bool
) -> RecordConverter:
    """Write the findings and the coverage. Return the totals of the written findings. Raises OutputError."""
    from jitid.capabilities.sweep.findings_view import SCAN

    wording = SCAN._replace(listing=source.listing, about=source.root)
    converter = RecordConverter(Severity(args.fail_on or Severity.HIGH), remedy_of(cli), host=host_name())
    view = args.shown_view()
    findings = FindingsOutput(view, RULES, wording, partial(_row, view.fields), with_ledger=with_ledger)
    findings.write(cli, args.out, converter.records((), result.results()))
    return converter


def _row(fields: Sequence[str], record: FindingRow) -> Mapping[str, Any]:
    """Return a finding with its evidence in fields."""
    evidence = record["evidence"]
    own = {name: record.get(name) for name in ("state", "severity", "rule", "subject", "summary", "remedy")}
    own |= {"fingerprint": record["fingerprint"], "life": evidence.get("state")}
    return {name: own[name] if name in own else evidence.get(name) for name in fields}


def _report(
    cli: Invocation,
    action: Action | None,
    result: ScanResult,
    ended: Ended | None,
    *,
    with_ledger: bool,
    failed: bool,
) -> None:
    """Report the actions on standard error."""
    if not with_ledger:
        cli.note("there is no ledger: findings are reported by their form alone")
    if result.tally.histories:
        cli.note(_unread(cli, result.tally))
    if action is None:
        return
    from jitid.system import output
    from jitid.values.text import number_of

    if action.report is not None and (result.recorded or not failed):
        would = "would record" if action.dry_run else "recorded"
        events = f" (audit event {' '.join(map(str, result.events))})" if result.events else ""
        cli.note(f"{would} {number_of(len(result.recorded), 'leak')}{events}")
    if ended is not None:
        from jitid.cli.identity.revoke import sentence

        output.print_message(f"jitid: {sentence(ended, dry_run=action.dry_run)}")
    elif action.revoke and not failed:
        output.print_message("jitid: nothing was revoked: no proved credential was live")


def _unread(cli: Invocation, tally: ScanTally) -> str:
    """Return a sentence about the repositories whose history was not searched, with the commands for it."""
    from shlex import quote as word

    count, paths = tally.histories, tally.repositories
    commands = [cli.command(f"jitid scan --git {word(safe(path))}") for path in sorted(paths)]
    more = f"; and {count - len(paths)} more" if count > len(paths) else ""
    return f"the history of {repositories(count)} was not searched: {'; '.join(commands)}{more}"
