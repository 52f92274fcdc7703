"""`jitid leak`: list, show and close leaks, and their history; `leak_add` has the other verb."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from jitid.authority.open import open_authority
from jitid.capabilities.leak.leak_rows import all_of, document, exposures, rows_of_steps, some_sightings
from jitid.capabilities.leak.operations import TIMELINE, CloseLeaks, ListLeaks, RecountLeaks, ShowLeaks
from jitid.capabilities.leak.timeline_text import text
from jitid.cli.progress import performed
from jitid.errors import UsageError
from jitid.formats.display import Display
from jitid.formats.table import terminal_width
from jitid.model.leak import LeakFilter
from jitid.system import output
from jitid.values.text import number_of

if TYPE_CHECKING:
    from jitid.capabilities.leak.exposure import LeakDetails, Leaked
    from jitid.capabilities.leak.leaks import ClosedLeaks
    from jitid.cli.invocation import Invocation
    from jitid.cli.leak import commands
    from jitid.operation.base import Authority


_DEFAULT_LIMIT = 1_000
_PAGE = 5_000


def list_(cli: Invocation, args: commands.LeakListCommand) -> None:
    """Perform `jitid leak list`."""
    leak_filter = LeakFilter(
        source=args.source,
        task=args.task,
        open=args.open_,
        since=args.since,
        until=args.until,
    )
    max_count = args.limit or _DEFAULT_LIMIT
    authority = open_authority(cli.config())
    count = with_live_identity = 0

    def leaks() -> Iterator[Leaked]:
        nonlocal count, with_live_identity
        for leaked in pages(authority, leak_filter, max_count, valid=args.valid):
            count += 1
            with_live_identity += leaked.has_live_identity
            yield leaked

    cli.show_records(args.view, leaks(), exposures)
    if with_live_identity:
        leaks_have = "leak's credential has" if with_live_identity == 1 else "leaks' credentials have"
        identities = "its identity is" if with_live_identity == 1 else "their identities are"
        cli.note(
            f"{with_live_identity} open {leaks_have} ended, but {identities} still live: see lives_until, or "
            "jitid sweep --rule leaked-live"
        )
    cli.note_more(count, max_count)


def show(cli: Invocation, operation: ShowLeaks) -> None:
    """Perform `jitid leak show`."""
    numbers, jtis = by_form(operation.leaks)
    if operation.timeline:
        _timeline(cli, RecountLeaks(numbers=numbers, jtis=jtis))
        return
    if cli.special_format is not None:
        raise UsageError("--format markdown requires --timeline", "add --timeline, or use another format")
    leaks = open_authority(cli.config()).perform(operation.replace(numbers=numbers, jtis=jtis))

    def computed(details: LeakDetails) -> dict[str, Any]:
        row = all_of(details)
        return row | {"revoke": row["revoke"] and cli.command(row["revoke"])}

    if not cli.by_eye():
        cli.show(operation.view.display(leaks, computed)._replace(one=bool(numbers) and len(leaks) == 1))
        return
    for index, details in enumerate(leaks):
        if index:
            output.write("\n")
        row = operation.view.row(details, computed(details))
        row["places"] = row["places"] or None
        row["sightings"] = some_sightings(details.seen)
        # `expires_at` is the same time; `accepted_until` is the one until which verifiers accept it.
        row["offline_until"] = None
        filled = {name: value for name, value in row.items() if value not in (None, "", [])}
        cli.show(Display(operation.view.schema, tuple(filled), [filled], one=True))


def close(cli: Invocation, operation: CloseLeaks) -> None:
    """Perform `jitid leak close`."""
    numbers, jtis = by_form(operation.leaks)
    authority = open_authority(cli.config())
    try:
        operation = operation.replace(numbers=numbers, jtis=jtis)
        closed_leaks = performed(cli, authority, operation, "closing the leaks")
    except UsageError as error:
        error.hint = error.hint and cli.command(error.hint)
        raise
    cli.show_record(operation.view, closed_leaks, _sentence(closed_leaks) + "\n")


def by_form(leaks: Sequence[int | str]) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Return the numbers and the jtis among the stated leaks."""
    return (
        tuple([leak for leak in leaks if isinstance(leak, int)]),
        tuple([leak for leak in leaks if isinstance(leak, str)]),
    )


def pages(
    authority: Authority, leak_filter: LeakFilter, max_count: int, *, valid: bool = False
) -> Iterator[Leaked]:
    """Yield at most `max_count` leaks, newest first, and read them page by page."""
    remaining = max_count
    while remaining:
        size = _PAGE if valid else min(_PAGE, remaining)
        page = authority.perform(ListLeaks(chosen=leak_filter, valid=valid, limit=size))
        yield from page.leaks[:remaining]
        remaining -= min(len(page.leaks), remaining)
        if page.before is None:
            return
        leak_filter = leak_filter._replace(before=page.before)


def _sentence(result: ClosedLeaks) -> str:
    """Return the result of closing leaks in words."""
    if not result.closed:
        return "nothing was closed: all leaks were closed already"
    text = f"closed {number_of(result.closed, 'leak')}"
    if result.already:
        text += f", {result.already} had been closed already"
    if result.valid:
        text += f", {number_of(result.valid, 'of them with a valid credential', 'of them with valid credentials')}"
    if result.living:
        text += (
            f", {result.living} of them with {'a live identity' if result.living == 1 else 'live identities'}"
        )
    return f"{text} (audit event {result.event})"


def _timeline(cli: Invocation, operation: RecountLeaks) -> None:
    """Show the history of leaks: as Markdown at a terminal, or in the requested format."""
    accounts = performed(cli, open_authority(cli.config()), operation, "reading the history of the leaks")
    if cli.special_format is not None:
        output.write_pieces(text(accounts))
        return
    if not cli.field and cli.format_name() is None and output.is_terminal():
        output.write_pieces(text(accounts, terminal_width()))
        return
    rows = (row for account in accounts for row in rows_of_steps(account))
    items = None
    if not cli.field and cli.format_name() == "json":
        items = {"items": [document(account) for account in accounts]}
    cli.show(Display(TIMELINE.schema, TIMELINE.fields, rows, document=items))
