"""`jitid issue`: issue a task-scoped credential."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitid.authority.hand_out import hand_out
from jitid.authority.open import open_for_issue, open_for_preview
from jitid.capabilities.issue.operations import Issue
from jitid.cli import hints, read_input
from jitid.cli.invocation import Invocation
from jitid.cli.issue.request_input import FIELDS, expect, row_of, stated_request
from jitid.errors import ApprovalNeededError, UsageError
from jitid.issuers.issuer import files_of, paths_of, text_of, usable_until
from jitid.system import output
from jitid.system.files import write_private
from jitid.system.output_place import check_output
from jitid.values.text import with_final_newline
from jitid.values.times import format_duration

if TYPE_CHECKING:
    from jitid.capabilities.issue.issue_result import Issued
    from jitid.cli.issue import commands

DECISION = (
    "decision",
    "rules",
    "reason",
    *(name for name in FIELDS if name not in ("token", "id", "jti", "secret")),
    "lifetime",
    "refused_scopes",
    "notes",
    "policy",
)
"""Fields that --dry-run shows."""


def issue(cli: Invocation, args: commands.IssueCommand) -> None:
    """Perform `jitid issue`."""
    if args.dry_run and args.count is None and args.from_file is None:
        cli.expect(DECISION)
    else:
        expect(cli, args.kind)
    read_input.check_one_stdin(args.parent_file, args.from_file, args.delegator_token_file, args.public_key)
    if args.dry_run and args.wait is not None:
        raise UsageError("a dry run asks for no approval, and so there is no --wait for one")
    if args.as_of is not None and not args.dry_run:
        raise UsageError(
            "what is issued is issued now, and decided by the time of now",
            "with --dry-run, --as-of only asks",
        )
    decision_time = args.as_of
    patience = args.wait
    config = cli.config()
    request, proof = stated_request(
        cli,
        {
            "task": args.task,
            "delegator": args.delegator,
            "delegator_token_file": args.delegator_token_file,
            "agent": args.agent,
            "kind": args.kind,
            "scope": args.scope,
            "audience": args.audience,
            "may_audience": args.may_audience,
            "may_act": args.may_act,
            "ttl": args.ttl,
            "purpose": args.purpose,
            "sensitivity": args.sensitivity,
            "deadline": args.deadline,
            "parent_file": args.parent_file,
            "detail": args.detail,
            "allow_narrower": args.allow_narrower,
            "public_key": args.public_key,
            "may_kind": args.may_kind,
        },
    )
    if args.count is not None or args.from_file is not None:
        from jitid.cli.issue import issue_many

        issue_many.issue(
            cli,
            request,
            proof,
            count=args.count,
            from_file=args.from_file,
            yes=args.yes,
            out=args.out,
            dry_run=args.dry_run,
            as_of=decision_time,
            patience=patience,
        )
        return
    if args.yes:
        raise UsageError("--yes goes with --count or --from-file")
    replaced = None
    if args.out is not None:
        from jitid.cli.overwrite import Replaced

        for path in paths_of(request.kind, args.out, key=request.public_key is None)[1:]:
            check_output(path)
        replaced = Replaced(args.out)
    if args.dry_run:
        (foreseen,) = open_for_preview(config).perform(
            Issue(
                requests=(request,),
                delegator_token=proof,
                dry_run=True,
                as_of=decision_time,
                accept_clock=cli.accept_clock,
            )
        )
        _show_decision(cli, foreseen)
        return
    operation = Issue(requests=(request,), delegator_token=proof, accept_clock=cli.accept_clock)
    authority = open_for_issue(config, operation, cli.note)
    try:
        with hints.advised():
            (issued,) = authority.perform(operation)
    except ApprovalNeededError as denial:
        from jitid.cli.issue import wait_approval

        authority, (issued,) = wait_approval.approved(cli, authority, denial, operation, patience)
    hand_out(authority, [issued], lambda: _show(cli, issued, args.out), warn=cli.warn, command=cli.command)
    for note in issued.notes:
        cli.note(note)
    if replaced is not None:
        replaced.report(cli, authority, issued)


def _show(cli: Invocation, issued: Issued, out: str | None) -> None:
    (credential,) = issued.credentials
    secret = credential.secret
    ends_at = usable_until(issued.expires_at, credential.facts)
    plain = cli.field is None and cli.format is None
    if out is not None:
        for path, text in files_of(issued.kind, secret, ends_at, out).items():
            write_private(path, text.encode())
    elif plain:
        output.write(text_of(issued.kind, secret, ends_at))
    if plain:
        return
    if cli.field is not None and cli.field not in FIELDS and cli.field in secret.names:
        # With --out, the secret is in the file, and nowhere else.
        if out is None:
            output.write(with_final_newline(secret.reveal(cli.field)))
        return
    from jitid.formats.display import Display

    row = row_of(issued, None if out is not None else secret, credential.id, credential.jti)
    cli.show(Display("jitid.issue/1", FIELDS, [row], one=True))


def _show_decision(cli: Invocation, foreseen: Issued) -> None:
    from jitid.formats.display import Display

    decision = foreseen.decision
    row = {
        **row_of(foreseen, None, None, None),
        "decision": "permit",
        "rules": decision.rules,
        "reason": decision.reason,
        "lifetime": format_duration(foreseen.expires_at - foreseen.issued_at),
        "refused_scopes": tuple(refusal.scope for refusal in decision.refused),
        "notes": foreseen.notes,
        "policy": decision.policy,
    }
    decision_row = {name: row[name] for name in DECISION}
    cli.show(Display("jitid.decision/1", DECISION, [decision_row], one=True))
