"""`jitid delegator import`: make the directory match a list of delegators."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from jitid.authority.open import open_for_preview, open_or_create_authority
from jitid.authority.settle_at_targets import settle_event
from jitid.capabilities.directory import reconcile
from jitid.capabilities.directory.delegator_operations import ImportDelegators
from jitid.cli import record_rows
from jitid.cli.ask import can_prompt, confirm
from jitid.cli.directory import delegator_rows, roster_file
from jitid.cli.identity.revoke import check_reason, most_of, unproved
from jitid.cli.invocation import Invocation
from jitid.formats.display import Display
from jitid.system import output

if TYPE_CHECKING:
    from jitid.capabilities.directory.reconcile import Reconciled
    from jitid.cli import options
    from jitid.operation.base import Authority

FIELDS = (
    "people",
    *reconcile.CHANGED_GROUPS,
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


def import_(
    cli: Invocation,
    file: options.RosterFile,
    as_: options.RosterForm = None,
    full: options.FullRoster = False,
    reason: options.Reason = None,
    dry_run: options.DryRun = False,
    max_: options.MaxLost = None,
    yes: options.YesLost = False,
) -> None:
    """Make the directory say what a list of delegators says (CSV, SCIM, JSON lines).

    Whom it names is added, changed, enabled or disabled as it says, all of them or, if a line cannot be meant, nobody.
    Whoever is disabled so is as by `delegator disable`. More than --max (100 unless configured) needs --yes.
    """
    cli.expect(FIELDS)
    form = roster_file.form_of(file, as_)
    most = None if yes else most_of(cli, max_)
    check_reason(reason)
    roster, source = roster_file.read(file, form)
    for note in roster.notes:
        cli.note(note)
    operation = ImportDelegators(
        roster=roster,
        source=source,
        full=full,
        reason=reason,
        most=most,
        dry_run=dry_run,
        accept_clock=cli.accept_clock,
    )
    config = cli.config()
    authority = open_for_preview(config) if dry_run else open_or_create_authority(config, cli.note)
    done = _perform(cli, authority, operation)
    if not dry_run:
        settle_event(authority, done.event, cli.warn)
    _report(cli, done, dry_run=dry_run)


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
    number = reconcile.needed(foreseen)
    if number <= operation.most:
        return authority.perform(operation)
    _report_names(foreseen)
    confirm(
        f"disable {reconcile.losses(foreseen)}",
        number,
        f"the number {number} to import the list; anything else changes nothing",
    )
    return authority.perform(
        ImportDelegators(
            roster=operation.roster,
            source=operation.source,
            full=operation.full,
            reason=operation.reason,
            most=number,
            accept_clock=operation.accept_clock,
        )
    )


def _report(cli: Invocation, done: Reconciled, *, dry_run: bool) -> None:
    if cli.field is not None or cli.format_name() is not None:
        cli.show(Display("jitid.delegator-import/1", FIELDS, [_row(cli, done, dry_run=dry_run)], one=True))
        if done.unproved is not None:
            cli.warn(unproved(done.unproved))
    else:
        output.write(_sentence(done, dry_run=dry_run) + "\n")
        if dry_run:
            _report_names(done)
        else:
            # The author of the list may not have intended these changes.
            _report_categories(done, ("disabled", "missing"))
    staying = done.staying
    if staying.number:
        are = "is disabled, and stays" if staying.number == 1 else "are disabled, and stay"
        cli.note(
            f"{staying.number} in the list {are} so: {delegator_rows.first_of(staying.first, staying.number)}"
        )
    if done.unresolved:
        managers = "manager is" if done.unresolved == 1 else "managers are"
        cli.note(f"{done.unresolved} {managers} not known by the id that stands for them: left out")
    strangers = done.strangers
    if strangers.number:
        managers = "1 manager is" if strangers.number == 1 else f"{strangers.number} managers are"
        names = delegator_rows.first_of(strangers.first, strangers.number)
        cli.note(f"{managers} neither in the directory nor in the list: {names}")


def _row(cli: Invocation, done: Reconciled, *, dry_run: bool) -> dict[str, Any]:
    radius, ties = done.departure.radius, done.departure.ties
    row = {
        "people": done.people,
        **{name: getattr(done, name).number for name in reconcile.CHANGED_GROUPS},
        "staying": done.staying.number,
        "ended": 0 if done.event is None else radius.credentials,
        "credentials": radius.credentials,
        "identities": radius.identities,
        "offline_until": record_rows.time(radius.offline_until),
        "agents": ties.agents,
        "requests": ties.requests,
        "grants": ties.grants,
        "access": ties.access,
        "names": {name: getattr(done, name).first for name in reconcile.CHANGED_GROUPS},
        "changes": [one._asdict() for one in done.changes],
        "event": done.event,
        "dry_run": dry_run,
    }
    return delegator_rows.shown(cli, row)


def _sentence(done: Reconciled, *, dry_run: bool) -> str:
    people = "1 delegator" if done.people == 1 else f"{done.people} delegators"
    if not done.anything:
        return f"nothing to change: the directory says already what the list of {people} says"
    parts = [
        f"{_SENTENCE_VERBS[name][not dry_run]} {getattr(done, name).number}"
        for name in reconcile.CHANGED_GROUPS
        if getattr(done, name).number
    ]
    parts = [", ".join(parts), *delegator_rows.departed(done.departure, would=dry_run)]
    if dry_run:
        return "; ".join([*(f"would {part}" for part in parts), "nothing was changed"])
    text = f"of {people} " + "; ".join(parts) + f" (audit event {done.event})"
    return text if done.unproved is None else f"{text}; {unproved(done.unproved)}"


def _report_names(done: Reconciled) -> None:
    _report_categories(done, reconcile.CHANGED_GROUPS)
    for one in done.changes[:_EACH]:
        output.print_message(f"jitid: {one.name}: {delegator_rows.different(one)}")
    if len(done.changes) > _EACH:
        output.print_message("jitid: what is different of the others is told with --format json")


def _report_categories(done: Reconciled, categories: Iterable[str]) -> None:
    for name in categories:
        affected = getattr(done, name)
        if affected.number:
            output.print_message(f"jitid: {name}: {delegator_rows.first_of(affected.first, affected.number)}")
