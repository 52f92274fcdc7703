"""`jitid leak add`: report leaks batch by batch, and revoke the leaked credentials."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

from jitid.authority.open import open_authority, room
from jitid.authority.settle_at_targets import must_be_confirmed
from jitid.capabilities.inventory.operations import Revoke
from jitid.capabilities.leak.leak_rows import exposures
from jitid.capabilities.leak.leak_sources import ReportSearch, TextSearch
from jitid.capabilities.leak.leaks import LeakReport, check_source
from jitid.capabilities.leak.operations import AddLeaks, Trace
from jitid.capabilities.leak.overview import Overview
from jitid.capabilities.scan.reports.any_report import ReportFormat
from jitid.cli.hints import OTHER_LEDGER
from jitid.cli.identity import revoke
from jitid.cli.identity.revoke import row, sentence
from jitid.cli.leak.found_overview import is_summarised, revoking_line, show_overview
from jitid.cli.leak.leak_total import LISTED, LeakTotal, notes, still_live, unproved_error
from jitid.cli.leak.leak_verbs import pages
from jitid.cli.leak.trace import check_subject, nothing, shapes_of, warn_of_thieves
from jitid.cli.progress import Working
from jitid.errors import JitidError, NotFoundError, PartialError, UsageError
from jitid.formats.cell import counted
from jitid.model.leak import LeakFilter
from jitid.model.ledger_rows import Selection
from jitid.search.find import Finds
from jitid.system import output
from jitid.values.text import number_of

if TYPE_CHECKING:
    from jitid.capabilities.identity.revocation_result import Ended
    from jitid.capabilities.leak.exposure import Leaked
    from jitid.cli.invocation import Invocation
    from jitid.cli.leak import commands
    from jitid.operation.base import Authority

_TOGETHER = 5_000


def add(cli: Invocation, args: commands.LeakAddCommand) -> None:
    """Perform `jitid leak add`: report the credentials in a text or a scanner's report, and revoke them if requested.

    Raises:
        UsageError: the line is invalid, or no leak is proved; nothing was changed.
        NotFoundError: the text contains no string that this ledger issued.
        PartialError: some leaks were recorded; others were not, or did not end.

    """
    if args.file is not None and args.from_ is not None:
        raise UsageError("FILE and --from cannot be combined", "leave one out")
    if args.report_format is not None and args.from_ is None:
        raise UsageError("--report-format requires --from")
    path = args.file or "-" if args.from_ is None else args.from_
    report_format = None if args.report_format is None else ReportFormat(args.report_format)
    if args.from_ is None:
        check_subject(cli, path)
        if path == "-":
            from jitid.cli.leak import paste

            paste.accept("the leaked strings")
    searched = (
        TextSearch(path, lambda: shapes_of(cli)) if args.from_ is None else ReportSearch(path, report_format)
    )
    source = ("stdin" if path == "-" else path) if args.source is None else args.source
    max_count = _most(cli, args)
    report = LeakReport(check_source(source), args.at, args.yes)
    may_prompt = args.revoke and not args.dry_run and max_count is not None and cli.can_prompt()
    total = LeakTotal()
    with searched as search:
        authority = open_authority(cli.config(), accept_clock=cli.accept_clock)
        try:
            operations: Iterable[AddLeaks] = _operations(cli, args, report, search)
            if may_prompt:
                operations, max_count = _confirmed(cli, authority, operations, search, args, max_count)
            _record(cli, authority, operations, None if may_prompt else search, total)
        except JitidError as error:
            if not total.events:
                raise search.nothing_recorded(error) from error
            raise PartialError(
                f"{error.message}; recorded before that: {number_of(total.new, 'leak')}",
                "repeat the command: no leak is recorded twice",
            ) from error
    failure = unproved_error(total) or search.shortcoming()
    ended: Ended | None = None
    if args.revoke and total.credentials:
        try:
            ended = _end(cli, authority, total, args, max_count)
        except JitidError as error:
            failure = error
        else:
            failure = failure or _unproved(ended)
    try:
        _show(cli, authority, total, report, args, ended, search)
    finally:
        # Report the recorded leaks and the revocation even if writing the rows fails.
        _report(cli, total, args, ended, search.sentence(), failed=failure is not None)
    if failure is not None:
        raise failure
    if ended is not None:
        must_be_confirmed(ended)
    if not total.credentials:
        raise _nothing(cli, total, search)


def _operations(
    cli: Invocation, args: commands.LeakAddCommand, report: LeakReport, search: TextSearch | ReportSearch
) -> Iterator[AddLeaks]:
    """Search, and yield the operation that records each batch."""
    for finds, sightings in search.batches(room(cli.config())):
        yield AddLeaks(
            finds=finds,
            report=report,
            sightings=sightings,
            dry_run=args.dry_run,
            accept_clock=cli.accept_clock,
        )


def _confirmed(
    cli: Invocation,
    authority: Authority,
    operations: Iterable[AddLeaks],
    search: TextSearch | ReportSearch,
    args: commands.LeakAddCommand,
    max_count: int | None,
) -> tuple[Iterable[AddLeaks], int | None]:
    """Return the operations, and the maximum number of credentials to revoke that the user confirms.

    Nothing is recorded before. The operations are held in memory, because standard input can be read only once.

    Raises:
        UsageError: the user does not confirm; nothing was changed.

    """
    held = list[AddLeaks]()

    def previews() -> Iterator[AddLeaks]:
        for operation in operations:
            held.append(operation)
            yield operation.replace(dry_run=True)

    foreseen = LeakTotal()
    _record(cli, authority, previews(), search, foreseen)
    if foreseen.credentials:
        operation = _revocation(cli, foreseen, args, max_count)
        max_count = revoke.confirmed_many(cli, authority, operation, room(cli.config()))
    return held, max_count


def _record(
    cli: Invocation,
    authority: Authority,
    operations: Iterable[AddLeaks],
    search: TextSearch | ReportSearch | None,
    total: LeakTotal,
) -> None:
    """Record each batch, and add its result to the total. The search counts the findings of the ledger's secrets."""
    with Working(cli, _SEARCHING) as work:
        for operation in operations:
            work.step = "looking up the found strings" if operation.dry_run else "recording the leaks"
            result = authority.perform(operation)
            if search is not None:
                search.answered(result.marks)
            total.add(result)
            work.step = f"{_SEARCHING}, {counted(len(total.credentials), 'leak')} so far"


_SEARCHING = "searching the text"


def _most(cli: Invocation, args: commands.LeakAddCommand) -> int | None:
    """Return the maximum number of credentials to end, or None. Raises UsageError for guards without a revocation."""
    if args.yes and args.max_ is not None:
        raise UsageError("--yes and --max contradict each other", "--yes sets no limit: leave one out")
    if args.revoke:
        return cli.most(args.max_, yes=args.yes)
    if args.reason is not None or args.max_ is not None:
        raise UsageError("--reason and --max require --revoke", "omit them to record only, or add --revoke")
    return None


def _unproved(ended: Ended) -> JitidError | None:
    """Return the error for recorded leaks that ended without proof that the ledger refuses them."""
    if ended.unproved is None:
        return None
    return PartialError(
        f"there is no proof that the ledger refuses the revoked credentials: {ended.unproved}",
        "repeat the command: no step is done twice",
    )


def _end(
    cli: Invocation,
    authority: Authority,
    total: LeakTotal,
    args: commands.LeakAddCommand,
    max_count: int | None,
) -> Ended:
    operation = _revocation(cli, total, args, max_count)
    try:
        return revoke.revoke_many(cli, authority, operation, room(cli.config()))
    except UsageError as error:
        if not total.events:
            raise
        # The guard's message is about the whole ledger, which the report has changed.
        message = error.message.replace(
            "nothing was changed", "the leaks were recorded, and nothing was revoked"
        )
        raise PartialError(message, error.hint) from error


def _revocation(
    cli: Invocation, total: LeakTotal, args: commands.LeakAddCommand, max_count: int | None
) -> Revoke:
    return Revoke(
        selection=Selection(ids=tuple(total.credentials.values())),
        reason=args.reason,
        most=max_count,
        dry_run=args.dry_run,
        accept_clock=cli.accept_clock,
    )


def _show(
    cli: Invocation,
    authority: Authority,
    total: LeakTotal,
    report: LeakReport,
    args: commands.LeakAddCommand,
    ended: Ended | None,
    search: TextSearch | ReportSearch,
) -> None:
    leaks = _leaks(authority, total, report.source)
    document: dict[str, Any] | None = None
    if not cli.field and cli.format_name() == "json":
        document = {
            "items": [args.view.row(leaked, exposures(leaked)) for leaked in leaks],
            "source": report.source,
            "recorded": total.new,
            "already": total.already,
            "places": total.places,
            "findings": search.findings if isinstance(search, ReportSearch) else None,
            "findings_ours": search.issued_findings if isinstance(search, ReportSearch) else None,
            "unproved": len(total.left),
            "unknown": total.unknown,
            "ids": total.ids,
            "events": total.events,
            "dry_run": args.dry_run,
            "ended": None if ended is None else row(ended, dry_run=args.dry_run),
        }
    elif cli.by_eye() and not total.credentials:
        return
    elif is_summarised(cli, len(total.credentials)):
        _summarise(cli, authority, total, report, args, ended)
        return
    cli.show_records(args.view, leaks, exposures, document=document)


def _summarise(
    cli: Invocation,
    authority: Authority,
    total: LeakTotal,
    report: LeakReport,
    args: commands.LeakAddCommand,
    ended: Ended | None,
) -> None:
    overview = Overview()
    with Working(cli, "reading the leaks") as work:
        if args.dry_run and total.new:
            # These are not recorded, so they are read as credentials.
            for part in _parts(total.credentials.values()):
                finds = Finds()
                finds.ids.update(dict.fromkeys(part, 1))
                for match in authority.perform(Trace(finds=finds)).matches:
                    overview.add(match.credential, valid=match.reason is None)
                work.step = f"reading the leaks: {overview.credentials:,} of {len(total.credentials):,}"
        else:
            for leaked in _leaks(authority, total, report.source, len(total.credentials)):
                overview.add(leaked.credential, valid=leaked.valid)
                work.step = f"reading the leaks: {overview.credentials:,} of {len(total.credentials):,}"
    foreseen = ended if args.dry_run else None
    show_overview(cli, overview, revoking_line(cli, args, foreseen) if overview.valid else None)


def _parts(jtis: Iterable[str]) -> Iterator[tuple[str, ...]]:
    remaining = iter(jtis)
    while part := tuple(islice(remaining, _TOGETHER)):
        yield part


def _leaks(authority: Authority, total: LeakTotal, source: str, max_count: int = LISTED) -> Iterator[Leaked]:
    keys = islice(sorted(total.credentials, reverse=True), max_count)
    while batch := tuple(islice(keys, _TOGETHER)):
        leak_filter = LeakFilter(credentials=batch, source=source, open=True)
        for leaked in pages(authority, leak_filter, len(batch)):
            total.see(leaked)
            yield leaked


def _report(
    cli: Invocation,
    total: LeakTotal,
    args: commands.LeakAddCommand,
    ended: Ended | None,
    search_note: str | None,
    *,
    failed: bool,
) -> None:
    warn_of_thieves(cli, total.strays)
    if search_note is not None:
        cli.note(search_note)
    summarised = is_summarised(cli, len(total.credentials))
    for note in notes(total, dry_run=args.dry_run, summarised=summarised):
        cli.note(note)
    if total.later:
        cli.warn(
            f"{number_of(total.later, 'leak')} recorded before with a later time than --at: unchanged; "
            "for a separate report, use another --source"
        )
    if ended is not None:
        output.print_message(f"jitid: {sentence(ended, dry_run=args.dry_run)}")
    elif not args.revoke and not failed and not args.dry_run:
        for note in still_live(total):
            cli.note(note)


def _nothing(cli: Invocation, total: LeakTotal, search: TextSearch | ReportSearch) -> NotFoundError:
    if total.ids and not total.unknown:
        return NotFoundError(
            "only ids were found, and an id is not secret; nothing was recorded",
            "to see their owners: jitid trace",
        )
    if total.unknown and not total.strays:
        return NotFoundError("the ledger does not know the found strings", OTHER_LEDGER)
    if isinstance(search, ReportSearch):
        if not search.findings:
            return NotFoundError("the report has no findings; nothing was recorded")
        return NotFoundError(
            "no jitid secret is in the report: no token or part of a token, no fingerprint, no secret",
            "the scanner may have no rule for them; to find jitid's secrets: jitid scan",
        )
    return nothing(cli, total.strays, [], search.caveat)
