"""A request to issue credentials, and its limits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Self

from jitid.errors import UsageError
from jitid.model.process import MOST_ABOVE, Process, ProcessAbove
from jitid.model.types import KIND, MAY_KIND, PURPOSE, SENSITIVITY, TASK
from jitid.values import strict_json
from jitid.values.audience import check_reach
from jitid.values.declaration import AuthorityOnly, Bounds
from jitid.values.field_types import (
    AGENT,
    AUDIENCE,
    DELEGATOR,
    DURATION,
    PUBLIC_KEY,
    REACH,
    SCOPE,
    TEMPLATE,
    TIME,
    number,
    texts,
)
from jitid.values.names import check_delegator
from jitid.values.record import Record
from jitid.values.scope import MOST_SCOPES, Scope
from jitid.values.secret import Secret
from jitid.values.text import refuse_token

MOST_AUDIENCES = 128
MOST_DETAILS = 128
LONGEST_DETAILS = 1 << 16
"""Limits of one credential: they bound the cost of a request while other writers wait for the lock."""

MOST_AT_ONCE = 1_000
"""The maximum number of credentials in one transaction, so that other writers get their turn."""

MOST_QUESTIONS = 8_192
"""The maximum number of policy decisions that the requests of one transaction need; each takes time."""


def named(caller: str) -> str:
    """Return the name, with its kind, for a login or a name."""
    return caller if ":" in caller else f"user:{caller}"


def _detail(value: str) -> str:
    try:
        detail = strict_json.loads(value, "a detail")
    except strict_json.StrictJSONError as error:
        raise UsageError(str(error)) from None
    if not isinstance(detail, dict) or not isinstance(detail.get("type"), str) or not detail["type"]:
        raise UsageError(
            "a detail must be a JSON object with a text member `type`", "see RFC 9396, section 2"
        )
    refuse_token(value, "a detail")
    return strict_json.dumps(detail)


DETAIL = texts(
    _detail,
    "JSON",
    {"minLength": 1},
    hint='write a JSON object with a `type`, such as {"type":"payment"}',
)
"""An authorization detail (RFC 9396) as canonical JSON."""


class MayAct(Record):
    """A caller that may exchange a token which was presented to it (RFC 8693, section 4.4)."""

    caller: Annotated[str, DELEGATOR]
    """Its name, with the kind: `system:gateway`."""
    audiences: Annotated[tuple[str, ...], REACH] = ()
    """The audiences that it may reach, in the form of `may_audience`; if empty, those of the token."""


def _may_act(value: str) -> MayAct:
    caller, equals, audiences = value.partition("=")
    checked = tuple([check_reach(audience) for audience in audiences.split(",")]) if equals else ()
    return MayAct(check_delegator(caller), checked)


MAY_ACT = texts(_may_act, "CALLER=AUD", {})
"""A caller on a command line, with its audiences: `WHO[=AUDIENCE,...]`."""


class ProvedActor(Record):
    """The actor that a token of another issuer proved."""

    delegator: str
    """The issuer's name for the actor, with its kind."""
    subject: str
    """The `iss` and `sub` of the token, with a space between."""
    proved_at: int | None
    """The same as `IssueRequest.proved_at`."""


class IssueRequest(Record):
    """One request for credentials, as stated: None means not stated. Times are in seconds."""

    task: Annotated[str | None, TASK]
    delegator: Annotated[str | None, DELEGATOR]
    agent: Annotated[str, AGENT]
    kind: Annotated[str, KIND] = "jwt"
    scopes: Annotated[tuple[Scope, ...], SCOPE, Bounds(most=MOST_SCOPES)] = ()
    audiences: Annotated[tuple[str, ...], AUDIENCE, Bounds(most=MOST_AUDIENCES)] = ()
    ttl: Annotated[int | None, DURATION] = None
    purpose: Annotated[str | None, PURPOSE] = None
    sensitivity: Annotated[str | None, SENSITIVITY] = None
    deadline: Annotated[int | None, TIME] = None
    """The task's deadline, since the epoch."""
    deadline_after: Annotated[int | None, DURATION] = None
    """The task's deadline, counted from its opening."""
    details: Annotated[tuple[str, ...], DETAIL, Bounds(most=MOST_DETAILS)] = ()
    """Each of the `authorization_details` (RFC 9396) as canonical JSON text."""
    parent: Secret | None = None
    """The token that delegates."""
    proved_delegator: Annotated[str | None, AuthorityOnly()] = None
    """The delegator that an ID token of a configured issuer proved."""
    proved_subject: Annotated[str | None, AuthorityOnly()] = None
    """The `iss` and `sub` of that token, with a space between."""
    proved_actor: Annotated[ProvedActor | None, AuthorityOnly()] = None
    """The actor that an actor token of another issuer proved: the owner of the acting agent."""
    proved_credential: Annotated[str | None, AuthorityOnly()] = None
    """The `jti` of an actor token that this ledger issued."""
    proved_at: Annotated[int | None, AuthorityOnly()] = None
    """When that token was issued or its holder logged in, whichever is earlier; None if the token states neither."""
    proved_login: Annotated[str | None, AuthorityOnly()] = None
    """The id of the login that proved the delegator, instead of a token with the request."""
    allow_narrower: bool = False
    copies: Annotated[int, number(1, MOST_AT_ONCE)] = 1
    process: Process | None = None
    """The process that the identity is bound to, and ends with."""
    above: Annotated[tuple[ProcessAbove, ...], Bounds(most=MOST_ABOVE)] = ()
    """The processes above it: no identity is issued if that of such a process was revoked."""
    template: Annotated[str | None, TEMPLATE] = None
    """The template of a target to use: a template's name, or `TARGET/TEMPLATE`."""
    public_key: Annotated[str | None, PUBLIC_KEY] = None
    """The requester's key for a certificate: SubjectPublicKeyInfo or PKCS#10 as PEM, or an OpenSSH line."""
    may_audience: Annotated[tuple[str, ...], REACH] = ()
    """The audiences for which the holder of an identity token may obtain tokens: origins, with wildcards, and names."""
    identity: bool = False
    """Whether to issue an identity token in any case, which may then obtain tokens for the audiences."""
    may_act: tuple[MayAct, ...] = ()
    """The callers that may exchange a service token, in order: the token that each obtains names the next caller."""
    exchanged: Annotated[bool, AuthorityOnly()] = False
    """Whether the parent is a token that was presented to the caller, which may then act by the token's `may_act`."""
    may_kind: Annotated[tuple[str, ...], MAY_KIND] = ()
    """The kinds that the holder may obtain and delegate, as KIND or KIND:TEMPLATE; if empty, `jwt` and `opaque`."""
    agent_suggested: bool = False
    """Whether only the file of a working folder names the agent; then it must not be the name of a registered agent."""

    def checked_request(self) -> Self:
        """Return the request with each audience once. Raises UsageError for two deadlines."""
        if self.deadline is not None and self.deadline_after is not None:
            raise UsageError("the deadline must be a time or a duration, not both")
        return self._replace(
            audiences=tuple(dict.fromkeys(self.audiences)),
            may_audience=tuple(dict.fromkeys(self.may_audience)),
        )


class RenewRequest(Record):
    """One request for a successor of a credential, as stated. Times are seconds."""

    token: Secret
    """The credential to renew; possession of it authorizes the renewal."""
    ttl: Annotated[int | None, DURATION] = None
    """None: the lifetime of its predecessor."""
    allow_narrower: bool = False


class AttachRequest(Record):
    """One request for a further credential of the identity whose credential is presented. Times are seconds."""

    token: Secret
    """The credential of the identity; possession of it authorizes the request."""
    kind: Annotated[str, KIND]
    template: Annotated[str | None, TEMPLATE] = None
    public_key: Annotated[str | None, PUBLIC_KEY] = None
    scopes: Annotated[tuple[Scope, ...], SCOPE, Bounds(most=MOST_SCOPES)] = ()
    """A part of the scopes of the presented credential; if empty, the same scopes."""
    audiences: Annotated[tuple[str, ...], AUDIENCE, Bounds(most=MOST_AUDIENCES)] = ()
    ttl: Annotated[int | None, DURATION] = None
    """None: the usual lifetime, but no longer than the presented credential may be renewed."""
    allow_narrower: bool = False
    may_act: tuple[MayAct, ...] = ()
    """The callers that may exchange it, in order."""


def check_size(request: IssueRequest | AttachRequest) -> None:
    """Raise UsageError for a request that exceeds the limits of one credential."""
    details, may_audience = (
        (request.details, request.may_audience) if isinstance(request, IssueRequest) else ((), ())
    )
    # Most requests are small: one comparison shows that they exceed no limit.
    total = len(request.scopes) + len(request.audiences) + len(may_audience)
    if not details and not request.may_act and total <= min(MOST_SCOPES, MOST_AUDIENCES):
        return
    for label, count, limit in (
        ("scopes", len(request.scopes), MOST_SCOPES),
        ("audiences", len(request.audiences), MOST_AUDIENCES),
        ("audiences in --may-audience", len(may_audience), MOST_AUDIENCES),
        (
            "audiences in --may-act",
            sum([len(caller.audiences) for caller in request.may_act]),
            MOST_AUDIENCES,
        ),
        ("details", len(details), MOST_DETAILS),
    ):
        if count > limit:
            raise UsageError(
                f"a credential may have at most {limit} {label}; the request has {count}",
                "a wildcard scope replaces many: see `jitid issue --help`" if label == "scopes" else None,
            )
    length = sum(map(len, details))
    if length > LONGEST_DETAILS:
        raise UsageError(
            f"the details of a credential may have {LONGEST_DETAILS} characters in total; these have {length}"
        )


def questions(request: IssueRequest) -> int:
    """Return the number of policy decisions a request needs: for itself, its scopes, and the kinds of its grant."""
    return 1 + len(request.scopes) + len(request.may_kind)


def check_sizes(requests: Sequence[IssueRequest]) -> None:
    """Raise UsageError for requests that are too many for one transaction, or for a request that is too large."""
    if sum([request.copies for request in requests]) > MOST_AT_ONCE:
        raise UsageError(f"one transaction can issue at most {MOST_AT_ONCE} credentials")
    total = sum(map(questions, requests))
    if total > MOST_QUESTIONS:
        raise UsageError(
            f"too many requests for one transaction: {total} policy decisions, at most {MOST_QUESTIONS} are possible; "
            "nothing was changed",
            "send fewer requests at a time; each needs one decision, plus one per scope and per kind of --may-kind",
        )
    for position, request in enumerate(requests):
        try:
            check_size(request)
        except UsageError as error:
            error.position = position
            raise
