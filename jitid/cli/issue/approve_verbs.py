"""`jitid approve`: list, show, grant and deny requests for approval."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from jitid.authority.open import open_authority
from jitid.capabilities.issue.approval_operations import DenyApproval, GrantApproval, ShowApproval
from jitid.cli import read_input
from jitid.cli.invocation import Invocation
from jitid.cli.issue import approval_rows
from jitid.cli.issue.wait_approval import with_authority
from jitid.errors import JitidError, OutputError, PolicyDeniedError, UsageError
from jitid.formats.display import Display
from jitid.model.approval import Approval, ApprovalFilter
from jitid.system import output
from jitid.values.text import safe

if TYPE_CHECKING:
    from jitid.cli.issue import commands
    from jitid.values.secret import Secret

_DEFAULT_LIMIT = 1_000


def list_(cli: Invocation, args: commands.ApproveListCommand) -> None:
    """Perform `jitid approve list`."""
    if args.open_ and args.all_:
        raise UsageError(
            "--open and --all contradict each other", "without either, what can still be used is listed"
        )
    chosen = ApprovalFilter(waiting=args.open_, live=not args.all_, group=args.group)
    limit = args.limit or _DEFAULT_LIMIT
    authority = open_authority(cli.config())
    count = 0

    def counted() -> Iterator[tuple[Approval, int]]:
        nonlocal count
        for row in approval_rows.pages(authority, chosen, limit):
            count += 1
            yield row

    view = args.with_ended if args.all_ else args.view
    cli.show_records(view, counted(), lambda row: approval_rows.facts(cli, *row))
    if args.limit is None and count == limit:
        cli.note(f"there may be more than {limit}: say how many with --limit")


def show(cli: Invocation, args: commands.ApproveShowCommand) -> None:
    """Perform `jitid approve show`."""
    details = open_authority(cli.config()).perform(ShowApproval(id=args.request))
    if not cli.by_eye():
        cli.show_records(args.view, [details], lambda details: approval_rows.details(cli, details))
        return
    # The approver reads this before granting: decisions in words, and the rules below the table.
    row = args.view.row(details, approval_rows.details(cli, details))
    rules = row.pop("rules")
    row["words"] = approval_rows.decisions_text(row["words"])
    filled = {name: value for name, value in row.items() if value not in (None, "", [])}
    cli.show(Display(args.view.schema, tuple(filled), [filled], one=True))
    for rule in rules:
        output.write(_rule(rule))


def _rule(rule: Mapping[str, str]) -> str:
    lines = [f"  {safe(line)}\n" for line in rule["text"].expandtabs(4).splitlines() if line.strip()]
    return f"\nrule {safe(rule['name'])} of {safe(rule['file'])}:\n{''.join(lines)}"


def grant(cli: Invocation, args: commands.ApproveGrantCommand) -> None:
    """Perform `jitid approve grant`."""
    operation = GrantApproval(
        id=args.request,
        group=args.group,
        lifetime=args.for_,
        reason=args.reason,
        approver_token=_token(args.delegator_token_file),
        accept_clock=cli.accept_clock,
    )
    _decide(cli, args, operation)


def deny(cli: Invocation, args: commands.ApproveDenyCommand) -> None:
    """Perform `jitid approve deny`."""
    operation = DenyApproval(
        id=args.request,
        group=args.group,
        reason=args.reason,
        approver_token=_token(args.delegator_token_file),
        accept_clock=cli.accept_clock,
    )
    _decide(cli, args, operation)


def _token(path: str | None) -> Secret | None:
    return None if path is None else read_input.token(path, "the approver's ID token")


def _decide(
    cli: Invocation,
    args: commands.ApproveGrantCommand | commands.ApproveDenyCommand,
    operation: GrantApproval | DenyApproval,
) -> None:
    authority = open_authority(cli.config())
    try:
        decision = authority.perform(operation)
    except JitidError as error:
        error.hint = error.hint and cli.command(error.hint)
        if isinstance(error, PolicyDeniedError):
            # The message says whether another person could approve.
            error.hint = with_authority(cli, error.hint)
        raise
    try:
        if cli.field is not None or cli.format_name() is not None:
            cli.show_records(args.view, [decision], lambda decision: approval_rows.decided(cli, decision))
        else:
            output.write(approval_rows.sentence(decision) + "\n")
    except OutputError as error:
        command = cli.command(f"jitid approve show {operation.id}")
        error.add(f"what you decided is recorded: {command}")
        raise
