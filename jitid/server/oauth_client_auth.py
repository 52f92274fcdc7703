"""Client authentication at the OAuth endpoints: a secret (RFC 6749, section 2.3.1), a signed assertion (RFC 7523).

For all other requests `service` finds the caller: by a bearer token (RFC 6750), or the user of the socket.
"""

from __future__ import annotations

import time
from base64 import b64decode
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import unquote

from jitid.capabilities.access import authenticate
from jitid.capabilities.access.authenticate import ALGORITHMS as ALGORITHMS
from jitid.capabilities.access.operations import Authenticate, FindClientKeys, UseAssertion
from jitid.errors import InvalidCredentialError, UnauthenticatedError, UsageError
from jitid.server.oauth_form import OAuthError
from jitid.values import strict_json
from jitid.values.secret import Secret

if TYPE_CHECKING:
    from starlette.requests import Request

    from jitid.authority.local import LocalAuthority
    from jitid.model.access import Caller
    from jitid.operation.base import Authority
    from jitid.server.oauth_form import OAuthForm
    from jitid.server.service import OperationType, Service

T = TypeVar("T")

METHODS = ("private_key_jwt", "client_secret_basic", "client_secret_post")
"""Authentication methods by the names of RFC 7591 (section 2) and OpenID Connect Core (section 9)."""

BASIC = 'Basic realm="jitid", charset="UTF-8"'
"""The challenge of RFC 7617 (section 2)."""

_LONGEST_BASIC = 1_024
"""Maximum length in base64: a name and an access token need less, even with each character as `%XX`."""
_TWICE = "the client authenticates in two ways at once"


async def call(
    service: Service,
    request: Request,
    form: OAuthForm,
    work: Callable[[Authority, Caller], T],
    *,
    reads: bool = False,
    operation_type: OperationType | None = None,
) -> T:
    """Run work in a thread for the client of a request. Raises OAuthError, and the errors of the work."""
    with service.counting_failures(request):
        assertion_proof = _signed(service, request, form)
        secret_proof = _by_secret(request, form) if assertion_proof is None else None
        if (
            assertion_proof is None
            and secret_proof is None
            and form.doubtful
            and "authorization" not in request.headers
        ):
            # A client with a credential is never identified by the user of its socket.
            raise UnauthenticatedError(
                "the request names an authentication parameter without a credential; nothing was done"
            )
    if assertion_proof is not None:
        # The use of an assertion is recorded, so this is not a read.
        return await service.call(request, work, proof=assertion_proof, operation_type=operation_type)
    return await service.call(request, work, reads=reads, proof=secret_proof, operation_type=operation_type)


def must_be_named(form: OAuthForm, caller: Caller) -> None:
    """Refuse a `client_id` that does not match the client. Raises OAuthError."""
    client_id = form.one("client_id")
    if client_id is not None and client_id not in (caller.name, caller.agent, caller.credential):
        raise OAuthError("invalid_client", "the client_id is not that of the authenticated client", 401)


def uses_basic(request: Request) -> bool:
    """Return whether a request has the header `Authorization: Basic` (RFC 7617)."""
    return _scheme(request) == "basic"


def shows(request: Request, form: OAuthForm, token: Secret) -> bool:
    """Return whether a client authenticates with a token, either as a bearer token or as its client secret."""
    pair = _client_secret(request, form)
    if pair is not None:
        return pair[1].reveal() == token.reveal()
    presented = request.headers.get("authorization", "").partition(" ")[2].strip(" ")
    return _scheme(request) == "bearer" and presented == token.reveal()


def _scheme(request: Request) -> str:
    header: str = request.headers.get("authorization", "")
    return header.partition(" ")[0].lower()


def _by_secret(request: Request, form: OAuthForm) -> Callable[[LocalAuthority], Caller] | None:
    """Return a function that authenticates the client by name and secret; None if the request has no secret."""
    pair = _client_secret(request, form)
    if pair is None:
        return None
    client, secret = pair
    return lambda authority: authority.perform(Authenticate(bearer=secret, client=client))


def _client_secret(request: Request, form: OAuthForm) -> tuple[str, Secret] | None:
    """Return `client_id` and `client_secret` of a request (RFC 6749, section 2.3.1); None if there is no secret.

    Raises:
        OAuthError: the client authenticates in two ways.
        UnauthenticatedError: the header is malformed, or a secret has no `client_id`.

    """
    client_secret = form.one("client_secret")
    if client_secret is None:
        return _basic(request.headers["authorization"]) if uses_basic(request) else None
    if "authorization" in request.headers:
        # RFC 6749, section 2.3.
        raise OAuthError("invalid_request", _TWICE)
    client = form.one("client_id")
    if client is None:
        raise UnauthenticatedError("a client_secret requires its client_id; nothing was done")
    return client, Secret.single(client_secret)


def _basic(header: str) -> tuple[str, Secret]:
    """Return name and secret in a header `Authorization: Basic`, percent-encoded or not. Raises UnauthenticatedError.

    RFC 6749 (section 2.3.1) encodes both; many clients encode neither. Both spellings mean the same: a name has
    neither `%` nor a space, and an access token no colon. So the last colon separates the two, and a `+` is a `+`.
    """
    encoded = header.partition(" ")[2].strip(" ")
    try:
        pair = b64decode(encoded, validate=True).decode("ascii") if len(encoded) <= _LONGEST_BASIC else ""
    except ValueError:
        pair = ""
    client, _, secret = pair.rpartition(":")
    if not client or not secret:
        raise UnauthenticatedError("the header `Authorization: Basic` is malformed; nothing was done")
    return unquote(client), Secret.single(unquote(secret))


def _signed(service: Service, request: Request, form: OAuthForm) -> Callable[[LocalAuthority], Caller] | None:
    """Return a function that authenticates the signer of the form's assertion; None if there is no assertion."""
    text, assertion_type = form.one("client_assertion"), form.one("client_assertion_type")
    if text is None and assertion_type is None:
        return None
    if "authorization" in request.headers or form.one("client_secret") is not None:
        # RFC 6749, section 2.3.
        raise OAuthError("invalid_request", _TWICE)
    if text is None or assertion_type != authenticate.TYPE:
        raise UnauthenticatedError(f"the client_assertion_type must be {authenticate.TYPE}; nothing was done")
    # RFC 7523, section 3: the issuer, or the address of the token endpoint; also that of the requested endpoint.
    endpoint = f"{service.base_url}{request.scope['path']}"
    endpoints = (f"{service.base_url}/token", endpoint)

    def prove(authority: LocalAuthority) -> Caller:
        now = int(time.time())
        try:
            signed = authenticate.parse_assertion(text)
            audiences = (*authority.names_now().accepted(now), *endpoints)
            keys = authority.perform(FindClientKeys(client=signed.client))
            id_ = authenticate.check_assertion(
                signed, {key.id: strict_json.loads(key.jwk) for key in keys}, audiences, now
            )
        except (InvalidCredentialError, UsageError) as error:
            raise UnauthenticatedError(f"{error.message}; nothing was done") from None
        return authority.perform(
            UseAssertion(
                id=id_, jti=signed.jti, expires_at=signed.ends_at, issued_at=signed.claims.get("iat")
            )
        )

    return prove
