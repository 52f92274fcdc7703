"""What is asked when something is to be issued, and the terms on which it is."""

# Without `from __future__ import annotations`, which has the annotation of each field compiled at every start.
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, Self

from jitid.errors import UsageError
from jitid.model.credential import is_outside
from jitid.model.process import Process
from jitid.values.scope import Scope
from jitid.values.secret import Secret
from jitid.values.text import quote

if TYPE_CHECKING:
    from datetime import tzinfo

    from jitid.capabilities.targets.targets import Chosen, Targets
    from jitid.model.caller import Caller
    from jitid.policy.cedar import Policy


MOST_SCOPES = 128
MOST_AUDIENCES = 128
MOST_DETAILS = 128
LONGEST_DETAILS = 1 << 16
"""Limits of one credential: they bound what a request costs while others wait for the lock."""

MOST_AT_ONCE = 1_000
"""How many credentials one transaction makes at most, so that other writers get their turn."""

MOST_QUESTIONS = 8_192
"""The maximum number of questions that the requests of one transaction put to the policy, which takes some time."""


def named(caller: str) -> str:
    """Return the name, with its kind, of whoever has that login or name."""
    return caller if ":" in caller else f"user:{caller}"


class MayAct(NamedTuple):
    """A caller that may exchange a token which it is shown (RFC 8693, section 4.4)."""

    caller: str
    """Its name, with the kind: `system:gateway`."""
    audiences: tuple[str, ...] = ()
    """The audiences that it may reach, as `may_audience` has them; none: those of the token."""


class ProvedActor(NamedTuple):
    """Whom the token of another issuer proved, where that is the actor's."""

    delegator: str
    """By the name that the issuer gives them, with its kind."""
    subject: str
    """The `iss` and `sub` of the token, with a space between."""
    proved_at: int | None
    """As `IssueRequest.proved_at`."""


class IssueRequest(NamedTuple):
    """One request for credentials, as stated: None means that nothing was said. Times are seconds."""

    task: str | None
    delegator: str | None
    agent: str
    kind: str = "jwt"
    scopes: tuple[Scope, ...] = ()
    audiences: tuple[str, ...] = ()
    ttl: int | None = None
    purpose: str | None = None
    sensitivity: str | None = None
    deadline: int | None = None
    """The task's deadline, since the epoch."""
    deadline_after: int | None = None
    """The task's deadline, counted from its opening."""
    details: tuple[str, ...] = ()
    """Each of the `authorization_details` (RFC 9396) as canonical JSON text."""
    parent: Secret | None = None
    """The token that delegates."""
    proved_delegator: str | None = None
    """Whom an ID token of a configured issuer proved to ask."""
    proved_subject: str | None = None
    """The `iss` and `sub` of that token, with a space between."""
    proved_actor: ProvedActor | None = None
    """Whom an actor's token of another issuer proved: the owner of the agent that acts."""
    proved_credential: str | None = None
    """The `jti` of an actor's token that this ledger issued."""
    proved_at: int | None = None
    """When that token was issued, or its holder logged in, whichever is earlier; None if it does not say."""
    allow_narrower: bool = False
    copies: int = 1
    process: Process | None = None
    """What the identity is given to, and ends with."""
    template: str | None = None
    """What it is made from at its target: a template's name, or `TARGET/TEMPLATE`."""
    public_key: str | None = None
    """The key of whoever asks, for a certificate: SubjectPublicKeyInfo or PKCS#10 as PEM, or an OpenSSH line."""
    may_audience: tuple[str, ...] = ()
    """The audiences for which the holder of an identity token may obtain tokens: origins, with wildcards, and names."""
    identity: bool = False
    """Whether it is an identity token in any case, which then may obtain tokens for the audiences."""
    may_act: tuple[MayAct, ...] = ()
    """The callers that may exchange a service token, one after the other: what each obtains names the next."""
    exchanged: bool = False
    """Whether the parent is a token that the caller was shown, which lets it act by its `may_act`."""
    may_kind: tuple[str, ...] = ()
    """The kinds that the holder may obtain and delegate, each as KIND or KIND:TEMPLATE; none: `jwt` and `opaque`."""


class RenewRequest(NamedTuple):
    """One request for a successor of a credential, as stated. Times are seconds."""

    token: Secret
    """The credential that is to be renewed, which is the right to do so."""
    ttl: int | None = None
    """None: as long as its predecessor was to live."""
    allow_narrower: bool = False


class AttachRequest(NamedTuple):
    """One request for a further credential of the identity whose credential is presented. Times are seconds."""

    token: Secret
    """The credential of the identity, which is the right to do so."""
    kind: str
    template: str | None = None
    public_key: str | None = None
    scopes: tuple[Scope, ...] = ()
    """Of those that the presented one has; none: the same."""
    audiences: tuple[str, ...] = ()
    ttl: int | None = None
    """None: as is usual, and no longer than the presented one may be renewed."""
    allow_narrower: bool = False
    may_act: tuple[MayAct, ...] = ()
    """The callers that may exchange it, one after the other."""


def check_size(request: IssueRequest | AttachRequest) -> None:
    """Raise UsageError for a request that would make the ledger work for too long."""
    details, may_audience = (
        (request.details, request.may_audience) if isinstance(request, IssueRequest) else ((), ())
    )
    # Most requests are small: one comparison shows that they exceed no limit.
    total = len(request.scopes) + len(request.audiences) + len(may_audience)
    if not details and not request.may_act and total <= min(MOST_SCOPES, MOST_AUDIENCES):
        return
    for what, count, most in (
        ("scopes", len(request.scopes), MOST_SCOPES),
        ("audiences", len(request.audiences), MOST_AUDIENCES),
        ("audiences in --may-audience", len(may_audience), MOST_AUDIENCES),
        ("audiences in --may-act", sum([len(one.audiences) for one in request.may_act]), MOST_AUDIENCES),
        ("details", len(details), MOST_DETAILS),
    ):
        if count > most:
            raise UsageError(
                f"a credential has at most {most} {what}, and the request has {count}",
                "a scope may stand for many: see `jitid issue --help`" if what == "scopes" else None,
            )
    length = sum(map(len, details))
    if length > LONGEST_DETAILS:
        raise UsageError(
            f"the details of a credential have at most {LONGEST_DETAILS} characters together, and these have {length}"
        )


def questions(request: IssueRequest) -> int:
    """Return how many questions a request puts to the policy: about itself, its scopes, and the kinds of its grant."""
    return 1 + len(request.scopes) + len(request.may_kind)


def check_sizes(requests: Sequence[IssueRequest]) -> None:
    """Raise UsageError for requests that are too many for one transaction, or one of which is too large."""
    if sum([request.copies for request in requests]) > MOST_AT_ONCE:
        raise UsageError(f"one transaction issues at most {MOST_AT_ONCE} credentials")
    asked = sum(map(questions, requests))
    if asked > MOST_QUESTIONS:
        raise UsageError(
            f"the requests of one transaction have at most {MOST_QUESTIONS} scopes and kinds together, each counting "
            f"as one more, and these have {asked}; nothing was changed",
            "send fewer requests at a time",
        )
    for position, request in enumerate(requests):
        try:
            check_size(request)
        except UsageError as error:
            error.position = position
            raise


class Terms(NamedTuple):
    """What the configuration says about issuing; the requester cannot choose it. Times are seconds."""

    policy: "Policy"
    policy_text: str
    caller: str
    """The login of whoever runs this; of somebody who is served the name with its kind, such as `user:alice`."""
    audiences: tuple[str, ...] = ()
    ttl: int = 900
    sensitivity: str = "moderate"
    purpose: str | None = None
    """The purpose of a task whose first issue states none."""
    task_deadline: int = 86_400
    scope_floors: Mapping[str, str] = {}
    """The least sensitivity of whatever overlaps a scope."""
    audience_floors: Mapping[str, str] = {}
    overlap: int = 30
    """How long a credential still works when a successor has been made."""
    known_delegators_only: bool = False
    """Whether nobody may delegate whom the directory does not have."""
    zone: "tzinfo | None" = None
    """Where the policy's `hour`, `minute` and `weekday` are told; None for UTC."""
    zone_name: str | None = None
    algorithms: Mapping[str, str] = {}
    """By audience: the signature algorithm that it demands."""
    approval_lifetime: int = 900
    """How long an approval may be used at most."""
    approval_patience: int = 86_400
    """How long a request for approval stays open."""
    caller_proof: str | None = "os-user"
    """How the caller is proved to be the delegator of that name; None for who cannot be one."""
    any_delegator: bool = True
    """Whether the caller may name whomever they like as the delegator; otherwise it is themselves."""
    publish_url: str | None = None
    """Where what `publish` writes is served: signed tokens name their place in a status list there."""
    targets: "Callable[[], Targets] | None" = None
    """Supplies the targets outside that the configuration has."""
    publish_lifetime: int = 900
    """For how long a status list is good."""
    places: tuple[str, ...] = ()
    """The addresses at which the authority is served, which are never a service's."""
    identity: str | None = None
    """The id of the identity of the agent that is served; None for a person and for a service."""
    bearer: str | None = None
    """The `jti` that this agent came with."""
    detail_types: tuple[str, ...] = ()
    """The types of `authorization_details` that may be requested; empty: any."""

    @property
    def own_name(self) -> str | None:
        """The delegator that the caller is proved to be; None for who cannot be one."""
        return None if self.caller_proof is None else named(self.caller)

    @property
    def requester(self) -> str:
        """Who requests: the id of an agent's identity, or the name of a person or a service with its kind."""
        return self.identity or named(self.caller)

    def serving(self, caller: "Caller") -> Self:
        """Return the terms on which somebody is served."""
        return self._replace(
            caller=caller.delegator or caller.name,
            caller_proof=caller.proof if caller.delegator else None,
            identity=caller.identity,
            bearer=None if caller.agent is None else caller.credential,
            any_delegator=caller.roles is None or "issuer" in caller.roles,
        )

    def chosen(self, kind: str, template: str | None) -> "Chosen | None":
        """Return what makes a credential of a kind, from a template; None for what is made here without one.

        Raises:
            UsageError: there is no such target or template, or more than one could be meant.
            ConfigurationError: the target's table cannot be meant.

        """
        if template is None and not is_outside(kind):
            return None
        if self.targets is None:
            raise UsageError(f"no target makes credentials of the kind {quote(kind)} here")
        return self.targets().choose(kind, template)

    def algorithm_for(self, audiences: Sequence[str]) -> str:
        """Return the algorithm for a token to these audiences: Ed25519, unless one of them demands another."""
        return next((self.algorithms[name] for name in audiences if name in self.algorithms), "EdDSA")
