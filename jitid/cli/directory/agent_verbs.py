"""`jitid agent`: register, show, review, suspend and unregister agents that recur."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from jitid.authority.open import open_authority
from jitid.authority.settle_at_targets import settle_event
from jitid.capabilities.directory import agent_operations as ops
from jitid.capabilities.directory.registry import Due, StatedAgent
from jitid.cli import record_rows
from jitid.cli.directory import agent_rows
from jitid.cli.identity import revoke
from jitid.cli.identity.list import limit_of
from jitid.cli.invocation import Invocation
from jitid.config.settings import nearest
from jitid.errors import UsageError
from jitid.formats.display import Display
from jitid.model.credential import check_issuable
from jitid.model.directory import check_share_name
from jitid.model.task import MAX_PURPOSE
from jitid.system import output
from jitid.values.names import check_audience, check_delegator, check_name
from jitid.values.scope import parse_scope
from jitid.values.text import operand, quote
from jitid.values.times import format_time, parse_moment

if TYPE_CHECKING:
    from jitid.capabilities.directory.registry import KeptAgent
    from jitid.cli.directory import commands

STATES = ("registered", "overdue", "suspended", "unregistered")
CLEARED = ("scope", "audience", "concurrency", "may-use")
MOST_AT_ONCE = (1 << 31) - 1
_ISSUES = 5


def register(cli: Invocation, args: commands.AgentRegisterCommand) -> None:
    """Perform `jitid agent register`."""
    cli.expect(agent_rows.KEPT)
    if args.owner is None or args.purpose is None:
        raise UsageError(
            "an agent needs an owner and a purpose; nothing was changed",
            "say who answers for it and what it is for: --owner DELEGATOR --purpose TEXT",
        )
    operation = ops.RegisterAgent(
        name=args.name,
        stated=_stated(
            args.owner,
            args.purpose,
            args.scope,
            args.audience,
            args.kind,
            args.max_ttl,
            args.concurrency,
            args.may_use,
        ),
        due=_due(args.review),
        most=None if args.yes else revoke.most_of(cli, args.max_),
        accept_clock=cli.accept_clock,
    )
    authority = open_authority(cli.config())
    stored = authority.perform(operation)
    review_date = format_time(stored.agent.review_at)
    _report(
        cli,
        stored,
        f"registered agent {stored.agent.name}; {stored.agent.owner} is to review it by {review_date}",
    )
    if stored.ended:
        credentials = "1 live credential" if stored.ended == 1 else f"{stored.ended} live credentials"
        cli.note(f"ended {credentials} that had its name before")
        settle_event(authority, stored.event, cli.warn)


def change(cli: Invocation, args: commands.AgentChangeCommand) -> None:
    """Perform `jitid agent change`."""
    cli.expect(agent_rows.KEPT)
    stated_agent = _stated(
        args.owner,
        args.purpose,
        args.scope,
        args.audience,
        args.kind,
        args.max_ttl,
        args.concurrency,
        args.may_use,
    )
    operation = ops.ChangeAgent(
        name=args.name,
        stated=_cleared(stated_agent, args.clear),
        accept_clock=cli.accept_clock,
    )
    stored = open_authority(cli.config()).perform(operation)
    unchanged = f"agent {stored.agent.name} is so already"
    _report(cli, stored, unchanged if stored.event is None else f"changed agent {stored.agent.name}")
    if stored.event is not None and stored.live:
        cli.note(
            f"{stored.live} of its identities live, and what they hold stays as it was issued; to end that: "
            + cli.command(f"jitid revoke --agent {stored.agent.name}")
        )


def show(cli: Invocation, args: commands.AgentShowCommand) -> None:
    """Perform `jitid agent show`."""
    cli.expect(agent_rows.DETAILS)
    operation = ops.ShowAgent(name=args.name, issues=_ISSUES)
    details = open_authority(cli.config()).perform(operation)
    row = agent_rows.record(details.record, details.now)
    issues = [record_rows.credential(issue, details.now) for issue in details.issues]
    if not cli.by_eye():
        row["issues"] = [{field: issue[field] for field in agent_rows.ISSUES} for issue in issues]
        cli.show(Display("jitid.agent/1", agent_rows.DETAILS, [row], one=True))
        return
    _show_record(cli, row)
    if issues:
        output.write("\n")
        fields = agent_rows.ISSUES if cli.verbose else agent_rows.BRIEF_ISSUES
        cli.show(
            Display("jitid.agent/1", fields, [{field: issue[field] for field in fields} for issue in issues])
        )


def list_(cli: Invocation, args: commands.AgentListCommand) -> None:
    """Perform `jitid agent list`."""
    state = args.state
    from jitid.model.directory import AgentState

    cli.expect(agent_rows.FIELDS)
    if state is not None and state not in STATES:
        raise UsageError(f"{quote(state)} is no state of an agent", f"choose one of: {', '.join(STATES)}")
    max_count = limit_of(args.limit)
    operation = ops.ListAgents(
        owner=None if args.owner is None else _delegator(args.owner),
        state=None if state is None else AgentState(state),
        after=args.after,
        limit=max_count,
    )
    page = open_authority(cli.config()).perform(operation)
    columns = record_rows.columns(cli, agent_rows.FIELDS, agent_rows.BRIEF)
    rows = [agent_rows.record(record, page.now) for record in page.records]
    cli.show(
        Display("jitid.agent-list/1", columns, [{field: row[field] for field in columns} for row in rows])
    )
    if args.limit is None and len(rows) == max_count:
        cli.note(f"there may be more than {max_count}: go on with --after {rows[-1]['agent']}")


def review(cli: Invocation, args: commands.AgentReviewCommand) -> None:
    """Perform `jitid agent review`."""
    name = args.name
    cli.expect((*agent_rows.FIELDS, "event"))
    authority = open_authority(cli.config())
    name = check_name(name, "agent")
    stored = authority.perform(
        ops.ReviewAgent(name=name, due=_due(args.next_), accept_clock=cli.accept_clock)
    )
    details = authority.perform(ops.ShowAgent(name=name, issues=0))
    row = {**agent_rows.record(details.record, details.now), "event": stored.event}
    if cli.by_eye():
        _show_record(cli, row)
    else:
        cli.show(Display("jitid.agent-review/1", (*agent_rows.FIELDS, "event"), [row], one=True))
    cli.note(
        f"reviewed agent {name}; the next review is due at {format_time(stored.agent.review_at)} "
        f"(audit event {stored.event})"
    )


def resume(cli: Invocation, args: commands.AgentResumeCommand) -> None:
    """Perform `jitid agent resume`."""
    name = args.name
    cli.expect(agent_rows.KEPT)
    operation = ops.ResumeAgent(name=check_name(name, "agent"), accept_clock=cli.accept_clock)
    stored = open_authority(cli.config()).perform(operation)
    name = stored.agent.name
    _report(
        cli, stored, f"agent {name} was not suspended" if stored.event is None else f"resumed agent {name}"
    )
    if stored.now >= stored.agent.review_at:
        cli.note(f"its review is overdue: {cli.command(f'jitid agent review {operand(name)}')}")


def suspend(cli: Invocation, args: commands.AgentSuspendCommand) -> None:
    """Perform `jitid agent suspend`."""
    _withdraw(
        cli,
        "suspend",
        args.name,
        args.reason,
        args.max_,
        keep_live=args.keep_live,
        dry_run=args.dry_run,
        yes=args.yes,
    )


def unregister(cli: Invocation, args: commands.AgentUnregisterCommand) -> None:
    """Perform `jitid agent unregister`."""
    _withdraw(
        cli,
        "unregister",
        args.name,
        args.reason,
        args.max_,
        keep_live=args.keep_live,
        dry_run=args.dry_run,
        yes=args.yes,
    )


def _withdraw(
    cli: Invocation,
    verb: str,
    name: str,
    reason: str | None,
    max_: int | None,
    *,
    keep_live: bool,
    dry_run: bool,
    yes: bool,
) -> None:
    cli.expect(agent_rows.WITHDRAWN)
    if keep_live and (yes or max_ is not None):
        raise UsageError("--max and --yes mean nothing with --keep-live", "nothing ends then")
    operation_class = ops.SuspendAgent if verb == "suspend" else ops.UnregisterAgent
    name, reason = check_name(name, "agent"), revoke.check_reason(reason)
    limit = None if yes else revoke.most_of(cli, max_)
    authority = open_authority(cli.config())
    preview = operation_class(
        name=name, keep_live=keep_live, most=None, dry_run=True, accept_clock=cli.accept_clock
    )
    if dry_run:
        withdrawal = authority.perform(preview)
    else:
        if not keep_live:
            limit = revoke.confirmed(cli, limit, lambda: authority.perform(preview).ended.radius)
        withdrawal = authority.perform(
            operation_class(
                name=name, reason=reason, keep_live=keep_live, most=limit, accept_clock=cli.accept_clock
            )
        )
        settle_event(authority, withdrawal.ended.event, cli.warn)
    if cli.field is None and cli.format_name() is None:
        output.write(agent_rows.sentence(withdrawal, verb, dry_run=dry_run) + "\n")
        return
    row = agent_rows.withdrawn(withdrawal, dry_run=dry_run)
    cli.show(Display(f"jitid.agent-{verb}/1", agent_rows.WITHDRAWN, [row], one=True))
    if withdrawal.ended.unproved is not None:
        cli.warn(revoke.unproved(withdrawal.ended.unproved))


def _show_record(cli: Invocation, row: dict[str, object]) -> None:
    """Show a record in a table, without its empty fields."""
    filled = {field: value for field, value in row.items() if value not in (None, "", ())}
    cli.show(Display("jitid.agent/1", tuple(filled), [filled], one=True))


def _report(cli: Invocation, stored: KeptAgent, sentence: str) -> None:
    """Show a stored record, as a sentence or in the requested format."""
    if cli.field is not None or cli.format_name() is not None:
        cli.show(Display("jitid.agent-kept/1", agent_rows.KEPT, [agent_rows.kept(stored)], one=True))
    else:
        event = "" if stored.event is None else f" (audit event {stored.event})"
        output.write(f"{sentence}{event}\n")


def _stated(
    owner: str | None,
    purpose: str | None,
    scope: Sequence[str],
    audience: Sequence[str],
    kind: Sequence[str],
    max_ttl: int | None,
    concurrency: int | None,
    may_use: Sequence[str],
) -> StatedAgent:
    """Return the fields of an agent that options state. Raises UsageError for an invalid value."""
    if purpose is not None and len(purpose) > MAX_PURPOSE:
        raise UsageError(f"the purpose is longer than {MAX_PURPOSE:,} characters")
    if concurrency is not None and concurrency < 1:
        raise UsageError("--concurrency is at least 1", "to let no identity live: jitid agent suspend")
    if concurrency is not None and concurrency > MOST_AT_ONCE:
        raise UsageError(f"--concurrency is at most {MOST_AT_ONCE}", "for any number leave it out")
    for text in kind:
        check_issuable(text)
    return StatedAgent(
        None if owner is None else _delegator(owner),
        purpose,
        tuple(parse_scope(text) for text in scope) or None,
        tuple(dict.fromkeys(check_audience(text) for text in audience)) or None,
        tuple(dict.fromkeys(kind)) or None,
        max_ttl,
        concurrency,
        tuple(dict.fromkeys(check_share_name(text) for text in may_use)) or None,
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


def _delegator(text: str) -> str:
    """Return the owner of an agent. Raises UsageError for an agent, or for an invalid name."""
    name = check_delegator(text)
    if name.startswith("agent:"):
        raise UsageError("an agent owns no agent", "name the person or the system that answers for it")
    return name
