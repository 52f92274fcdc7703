"""`jitid audit log --at`: the recorded uses of credentials around a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jitid.authority.open import open_authority
from jitid.capabilities.use.operations import ListUses
from jitid.cli import record_rows
from jitid.cli.identity.list import DEFAULT_LIMIT, limit_of
from jitid.errors import UsageError
from jitid.formats.display import Display
from jitid.model.use import UseFilter
from jitid.values.times import parse_duration, parse_time

if TYPE_CHECKING:
    from jitid.capabilities.audit.audit_log import LogFilter
    from jitid.capabilities.use.operations import UsePage
    from jitid.cli.invocation import Invocation
    from jitid.model.use import RecordedUse

FIELDS = (
    "at",
    "decision",
    "agent",
    "delegator",
    "chain",
    "task",
    "purpose",
    "action",
    "resource",
    "scope",
    "rules",
    "reason",
    "id",
    "jti",
    "event",
)
BRIEF = ("at", "decision", "agent", "delegator", "action", "resource")
"""Columns for a terminal of 80 columns, if names are short. A column that a filter fixes is left out."""
_AROUND = 60
"""Default number of seconds before and after a time."""


def show(
    cli: Invocation,
    chosen: LogFilter,
    at: str | None,
    within: str | None,
    action: str | None,
    resource: str | None,
    limit: int | None,
) -> None:
    """Show the recorded actions, in the order of time.

    Raises:
        UsageError: a filter is for events only, or the time is specified twice.

    """
    cli.expect(FIELDS)
    for option, value in {
        "--operation": chosen.operation,
        "--by": chosen.by,
        "--sweep": chosen.sweep,
        "--trace": chosen.trace,
    }.items():
        if value is not None:
            raise UsageError(f"{option} is about events, and --at, --action and --resource are about actions")
    since, until = chosen.since, chosen.until
    if at is not None:
        if since is not None or until is not None:
            raise UsageError("--at and --since or --until cannot go together", "say how far with --within")
        around = _AROUND if within is None else parse_duration(within)
        middle = parse_time(at)
        since, until = middle - around, middle + around + 1
    elif within is not None:
        raise UsageError("--within says how far from --at, and there is none")
    most = limit_of(limit)
    page = open_authority(cli.config()).perform(
        ListUses(
            chosen=UseFilter(
                since=since,
                until=until,
                action=action,
                resource=resource,
                task=chosen.task,
                agent=chosen.agent,
                delegators=() if chosen.delegator is None else (chosen.delegator,),
                event=chosen.event,
                rule=chosen.rule,
            ),
            limit=most,
        )
    )
    filtered = {"agent": chosen.agent, "action": action, "resource": resource}
    shown = record_rows.columns(cli, FIELDS, tuple(name for name in BRIEF if filtered.get(name) is None))
    rows = (_row(one, page) for one in page.uses)
    cli.show(Display("jitid.actions/1", shown, ({name: row[name] for name in shown} for row in rows)))
    if limit is None and len(page.uses) == DEFAULT_LIMIT:
        cli.note(f"there may be more than {DEFAULT_LIMIT}: say how many with --limit")


def _row(one: RecordedUse, page: UsePage) -> dict[str, Any]:
    above = () if one.identity_key is None else page.lineages.get(one.identity_key, ())
    return {
        "at": record_rows.time(one.at),
        "decision": "allow" if one.allowed else "deny",
        "agent": one.agent,
        "delegator": one.delegator,
        "chain": None
        if one.agent is None
        else (one.delegator, *(each.agent for each in reversed(above)), one.agent),
        "task": one.task,
        "purpose": one.purpose,
        "action": one.action,
        "resource": one.resource,
        "scope": one.scope,
        "rules": one.rules,
        "reason": one.reason,
        "id": one.id,
        "jti": one.jti,
        "event": one.event,
    }
