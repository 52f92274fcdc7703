"""The use of a token, and the tokens obtainable with it: for the authority or for services, never for both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from jitid.errors import ShownError, UsageError
from jitid.model.credential import SHOWN, TOKENS, Credential, Kind, TokenUse
from jitid.model.ledger_rows import Names
from jitid.model.request import AttachRequest, IssueRequest, MayAct
from jitid.operation.context import Terms
from jitid.values import audience, strict_json
from jitid.values.record import Record
from jitid.values.text import label, quote

MOST_ACTORS = 8
"""Maximum number of callers in `may_act`: each may exchange the token of the one before."""


class Reach(Record):
    """The audiences of a credential, and those for which its holder or an actor may obtain tokens."""

    audiences: tuple[str, ...]
    """The authority only, or services only."""
    may_audience: tuple[str, ...] = ()
    may_act: str | None = None
    """The actors that may exchange it (RFC 8693, section 4.4), as canonical JSON."""
    services: tuple[str, ...] = ()
    """The audiences without the authority."""

    @property
    def obtainable(self) -> tuple[str, ...]:
        """All audiences for which tokens are obtainable: compared with a parent, a floor and a record."""
        if self.may_act is None and self.may_audience in ((), self.services):
            return self.services
        return tuple(dict.fromkeys((*self.services, *self.may_audience, *_audiences_of(self.may_act))))

    def limited(self, kind: str) -> tuple[str, ...]:
        """Return the audiences to compare with the record of an agent.

        They include the authority only for a JWT-SVID, which is a text for it. A token for the authority is an
        identity token, which each agent may have.
        """
        return self.audiences if kind == Kind.JWT_SVID else self.obtainable

    @property
    def later(self) -> tuple[str, ...]:
        """The obtainable audiences that the credential itself does not have."""
        return tuple([name for name in self.obtainable if name not in self.services])

    def facts(self, kind: str) -> dict[str, Any]:
        """Return the facts for an audit event.

        Audiences are listed without the authority, and `may_audience` only for identity tokens.
        """
        is_identity = kind in TOKENS and not self.services
        return {
            "audiences": list(self.services) or None,
            "may_audience": list(self.may_audience) if is_identity else None,
            "may_act": self.may_act,
        }


def stated(request: IssueRequest, names: Names, terms: Terms, parent: Credential | None) -> Reach:
    """Return the reach that a request states; without an audience, that of an identity token.

    Raises:
        UsageError: it names the authority, or combines both uses.

    """
    for name in request.audiences:
        audience.check_one(name)
    _must_be_services((*request.audiences, *request.may_audience), names, terms)
    is_token = request.kind in TOKENS
    if request.exchanged:
        assert parent is not None
        return _exchanged(request, parent)
    if request.may_audience:
        if not is_token:
            raise UsageError(
                f"a credential of the kind {request.kind} cannot obtain tokens",
                "omit --may-audience",
            )
        if request.audiences and not request.identity:
            raise UsageError(
                "a token is for the authority or for services: --audience and --may-audience exclude each other",
                "omit --audience: an identity token then obtains tokens for these services",
            )
    default_services = tuple([name for name in terms.audiences if not _is_own(name, names, terms)])
    services = request.audiences or (() if request.may_audience else default_services)
    if request.identity and is_token:
        return Reach((names.issuer,), _joined(request.may_audience, services))
    if not services:
        if request.may_act:
            raise UsageError(
                "no service receives an identity token, so no service can exchange it", "add --audience"
            )
        return Reach((names.issuer,), request.may_audience)
    return _for_services(services, act_of(request.may_act, request.kind, services, names, terms))


def attached(request: AttachRequest, authorizing: Credential, names: Names, terms: Terms) -> Reach:
    """Return the reach of a credential that is attached with the right of another.

    Raises:
        UsageError: it names the authority, or no service at all.

    """
    for name in request.audiences:
        audience.check_one(name)
    _must_be_services(request.audiences, names, terms)
    services = request.audiences
    if not services and not names_authority(authorizing, names):
        services = tuple([name for name in authorizing.audiences if name not in names.issuers])
    if not services:
        if request.kind in SHOWN:
            raise UsageError(
                f"an attached {request.kind} must be for a service",
                "name the service: --audience https://api.example.com",
            )
        return Reach((names.issuer,))
    return _for_services(services, act_of(request.may_act, request.kind, services, names, terms))


def renewed(predecessor: Credential, names: Names) -> Reach:
    """Return the reach of a successor: for the same use, and for the authority under its current name.

    The successor of a token for both uses is an identity token, which may obtain tokens for the services.

    Raises:
        UsageError: it is a service token, and one of its audiences is now a name of the authority.

    """
    use = predecessor.token_use
    if use == TokenUse.IDENTITY or (use == TokenUse.UNDIVIDED and names_authority(predecessor, names)):
        may = tuple([name for name in predecessor.may_audience if name not in names.issuers])
        return Reach((names.issuer,), may)
    # A service token never becomes a token for the authority, even if the authority's name has changed.
    aud = next((name for name in predecessor.audiences if name in names.issuers), None)
    if aud is not None:
        raise UsageError(
            f"{quote(aud)} is now a name of this authority, not an audience of service tokens; nothing was issued",
            "issue another token, for the current name of the service",
        )
    return _for_services(predecessor.audiences, predecessor.may_act)


def held(credential: Credential) -> Reach:
    """Return the reach of a stored credential."""
    return Reach(
        credential.audiences,
        credential.may_audience,
        credential.may_act,
        () if credential.token_use == TokenUse.IDENTITY else credential.audiences,
    )


def later_audiences(document: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the audiences that are obtainable later, according to an audit event."""
    return tuple(dict.fromkeys((*document.get("may_audience", ()), *_audiences_of(document.get("may_act")))))


def names_authority(credential: Credential, names: Names) -> bool:
    """Return whether a token is for the authority: only such a token gives rights there."""
    return credential.names_authority(names.issuers)


def merely_shown(credential: Credential) -> ShownError:
    """Return the error for a service token that is used as a right at the authority."""
    services = ", ".join(map(quote, credential.audiences[:5]))
    return ShownError(
        f"the token is for {services}, not for this authority, and gives no right here; nothing was changed",
        "use an identity token: jitid issue without --audience, or $JITID_PARENT_FILE under jitid run",
    )


def actor_of(may_act: str | None) -> Mapping[str, Any]:
    """Return the actor in a `may_act` claim; empty if there is none."""
    actor: Mapping[str, Any] = {} if may_act is None else strict_json.loads(may_act, "may_act")
    return actor


def actor_reach(may_act: str | None) -> tuple[str, ...]:
    """Return the audiences of the tokens that the actor in `may_act`, and the actors nested in it, may obtain."""
    return _audiences_of(may_act)


def act_of(
    actors: Sequence[MayAct], kind: str, services: tuple[str, ...], names: Names, terms: Terms
) -> str | None:
    """Return the `may_act` claim for callers, each nested in the claim of the one before.

    Raises:
        UsageError: a caller is invalid, or would reach the authority.

    """
    if not actors:
        return None
    if kind not in TOKENS:
        raise UsageError(f"a credential of the kind {kind} cannot be exchanged", "omit --may-act")
    if len(actors) > MOST_ACTORS:
        raise UsageError(f"--may-act names more than {MOST_ACTORS} callers")
    claim: dict[str, Any] | None = None
    for act in reversed(actors):
        if act.caller.startswith("agent:"):
            raise UsageError(
                f"{label(act.caller)} cannot exchange tokens: only a caller with granted access can",
                "such as --may-act system:gateway",
            )
        _must_be_services(act.audiences, names, terms)
        inner = {} if claim is None else {"may_act": claim}
        claim = {"sub": act.caller, "audience": list(act.audiences or services), **inner}
    return strict_json.dumps(claim)


def _exchanged(request: IssueRequest, parent: Credential) -> Reach:
    """Return the reach of an exchanged token: its `may_act` is the one nested in that of its parent."""
    if request.may_act or request.may_audience or request.identity or not request.audiences:
        raise UsageError(
            "an exchange cannot set may_act, may_audience or an identity token: its token determines them",
            "omit them, and name an audience",
        )
    if request.kind not in TOKENS:
        raise UsageError(
            f"a token can be exchanged only for a token, not for a credential of the kind {request.kind}",
            "omit the kind",
        )
    inner = actor_of(parent.may_act).get("may_act")
    return _for_services(request.audiences, None if inner is None else strict_json.dumps(inner))


def _for_services(services: tuple[str, ...], may_act: str | None) -> Reach:
    return Reach(services, services, may_act, services)


def _joined(first: Iterable[str], second: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*first, *second)))


def _audiences_of(may_act: str | None) -> tuple[str, ...]:
    audiences: list[str] = []
    claim: Mapping[str, Any] | None = actor_of(may_act)
    while claim:
        audiences += claim["audience"]
        claim = claim.get("may_act")
    return tuple(audiences)


def _is_own(name: str, names: Names, terms: Terms) -> bool:
    return audience.is_named(name, (*names.issuers, *terms.places))


def _must_be_services(audiences: Iterable[str], names: Names, terms: Terms) -> None:
    """Refuse the authority as an audience or an obtainable audience. Raises UsageError."""
    for name in audiences:
        if _is_own(name, names, terms):
            raise UsageError(
                f"{quote(name)} is this authority, not an audience of service tokens; nothing was issued",
                "for a token of this authority, omit --audience",
            )
