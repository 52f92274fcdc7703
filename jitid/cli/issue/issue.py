"""`jitid issue`: issue a task-scoped credential."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jitid.authority.hand_out import hand_out
from jitid.authority.open import open_for_issue, open_for_preview
from jitid.capabilities.issue.operations import Issue
from jitid.cli import hints, read_input
from jitid.cli.invocation import Invocation
from jitid.cli.issue.request_input import secret_fields, stated_request
from jitid.errors import ApprovalNeededError, UsageError
from jitid.issuers.issuer import files_of, paths_of, text_of, usable_until
from jitid.model.credential import PARTS
from jitid.system import output
from jitid.system.files import write_private
from jitid.system.output_place import check_output
from jitid.values.text import with_final_newline
from jitid.values.times import format_duration

if TYPE_CHECKING:
    from jitid.capabilities.issue.issue_result import Issued
    from jitid.cli.issue import commands


def issue(cli: Invocation, args: commands.IssueCommand) -> None:
    """Perform `jitid issue`."""
    many = args.count is not None or args.from_file is not None
    _check(cli, args, many=many)
    request, proof = stated_request(cli, args, public_key=args.public_key)
    if many:
        from jitid.cli.issue import issue_many

        issue_many.issue(cli, args, request, proof)
        return
    if args.yes:
        raise UsageError("--yes goes with --count or --from-file")
    replaced = None
    if args.out is not None:
        from jitid.cli.overwrite import Replaced

        for path in paths_of(request.kind, args.out, key=request.public_key is None)[1:]:
            check_output(path)
        replaced = Replaced(args.out)
    operation = Issue(
        requests=(request,),
        delegator_token=proof,
        dry_run=args.dry_run,
        as_of=args.as_of,
        accept_clock=cli.accept_clock,
    )
    if args.dry_run:
        (foreseen,) = open_for_preview(cli.config()).perform(operation)
        cli.show_records(args.decided, [foreseen], _decision_fields)
        return
    authority = open_for_issue(cli.config(), operation, cli.note)
    try:
        with hints.advised():
            (issued,) = authority.perform(operation)
    except ApprovalNeededError as denial:
        from jitid.cli.issue import wait_approval

        authority, (issued,) = wait_approval.approved(cli, authority, denial, operation, args.wait)
    hand_out(authority, [issued], lambda: _show(cli, issued, args), warn=cli.warn, command=cli.command)
    for note in issued.notes:
        cli.note(note)
    if replaced is not None:
        replaced.report(cli, authority, issued)


def _check(cli: Invocation, args: commands.IssueCommand, *, many: bool) -> None:
    """Raise UsageError for options that contradict each other, or for a field that will not be shown."""
    if args.dry_run and not many:
        cli.expect(args.decided.fields)
    else:
        cli.expect((*args.issued.fields, *_parts(cli, args)))
    read_input.check_one_stdin(args.parent_file, args.from_file, args.delegator_token_file, args.public_key)
    if args.dry_run and args.wait is not None:
        raise UsageError("a dry run asks for no approval, and so there is no --wait for one")
    if args.as_of is not None and not args.dry_run:
        raise UsageError(
            "what is issued is issued now, and decided by the time of now",
            "with --dry-run, --as-of only asks",
        )


def _parts(cli: Invocation, args: commands.IssueCommand) -> tuple[str, ...]:
    """Return the parts of the secret that can be shown alone."""
    kind = "" if args.kind is None else args.kind.kind.partition(":")[0]
    if kind in ("openbao-lease", "exec") and cli.field is not None:
        # Its maker decides which parts it has.
        return (cli.field,)
    return PARTS.get(kind, ())


def _show(cli: Invocation, issued: Issued, args: commands.IssueCommand) -> None:
    secret = issued.credentials[0].secret
    ends_at = usable_until(issued.expires_at, issued.credentials[0].facts)
    plain = cli.field is None and cli.format is None
    if args.out is not None:
        for path, text in files_of(issued.kind, secret, ends_at, args.out).items():
            write_private(path, text.encode())
    elif plain:
        output.write(text_of(issued.kind, secret, ends_at))
    if plain:
        return
    if cli.field is not None and cli.field not in args.issued.fields and cli.field in secret.names:
        # With --out, the secret is in the file, and nowhere else.
        if args.out is None:
            output.write(with_final_newline(secret.reveal(cli.field)))
        return
    cli.show_records(args.issued, [issued], lambda issued: secret_fields(issued, shown=args.out is None))


def _decision_fields(foreseen: Issued) -> dict[str, Any]:
    return {
        "decision": "permit",
        "lifetime": format_duration(foreseen.expires_at - foreseen.issued_at),
        "refused_scopes": tuple([refusal.scope for refusal in foreseen.decision.refused]),
    }
