"""`jitid leak add`: report leaks batch by batch, and revoke the leaked credentials."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

from jitid.authority.open import open_authority, room
from jitid.authority.settle_at_targets import must_be_confirmed
from jitid.capabilities.inventory.operations import Revoke
from jitid.capabilities.leak.leak_rows import exposures
from jitid.capabilities.leak.leak_sources import ReportSearch, TextSearch
from jitid.capabilities.leak.leaks import LeakReport, check_source
from jitid.capabilities.leak.operations import AddLeaks
from jitid.capabilities.leak.trace_result import first_of
from jitid.capabilities.scan.reports.any_report import ReportFormat
from jitid.cli.hints import OTHER_LEDGER
from jitid.cli.identity import revoke
from jitid.cli.identity.revoke import row, sentence
from jitid.cli.leak.leak_verbs import pages
from jitid.cli.leak.trace import check_subject, nothing, shapes_of, some, warn_of_thieves
from jitid.errors import JitidError, NotFoundError, PartialError, UsageError
from jitid.model.leak import LeakFilter
from jitid.model.ledger_rows import Selection
from jitid.system import output
from jitid.values.text import number_of

if TYPE_CHECKING:
    from jitid.capabilities.identity.revocation_result import Ended
    from jitid.capabilities.leak.exposure import Leaked
    from jitid.capabilities.leak.leaks import ReportedLeaks
    from jitid.capabilities.leak.trace_result import Stray
    from jitid.cli.invocation import Invocation
    from jitid.cli.leak import commands
    from jitid.operation.base import Authority

_TOGETHER = 5_000
_LISTED = 10_000
"""Maximum number of leaks that are shown; `leak list` shows all."""


class _Total:
    """The result of all batches of a text."""

    def __init__(self) -> None:
        self.credentials: dict[int, str] = {}
        self.unproved: dict[int, str] = {}
        self.strays: list[Stray] = []
        self.events: list[int] = []
        self.new = 0
        self.moved = self.later = self.ids = self.unknown = self.places = 0
        self.alive = self.with_live_identity = 0
        self.live_when_recorded = 0
        """Number of credentials that were live when they were recorded."""

    def add(self, result: ReportedLeaks) -> None:
        """Add the result of one batch."""
        if result.event is not None:
            self.events.append(result.event)
        self.places += result.places
        self.live_when_recorded += result.alive
        # A leak is not new if an earlier batch has recorded it, or counted it in a dry run.
        self.new += len(result.new - self.credentials.keys())
        self.later += result.later
        self.moved += result.moved
        self.ids += result.ids
        self.unknown += result.unknown
        self.credentials |= result.credentials
        self.unproved |= result.unproved
        self.strays = first_of([*self.strays, *result.strays])

    def see(self, leaked: Leaked) -> None:
        """Count a shown leak if its credential or its identity is still live."""
        self.alive += leaked.leak.dead_at is None
        self.with_live_identity += leaked.has_live_identity

    @property
    def already(self) -> int:
        """Number of leaks that were recorded before."""
        return len(self.credentials) - self.new

    @property
    def left(self) -> list[str]:
        """The credentials that were not recorded, because their leak is not proved."""
        return [jti for key, jti in self.unproved.items() if key not in self.credentials]


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
    searched = (
        TextSearch(path, lambda: shapes_of(cli)) if args.from_ is None else ReportSearch(path, report_format)
    )
    source = ("stdin" if path == "-" else path) if args.source is None else args.source
    max_count = _most(cli, args)
    report = LeakReport(check_source(source), args.at, args.yes)
    total = _Total()
    with searched as search:
        authority = open_authority(cli.config(), accept_clock=cli.accept_clock)
        try:
            for finds, sightings in search.batches(room(cli.config())):
                operation = AddLeaks(
                    finds=finds,
                    report=report,
                    sightings=sightings,
                    dry_run=args.dry_run,
                    accept_clock=cli.accept_clock,
                )
                result = authority.perform(operation)
                search.answered(result.marks)
                total.add(result)
        except JitidError as error:
            if not total.events:
                raise search.nothing_recorded(error) from error
            raise PartialError(
                f"{error.message}; recorded before that: {number_of(total.new, 'leak')}",
                "repeat the command: no leak is recorded twice",
            ) from error
    failure = _left(total) or search.shortcoming()
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


def _most(cli: Invocation, args: commands.LeakAddCommand) -> int | None:
    """Return the maximum number of credentials to end, or None. Raises UsageError for guards without a revocation."""
    if args.yes and args.max_ is not None:
        raise UsageError("--yes and --max contradict each other", "--yes sets no limit: leave one out")
    if args.revoke:
        return cli.most(args.max_, yes=args.yes)
    if args.reason is not None or args.max_ is not None:
        raise UsageError("--reason and --max require --revoke", "add --revoke, or leave them out")
    return None


def _left(total: _Total) -> JitidError | None:
    """Return the error for unproved strings, which were not recorded: any user could have written them."""
    if not total.left:
        return None
    message = f"neither a signature nor a fingerprint proves {some(total.left)}"
    hint = "check them with jitid trace; to record these too, add --yes"
    if total.credentials:
        return PartialError(f"{message}; these were not recorded", hint)
    return UsageError(f"{message}; nothing was recorded", hint)


def _unproved(ended: Ended) -> JitidError | None:
    """Return the error for recorded leaks that ended without proof that the ledger refuses them."""
    if ended.unproved is None:
        return None
    return PartialError(
        f"there is no proof that the ledger refuses the revoked credentials: {ended.unproved}",
        "repeat the command: no step is done twice",
    )


def _end(
    cli: Invocation, authority: Authority, total: _Total, args: commands.LeakAddCommand, max_count: int | None
) -> Ended:
    operation = Revoke(
        selection=Selection(ids=tuple(total.credentials.values())),
        reason=args.reason,
        most=max_count,
        dry_run=args.dry_run,
        accept_clock=cli.accept_clock,
    )
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


def _show(
    cli: Invocation,
    authority: Authority,
    total: _Total,
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
    cli.show_records(args.view, leaks, exposures, document=document)


def _leaks(authority: Authority, total: _Total, source: str) -> Iterator[Leaked]:
    keys = islice(sorted(total.credentials, reverse=True), _LISTED)
    while batch := tuple(islice(keys, _TOGETHER)):
        leak_filter = LeakFilter(credentials=batch, source=source, open=True)
        for leaked in pages(authority, leak_filter, len(batch)):
            total.see(leaked)
            yield leaked


def _report(
    cli: Invocation,
    total: _Total,
    args: commands.LeakAddCommand,
    ended: Ended | None,
    search_note: str | None,
    *,
    failed: bool,
) -> None:
    warn_of_thieves(cli, total.strays)
    if search_note is not None:
        cli.note(search_note)
    for note in _notes(total, dry_run=args.dry_run):
        cli.note(note)
    if total.later:
        cli.warn(
            f"{number_of(total.later, 'leak')} recorded before with a later time than --at: unchanged; "
            "for a separate report, use another --source"
        )
    if ended is not None:
        output.print_message(f"jitid: {sentence(ended, dry_run=args.dry_run)}")
    elif not args.revoke and not failed and not args.dry_run:
        for note in _still_live(total):
            cli.note(note)


def _notes(total: _Total, *, dry_run: bool) -> Iterator[str]:
    if total.credentials:
        parts = []
        if total.new:
            parts.append(f"{'would record' if dry_run else 'recorded'} {number_of(total.new, 'leak')}")
        if total.already:
            parts.append(f"{number_of(total.already, 'leak')} had been recorded already")
        if total.places:
            parts.append(f"{number_of(total.places, 'place')} {'is' if total.places == 1 else 'are'} new")
        if total.events:
            parts[0 if total.new else -1] += f" (audit event {' '.join(map(str, total.events))})"
        text = "; ".join(parts)
        if total.unknown:
            text += f"; and {number_of(total.unknown, 'string')} that the ledger does not know"
        yield text
    elif total.unknown:
        yield f"found {number_of(total.unknown, 'string')} that the ledger does not know"
    if len(total.credentials) > _LISTED:
        yield f"only the newest {_LISTED} are shown; for all: jitid leak list"
    if total.moved:
        yield f"{number_of(total.moved, 'credential')} issued after the report: the exposure counts from the issue"
    if total.ids:
        yield f"{number_of(total.ids, 'id')} in the text ignored: an id is not secret"


def _still_live(total: _Total) -> Iterator[str]:
    alive = total.alive if len(total.credentials) <= _LISTED else total.live_when_recorded
    if alive:
        verb, pronoun = ("is", "it") if alive == 1 else ("are", "them")
        yield f"nothing was revoked: {number_of(alive, 'leaked credential')} {verb} live; to revoke {pronoun}: --revoke"
    if total.with_live_identity:
        verb, pronoun = (
            ("its identity is", "it") if total.with_live_identity == 1 else ("their identities are", "them")
        )
        leaks = number_of(total.with_live_identity, "leaked credential")
        yield f"{leaks} had ended already, but {verb} live; to revoke {pronoun} too: --revoke"


def _nothing(cli: Invocation, total: _Total, search: TextSearch | ReportSearch) -> NotFoundError:
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
