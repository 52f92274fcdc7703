"""`jitid approve`: list, show, grant and deny requests for approval."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jitid.authority.open import open_authority
from jitid.capabilities.issue.approval_operations import DenyApproval, GrantApproval, ShowApproval
from jitid.cli import record_rows
from jitid.cli.identity.list import limit_of
from jitid.cli.identity.revoke import check_reason
from jitid.cli.invocation import Invocation
from jitid.cli.issue import approval_rows
from jitid.cli.issue.wait_approval import with_authority
from jitid.errors import JitidError, OutputError, PolicyDeniedError, UsageError
from jitid.formats.display import Display
from jitid.model.approval import ApprovalFilter
from jitid.system import output
from jitid.values.ids import parse_approval_id
from jitid.values.text import safe

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from jitid.capabilities.issue.approval_operations import Decided
    from jitid.cli.issue import commands
    from jitid.values.secret import Secret


def list_(cli: Invocation, args: commands.ApproveListCommand) -> None:
    """Perform `jitid approve list`."""
    cli.expect(approval_rows.FIELDS)
    if args.open_ and args.all_:
        raise UsageError(
            "--open and --all contradict each other", "without either, what can still be used is listed"
        )
    chosen = ApprovalFilter(waiting=args.open_, live=not args.all_, group=args.group)
    max_count = limit_of(args.limit)
    authority = open_authority(cli.config())
    columns = record_rows.columns(
        cli, approval_rows.FIELDS, approval_rows.BRIEF_ALL if args.all_ else approval_rows.BRIEF
    )
    count = 0

    def rows() -> Iterable[dict[str, Any]]:
        nonlocal count
        for row in approval_rows.pages(authority, chosen, max_count):
            count += 1
            yield approval_rows.cells(cli, {name: row[name] for name in columns})

    cli.show(Display("jitid.approve-list/1", columns, rows()))
    if args.limit is None and count == max_count:
        cli.note(f"there may be more than {max_count}: say how many with --limit")


def show(cli: Invocation, args: commands.ApproveShowCommand) -> None:
    """Perform `jitid approve show`."""
    cli.expect(approval_rows.DETAILS)
    parse_approval_id(args.request)
    details = open_authority(cli.config()).perform(ShowApproval(id=args.request))
    fields = approval_rows.details(details)
    fields["grant"] = fields["grant"] and cli.command(fields["grant"])
    if not cli.by_eye():
        view = Display("jitid.approve/1", approval_rows.DETAILS, [approval_rows.cells(cli, fields)], one=True)
        cli.show(view)
        return
    # The approver reads this before granting: decisions in words, and the rules below the table.
    rules = fields.pop("rules")
    fields["words"] = approval_rows.decisions_text(fields["words"])
    fields = approval_rows.cells(cli, fields)
    filled = {name: fields[name] for name in approval_rows.DETAILS if fields.get(name) not in (None, "", [])}
    cli.show(Display("jitid.approve/1", tuple(filled), [filled], one=True))
    for rule in rules:
        output.write(_rule(rule))


def _rule(rule: Mapping[str, str]) -> str:
    lines = [f"  {safe(line)}\n" for line in rule["text"].expandtabs(4).splitlines() if line.strip()]
    return f"\nrule {safe(rule['name'])} of {safe(rule['file'])}:\n{''.join(lines)}"


def grant(cli: Invocation, args: commands.ApproveGrantCommand) -> None:
    """Perform `jitid approve grant`."""
    token = _prepared(cli, args.request, args.reason, args.delegator_token_file)
    operation = GrantApproval(
        id=args.request,
        group=args.group,
        lifetime=args.for_,
        reason=args.reason,
        approver_token=token,
        accept_clock=cli.accept_clock,
    )
    _decide(cli, operation)


def deny(cli: Invocation, args: commands.ApproveDenyCommand) -> None:
    """Perform `jitid approve deny`."""
    token = _prepared(cli, args.request, args.reason, args.delegator_token_file)
    operation = DenyApproval(
        id=args.request,
        group=args.group,
        reason=args.reason,
        approver_token=token,
        accept_clock=cli.accept_clock,
    )
    _decide(cli, operation)


def _prepared(cli: Invocation, request: str, reason: str | None, token_file: str | None) -> Secret | None:
    """Check the arguments, and return the approver's ID token. Raises UsageError."""
    from jitid.cli import read_input

    cli.expect(approval_rows.DECIDED)
    parse_approval_id(request)
    check_reason(reason)
    return None if token_file is None else read_input.token(token_file, "the approver's ID token")


def _decide(cli: Invocation, operation: GrantApproval | DenyApproval) -> None:
    authority = open_authority(cli.config())
    try:
        decision: Decided = authority.perform(operation)
    except JitidError as error:
        error.hint = error.hint and cli.command(error.hint)
        if isinstance(error, PolicyDeniedError):
            # The message says whether another person could approve.
            error.hint = with_authority(cli, error.hint)
        raise
    try:
        _report(cli, decision)
    except OutputError as error:
        command = cli.command(f"jitid approve show {operation.id}")
        error.add(f"what you decided is recorded: {command}")
        raise


def _report(cli: Invocation, decision: Decided) -> None:
    if cli.field is not None or cli.format_name() is not None:
        row = approval_rows.cells(cli, approval_rows.decided(decision))
        cli.show(Display("jitid.approve-decision/1", approval_rows.DECIDED, [row], one=True))
    else:
        output.write(approval_rows.sentence(decision) + "\n")
