"""`jitid delegator`: manage the directory of delegators."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from jitid.authority.open import open_authority, open_or_create_authority
from jitid.authority.settle_at_targets import settle_event
from jitid.capabilities.directory import operations as directory_operations
from jitid.capabilities.directory.delegators import Amendment, Edit
from jitid.capabilities.directory.roster import roster_entry
from jitid.capabilities.directory.roster.roster_entry import KEEP, StatedDelegator
from jitid.capabilities.directory.roster.spreadsheet import NO_SCOPE, POLICY_ALONE, joined
from jitid.capabilities.identity import revocation_result
from jitid.capabilities.identity.barred_store import processes
from jitid.cli.identity.revoke import COUNTING, advised_without_record, barred, confirmed, unproved
from jitid.cli.identity.subject import NamedKind
from jitid.cli.invocation import Invocation
from jitid.cli.progress import performed
from jitid.errors import UsageError
from jitid.formats.display import Display
from jitid.system import output
from jitid.values.text import number_of, operand

if TYPE_CHECKING:
    from jitid.capabilities.directory.delegators import Departure, Disabled, Edited, Enabled
    from jitid.capabilities.directory.roster_diff import DelegatorChange
    from jitid.formats.columns import Columns
    from jitid.operation.base import Authority, Operation, Result


_NAMED = 10
"""Maximum number of names in a sentence."""


def show_row(cli: Invocation, view: Columns, record: object, **computed: object) -> None:
    """Show a record, with computed values, as the only row of a view."""
    cli.show(Display(view.schema, view.fields, [shown(cli, view.row(record, computed))], one=True))


def shown(cli: Invocation, row: dict[str, Any]) -> dict[str, Any]:
    """Return a row in the shape that the requested format needs.

    JSON keeps lists. Other formats join the values with semicolons, because names of groups contain blanks. They also
    distinguish an empty list of entitlements from entitlements that the policy alone decides.
    """
    if not cli.field and cli.format_name() in ("json", "jsonl"):
        return row
    cells = {name: joined(value) if isinstance(value, tuple) else value for name, value in row.items()}
    if not row.get("entitlements", True):
        cells["entitlements"] = POLICY_ALONE if row["entitlements"] is None else NO_SCOPE
    return cells


def departed(departure: Departure, *, would: bool) -> list[str]:
    """Return in words the credentials, agents and requests that end with delegators, or would end."""
    radius, ties = departure.radius, departure.ties
    parts = []
    if radius.credentials:
        parts.append(f"{'revoke' if would else 'revoked'} {revocation_result.blast(radius)}")
    if departure.bars:
        parts.append(barred(processes(departure.bars)))
    if ties.agents:
        agents = number_of(len(ties.agents), "agent")
        parts.append(f"{'suspend' if would else 'suspended'} {agents} ({first_of(ties.agents)})")
    withdrawn = [
        number_of(count, noun)
        for count, noun in ((ties.requests, "open request"), (ties.grants, "unused approval"))
        if count
    ]
    if withdrawn:
        parts.append(f"{'withdraw' if would else 'withdrew'} {' and '.join(withdrawn)}")
    if ties.access:
        parts.append(f"{'revoke' if would else 'revoked'} {number_of(ties.access, 'access credential')}")
    return parts


def different(change: DelegatorChange) -> str:
    """Return in words the fields of a delegator that differ."""
    differences = []
    for field, was in change.was.items():
        now = change.now[field]
        if isinstance(was, list) and isinstance(now, list):
            lost, got = (
                [value for value in values if value not in others]
                for values, others in ((was, now), (now, was))
            )
            parts = [
                f"{word} {first_of(names)}" for word, names in (("without", lost), ("with", got)) if names
            ]
            differences.append(f"{field} {' and '.join(parts)}")
        else:
            differences.append(f"{field} {_value(field, now)}, was {_value(field, was)}")
    return "; ".join(differences)


def _value(field: str, value: object) -> str:
    if isinstance(value, list):
        return first_of(value) or "(none)"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return POLICY_ALONE if field == "entitlements" else "(none)"
    return str(value)


def first_of(names: Sequence[str], count: int | None = None) -> str:
    """Return the first of some names, and how many there are besides."""
    more = (len(names) if count is None else count) - len(names[:_NAMED])
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more else "")


_PAGE = 5_000
_SHOWN = 5
"""Maximum number of suspended agents that are reported one by one."""


def add(cli: Invocation, operation: directory_operations.AddDelegator) -> None:
    """Perform `jitid delegator add`."""
    stated = StatedDelegator(
        "",
        operation.name,
        entitlements=roster_entry.entitlements(operation.entitlement)
        if operation.entitlement or operation.no_entitlements
        else KEEP,
        sensitivity=operation.sensitivity or KEEP,
        groups=roster_entry.groups(operation.group),
        manager=operation.manager,
        aliases=roster_entry.aliases((*operation.alias, *operation.subject)),
        imported=False,
    )
    authority = open_or_create_authority(cli.config(), cli.note)
    edited = _performed(cli, authority, operation.replace(stated=stated))
    _report(cli, operation.view, edited, f"added {edited.delegator.name} (audit event {edited.event})")


def change(cli: Invocation, operation: directory_operations.ChangeDelegator) -> None:
    """Perform `jitid delegator change`."""
    if operation.policy_alone and (
        operation.entitlement or operation.no_entitlements or operation.remove_entitlement
    ):
        raise UsageError(
            "--policy-alone and entitlements exclude each other", "use one of them; nothing was changed"
        )
    if operation.manager is not None and operation.no_manager:
        raise UsageError("--manager and --no-manager exclude each other", "use one of them")
    edit = Edit(
        entitlements=Amendment(
            operation.no_entitlements,
            roster_entry.entitlements(operation.entitlement),
            roster_entry.entitlements(operation.remove_entitlement),
        ),
        policy_alone=operation.policy_alone,
        sensitivity=operation.sensitivity,
        groups=Amendment(
            operation.no_groups,
            roster_entry.groups(operation.group),
            roster_entry.groups(operation.remove_group),
        ),
        manager=operation.manager,
        no_manager=operation.no_manager,
        aliases=Amendment(
            operation.no_aliases,
            roster_entry.aliases((*operation.alias, *operation.subject)),
            roster_entry.aliases(operation.remove_alias),
        ),
    )
    if edit == Edit():
        raise UsageError(
            "no change was requested", "name one, such as --group sre; see: jitid delegator change --help"
        )
    edited = _performed(cli, open_authority(cli.config()), operation.replace(edit=edit))
    main_name = edited.delegator.name
    if not edited.changed:
        _report(cli, operation.view, edited, f"nothing to change: {main_name} has these values already")
        return
    sentence = f"changed {main_name}: {', '.join(edited.changed)} (audit event {edited.event})"
    _report(cli, operation.view, edited, sentence)
    if edited.live and {"entitlements", "sensitivity"} & {*edited.changed}:
        cli.note(
            f"issued credentials are unchanged: {_live(edited.live)} from {main_name}; to revoke them: "
            + cli.command(f"jitid revoke --delegator {main_name}")
        )


def disable(cli: Invocation, operation: directory_operations.DisableDelegator) -> None:
    """Perform `jitid delegator disable`."""
    operation = operation.replace(most=cli.most(operation.max_, yes=operation.yes))
    authority = open_authority(cli.config())
    to_add = f"jitid delegator add {operation.name}"
    with advised_without_record(cli, NamedKind.DELEGATOR, operation.name, to_add):
        result = _disable(cli, authority, operation)
    if not operation.dry_run:
        settle_event(authority, result.event, cli.warn)
    if cli.field or cli.format_name() is not None:
        departure = result.departure
        show_row(
            cli,
            operation.view,
            result,
            ended=0 if result.event is None else departure.radius.credentials,
            kept_live=departure.ties.live if operation.keep_live else 0,
            dry_run=operation.dry_run,
        )
        if result.unproved is not None:
            cli.warn(unproved(result.unproved))
    else:
        output.write_line(_sentence(result, dry_run=operation.dry_run))
    _report_remaining(cli, result, keep_live=operation.keep_live)


def enable(cli: Invocation, operation: directory_operations.EnableDelegator) -> None:
    """Perform `jitid delegator enable`."""
    result = open_authority(cli.config()).perform(operation)
    main_name = result.delegator.name
    done = f"enabled {main_name} (audit event {result.event})"
    _report(cli, operation.view, result, f"{main_name} was not disabled" if result.event is None else done)
    for agent in result.suspended[:_SHOWN]:
        cli.note(f"agent {agent} stays suspended: {cli.command(f'jitid agent resume {operand(agent)}')}")
    if len(result.suspended) > _SHOWN:
        show_command = cli.command(f"jitid delegator show {main_name}")
        cli.note(f"{len(result.suspended) - _SHOWN} more agents stay suspended: see {show_command}")


def show(cli: Invocation, operation: directory_operations.ShowDelegator) -> None:
    """Perform `jitid delegator show`."""
    details = open_authority(cli.config()).perform(operation)
    computed = {
        "agents": tuple(agent.name for agent in details.agents),
        "suspended": tuple(agent.name for agent in details.agents if agent.suspended_at is not None),
    }
    cli.show_row(operation.view, shown(cli, operation.view.row(details, computed)))


def list_(cli: Invocation, operation: directory_operations.ListDelegators) -> None:
    """Perform `jitid delegator list`."""
    if operation.only_disabled and operation.only_enabled:
        raise UsageError("--disabled and --enabled exclude each other", "omit both to list all")
    if operation.only_disabled or operation.only_enabled:
        operation = operation.replace(disabled=operation.only_disabled)
    authority = open_authority(cli.config())
    cursor = operation.after
    columns = operation.view.brief if cli.by_eye() and not cli.verbose else operation.view.fields
    count = 0

    def rows() -> Iterator[dict[str, Any]]:
        nonlocal count, cursor
        while count < operation.limit:
            size = min(_PAGE, operation.limit - count)
            page = authority.perform(operation.replace(after=cursor, limit=size))
            for delegator in page:
                count += 1
                row = shown(cli, operation.view.row(delegator))
                yield {name: row[name] for name in columns}
            if len(page) < size:
                return
            cursor = page[-1].name

    cli.show(Display(operation.view.schema, columns, rows()))
    cli.note_more(count, operation.limit, f"continue with --after {cursor}, or raise --limit")


def _performed(cli: Invocation, authority: Authority, operation: Operation[Result]) -> Result:
    """Perform an operation. Add the flags of this ledger to a command in the hint of an error."""
    try:
        return authority.perform(operation)
    except UsageError as error:
        error.hint = error.hint and cli.command(error.hint)
        raise


def _report(cli: Invocation, view: Columns, record: Edited | Enabled, sentence: str) -> None:
    """Show the outcome of a change, as a sentence or in the requested format."""
    if not cli.field and cli.format_name() is None:
        output.write(sentence + "\n")
    else:
        show_row(cli, view, record)


def _disable(
    cli: Invocation, authority: Authority, operation: directory_operations.DisableDelegator
) -> Disabled:
    """Disable a delegator. At a terminal, ask for confirmation before ending more credentials than the limit."""
    limit = operation.most
    preview = operation.replace(reason=None, most=None, dry_run=True)
    if not (operation.dry_run or operation.keep_live):
        limit = confirmed(cli, limit, lambda: performed(cli, authority, preview, COUNTING).departure.radius)
    step = "changing the delegator" if operation.keep_live else "revoking the delegator's credentials"
    return performed(cli, authority, operation.replace(most=limit), step)


def _sentence(result: Disabled, *, dry_run: bool) -> str:
    main_name = result.delegator.name
    was_disabled = result.delegator.disabled_at is not None
    parts = departed(result.departure, would=dry_run)
    if dry_run:
        first_clause = f"{main_name} is disabled already" if was_disabled else f"would disable {main_name}"
        return "; ".join([first_clause, *(f"would {part}" for part in parts), "nothing was changed"])
    if result.event is None:
        return f"{main_name} was disabled already"
    first_clause = f"{main_name} was disabled already" if was_disabled else f"disabled {main_name}"
    text = "; ".join([first_clause, *parts]) + f" (audit event {result.event})"
    return text if result.unproved is None else f"{text}; {unproved(result.unproved)}"


def _report_remaining(cli: Invocation, result: Disabled, *, keep_live: bool) -> None:
    ties, main_name = result.departure.ties, result.delegator.name
    if keep_live and ties.live:
        cli.note(
            f"{_live(ties.live)} from {main_name} and {'stays' if ties.live == 1 else 'stay'} valid: "
            + cli.command(f"jitid list --live --delegator {main_name}")
        )
    if ties.others:
        clause = (
            "credential for another delegator stays" if ties.others == 1 else "credentials for others stay"
        )
        cli.note(
            f"{ties.others} {clause} valid, held by these agents: "
            + cli.command(f"jitid list --live --agent {ties.agents[0]}")
        )


def _live(count: int) -> str:
    return "1 live credential descends" if count == 1 else f"{count} live credentials descend"
