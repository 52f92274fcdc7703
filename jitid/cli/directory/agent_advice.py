"""`jitid agent classify` and `suggest`: turn the ledger's records of agents into advice and policies."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from jitid.authority.open import open_authority
from jitid.capabilities.decisions.operations import SuggestPolicy
from jitid.capabilities.directory.operations import ClassifyAgents
from jitid.capabilities.directory.recurrence import DAYS, RecurrenceRule
from jitid.cli.identity.list import DEFAULT_LIMIT
from jitid.cli.invocation import Invocation
from jitid.cli.leak.trace_rows import number
from jitid.errors import UsageError
from jitid.system import output
from jitid.values.times import format_duration

if TYPE_CHECKING:
    from jitid.capabilities.directory.recurrence import RecurrenceVerdict
    from jitid.cli.directory import commands

_DAY = 86_400


def classify(cli: Invocation, args: commands.AgentClassifyCommand) -> None:
    """Perform `jitid agent classify`."""
    config = cli.config()
    rule = RecurrenceRule(
        config.number("recurs_tasks"), config.number("recurs_days"), DAYS if args.days is None else args.days
    )
    operation = ClassifyAgents(
        names=args.names,
        rule=rule,
        limit=args.limit or DEFAULT_LIMIT,
    )
    classification = open_authority(config).perform(operation)
    verdicts = classification.verdicts
    cli.show_records(args.view, verdicts, partial(_computed, cli))
    if cli.by_eye():
        commands = [cli.command(verdict.command) for verdict in verdicts if verdict.command is not None]
        output.write("".join(f"{command}\n" for command in ["", *commands]) if commands else "")
    if classification.untold:
        recurring = (
            f", {classification.untold_recurring} of which recur" if classification.untold_recurring else ""
        )
        cli.note(
            f"{number(classification.untold, 'more name')}{recurring}: name what to tell, or say how many with --limit"
        )


def suggest(cli: Invocation, args: commands.AgentSuggestCommand) -> None:
    """Perform `jitid agent suggest`."""
    if args.name is None and args.task is None:
        raise UsageError("nothing is named to be looked at", "name an agent, or a task with --task")
    operation = SuggestPolicy(
        agent=args.name,
        task=args.task,
        days=DAYS if args.days is None else args.days,
    )
    suggestions = open_authority(cli.config()).perform(operation)
    if cli.field is not None or cli.format_name() is not None:
        cli.show_records(
            args.view,
            suggestions,
            lambda suggestion: {
                "scopes_from": "used" if suggestion.practice.reported else "granted",
                "max_ttl": format_duration(suggestion.max_ttl),
                "delegators": sorted(suggestion.practice.delegators),
            },
        )
    else:
        output.write("\n".join(suggestion.policy for suggestion in suggestions))


def _computed(cli: Invocation, verdict: RecurrenceVerdict) -> dict[str, Any]:
    past, need = verdict.past, verdict.need
    row: dict[str, Any] = dict.fromkeys(_OF_HISTORY) | {
        "command": None if verdict.command is None else cli.command(verdict.command),
        "state": verdict.state or "ephemeral",
        "identities": 0,
        "live": 0,
        "tasks": 0,
        "days": 0,
        "scopes": (),
        "audiences": (),
        "kinds": (),
    }
    if past is None or need is None:
        return row
    return row | {
        "identities": past.identities,
        "live": past.live,
        "tasks": past.tasks,
        "days": past.days,
        "interval": _of_days(past.intervals.p50),
        "longest_interval": _of_days(past.intervals.longest),
        "first_issued_at": past.first_at,
        "run_time_p50": _duration(past.run_time.p50),
        "run_time_p95": _duration(past.run_time.p95),
        "run_time_longest": _duration(past.run_time.longest),
        "concurrency": past.concurrency,
        "delegators": past.delegators,
        "delegator": past.delegator,
        "delegated": past.delegated,
        "scopes": need.scopes,
        "scopes_from": "used" if need.reported else "granted",
        "audiences": need.audiences,
        "kinds": need.kinds,
        "max_ttl": format_duration(need.max_ttl),
    }


_OF_HISTORY = (
    "interval",
    "longest_interval",
    "first_issued_at",
    "run_time_p50",
    "run_time_p95",
    "run_time_longest",
    "concurrency",
    "delegators",
    "delegator",
    "delegated",
    "scopes_from",
    "max_ttl",
)
"""Fields that an agent without a history lacks."""


def _of_days(days: int | None) -> str | None:
    return None if days is None else format_duration(days * _DAY)


def _duration(seconds: int | None) -> str | None:
    return None if seconds is None else format_duration(seconds)
