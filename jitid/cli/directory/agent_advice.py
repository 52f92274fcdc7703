"""`jitid agent classify` and `suggest`: turn the ledger's records of agents into advice and policies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jitid.authority.open import open_authority
from jitid.capabilities.decisions.operations import SuggestPolicy
from jitid.capabilities.directory.agent_operations import ClassifyAgents
from jitid.capabilities.directory.recurrence import DAYS, RecurrenceRule
from jitid.cli import record_rows
from jitid.cli.identity.list import limit_of
from jitid.cli.invocation import Invocation
from jitid.cli.leak.trace_rows import number
from jitid.errors import UsageError
from jitid.formats.display import Display
from jitid.system import output
from jitid.values.names import check_name
from jitid.values.times import format_duration

if TYPE_CHECKING:
    from jitid.capabilities.decisions.policy_suggestion import Suggestion
    from jitid.capabilities.directory.recurrence import RecurrenceVerdict
    from jitid.cli.directory import commands

CLASSIFIED = (
    "agent",
    "advice",
    "why",
    "command",
    "state",
    "identities",
    "live",
    "tasks",
    "days",
    "interval",
    "longest_interval",
    "first_issued_at",
    "last_issued_at",
    "run_time_p50",
    "run_time_p95",
    "run_time_longest",
    "concurrency",
    "delegators",
    "delegator",
    "delegated",
    "scopes",
    "scopes_from",
    "audiences",
    "kinds",
    "max_ttl",
)
BRIEF = ("agent", "advice", "why")
SUGGESTED = (
    "agent",
    "policy",
    "rules",
    "scopes",
    "scopes_from",
    "max_ttl",
    "delegators",
    "identities",
    "credentials",
    "uses",
    "first_at",
    "last_at",
)
_DAY = 86_400


def classify(cli: Invocation, args: commands.AgentClassifyCommand) -> None:
    """Perform `jitid agent classify`."""
    cli.expect(CLASSIFIED)
    config = cli.config()
    rule = RecurrenceRule(
        config.number("recurs_tasks"), config.number("recurs_days"), DAYS if args.days is None else args.days
    )
    operation = ClassifyAgents(
        names=tuple(check_name(name, "agent") for name in args.names),
        rule=rule,
        limit=limit_of(args.limit),
    )
    classification = open_authority(config).perform(operation)
    rows = [_verdict(cli, verdict) for verdict in classification.verdicts]
    columns = record_rows.columns(cli, CLASSIFIED, BRIEF)
    cli.show(
        Display("jitid.agent-classify/1", columns, [{field: row[field] for field in columns} for row in rows])
    )
    if cli.by_eye():
        commands = [row["command"] for row in rows if row["command"] is not None]
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
    cli.expect(SUGGESTED)
    if args.name is None and args.task is None:
        raise UsageError("nothing is named to be looked at", "name an agent, or a task with --task")
    operation = SuggestPolicy(
        agent=args.name,
        task=args.task,
        days=DAYS if args.days is None else args.days,
    )
    suggestions = open_authority(cli.config()).perform(operation)
    if cli.field is not None or cli.format_name() is not None:
        cli.show(
            Display(
                "jitid.agent-suggest/1", SUGGESTED, [_suggestion(suggestion) for suggestion in suggestions]
            )
        )
    else:
        output.write("\n".join(suggestion.policy for suggestion in suggestions))


def _verdict(cli: Invocation, verdict: RecurrenceVerdict) -> dict[str, Any]:
    """Return the verdict on an agent as a row with the fields of `CLASSIFIED`."""
    row: dict[str, Any] = dict.fromkeys(CLASSIFIED)
    row |= {
        "agent": verdict.agent,
        "advice": verdict.advice.value,
        "why": verdict.why,
        "command": None if verdict.command is None else cli.command(verdict.command),
        "state": "ephemeral" if verdict.state is None else verdict.state.value,
        "identities": 0,
        "live": 0,
        "tasks": 0,
        "days": 0,
        "last_issued_at": record_rows.time(verdict.last_issued_at),
        "scopes": (),
        "audiences": (),
        "kinds": (),
    }
    past, need = verdict.past, verdict.need
    if past is None or need is None:
        return row
    return row | {
        "identities": past.identities,
        "live": past.live,
        "tasks": past.tasks,
        "days": past.days,
        "interval": _of_days(past.intervals.p50),
        "longest_interval": _of_days(past.intervals.longest),
        "first_issued_at": record_rows.time(past.first_at),
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


def _suggestion(suggestion: Suggestion) -> dict[str, Any]:
    """Return a suggestion as a row with the fields of `SUGGESTED`."""
    practice = suggestion.practice
    return {
        "agent": suggestion.agent,
        "policy": suggestion.policy,
        "rules": suggestion.rules,
        "scopes": suggestion.scopes,
        "scopes_from": "used" if practice.reported else "granted",
        "max_ttl": format_duration(suggestion.max_ttl),
        "delegators": sorted(practice.delegators),
        "identities": practice.identities,
        "credentials": practice.credentials,
        "uses": practice.uses,
        "first_at": record_rows.time(practice.first_at),
        "last_at": record_rows.time(practice.last_at),
    }


def _of_days(days: int | None) -> str | None:
    return None if days is None else format_duration(days * _DAY)


def _duration(seconds: int | None) -> str | None:
    return None if seconds is None else format_duration(seconds)
