"""`jitid.verify`: the verdict on a token that was presented to a service."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from jitid.api import forks, idle_authorities
from jitid.api.authority_access import AuthorityChoice
from jitid.api.stated import seconds_of, several
from jitid.capabilities.identity.operations import Verify
from jitid.capabilities.identity.recognise_token import MISTYPED, NO_RIGHT
from jitid.capabilities.issue.token_operations import Introspect
from jitid.capabilities.trust.published_place import place_of, verify_published
from jitid.config.effective import load
from jitid.crypto import jws
from jitid.errors import InvalidCredentialError, UsageError
from jitid.model.delegation import actors_of, delegator_of
from jitid.redaction.token_format import OPAQUE_PREFIX, bare, is_opaque
from jitid.values.field_types import AUDIENCE
from jitid.values.scope import Scope, covers, parse_scope
from jitid.values.secret import Secret
from jitid.values.text import quote

if TYPE_CHECKING:
    from jitid.model.credential import Credential
    from jitid.operation.base import Authority


@dataclass(frozen=True, slots=True)
class VerifiedToken:
    """A token that is valid now, for the stated audience."""

    jti: str
    """Id of the credential."""
    delegator: str
    """The root delegator, such as `user:alice`."""
    agent: str
    """Name of the acting agent."""
    task: str
    """Name of the task."""
    scopes: tuple[str, ...]
    """The rights of the holder; `permits` interprets wildcards."""
    audiences: tuple[str, ...]
    """All services that the token names."""
    expires_at: datetime
    """When it expires (UTC)."""
    chain: tuple[str, ...]
    """SPIFFE ids of the acting agent and of the agents that delegated to it, the acting one first."""
    claims: Mapping[str, Any]
    """The signed claims, read-only; empty for an opaque token."""

    def __reduce__(self) -> tuple[object, ...]:
        """Return the stored form for pickle and copy, which cannot store a read-only mapping."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return _restored, (values | {"claims": dict(self.claims)},)

    def permits(self, scope: str) -> bool:
        """Return whether one of the scopes covers `scope`. Raises UsageError for an invalid scope."""
        requested = parse_scope(scope)
        return any(covers(Scope(held), requested) for held in self.scopes)


def _restored(values: dict[str, Any]) -> VerifiedToken:
    return VerifiedToken(**values | {"claims": MappingProxyType(values["claims"])})


def verify(
    token: str,
    *,
    audience: str | Iterable[str],
    jwks: str | Mapping[str, Any] | None = None,
    status_list: str | None = None,
    published: str | None = None,
    issuer: str | None = None,
    config: str | None = None,
    profile: str | None = None,
    ledger: str | None = None,
    remote: str | None = None,
    credential_file: str | None = None,
    timeout: int | str | timedelta | None = None,
) -> VerifiedToken:
    """Return the names and rights that a token proves, if it is valid now for the audience.

    By default the ledger or the authority decides, as for `jitid verify`: signature, issuer, type, audience, expiry,
    and the state of the credential and of all above it. With `published`, or `jwks` and `status_list`, published keys
    and status lists replace the ledger; a later revocation is then not seen.

    Args:
        token: the text that was presented, without `Bearer`.
        audience: the service's own name; with several, the token must be for one of them.
        jwks: file with the keys, or the parsed document.
        status_list: file with the signed status list.
        published: folder of `jitid publish`.
        issuer: accepted issuer with `jwks`. Default: the setting `issuer`.
        config: configuration file instead of the user's.
        profile: profile of the configuration.
        ledger: folder or address of the ledger.
        remote: address of a remote authority.
        credential_file: file with the credential for the remote authority.
        timeout: limit of the wait for the ledger or the authority. Default: the setting `timeout`, 30 seconds.

    Raises:
        InvalidCredentialError: the token is not valid; the message says why, and never contains the token.
        UsageError: no audience is stated, or the other arguments contradict each other.
        StorageError: the ledger or the authority cannot be reached: no verdict.
        RefusedError: the authority does not answer this caller.

    """
    audiences = several(audience, AUDIENCE)
    if not audiences:
        raise UsageError("an audience is required", "the service's own name, such as https://api.example.com")
    # The same as at every other door: white space around the token does not count.
    text = bare(token) if isinstance(token, str) else ""
    if not text:
        raise InvalidCredentialError("the token is empty")
    choice = AuthorityChoice(
        config=config,
        profile=profile,
        ledger=ledger,
        remote=remote,
        credential_file=credential_file,
        timeout=None if timeout is None else str(seconds_of(timeout, "timeout")),
    )
    source = place_of(published, jwks, status_list, issuer)
    effective = load(file=choice.file, profile=choice.profile, flags=choice.flags)
    if source is not None:
        # It loads modules.
        with forks.operation():
            _stated(text, audiences)
            verified = verify_published(text, source, audiences, effective.text("issuer"), int(time.time()))
        return _of_claims(verified.claims)
    with idle_authorities.opened(effective) as authority:
        return _by_ledger(authority, Secret.single(text), _stated(text, audiences), audiences)


def _stated(text: str, audiences: tuple[str, ...]) -> Mapping[str, Any] | None:
    """Return the claims of a token before it is verified; None for an opaque token.

    Raises InvalidCredentialError for any other text, a token for another audience, and a token that gives no right.
    Both ways of verification refuse these, and they cost no request to an authority.
    """
    if text.startswith(OPAQUE_PREFIX):
        if not is_opaque(text):
            raise InvalidCredentialError(MISTYPED)
        return None
    parsed = jws.parse(text, types=jws.TOKENS)
    if parsed.typ == jws.SVID:
        raise InvalidCredentialError(NO_RIGHT, "use a credential of the kind jwt or opaque")
    try:
        jws.check_audience(parsed.claims, audiences)
    except InvalidCredentialError as error:
        error.hint = (
            f"its `aud` is {quote(str(parsed.claims.get('aud')), 300)}; one of them must be in audience="
        )
        raise
    return parsed.claims


def _by_ledger(
    authority: Authority, token: Secret, claims: Mapping[str, Any] | None, audiences: tuple[str, ...]
) -> VerifiedToken:
    credential = authority.perform(Verify(token=token, audiences=audiences))
    if claims is not None:
        return _of_credential(credential, claims, _chain(claims.get("act")))
    introspected = authority.perform(Introspect(token=token))
    chain = actors_of(introspected.trust_domain, [credential, *introspected.lineage])
    return _of_credential(credential, {}, chain)


def _of_claims(claims: Mapping[str, Any]) -> VerifiedToken:
    """Return the names and rights in verified claims. Raises InvalidCredentialError if a name is missing."""
    if lacking := [name for name in ("jti", "sub", "client_id", "txn") if name not in claims]:
        raise InvalidCredentialError(f"the token lacks the claim `{lacking[0]}`")
    audiences = claims["aud"]
    return VerifiedToken(
        jti=claims["jti"],
        delegator=delegator_of(claims),
        agent=claims["client_id"],
        task=claims["txn"],
        scopes=tuple(claims.get("scope", "").split()),
        audiences=(audiences,) if isinstance(audiences, str) else tuple(audiences),
        expires_at=datetime.fromtimestamp(claims["exp"], UTC),
        chain=_chain(claims.get("act")),
        claims=MappingProxyType(dict(claims)),
    )


def _chain(act: Any) -> tuple[str, ...]:  # noqa: ANN401 - JSON may be anything
    """Return the actors of an `act` claim (RFC 8693, section 4.1): the outermost acts now."""
    chain = []
    while isinstance(act, Mapping):
        chain.append(str(act.get("sub")))
        act = act.get("act")
    return tuple(chain)


def _of_credential(
    credential: Credential, claims: Mapping[str, Any], chain: tuple[str, ...]
) -> VerifiedToken:
    return VerifiedToken(
        jti=credential.jti,
        delegator=credential.delegator,
        agent=credential.agent,
        task=credential.task,
        scopes=credential.scopes,
        audiences=credential.audiences,
        expires_at=datetime.fromtimestamp(credential.ends_at, UTC),
        chain=chain,
        claims=MappingProxyType(dict(claims)),
    )
