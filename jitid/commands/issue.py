"""`jitid issue`: issue a task-scoped credential."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jitid.authority.operations import Issue, Revoke
from jitid.commands import reading
from jitid.commands.globals import Globals
from jitid.credential import Kind
from jitid.environment import open_for_preview, open_or_create_authority
from jitid.errors import OutputError, UsageError
from jitid.files import write_private
from jitid.formats import output
from jitid.ledger.protocol import Selection
from jitid.lifetime import format_duration, format_time, parse_duration, parse_time
from jitid.name import check_audience, check_delegator, check_name
from jitid.planning import IssueRequest
from jitid.scope import parse_scope
from jitid.task import SENSITIVITIES
from jitid.text import quote

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jitid.authority.protocol import Authority
    from jitid.commands import options
    from jitid.issuance import Issued
    from jitid.secret import Secret

FIELDS = (
    "token",
    "id",
    "jti",
    "task",
    "agent",
    "delegator",
    "delegator_proof",
    "parent",
    "depth",
    "kind",
    "sensitivity",
    "scopes",
    "audiences",
    "issued_at",
    "expires_at",
)


def issue(
    given: Globals,
    task: options.Task = None,
    delegator: options.Delegator = None,
    delegator_token_file: options.DelegatorTokenFile = None,
    agent: options.Agent = None,
    kind: options.Kind = None,
    scope: options.Scopes = None,
    audience: options.Audiences = None,
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
    dry_run: options.DryRun = False,
) -> None:
    """Issue a task-scoped credential and print its token, alone on a line.

    The delegator is a claim unless it is proved: by your own login, by an ID token, or by a parent's token.
    The first use makes ledger, signing key and policy, and says so. With --count or --from-file there is a
    JSON line for each credential.
    """
    given.expect(FIELDS)
    if parent_file is not None and "delegator" in given.from_environment:
        delegator = None
    config = given.config()
    request = request_from(
        {
            # With a parent, the task and its purpose are the parent's unless they are stated.
            "task": task or (None if parent_file else config.text("task")),
            "delegator": delegator,
            "agent": agent or config.text("agent") or "agent",
            "kind": kind,
            "scope": scope,
            "audience": audience,
            "ttl": ttl,
            "purpose": purpose or (None if parent_file else config.text("purpose")),
            "sensitivity": sensitivity,
            "deadline": deadline,
            "detail": detail,
        },
        parent=None if parent_file is None else reading.token(parent_file, "the parent's token"),
    )._replace(allow_narrower=allow_narrower)
    if parent_file == "-" and "-" in (from_file, delegator_token_file):
        raise UsageError("standard input cannot be two things at once")
    proof = (
        None
        if delegator_token_file is None
        else reading.token(delegator_token_file, "the delegator's ID token")
    )
    if count is not None or from_file is not None:
        from jitid.commands import bulk

        bulk.issue(given, request, proof, count=count, from_file=from_file, out=out, dry_run=dry_run)
        return
    if dry_run:
        (foreseen,) = open_for_preview(config).perform(
            Issue(requests=(request,), delegator_token=proof, dry_run=True)
        )
        _show_decision(given, foreseen)
        return
    authority = open_or_create_authority(config, given.note)
    (issued,) = authority.perform(
        Issue(requests=(request,), delegator_token=proof, accept_clock=given.accept_clock)
    )
    for note in issued.notes:
        given.note(note)
    hand_out(authority, [issued], lambda: _show(given, issued, out))


def request_from(stated: dict[str, Any], parent: Secret | None) -> IssueRequest:
    """Return a request from what was stated as text.

    Raises:
        UsageError: a value cannot be meant.

    """
    deadline, deadline_after = _deadline(stated["deadline"])
    sensitivity = stated["sensitivity"]
    if sensitivity is not None and sensitivity not in SENSITIVITIES:
        raise UsageError(
            f"{quote(sensitivity)} is no sensitivity", f"choose one of: {', '.join(SENSITIVITIES)}"
        )
    kind = stated["kind"] or Kind.JWT.value
    if kind not in [known.value for known in Kind]:
        raise UsageError(f"{quote(kind)} is no kind of credential", f"choose one of: {', '.join(Kind)}")
    purpose = stated["purpose"]
    if purpose is not None and len(purpose) > 1_000:
        raise UsageError("the purpose is longer than 1,000 characters")
    return IssueRequest(
        task=None if stated["task"] is None else check_name(stated["task"], "task"),
        delegator=None if stated["delegator"] is None else check_delegator(stated["delegator"]),
        agent=check_name(stated["agent"], "agent"),
        kind=kind,
        scopes=tuple(parse_scope(text) for text in stated["scope"] or ()),
        audiences=tuple(dict.fromkeys(check_audience(text) for text in stated["audience"] or ())),
        ttl=None if stated["ttl"] is None else parse_duration(stated["ttl"]),
        purpose=purpose,
        sensitivity=sensitivity,
        deadline=deadline,
        deadline_after=deadline_after,
        details=tuple(_detail(text) for text in stated["detail"] or ()),
        parent=parent,
    )


def _deadline(text: str | None) -> tuple[int | None, int | None]:
    if text is None:
        return None, None
    if "T" in text.upper()[8:11]:
        return parse_time(text), None
    return None, parse_duration(text)


def _detail(text: str) -> str:
    from jitid import strictjson

    try:
        detail = strictjson.loads(text, "the detail")
    except strictjson.StrictJSONError as error:
        raise UsageError(
            str(error), 'a detail is a JSON object with a type, such as {"type":"payment"}'
        ) from error
    if not isinstance(detail, dict) or not isinstance(detail.get("type"), str) or not detail["type"]:
        raise UsageError(
            "a detail is a JSON object with a member `type` that is text", "see RFC 9396, section 2"
        )
    return strictjson.dumps(detail)


def hand_out(authority: Authority, issued: Sequence[Issued], show: Any) -> None:
    """Show secrets that were just made; whatever comes in between, none of them works without having been shown.

    Raises:
        OutputError: they could not be written, and were revoked.

    """
    try:
        show()
    except BaseException as error:
        ids = tuple(credential.jti for one in issued for credential in one.credentials)
        authority.perform(
            Revoke(selection=Selection(ids=ids), reason="its token could not be handed out", most=None)
        )
        if isinstance(error, OutputError):
            error.hint = error.hint or "the credential just made was revoked"
        raise


def _show(given: Globals, issued: Issued, out: str | None) -> None:
    (credential,) = issued.credentials
    token = credential.secret.reveal()
    if out is not None:
        write_private(out, f"{token}\n".encode())
        if given.field is None and given.format is None:
            return
    if given.field is None and given.format is None:
        output.write(f"{token}\n")
        return
    from jitid.formats.view import View

    row = row_of(issued, None if out is not None else token, credential.id, credential.jti)
    given.show(View("jitid.issue/1", FIELDS, [row], one=True))


def row_of(issued: Issued, token: str | None, id_: str | None, jti: str | None) -> dict[str, Any]:
    """Return what was issued by the names of `FIELDS`."""
    return {
        "token": token,
        "id": id_,
        "jti": jti,
        "task": issued.task,
        "agent": issued.agent,
        "delegator": issued.delegator,
        "delegator_proof": issued.delegator_proof,
        "parent": issued.parent,
        "depth": issued.depth,
        "kind": issued.kind,
        "sensitivity": issued.sensitivity,
        "scopes": issued.scopes,
        "audiences": issued.audiences,
        "issued_at": format_time(issued.issued_at),
        "expires_at": format_time(issued.expires_at),
    }


def _show_decision(given: Globals, foreseen: Issued) -> None:
    from jitid.formats.view import View

    decision = foreseen.decision
    row = {
        "decision": "permit",
        "rules": decision.rules,
        "reason": decision.reason,
        **row_of(foreseen, None, None, None),
        "lifetime": format_duration(foreseen.expires_at - foreseen.issued_at),
        "refused_scopes": tuple(refusal.scope for refusal in decision.refused),
        "notes": foreseen.notes,
        "policy": decision.policy,
    }
    for unknown in ("token", "id", "jti"):
        del row[unknown]
    given.show(View("jitid.decision/1", tuple(row), [row], one=True))
