"""`jitid leak`: report leaks, list and show them, print their timeline, and close them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from jitid.cli import record_rows
from jitid.cli.identity.list import limit_of
from jitid.cli.invocation import Invocation
from jitid.cli.leak import leak_rows
from jitid.errors import UsageError
from jitid.model.leak import LeakFilter

if TYPE_CHECKING:
    from jitid.capabilities.scan.reports.any_report import ReportFormat
    from jitid.cli.leak import commands

_LONGEST_NUMBER = 18
"""Maximum number of digits that fit into an integer of every ledger."""


def add(cli: Invocation, args: commands.LeakAddCommand) -> None:
    """Perform `jitid leak add`."""
    from jitid.cli.leak import leak_add
    from jitid.cli.leak.leak_sources import ReportSearch, TextSearch
    from jitid.cli.leak.search_stream import shapes_of

    if args.file is not None and args.from_ is not None:
        raise UsageError("a text and a scanner's report are two reports", "give one at a time")
    if args.report_format is not None and args.from_ is None:
        raise UsageError("--report-format goes with --from")
    path = args.file or "-" if args.from_ is None else args.from_
    leak_add.add(
        cli,
        TextSearch(path, lambda: shapes_of(cli))
        if args.from_ is None
        else ReportSearch(path, _format_of(args.report_format)),
        ("stdin" if path == "-" else path) if args.source is None else args.source,
        args.at,
        leak_add.LeakEnding(args.revoke, args.reason, args.max_, dry_run=args.dry_run, yes=args.yes),
    )


def list_(cli: Invocation, args: commands.LeakListCommand) -> None:
    """Perform `jitid leak list`."""
    from jitid.authority.open import open_authority
    from jitid.formats.display import Display

    cli.expect(leak_rows.FIELDS)
    leak_filter = LeakFilter(
        source=args.source,
        task=args.task,
        open=args.open_,
        since=args.since,
        until=args.until,
    )
    max_count = limit_of(args.limit)
    authority = open_authority(cli.config())
    columns = record_rows.columns(cli, leak_rows.FIELDS, leak_rows.BRIEF)
    count = with_live_identity = 0

    def rows() -> Iterator[dict[str, Any]]:
        nonlocal count, with_live_identity
        for row in leak_rows.pages(authority, leak_filter, max_count, valid=args.valid):
            count += 1
            with_live_identity += leak_rows.has_live_identity(row)
            yield {name: row[name] for name in columns}

    cli.show(Display("jitid.leak-list/1", columns, rows()))
    if with_live_identity:
        leaks = "leak's credential has" if with_live_identity == 1 else "leaks' credentials have"
        identities = "its identity lives" if with_live_identity == 1 else "their identities live"
        cli.note(
            f"{with_live_identity} open {leaks} ended, and {identities} on: see lives_until, or "
            "jitid sweep --rule leaked-live"
        )
    if args.limit is None and count == max_count:
        cli.note(f"there may be more than {max_count}: say how many with --limit")


def show(cli: Invocation, args: commands.LeakShowCommand) -> None:
    """Perform `jitid leak show`."""
    from jitid.authority.open import open_authority
    from jitid.capabilities.leak.operations import ShowLeaks
    from jitid.formats.display import Display
    from jitid.system import output

    cli.expect(leak_rows.DETAILS)
    numbers, jtis = _named([args.leak])
    leaks = open_authority(cli.config()).perform(ShowLeaks(numbers=numbers, jtis=jtis))
    rows = [leak_rows.details(leak_details) for leak_details in leaks]
    for row in rows:
        row["revoke"] = row["revoke"] and cli.command(row["revoke"])
    if not cli.by_eye():
        cli.show(Display("jitid.leak/1", leak_rows.DETAILS, rows, one=bool(numbers)))
        return
    for index, row in enumerate(rows):
        if index:
            output.write("\n")
        row["places"] = row["places"] or None
        row["sightings"] = leak_rows.some_sightings(row["sightings"])
        filled = {name: value for name, value in row.items() if value not in (None, "", [])}
        cli.show(Display("jitid.leak/1", tuple(filled), [filled], one=True))


def timeline(cli: Invocation, args: commands.LeakTimelineCommand) -> None:
    """Perform `jitid leak timeline`."""
    from jitid.authority.open import open_authority
    from jitid.capabilities.leak.operations import RecountLeaks
    from jitid.cli.leak import leak_timeline, timeline_rows

    own_format = cli.own_format(leak_timeline.FORMATS)
    cli.expect(timeline_rows.FIELDS)
    numbers, jtis = _named(args.leaks)
    accounts = open_authority(cli.config()).perform(RecountLeaks(numbers=numbers, jtis=jtis))
    leak_timeline.show(cli, own_format, accounts)


def close(cli: Invocation, args: commands.LeakCloseCommand) -> None:
    """Perform `jitid leak close`."""
    from jitid.authority.open import open_authority
    from jitid.capabilities.leak.operations import CloseLeaks
    from jitid.cli.identity.revoke import check_reason
    from jitid.formats.display import Display
    from jitid.system import output

    cli.expect(leak_rows.CLOSED)
    numbers, jtis = _named(args.leaks)
    if args.reason is None:
        raise UsageError(
            "no reason is given; nothing was changed",
            "say with --reason why they are closed: the audit log keeps it",
        )
    check_reason(args.reason)
    operation = CloseLeaks(
        numbers=numbers, jtis=jtis, reason=args.reason, valid_too=args.yes, accept_clock=cli.accept_clock
    )
    authority = open_authority(cli.config())
    try:
        closed_leaks = authority.perform(operation)
    except UsageError as error:
        error.hint = error.hint and cli.command(error.hint)
        raise
    if cli.field is not None or cli.format_name() is not None:
        cli.show(Display("jitid.leak-close/1", leak_rows.CLOSED, [leak_rows.closed(closed_leaks)], one=True))
    else:
        output.write(leak_rows.sentence(closed_leaks) + "\n")


def _format_of(text: str | None) -> ReportFormat | None:
    """Return the format of a scanner's report. Raises UsageError for an unknown format."""
    from jitid.capabilities.scan.reports.any_report import ReportFormat

    if text is None:
        return None
    try:
        return ReportFormat(text)
    except ValueError:
        raise UsageError(
            "there is no such format of reports",
            f"there are: {', '.join(report_format.value for report_format in ReportFormat)}",
        ) from None


def _named(texts: Sequence[str]) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Return the numbers and the jtis. Raises UsageError for any other text, and does not repeat it."""
    from jitid.values.ids import parse_id
    from jitid.values.text import refuse_mark

    numbers, jtis = [], []
    for text in texts:
        if text.isascii() and text.isdigit() and len(text) <= _LONGEST_NUMBER:
            numbers.append(int(text))
        elif text.startswith("jti_"):
            parse_id(text)
            jtis.append(text)
        else:
            refuse_mark(text, "the id")
            raise UsageError(
                "this is neither the number of a leak nor the jti of what leaked", "see: jitid leak list"
            )
    return tuple(numbers), tuple(jtis)
