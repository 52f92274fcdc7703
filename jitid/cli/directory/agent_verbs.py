"""`jitid agent`: register, show, review, suspend and unregister agents that recur.

`jitid agent advise` turns the ledger's records of agents into advice and policies.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from jitid.authority.open import open_authority
from jitid.authority.settle_at_targets import settle_event
from jitid.capabilities.directory import operations as directory_operations
from jitid.capabilities.directory.recurrence import DAYS, RecurrenceRule
from jitid.capabilities.directory.registry import Due, StatedAgent
from jitid.capabilities.identity import revocation_result
from jitid.cli.identity import revoke
from jitid.cli.identity.subject import NamedKind
from jitid.cli.invocation import Invocation
from jitid.cli.progress import performed
from jitid.config.settings import nearest
from jitid.errors import UsageError
from jitid.formats.columns import Columns
from jitid.system import output
from jitid.values.text import number_of, operand, quote
from jitid.values.times import format_time, parse_moment

if TYPE_CHECKING:
    from jitid.capabilities.directory.recurrence import RecurrenceVerdict
    from jitid.capabilities.directory.registry import Described, KeptAgent, WithdrawnAgent
    from jitid.model.credential import Credential


CLEARED = ("scope", "audience", "concurrency", "may-use")
_ISSUES = "jti task delegator scopes issued_at state"
"""Fields of an agent's latest credentials."""


def register(cli: Invocation, operation: directory_operations.RegisterAgent) -> None:
    """Perform `jitid agent register`."""
    if operation.owner is None or operation.purpose is None:
        raise UsageError(
            "an owner and a purpose are required; nothing was changed",
            "state both: --owner DELEGATOR --purpose TEXT",
        )
    operation = operation.replace(
        stated=_stated(operation),
        due=_due(operation.review),
        most=cli.most(operation.max_, yes=operation.yes),
    )
    authority = open_authority(cli.config())
    stored = authority.perform(operation)
    review_date = format_time(stored.agent.review_at)
    _report(
        cli,
        operation.view,
        stored,
        f"registered agent {stored.agent.name}; {stored.agent.owner} must review it by {review_date}",
    )
    if stored.ended:
        credentials = number_of(stored.ended, "live credential")
        cli.note(f"revoked {credentials} issued under its name before")
        settle_event(authority, stored.event, cli.warn)
    if stored.again:
        cli.note(
            f"an earlier agent had the name {stored.agent.name}: rules of vendors and services that match the name "
            "give this agent the same rights"
        )


def change(cli: Invocation, operation: directory_operations.ChangeAgent) -> None:
    """Perform `jitid agent change`."""
    stated = _cleared(_stated(operation), operation.clear)
    stored = open_authority(cli.config()).perform(operation.replace(stated=stated))
    unchanged = f"nothing to change: agent {stored.agent.name} has these values already"
    sentence = unchanged if stored.event is None else f"changed agent {stored.agent.name}"
    _report(cli, operation.view, stored, sentence)
    if stored.event is not None and stored.live:
        cli.note(
            f"credentials of its {stored.live} live {'identity' if stored.live == 1 else 'identities'} are unchanged; "
            "to revoke them: " + cli.command(f"jitid revoke --agent {stored.agent.name}")
        )


def show(cli: Invocation, operation: directory_operations.ShowAgent) -> None:
    """Perform `jitid agent show`."""
    details = open_authority(cli.config()).perform(operation)
    issues = Columns(operation.view.schema, _ISSUES, brief="task delegator issued_at state")

    def computed(issue: Credential) -> dict[str, Any]:
        return {"state": issue.state_at(details.now)}

    rows = [] if cli.by_eye() else [issues.row(issue, computed(issue)) for issue in details.issues]
    _show_details(cli, operation.view, details, issues=rows)
    if cli.by_eye() and details.issues:
        output.write("\n")
        cli.show_records(issues, details.issues, computed)


def list_(cli: Invocation, operation: directory_operations.ListAgents) -> None:
    """Perform `jitid agent list`."""
    page = open_authority(cli.config()).perform(operation)
    cli.show_records(operation.view, page.records, partial(_computed, now=page.now))
    last = page.records[-1].agent.name if page.records else ""
    cli.note_more(len(page.records), operation.limit, f"continue with --after {last}")


def review(cli: Invocation, operation: directory_operations.ReviewAgent) -> None:
    """Perform `jitid agent review`."""
    authority = open_authority(cli.config())
    stored = authority.perform(operation.replace(due=_due(operation.next_)))
    details = authority.perform(directory_operations.ShowAgent(name=operation.name, issues=0))
    _show_details(cli, operation.view, details, event=stored.event)
    cli.note(
        f"reviewed agent {operation.name}; the next review is due at {format_time(stored.agent.review_at)} "
        f"(audit event {stored.event})"
    )


def resume(cli: Invocation, operation: directory_operations.ResumeAgent) -> None:
    """Perform `jitid agent resume`."""
    stored = open_authority(cli.config()).perform(operation)
    name = stored.agent.name
    sentence = f"agent {name} was not suspended" if stored.event is None else f"resumed agent {name}"
    _report(cli, operation.view, stored, sentence)
    if stored.now >= stored.agent.review_at:
        cli.note(f"its review is overdue: {cli.command(f'jitid agent review {operand(name)}')}")


def suspend(cli: Invocation, operation: directory_operations.SuspendAgent) -> None:
    """Perform `jitid agent suspend`."""
    to_register = f"jitid agent register {operand(operation.name)} --owner DELEGATOR --purpose TEXT"
    with revoke.advised_without_record(cli, NamedKind.AGENT, operation.name, to_register):
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
        raise UsageError("--keep-live excludes --max and --yes", "--keep-live revokes nothing")
    limit = cli.most(operation.max_, yes=operation.yes)
    authority = open_authority(cli.config())
    preview = operation.replace(reason=None, most=None, dry_run=True)
    if operation.dry_run:
        withdrawal = performed(cli, authority, preview, revoke.COUNTING)
    else:
        if not operation.keep_live:
            limit = revoke.confirmed(
                cli, limit, lambda: performed(cli, authority, preview, revoke.COUNTING).ended.radius
            )
        step = "changing the agent" if operation.keep_live else "revoking the agent's credentials"
        withdrawal = performed(cli, authority, operation.replace(most=limit), step)
        settle_event(authority, withdrawal.ended.event, cli.warn)
    if not cli.field and cli.format_name() is None:
        sentence = _foreseen_sentence if operation.dry_run else _done_sentence
        output.write_line(sentence(withdrawal, verb))
        return
    state = withdrawal.agent.state_at(withdrawal.now)
    ended = revoke.row(withdrawal.ended, dry_run=operation.dry_run)
    cli.show_records(operation.view, [withdrawal], lambda _: {**ended, "state": state})
    if withdrawal.ended.unproved is not None:
        cli.warn(revoke.unproved(withdrawal.ended.unproved))


def _computed(described: Described, now: int) -> dict[str, Any]:
    return {"state": described.agent.state_at(now)}


def _show_details(
    cli: Invocation, view: Columns, details: directory_operations.AgentDetails, **more: object
) -> None:
    """Show the record of an agent; in a table, without its empty fields."""
    row = view.row(details.record, {**_computed(details.record, details.now), **more})
    cli.show_row(view, row, empty=(None, "", (), []))


def _report(cli: Invocation, view: Columns, stored: KeptAgent, sentence: str) -> None:
    """Show a stored record, as a sentence or in the requested format."""
    event = "" if stored.event is None else f" (audit event {stored.event})"
    cli.show_record(view, stored, f"{sentence}{event}\n", {"state": stored.agent.state_at(stored.now)})


def _stated(options: directory_operations.AgentOptions) -> StatedAgent:
    """Return the fields of an agent that options state."""
    return StatedAgent(
        options.owner,
        options.purpose,
        options.scope or None,
        tuple(dict.fromkeys(options.audience)) or None,
        tuple(dict.fromkeys(options.kind)) or None,
        options.max_ttl,
        options.concurrency,
        tuple(dict.fromkeys(options.may_use)) or None,
    )


def _cleared(stated_agent: StatedAgent, clear: tuple[str, ...]) -> StatedAgent:
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
            raise UsageError(f"--clear {field} and --{field} exclude each other; nothing was changed")
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


def _kept_clause(withdrawal: WithdrawnAgent) -> str:
    """Return `2 credentials stay valid`; "" if none stays valid."""
    if not withdrawal.kept:
        return ""
    return f"{withdrawal.kept} {'credential stays' if withdrawal.kept == 1 else 'credentials stay'} valid"


def _foreseen_sentence(withdrawal: WithdrawnAgent, verb: str) -> str:
    """Return `would suspend agent planner, and revoke 2 credentials…; nothing was changed`."""
    name, radius, kept = withdrawal.agent.name, withdrawal.ended.radius, _kept_clause(withdrawal)
    text = f"agent {name} is {verb}ed already" if withdrawal.already else f"would {verb} agent {name}"
    if kept:
        text += f"; {kept}"
    elif radius.credentials:
        text += f"{'; would' if withdrawal.already else ', and'} revoke {revocation_result.blast(radius)}"
    return f"{text}; nothing was changed"


def _done_sentence(withdrawal: WithdrawnAgent, verb: str) -> str:
    """Return `suspended agent planner, and revoked 2 credentials… (audit event 7)`."""
    name, ended, kept = withdrawal.agent.name, withdrawal.ended, _kept_clause(withdrawal)
    if ended.event is None:
        return f"agent {name} was {verb}ed already; {kept or 'it had no live credentials'}"
    text = f"agent {name} was {verb}ed already" if withdrawal.already else f"{verb}ed agent {name}"
    if ended.credentials:
        text += f", and revoked {revocation_result.blast(ended.radius)}"
    else:
        text += f"; {kept or 'it had no live credentials'}"
    text += f" (audit event {ended.event})"
    return text if ended.unproved is None else f"{text}; {revoke.unproved(ended.unproved)}"


def advise(cli: Invocation, operation: directory_operations.ClassifyAgents) -> None:
    """Perform `jitid agent advise`."""
    config = cli.config()
    days = DAYS if operation.days is None else operation.days
    if operation.policy:
        _suggest(cli, operation, days)
        return
    if operation.task is not None:
        raise UsageError("--task requires --policy", "add --policy, or omit --task")
    rule = RecurrenceRule(config.number("recurs_tasks"), config.number("recurs_days"), days)
    authority = open_authority(config)
    classification = performed(cli, authority, operation.replace(rule=rule), "reading the agents' tasks")
    verdicts = classification.verdicts
    cli.show_records(operation.view, verdicts, partial(_verdict_values, cli))
    if cli.by_eye():
        commands = [cli.command(verdict.command) for verdict in verdicts if verdict.command is not None]
        output.write("".join(f"{command}\n" for command in ["", *commands]) if commands else "")
    if classification.untold:
        recurring = (
            f", {classification.untold_recurring} of which recur" if classification.untold_recurring else ""
        )
        cli.note(f"{number_of(classification.untold, 'more name')}{recurring}: name agents, or raise --limit")


def _suggest(cli: Invocation, request: directory_operations.ClassifyAgents, days: int) -> None:
    """Print the policy for the practice of an agent, or of all agents of a task."""
    if len(request.names) > 1 or "limit" in cli.stated:
        raise UsageError("--policy is for one agent, and excludes --limit", "omit the others")
    if not request.names and request.task is None:
        raise UsageError("an agent or a task is required", "name an agent, or a task with --task")
    from jitid.capabilities.decisions.operations import SuggestPolicy

    agent = request.names[0] if request.names else None
    operation = SuggestPolicy(agent=agent, task=request.task, days=days)
    cli.expect(operation.view.named)
    suggestions = performed(cli, open_authority(cli.config()), operation, "reading the agent's requests")
    if cli.field or cli.format_name() is not None:
        cli.show_records(
            operation.view,
            suggestions,
            lambda suggestion: {"delegators": sorted(suggestion.practice.delegators)},
        )
    else:
        output.write("\n".join(suggestion.policy for suggestion in suggestions))


_DAY = 86_400
_NO_HISTORY = {"identities": 0, "live": 0, "tasks": 0, "days": 0, "scopes": (), "audiences": (), "kinds": ()}


def _verdict_values(cli: Invocation, verdict: RecurrenceVerdict) -> dict[str, Any]:
    days = None if verdict.past is None else verdict.past.intervals
    return {
        "command": None if verdict.command is None else cli.command(verdict.command),
        "state": verdict.state or "ephemeral",
        "interval": None if days is None or days.p50 is None else days.p50 * _DAY,
        "longest_interval": None if days is None or days.longest is None else days.longest * _DAY,
        **(_NO_HISTORY if verdict.past is None else {}),
    }
