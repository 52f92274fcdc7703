"""`jitid delegator import`: make the directory match a list of delegators."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from jitid.authority.open import open_for_preview, open_or_create_authority
from jitid.authority.settle_at_targets import settle_event
from jitid.capabilities.directory import import_delegators
from jitid.capabilities.directory.delegator_operations import ImportDelegators
from jitid.cli import record_rows
from jitid.cli.ask import can_prompt, confirm
from jitid.cli.directory import delegator_rows, roster_file
from jitid.cli.identity.revoke import check_reason, most_of, unproved
from jitid.cli.invocation import Invocation
from jitid.formats.display import Display
from jitid.system import output

if TYPE_CHECKING:
    from jitid.capabilities.directory.import_delegators import Reconciled
    from jitid.cli.directory import commands
    from jitid.operation.base import Authority

FIELDS = (
    "people",
    *import_delegators.CHANGED_GROUPS,
    "staying",
    "ended",
    "credentials",
    "identities",
    "offline_until",
    "agents",
    "requests",
    "grants",
    "access",
    "names",
    "changes",
    "event",
    "dry_run",
)
_EACH = 10
"""Maximum number of delegators whose differences a dry run prints as sentences."""
_SENTENCE_VERBS = {
    "added": ("add", "added"),
    "changed": ("change", "changed"),
    "enabled": ("enable", "enabled"),
    "disabled": ("disable", "disabled"),
    "missing": ("disable as missing", "disabled as missing"),
}


def import_(cli: Invocation, args: commands.DelegatorImportCommand) -> None:
    """Perform `jitid delegator import`."""
    cli.expect(FIELDS)
    form = roster_file.form_of(args.file, args.as_)
    limit = None if args.yes else most_of(cli, args.max_)
    check_reason(args.reason)
    roster, source = roster_file.read(args.file, form)
    for note in roster.notes:
        cli.note(note)
    operation = ImportDelegators(
        roster=roster,
        source=source,
        full=args.full,
        reason=args.reason,
        most=limit,
        dry_run=args.dry_run,
        accept_clock=cli.accept_clock,
    )
    config = cli.config()
    authority = open_for_preview(config) if args.dry_run else open_or_create_authority(config, cli.note)
    reconciled = _perform(cli, authority, operation)
    if not args.dry_run:
        settle_event(authority, reconciled.event, cli.warn)
    _report(cli, reconciled, dry_run=args.dry_run)


def _perform(cli: Invocation, authority: Authority, operation: ImportDelegators) -> Reconciled:
    """Import a list. At a terminal, ask for confirmation of losses above the limit."""
    if operation.most is None or operation.dry_run or not can_prompt(cli):
        return authority.perform(operation)
    foreseen = authority.perform(
        ImportDelegators(
            roster=operation.roster,
            source=operation.source,
            full=operation.full,
            most=None,
            dry_run=True,
            accept_clock=operation.accept_clock,
        )
    )
    smallest_limit = import_delegators.needed(foreseen)
    if smallest_limit <= operation.most:
        return authority.perform(operation)
    _report_names(foreseen)
    confirm(
        f"disable {import_delegators.losses(foreseen)}",
        smallest_limit,
        f"the number {smallest_limit} to import the list; anything else changes nothing",
    )
    return authority.perform(
        ImportDelegators(
            roster=operation.roster,
            source=operation.source,
            full=operation.full,
            reason=operation.reason,
            most=smallest_limit,
            accept_clock=operation.accept_clock,
        )
    )


def _report(cli: Invocation, reconciled: Reconciled, *, dry_run: bool) -> None:
    if cli.field is not None or cli.format_name() is not None:
        cli.show(
            Display("jitid.delegator-import/1", FIELDS, [_row(cli, reconciled, dry_run=dry_run)], one=True)
        )
        if reconciled.unproved is not None:
            cli.warn(unproved(reconciled.unproved))
    else:
        output.write(_sentence(reconciled, dry_run=dry_run) + "\n")
        if dry_run:
            _report_names(reconciled)
        else:
            # The author of the list may not have intended these changes.
            _report_categories(reconciled, ("disabled", "missing"))
    staying = reconciled.staying
    if staying.number:
        predicate = "is disabled, and stays" if staying.number == 1 else "are disabled, and stay"
        cli.note(
            f"{staying.number} in the list {predicate} so: {delegator_rows.first_of(staying.first, staying.number)}"
        )
    if reconciled.unresolved:
        managers = "manager is" if reconciled.unresolved == 1 else "managers are"
        cli.note(f"{reconciled.unresolved} {managers} not known by the id that stands for them: left out")
    strangers = reconciled.strangers
    if strangers.number:
        managers = "1 manager is" if strangers.number == 1 else f"{strangers.number} managers are"
        names = delegator_rows.first_of(strangers.first, strangers.number)
        cli.note(f"{managers} neither in the directory nor in the list: {names}")


def _row(cli: Invocation, reconciled: Reconciled, *, dry_run: bool) -> dict[str, Any]:
    radius, ties = reconciled.departure.radius, reconciled.departure.ties
    row = {
        "people": reconciled.people,
        **{name: getattr(reconciled, name).number for name in import_delegators.CHANGED_GROUPS},
        "staying": reconciled.staying.number,
        "ended": 0 if reconciled.event is None else radius.credentials,
        "credentials": radius.credentials,
        "identities": radius.identities,
        "offline_until": record_rows.time(radius.offline_until),
        "agents": ties.agents,
        "requests": ties.requests,
        "grants": ties.grants,
        "access": ties.access,
        "names": {name: getattr(reconciled, name).first for name in import_delegators.CHANGED_GROUPS},
        "changes": [change._asdict() for change in reconciled.changes],
        "event": reconciled.event,
        "dry_run": dry_run,
    }
    return delegator_rows.shown(cli, row)


def _sentence(reconciled: Reconciled, *, dry_run: bool) -> str:
    people = "1 delegator" if reconciled.people == 1 else f"{reconciled.people} delegators"
    if not reconciled.anything:
        return f"nothing to change: the directory says already what the list of {people} says"
    parts = [
        f"{_SENTENCE_VERBS[name][not dry_run]} {getattr(reconciled, name).number}"
        for name in import_delegators.CHANGED_GROUPS
        if getattr(reconciled, name).number
    ]
    parts = [", ".join(parts), *delegator_rows.departed(reconciled.departure, would=dry_run)]
    if dry_run:
        return "; ".join([*(f"would {part}" for part in parts), "nothing was changed"])
    text = f"of {people} " + "; ".join(parts) + f" (audit event {reconciled.event})"
    return text if reconciled.unproved is None else f"{text}; {unproved(reconciled.unproved)}"


def _report_names(reconciled: Reconciled) -> None:
    _report_categories(reconciled, import_delegators.CHANGED_GROUPS)
    for change in reconciled.changes[:_EACH]:
        output.print_message(f"jitid: {change.name}: {delegator_rows.different(change)}")
    if len(reconciled.changes) > _EACH:
        output.print_message("jitid: what is different of the others is told with --format json")


def _report_categories(reconciled: Reconciled, categories: Iterable[str]) -> None:
    for category in categories:
        affected = getattr(reconciled, category)
        if affected.number:
            output.print_message(
                f"jitid: {category}: {delegator_rows.first_of(affected.first, affected.number)}"
            )
