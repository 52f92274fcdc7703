"""`jitid agent`: register, show, review, suspend and unregister agents that recur.

`jitid agent classify` and `suggest` turn the ledger's records of agents into advice and policies.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from jitid.authority.open import open_authority
from jitid.authority.settle_at_targets import settle_event
from jitid.capabilities.decisions.operations import SuggestPolicy
from jitid.capabilities.directory import operations as directory_operations
from jitid.capabilities.directory.operations import ClassifyAgents
from jitid.capabilities.directory.recurrence import DAYS, RecurrenceRule
from jitid.capabilities.directory.registry import Due, StatedAgent
from jitid.capabilities.identity import revocation_result
from jitid.cli.identity import revoke
from jitid.cli.identity.list import DEFAULT_LIMIT
from jitid.cli.invocation import Invocation
from jitid.config.settings import nearest
from jitid.errors import UsageError
from jitid.formats.columns import Columns
from jitid.formats.display import Display
from jitid.system import output
from jitid.values.text import number_of, operand, quote
from jitid.values.times import format_duration, format_time, parse_moment

if TYPE_CHECKING:
    from jitid.capabilities.directory.recurrence import RecurrenceVerdict
    from jitid.capabilities.directory.registry import Described, KeptAgent, WithdrawnAgent
    from jitid.cli.directory import commands
    from jitid.model.credential import Credential


CLEARED = ("scope", "audience", "concurrency", "may-use")
_ISSUES = "jti task delegator scopes issued_at state"
"""Fields of an agent's latest credentials."""
_LATEST = 5
"""The maximum number of an agent's latest credentials that are shown."""


def register(cli: Invocation, args: commands.AgentRegisterCommand) -> None:
    """Perform `jitid agent register`."""
    if args.owner is None or args.purpose is None:
        raise UsageError(
            "an agent needs an owner and a purpose; nothing was changed",
            "say who answers for it and what it is for: --owner DELEGATOR --purpose TEXT",
        )
    operation = directory_operations.RegisterAgent(
        name=args.name,
        stated=_stated(args),
        due=_due(args.review),
        most=cli.most(args.max_, yes=args.yes),
        accept_clock=cli.accept_clock,
    )
    authority = open_authority(cli.config())
    stored = authority.perform(operation)
    review_date = format_time(stored.agent.review_at)
    _report(
        cli,
        args,
        stored,
        f"registered agent {stored.agent.name}; {stored.agent.owner} is to review it by {review_date}",
    )
    if stored.ended:
        credentials = number_of(stored.ended, "live credential")
        cli.note(f"ended {credentials} that had its name before")
        settle_event(authority, stored.event, cli.warn)


def change(cli: Invocation, args: commands.AgentChangeCommand) -> None:
    """Perform `jitid agent change`."""
    operation = directory_operations.ChangeAgent(
        name=args.name, stated=_cleared(_stated(args), args.clear), accept_clock=cli.accept_clock
    )
    stored = open_authority(cli.config()).perform(operation)
    unchanged = f"agent {stored.agent.name} is so already"
    _report(cli, args, stored, unchanged if stored.event is None else f"changed agent {stored.agent.name}")
    if stored.event is not None and stored.live:
        cli.note(
            f"{stored.live} of its identities live, and what they hold stays as it was issued; to end that: "
            + cli.command(f"jitid revoke --agent {stored.agent.name}")
        )


def show(cli: Invocation, args: commands.AgentShowCommand) -> None:
    """Perform `jitid agent show`."""
    operation = directory_operations.ShowAgent(name=args.name, issues=_LATEST)
    details = open_authority(cli.config()).perform(operation)
    issues = Columns(args.view.schema, _ISSUES, brief="task delegator issued_at state")

    def computed(issue: Credential) -> dict[str, Any]:
        return {"state": issue.state_at(details.now)}

    if not cli.by_eye():
        rows = [issues.row(issue, computed(issue)) for issue in details.issues]
        cli.show_records(
            args.view, [details.record], lambda record: {**_computed(record, details.now), "issues": rows}
        )
        return
    _show_record(cli, args.view.row(details.record, {**_computed(details.record, details.now), "issues": ()}))
    if details.issues:
        output.write("\n")
        cli.show_records(issues, details.issues, computed)


def list_(cli: Invocation, args: commands.AgentListCommand) -> None:
    """Perform `jitid agent list`."""
    from jitid.model.directory import AgentState

    limit = args.limit or DEFAULT_LIMIT
    operation = directory_operations.ListAgents(
        owner=args.owner,
        state=None if args.state is None else AgentState(args.state),
        after=args.after,
        limit=limit,
    )
    page = open_authority(cli.config()).perform(operation)
    cli.show_records(args.view, page.records, partial(_computed, now=page.now))
    if args.limit is None and len(page.records) == limit:
        cli.note(f"there may be more than {limit}: go on with --after {page.records[-1].agent.name}")


def review(cli: Invocation, args: commands.AgentReviewCommand) -> None:
    """Perform `jitid agent review`."""
    authority = open_authority(cli.config())
    stored = authority.perform(
        directory_operations.ReviewAgent(name=args.name, due=_due(args.next_), accept_clock=cli.accept_clock)
    )
    details = authority.perform(directory_operations.ShowAgent(name=args.name, issues=0))
    computed = {**_computed(details.record, details.now), "event": stored.event}
    if cli.by_eye():
        _show_record(cli, args.view.row(details.record, computed))
    else:
        cli.show_records(args.view, [details.record], lambda _: computed)
    cli.note(
        f"reviewed agent {args.name}; the next review is due at {format_time(stored.agent.review_at)} "
        f"(audit event {stored.event})"
    )


def resume(cli: Invocation, operation: directory_operations.ResumeAgent) -> None:
    """Perform `jitid agent resume`."""
    stored = open_authority(cli.config()).perform(operation)
    name = stored.agent.name
    _report(
        cli,
        operation,
        stored,
        f"agent {name} was not suspended" if stored.event is None else f"resumed agent {name}",
    )
    if stored.now >= stored.agent.review_at:
        cli.note(f"its review is overdue: {cli.command(f'jitid agent review {operand(name)}')}")


def suspend(cli: Invocation, operation: directory_operations.SuspendAgent) -> None:
    """Perform `jitid agent suspend`."""
    _withdraw(cli, operation, "suspend")


def unregister(cli: Invocation, operation: directory_operations.UnregisterAgent) -> None:
    """Perform `jitid agent unregister`."""
    _withdraw(cli, operation, "unregister")


def _withdraw(
    cli: Invocation,
    operation: directory_operations.SuspendAgent | directory_operations.UnregisterAgent,
    verb: str,
) -> None:
    if operation.keep_live and (operation.yes or operation.max_ is not None):
        raise UsageError("--max and --yes mean nothing with --keep-live", "nothing ends then")
    limit = cli.most(operation.max_, yes=operation.yes)
    authority = open_authority(cli.config())
    preview = operation.replace(reason=None, most=None, dry_run=True)
    if operation.dry_run:
        withdrawal = authority.perform(preview)
    else:
        if not operation.keep_live:
            limit = revoke.confirmed(cli, limit, lambda: authority.perform(preview).ended.radius)
        withdrawal = authority.perform(operation.replace(most=limit))
        settle_event(authority, withdrawal.ended.event, cli.warn)
    if cli.field is None and cli.format_name() is None:
        output.write(_sentence(withdrawal, verb, dry_run=operation.dry_run) + "\n")
        return
    state = withdrawal.agent.state_at(withdrawal.now)
    ended = revoke.row(withdrawal.ended, dry_run=operation.dry_run)
    cli.show_records(operation.view, [withdrawal], lambda _: {**ended, "state": state})
    if withdrawal.ended.unproved is not None:
        cli.warn(revoke.unproved(withdrawal.ended.unproved))


def _computed(described: Described, now: int) -> dict[str, Any]:
    agent = described.agent
    return {"state": agent.state_at(now), "max_ttl": format_duration(agent.max_ttl)}


def _show_record(cli: Invocation, row: dict[str, object]) -> None:
    """Show a record in a table, without its empty fields."""
    filled = {field: value for field, value in row.items() if value not in (None, "", ())}
    cli.show(Display("jitid.agent/1", tuple(filled), [filled], one=True))


def _report(
    cli: Invocation,
    args: commands.AgentRegisterCommand | commands.AgentChangeCommand | directory_operations.ResumeAgent,
    stored: KeptAgent,
    sentence: str,
) -> None:
    """Show a stored record, as a sentence or in the requested format."""
    if cli.field is not None or cli.format_name() is not None:
        cli.show_records(args.view, [stored], lambda _: {"state": stored.agent.state_at(stored.now)})
    else:
        event = "" if stored.event is None else f" (audit event {stored.event})"
        output.write(f"{sentence}{event}\n")


def _stated(args: commands.AgentRegisterCommand | commands.AgentChangeCommand) -> StatedAgent:
    """Return the fields of an agent that options state."""
    return StatedAgent(
        args.owner,
        args.purpose,
        args.scope or None,
        tuple(dict.fromkeys(args.audience)) or None,
        tuple(dict.fromkeys(args.kind)) or None,
        args.max_ttl,
        args.concurrency,
        tuple(dict.fromkeys(args.may_use)) or None,
    )


def _cleared(stated_agent: StatedAgent, clear: Sequence[str]) -> StatedAgent:
    """Return the stated fields, with empty values for the cleared ones. Raises UsageError."""
    stated_values = {
        "scope": stated_agent.scopes,
        "audience": stated_agent.audiences,
        "concurrency": stated_agent.concurrency,
    }
    stated_values["may-use"] = stated_agent.users
    for field in clear:
        if field not in CLEARED:
            raise UsageError(f"{quote(field)} cannot be cleared", nearest(field, CLEARED))
        if stated_values[field] is not None:
            raise UsageError(f"--clear {field} and --{field} contradict each other; nothing was changed")
    if "scope" in clear:
        stated_agent = stated_agent._replace(scopes=())
    if "audience" in clear:
        stated_agent = stated_agent._replace(audiences=())
    if "may-use" in clear:
        stated_agent = stated_agent._replace(users=())
    return stated_agent._replace(unlimited="concurrency" in clear)


def _due(text: str | None) -> Due:
    if text is None:
        return Due()
    moment, delay = parse_moment(text, "the review date", "now")
    return Due(moment) if delay is None else Due(None, delay)


def _sentence(withdrawal: WithdrawnAgent, verb: str, *, dry_run: bool) -> str:
    """Return the result of withdrawing an agent in words; `verb` is `suspend` or `unregister`."""
    return _foreseen_sentence(withdrawal, verb) if dry_run else _done_sentence(withdrawal, verb)


def _kept_clause(withdrawal: WithdrawnAgent) -> str:
    """Return `2 live credentials live on`; "" if none stays live."""
    if not withdrawal.kept:
        return ""
    return f"{withdrawal.kept} live {'credential lives' if withdrawal.kept == 1 else 'credentials live'} on"


def _foreseen_sentence(withdrawal: WithdrawnAgent, verb: str) -> str:
    """Return `would suspend agent planner, and end 2 credentials…; nothing was changed`."""
    name, radius, kept = withdrawal.agent.name, withdrawal.ended.radius, _kept_clause(withdrawal)
    text = f"agent {name} is {verb}ed already" if withdrawal.already else f"would {verb} agent {name}"
    if kept:
        text += f"; {kept}"
    elif radius.credentials:
        text += f"{'; would' if withdrawal.already else ', and'} end {revocation_result.blast(radius)}"
    return f"{text}; nothing was changed"


def _done_sentence(withdrawal: WithdrawnAgent, verb: str) -> str:
    """Return `suspended agent planner, and ended 2 credentials… (audit event 7)`."""
    name, ended, kept = withdrawal.agent.name, withdrawal.ended, _kept_clause(withdrawal)
    if ended.event is None:
        return f"agent {name} was {verb}ed already; {kept or 'nothing of it was live'}"
    text = f"agent {name} was {verb}ed already" if withdrawal.already else f"{verb}ed agent {name}"
    if ended.credentials:
        text += f", and ended {revocation_result.blast(ended.radius)}"
    else:
        text += f"; {kept or 'nothing of it was live'}"
    text += f" (audit event {ended.event})"
    return text if ended.unproved is None else f"{text}; {revoke.unproved(ended.unproved)}"


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
    cli.show_records(args.view, verdicts, partial(_verdict_values, cli))
    if cli.by_eye():
        commands = [cli.command(verdict.command) for verdict in verdicts if verdict.command is not None]
        output.write("".join(f"{command}\n" for command in ["", *commands]) if commands else "")
    if classification.untold:
        recurring = (
            f", {classification.untold_recurring} of which recur" if classification.untold_recurring else ""
        )
        cli.note(
            f"{number_of(classification.untold, 'more name')}{recurring}: "
            "name what to tell, or say how many with --limit"
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


def _verdict_values(cli: Invocation, verdict: RecurrenceVerdict) -> dict[str, Any]:
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
