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
from jitid.values.times import format_duration, parse_duration, parse_time

if TYPE_CHECKING:
    from jitid.capabilities.issue.issuance import Issued
    from jitid.cli import options

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


def issue(
    cli: Invocation,
    task: options.Task = None,
    delegator: options.Delegator = None,
    delegator_token_file: options.DelegatorTokenFile = None,
    agent: options.Agent = None,
    kind: options.Kind = None,
    scope: options.Scopes = None,
    audience: options.Audiences = None,
    may_audience: options.MayAudiences = None,
    may_act: options.MayActs = None,
    ttl: options.Ttl = None,
    purpose: options.Purpose = None,
    sensitivity: options.Sensitivity = None,
    deadline: options.Deadline = None,
    parent_file: options.ParentFile = None,
    detail: options.Details = None,
    allow_narrower: options.AllowNarrower = False,
    out: options.Out = None,
    count: options.Count = None,
    from_file: options.FromFile = None,
    yes: options.YesMany = False,
    dry_run: options.DryRun = False,
    as_of: options.AsOf = None,
    wait: options.Wait = None,
    public_key: options.PublicKey = None,
    may_kind: options.MayKinds = None,
) -> None:
    """Issue a task-scoped credential and print its token, alone on a line.

    It needs --task and --delegator; or --parent-file, to delegate from the credential whose token is there.
    The delegator is a claim unless it is proved: by your own login, by an ID token, or by a parent's token.
    The first use makes ledger, signing key and policy, and says so. With --count or --from-file there is a
    JSON line for each credential; more than max_issue (10,000 unless configured) needs --yes.

    Where the policy wants an approval, the request for it gets an id, and this ends with status 4, or waits for as
    long as --wait says. Once it is granted, the same line issues.
    """
    if dry_run and count is None and from_file is None:
        cli.expect(DECISION)
    else:
        expect(cli, kind)
    read_input.check_one_stdin(parent_file, from_file, delegator_token_file, public_key)
    if dry_run and wait is not None:
        raise UsageError("a dry run asks for no approval, and so there is no --wait for one")
    if as_of is not None and not dry_run:
        raise UsageError(
            "what is issued is issued now, and decided by the time of now",
            "with --dry-run, --as-of only asks",
        )
    decision_time = None if as_of is None else parse_time(as_of)
    patience = None if wait is None else parse_duration(wait)
    config = cli.config()
    request, proof = stated_request(
        cli,
        {
            "task": task,
            "delegator": delegator,
            "delegator_token_file": delegator_token_file,
            "agent": agent,
            "kind": kind,
            "scope": scope,
            "audience": audience,
            "may_audience": may_audience,
            "may_act": may_act,
            "ttl": ttl,
            "purpose": purpose,
            "sensitivity": sensitivity,
            "deadline": deadline,
            "parent_file": parent_file,
            "detail": detail,
            "allow_narrower": allow_narrower,
            "public_key": public_key,
            "may_kind": may_kind,
        },
    )
    if count is not None or from_file is not None:
        from jitid.cli.issue import issue_many

        issue_many.issue(
            cli,
            request,
            proof,
            count=count,
            from_file=from_file,
            yes=yes,
            out=out,
            dry_run=dry_run,
            as_of=decision_time,
            patience=patience,
        )
        return
    if yes:
        raise UsageError("--yes goes with --count or --from-file")
    replaced = None
    if out is not None:
        from jitid.cli.overwrite import Replaced

        for path in paths_of(request.kind, out, key=request.public_key is None)[1:]:
            check_output(path)
        replaced = Replaced(out)
    if dry_run:
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
    hand_out(authority, [issued], lambda: _show(cli, issued, out), warn=cli.warn, command=cli.command)
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
