"""`jitid delegator import`: make the directory match a list of delegators."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from jitid.authority.open import open_for_preview, open_or_create_authority
from jitid.authority.settle_at_targets import settle_event
from jitid.capabilities.directory import roster_diff
from jitid.capabilities.directory.roster.roster_file import form_of, read
from jitid.cli.directory import delegator_verbs
from jitid.cli.identity.revoke import unproved
from jitid.cli.input_lines import confirm
from jitid.cli.invocation import Invocation
from jitid.cli.progress import Waiting, performed
from jitid.system import output
from jitid.values.text import number_of

if TYPE_CHECKING:
    from jitid.capabilities.directory.operations import ImportDelegators
    from jitid.capabilities.directory.roster_diff import Reconciled
    from jitid.operation.base import Authority


_EACH = 10
"""Maximum number of delegators whose differences a dry run prints as sentences."""
_SENTENCE_VERBS = {
    "added": ("add", "added"),
    "changed": ("change", "changed"),
    "enabled": ("enable", "enabled"),
    "disabled": ("disable", "disabled"),
    "missing": ("disable as missing", "disabled as missing"),
}


def import_(cli: Invocation, operation: ImportDelegators) -> None:
    """Perform `jitid delegator import`."""
    form = form_of(operation.file, operation.as_)
    limit = cli.most(operation.max_, yes=operation.yes)
    with Waiting(cli, lambda: "reading the list"):
        roster, source = read(operation.file, form)
    for note in roster.notes:
        cli.note(note)
    operation = operation.replace(roster=roster, source=source, most=limit)
    config = cli.config()
    authority = open_for_preview(config) if operation.dry_run else open_or_create_authority(config, cli.note)
    reconciled = _perform(cli, authority, operation)
    if not operation.dry_run:
        settle_event(authority, reconciled.event, cli.warn)
    _report(cli, operation, reconciled)


def _perform(cli: Invocation, authority: Authority, operation: ImportDelegators) -> Reconciled:
    """Import a list. At a terminal, ask for confirmation of losses above the limit."""
    if operation.most is None or operation.dry_run or not cli.can_prompt():
        return _performed(cli, authority, operation)
    foreseen = _performed(cli, authority, operation.replace(reason=None, most=None, dry_run=True))
    smallest_limit = roster_diff.needed(foreseen)
    if smallest_limit <= operation.most:
        return _performed(cli, authority, operation)
    _report_names(foreseen)
    confirm(
        f"disable {roster_diff.losses(foreseen)}",
        smallest_limit,
        f"the number {smallest_limit} to import the list; any other answer changes nothing",
    )
    return _performed(cli, authority, operation.replace(most=smallest_limit))


def _performed(cli: Invocation, authority: Authority, operation: ImportDelegators) -> Reconciled:
    """Return the answer to an import; show the step at a terminal meanwhile."""
    step = "comparing the list with the directory" if operation.dry_run else "importing the list"
    return performed(cli, authority, operation, step)


def _report(cli: Invocation, operation: ImportDelegators, reconciled: Reconciled) -> None:
    dry_run = operation.dry_run
    if cli.field or cli.format_name() is not None:
        delegator_verbs.show_row(
            cli,
            operation.view,
            reconciled,
            ended=0 if reconciled.event is None else reconciled.departure.radius.credentials,
            names={name: getattr(reconciled, name).first for name in roster_diff.CHANGED_GROUPS},
            changes=[change._asdict() for change in reconciled.changes],
            dry_run=dry_run,
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
        subject = (
            "1 delegator in the list stays" if staying.number == 1 else f"{staying.number} in the list stay"
        )
        cli.note(f"{subject} disabled: {delegator_verbs.first_of(staying.first, staying.number)}")
    if reconciled.unresolved:
        managers = "manager" if reconciled.unresolved == 1 else "managers"
        cli.note(f"skipped {reconciled.unresolved} {managers} with an unknown id")
    strangers = reconciled.strangers
    if strangers.number:
        managers = "1 manager is" if strangers.number == 1 else f"{strangers.number} managers are"
        names = delegator_verbs.first_of(strangers.first, strangers.number)
        cli.note(f"{managers} neither in the directory nor in the list: {names}")


def _sentence(reconciled: Reconciled, *, dry_run: bool) -> str:
    people = number_of(reconciled.people, "delegator")
    if not reconciled.anything:
        return f"nothing to change: the directory matches the list of {people}"
    parts = [
        f"{_SENTENCE_VERBS[name][not dry_run]} {getattr(reconciled, name).number}"
        for name in roster_diff.CHANGED_GROUPS
        if getattr(reconciled, name).number
    ]
    parts = [", ".join(parts), *delegator_verbs.departed(reconciled.departure, would=dry_run)]
    if dry_run:
        return "; ".join([*(f"would {part}" for part in parts), "nothing was changed"])
    text = f"of {people} " + "; ".join(parts) + f" (audit event {reconciled.event})"
    return text if reconciled.unproved is None else f"{text}; {unproved(reconciled.unproved)}"


def _report_names(reconciled: Reconciled) -> None:
    _report_categories(reconciled, roster_diff.CHANGED_GROUPS)
    for change in reconciled.changes[:_EACH]:
        output.print_message(f"jitid: {change.name}: {delegator_verbs.different(change)}")
    if len(reconciled.changes) > _EACH:
        output.print_message("jitid: to see the changes of all delegators: --format json")


def _report_categories(reconciled: Reconciled, categories: Iterable[str]) -> None:
    for category in categories:
        affected = getattr(reconciled, category)
        if affected.number:
            output.print_message(
                f"jitid: {category}: {delegator_verbs.first_of(affected.first, affected.number)}"
            )
