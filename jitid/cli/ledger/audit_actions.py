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
    log_filter: LogFilter,
    middle: int | None,
    within: int | None,
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
        "--operation": log_filter.operation,
        "--by": log_filter.by,
        "--sweep": log_filter.sweep,
        "--trace": log_filter.trace,
    }.items():
        if value is not None:
            raise UsageError(f"{option} is about events, and --at, --action and --resource are about actions")
    since, until = log_filter.since, log_filter.until
    if middle is not None:
        if since is not None or until is not None:
            raise UsageError("--at and --since or --until cannot go together", "say how far with --within")
        around = _AROUND if within is None else within
        since, until = middle - around, middle + around + 1
    elif within is not None:
        raise UsageError("--within says how far from --at, and there is none")
    max_count = limit_of(limit)
    page = open_authority(cli.config()).perform(
        ListUses(
            chosen=UseFilter(
                since=since,
                until=until,
                action=action,
                resource=resource,
                task=log_filter.task,
                agent=log_filter.agent,
                delegators=() if log_filter.delegator is None else (log_filter.delegator,),
                event=log_filter.event,
                rule=log_filter.rule,
            ),
            limit=max_count,
        )
    )
    filtered = {"agent": log_filter.agent, "action": action, "resource": resource}
    columns = record_rows.columns(cli, FIELDS, tuple(name for name in BRIEF if filtered.get(name) is None))
    rows = (_row(use, page) for use in page.uses)
    cli.show(Display("jitid.actions/1", columns, ({name: row[name] for name in columns} for row in rows)))
    if limit is None and len(page.uses) == DEFAULT_LIMIT:
        cli.note(f"there may be more than {DEFAULT_LIMIT}: say how many with --limit")


def _row(use: RecordedUse, page: UsePage) -> dict[str, Any]:
    lineage = () if use.identity_key is None else page.lineages.get(use.identity_key, ())
    return {
        "at": record_rows.time(use.at),
        "decision": "allow" if use.allowed else "deny",
        "agent": use.agent,
        "delegator": use.delegator,
        "chain": None
        if use.agent is None
        else (use.delegator, *(ancestor.agent for ancestor in reversed(lineage)), use.agent),
        "task": use.task,
        "purpose": use.purpose,
        "action": use.action,
        "resource": use.resource,
        "scope": use.scope,
        "rules": use.rules,
        "reason": use.reason,
        "id": use.id,
        "jti": use.jti,
        "event": use.event,
    }
