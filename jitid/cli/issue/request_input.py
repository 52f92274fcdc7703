"""What the verbs that issue have in common: from stated texts to a request, from what was issued to a row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jitid.capabilities.identity.operations import Revoke
from jitid.cli import read_input
from jitid.cli.invocation import Globals
from jitid.errors import JitidError, OutputError, StorageError, UsageError
from jitid.model.credential import PARTS, TOKENS, Kind, named_kind, parse_kind
from jitid.model.ledger_rows import Selection
from jitid.model.request import IssueRequest, MayAct
from jitid.model.task import MAX_PURPOSE, SENSITIVITIES, check_task
from jitid.system import time_limit
from jitid.values.audience import check_reach
from jitid.values.names import check_audience, check_delegator, check_name
from jitid.values.scope import parse_scope
from jitid.values.text import quote
from jitid.values.times import format_time, parse_duration, parse_moment

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jitid.capabilities.issue.issuance import Issued
    from jitid.operation.authority import Authority
    from jitid.values.secret import Secret

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
    "delegator_state",
    "template",
    "secret",
    "may_audience",
    "may_act",
)


CERTIFIED = ("x509-svid", "ssh-cert")
"""The kinds that are certificates, of a key that whoever asks may have made."""


def expect(given: Globals, kind: str | None) -> None:
    """Check format and field against what is shown of a credential of a kind: its parts can be shown alone too.

    Raises UsageError and ConfigurationError.
    """
    wanted = "" if kind is None else kind.partition(":")[0]
    if wanted in ("openbao-lease", "exec"):
        given.expect(FIELDS if given.field is None else (*FIELDS, given.field))
    else:
        given.expect((*FIELDS, *PARTS.get(wanted, ())))


def stated_request(
    given: Globals, stated: dict[str, Any], *, usual_agent: str | None = None, identity: bool = False
) -> tuple[IssueRequest, Secret | None]:
    """Return a request from the options that were given, and the ID token that proves its delegator, if there is one.

    Without an agent stated or configured it is the `usual_agent`, or the setting's default. With `identity` it is an
    identity token whatever audiences are stated.

    Raises:
        UsageError: a value cannot be meant.
        ConfigurationError: a setting is wrong.

    """
    config = given.config()
    parent_file, token_file = stated.pop("parent_file"), stated.pop("delegator_token_file")
    if "may_audience" in given.from_environment and not _obtains(stated, identity=identity):
        # What a variable says is for identity tokens alone.
        stated["may_audience"] = None
    allow_narrower, key_file = stated.pop("allow_narrower"), stated.pop("public_key", None)
    if parent_file is not None and "delegator" in given.from_environment:
        stated["delegator"] = None
    # With a parent, the task is the parent's unless it is stated.
    stated["task"] = stated["task"] or (None if parent_file else config.text("task"))
    if stated["agent"] is None:
        usual = usual_agent if config.origin("agent") == "default" else None
        stated["agent"] = usual or config.text("agent") or "agent"
    parent = None if parent_file is None else read_input.token(parent_file, "the parent's token")
    proof = None if token_file is None else read_input.token(token_file, "the delegator's ID token")
    key = None if key_file is None else read_input.public_key(key_file)
    request = request_from(stated, parent)._replace(
        allow_narrower=allow_narrower, public_key=key, identity=identity
    )
    if key is not None and request.kind not in CERTIFIED:
        raise UsageError(
            f"a public key is of no use to a credential of kind {request.kind}",
            f"it goes with --kind {' or '.join(CERTIFIED)}",
        )
    if config.remote is not None and not request.audiences and (identity or not request.may_audience):
        # A remote authority does not know the client's settings: without an audience it makes an identity token.
        request = request._replace(audiences=config.many("audience"))
    return request, proof


def request_from(stated: dict[str, Any], parent: Secret | None) -> IssueRequest:
    """Return a request from what was stated as text.

    Raises:
        UsageError: a value cannot be meant.

    """
    deadline = deadline_after = None
    if stated["deadline"] is not None:
        deadline, deadline_after = parse_moment(stated["deadline"], "the deadline", "the task's opening")
    sensitivity = stated["sensitivity"]
    if sensitivity is not None and sensitivity not in SENSITIVITIES:
        raise UsageError(
            f"{quote(sensitivity)} is no sensitivity", f"choose one of: {', '.join(SENSITIVITIES)}"
        )
    kind, template = parse_kind(stated["kind"] or Kind.JWT.value)
    purpose = stated["purpose"]
    if purpose is not None and len(purpose) > MAX_PURPOSE:
        raise UsageError(f"the purpose is longer than {MAX_PURPOSE:,} characters")
    return IssueRequest(
        task=None if stated["task"] is None else check_task(stated["task"]),
        delegator=None if stated["delegator"] is None else check_delegator(stated["delegator"]),
        agent=check_name(stated["agent"], "agent"),
        kind=kind,
        scopes=tuple(parse_scope(text) for text in stated["scope"] or ()),
        audiences=tuple(dict.fromkeys(check_audience(text) for text in stated["audience"] or ())),
        may_audience=tuple(dict.fromkeys(check_reach(text) for text in stated.get("may_audience") or ())),
        may_act=tuple(parse_may_act(text) for text in stated.get("may_act") or ()),
        ttl=None if stated["ttl"] is None else parse_duration(stated["ttl"]),
        purpose=purpose,
        sensitivity=sensitivity,
        deadline=deadline,
        deadline_after=deadline_after,
        details=tuple(_detail(text) for text in stated["detail"] or ()),
        parent=parent,
        template=template,
        may_kind=tuple(named_kind(*parse_kind(text)) for text in stated.get("may_kind") or ()),
    )


def _obtains(stated: dict[str, Any], *, identity: bool) -> bool:
    """Tell whether tokens may be obtained by what is stated."""
    return (identity or not stated["audience"]) and parse_kind(
        stated["kind"] or Kind.JWT.value
    ).kind in TOKENS


def parse_may_act(text: str) -> MayAct:
    """Return a caller that may exchange a token, from WHO[=AUDIENCE,...]. Raises UsageError."""
    caller, equals, audiences = text.partition("=")
    named = tuple(check_reach(one) for one in audiences.split(",")) if equals else ()
    return MayAct(check_delegator(caller), named)


def _detail(text: str) -> str:
    from jitid.values import strict_json

    try:
        detail = strict_json.loads(text, "the detail")
    except strict_json.StrictJSONError as error:
        raise UsageError(
            str(error), 'a detail is a JSON object with a type, such as {"type":"payment"}'
        ) from error
    if not isinstance(detail, dict) or not isinstance(detail.get("type"), str) or not detail["type"]:
        raise UsageError(
            "a detail is a JSON object with a member `type` that is text", "see RFC 9396, section 2"
        )
    return strict_json.dumps(detail)


def hand_out(
    given: Globals, authority: Authority, issued: Sequence[Issued], show: Callable[[], None]
) -> None:
    """Show secrets that were just made; whatever comes in between, none of them works without having been shown.

    Raises:
        OutputError: they could not be written, and were revoked.
        StorageError: they could not be revoked either.

    """
    try:
        show()
    except BaseException as error:
        ids = tuple(credential.jti for one in issued for credential in one.credentials)
        time_limit.take_back()
        try:
            ended = authority.perform(
                Revoke(selection=Selection(ids=ids), reason="its token could not be handed out", most=None)
            )
            if ended.unsettled:
                from jitid.cli.confirm import confirm_quietly

                confirm_quietly(given, authority, ended)
        except JitidError as failure:
            which = ids[0] if len(ids) == 1 else f"--task {issued[0].task}"
            raise StorageError(
                f"what was just made could be neither handed out nor revoked: {failure.message}",
                f"end it before it expires at {format_time(issued[0].expires_at)}: "
                f"{given.command(f'jitid revoke {which}')}",
            ) from error
        if isinstance(error, OutputError):
            what = "the credential just made was" if len(ids) == 1 else f"the {len(ids)} just made were"
            error.add(f"{what} revoked")
        raise


def row_of(issued: Issued, secret: Secret | None, id_: str | None, jti: str | None) -> dict[str, Any]:
    """Return what was issued by the names of `FIELDS`; a secret of one part, a token, stands alone."""
    parts = {} if secret is None else {name: secret.reveal(name) for name in secret.names}
    return {
        "token": parts.pop("token", None) if len(parts) == 1 else None,
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
        "delegator_state": issued.delegator_state,
        "template": issued.template,
        "secret": parts or None,
        "may_audience": issued.may_audience,
        "may_act": issued.may_act,
    }
