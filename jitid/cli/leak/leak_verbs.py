"""`jitid leak`: list, show and close leaks, and their history; `leak_add` has the other verb."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from jitid.authority.open import open_authority
from jitid.capabilities.leak.operations import CloseLeaks, ListLeaks, RecountLeaks, ShowLeaks
from jitid.capabilities.leak.timeline_text import between, text, words
from jitid.cli import record_rows
from jitid.errors import UsageError
from jitid.formats.display import Display
from jitid.formats.table import terminal_width
from jitid.model.credential import LEEWAY
from jitid.model.leak import LeakFilter, SeenPlace
from jitid.system import output
from jitid.values.text import number_of
from jitid.values.times import format_duration, format_time

if TYPE_CHECKING:
    from jitid.capabilities.leak.exposure import LeakDetails, Leaked
    from jitid.capabilities.leak.leaks import ClosedLeaks
    from jitid.capabilities.leak.timeline import Account
    from jitid.cli.invocation import Invocation
    from jitid.cli.leak import commands
    from jitid.operation.base import Authority


_DEFAULT_LIMIT = 1_000
_PAGE = 5_000
_SHOWN = 10
_SHORT_REVISION = 12
"""Number of digits that identify a commit in a large repository; git abbreviates commits alike."""


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
            with_live_identity += has_live_identity(leaked)
            yield leaked

    cli.show_records(args.view, leaks(), exposures)
    if with_live_identity:
        leaks_have = "leak's credential has" if with_live_identity == 1 else "leaks' credentials have"
        identities = "its identity lives" if with_live_identity == 1 else "their identities live"
        cli.note(
            f"{with_live_identity} open {leaks_have} ended, and {identities} on: see lives_until, or "
            "jitid sweep --rule leaked-live"
        )
    if args.limit is None and count == max_count:
        cli.note(f"there may be more than {max_count}: say how many with --limit")


def show(cli: Invocation, operation: ShowLeaks) -> None:
    """Perform `jitid leak show`."""
    numbers, jtis = by_form([operation.leak])
    leaks = open_authority(cli.config()).perform(operation.replace(numbers=numbers, jtis=jtis))

    def computed(details: LeakDetails) -> dict[str, Any]:
        row = all_of(details)
        return row | {"revoke": row["revoke"] and cli.command(row["revoke"])}

    if not cli.by_eye():
        cli.show(operation.view.display(leaks, computed)._replace(one=bool(numbers)))
        return
    for index, details in enumerate(leaks):
        if index:
            output.write("\n")
        row = operation.view.row(details, computed(details))
        row["places"] = row["places"] or None
        row["sightings"] = _some_sightings(details.seen)
        filled = {name: value for name, value in row.items() if value not in (None, "", [])}
        cli.show(Display(operation.view.schema, tuple(filled), [filled], one=True))


def close(cli: Invocation, operation: CloseLeaks) -> None:
    """Perform `jitid leak close`."""
    numbers, jtis = by_form(operation.leaks)
    authority = open_authority(cli.config())
    try:
        closed_leaks = authority.perform(operation.replace(numbers=numbers, jtis=jtis))
    except UsageError as error:
        error.hint = error.hint and cli.command(error.hint)
        raise
    if cli.field is not None or cli.format_name() is not None:
        cli.show_records(operation.view, [closed_leaks])
    else:
        output.write(_sentence(closed_leaks) + "\n")


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


def has_live_identity(leaked: Leaked) -> bool:
    """Return whether the credential of an open leak has ended while its identity is still live."""
    return leaked.leak.closed_at is None and leaked.leak.has_live_kin


def exposures(leaked: Leaked) -> dict[str, Any]:
    """Return the durations of a leak's exposure in words."""
    verifiers = leaked.exposure_verifiers
    return {
        "exposure": format_duration(leaked.exposure),
        "exposure_verifiers": None if verifiers is None else format_duration(verifiers),
    }


def all_of(details: LeakDetails) -> dict[str, Any]:
    """Return the values that the view of `leak show` does not take from the record itself."""
    from jitid.cli.leak.commands import LeakListCommand

    leaked = details.leaked
    return {
        **LeakListCommand.view.row(leaked, exposures(leaked)),
        "added_by": details.event.get("by"),
        "ended_reason": details.ended_event.get("reason"),
        "closed_by": details.closed_event.get("by"),
        "closed_reason": details.closed_event.get("reason"),
        "revoke": None if leaked.leak.kin is None else f"jitid revoke {leaked.credential.jti}",
        "sightings": [_sighting(seen) for seen in details.seen],
    }


def _sighting(seen: SeenPlace) -> dict[str, Any]:
    """Return a place as an object for JSON."""
    found_at = seen.sighting.found_at
    return {
        **seen.sighting._asdict(),
        "found_at": None if found_at is None else format_time(found_at),
        "event": seen.event,
    }


def _some_sightings(seen: Sequence[SeenPlace]) -> str:
    """Return the first places in words, and the number of further places."""
    more = [f"and {len(seen) - _SHOWN} more"] if len(seen) > _SHOWN else []
    return "; ".join([*map(_sighting_text, seen[:_SHOWN]), *more])


def _sighting_text(seen: SeenPlace) -> str:
    sighting = seen.sighting
    text = sighting.spot
    if sighting.revision is not None:
        text += f" at {sighting.revision[:_SHORT_REVISION]}"
    facts = [sighting.finder] if sighting.finder is not None else []
    if sighting.found_at is not None:
        facts.append(format_time(sighting.found_at))
    return f"{text} ({', '.join(facts)})" if facts else text


def _sentence(result: ClosedLeaks) -> str:
    """Return the result of closing leaks in words."""
    if not result.closed:
        return "nothing was open: it had been closed already"
    text = f"closed {number_of(result.closed, 'leak')}"
    if result.already:
        text += f", {result.already} had been closed already"
    if result.valid:
        text += f", {result.valid} of what still works"
    if result.living:
        text += f", {result.living} of {'an identity that lives' if result.living == 1 else 'identities that live'} on"
    return f"{text} (audit event {result.event})"


def timeline(cli: Invocation, operation: RecountLeaks) -> None:
    """Perform `jitid leak timeline`: Markdown at a terminal, or the requested format."""
    numbers, jtis = by_form(operation.leaks)
    accounts = open_authority(cli.config()).perform(operation.replace(numbers=numbers, jtis=jtis))
    if cli.special_format is not None:
        output.write_pieces(text(accounts))
        return
    if cli.field is None and cli.format_name() is None and output.is_terminal():
        output.write_pieces(text(accounts, terminal_width()))
        return
    rows = (row for account in accounts for row in _rows_of_steps(account))
    items = None
    if cli.field is None and cli.format_name() == "json":
        items = {"items": [document(account) for account in accounts]}
    cli.show(Display(operation.view.schema, operation.view.fields, rows, document=items))


def _rows_of_steps(account: Account) -> Iterator[dict[str, Any]]:
    """Yield each step as a row."""
    for step in account.steps:
        yield {
            "at": record_rows.time(step.at),
            "leak": account.leak.key,
            "what": step.what,
            "by": step.by,
            "event": step.event,
            "told": "".join(words(step)),
        }


def document(account: Account) -> dict[str, Any]:
    """Return all about a leak as a JSON object."""
    details, aftermath = account.details, account.aftermath
    credential, leak = details.leaked.credential, account.leak
    return {
        **ShowLeaks.view.row(details, all_of(details)),
        "delegator_proof": credential.delegator_proof,
        "sensitivity": credential.sensitivity,
        "scopes": list(credential.scopes),
        "audiences": list(credential.audiences),
        "details": credential.details,
        "task_opened_at": record_rows.time(account.task.opened_at),
        "task_ended_at": record_rows.time(account.task.ended_at),
        "issued_by": account.issue.get("by"),
        "issued_event": credential.event,
        "rules": account.issue.get("rules", []),
        "first_seen_at": record_rows.time(account.first_seen_at),
        "proof_event": account.proof,
        "seconds": {
            "reported_to_proved": None if leak.proved_at is None else account.exposure,
            "reported_to_dead": between(leak.reported_at, leak.dead_at),
            "reported_to_refused": between(leak.reported_at, leak.refused_since),
            "reported_to_accepted_until": between(leak.reported_at, leak.accepted_until),
            "first_seen_to_dead": between(account.first_seen_at, leak.dead_at),
            "issued_to_dead": between(credential.issued_at, leak.dead_at),
        },
        "leeway_seconds": LEEWAY,
        "below": {
            "identities": aftermath.identities,
            "credentials": aftermath.credentials - 1,
            "made_after_report": aftermath.later,
            "live": aftermath.live,
        },
        "used": [
            {
                **use._asdict(),
                "first_at": record_rows.time(use.first_at),
                "last_at": record_rows.time(use.last_at),
            }
            for use in aftermath.acted
        ],
        "at_targets": [
            {**at_target._asdict(), "settled_at": record_rows.time(at_target.settled_at)}
            for at_target in aftermath.at_targets
        ],
        "timeline": [
            {**row, "facts": dict(step.facts)}
            for row, step in zip(_rows_of_steps(account), account.steps, strict=True)
        ],
    }
