"""The OAuth endpoints: token, introspection (RFC 7662), revocation (RFC 7009), and an authorization endpoint."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from functools import wraps
from typing import TYPE_CHECKING, Any

from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from jitid.capabilities.access.operations import RevokeAccess
from jitid.capabilities.issue.token_operations import Introspect, RevokeToken
from jitid.errors import InvalidCredentialError, JitidError
from jitid.model.credential import TokenUse
from jitid.model.delegation import act_claim, actors_of
from jitid.server import oauth_client_auth, token_endpoint
from jitid.server.answers import CHALLENGE, LimitedError
from jitid.server.metrics import record_of
from jitid.server.oauth_form import (
    OAuthError,
    OAuthForm,
    as_oauth,
    credentials_of,
    document,
    read_form,
    shows_credential,
)
from jitid.values import strict_json
from jitid.values.secret import Secret

if TYPE_CHECKING:
    from starlette.requests import Request

    from jitid.capabilities.issue.issue_result import Issued
    from jitid.capabilities.issue.token_operations import Introspected
    from jitid.model.access import Caller
    from jitid.operation.base import Authority
    from jitid.server.service import Service


INACTIVE: dict[str, Any] = {"active": False}
"""The complete answer about a credential that is not valid, for any reason."""


def claims_of(introspected: Introspected) -> dict[str, Any]:
    """Return the claims of a credential: the signed claims, or the same claims for an opaque token."""
    credential = introspected.credential
    context: dict[str, Any] = {
        "id": credential.id,
        "kind": credential.kind,
        "depth": credential.depth,
        "sensitivity": credential.sensitivity,
    }
    if credential.purpose is not None:
        context["purpose"] = credential.purpose
    is_identity = credential.token_use == TokenUse.IDENTITY
    if is_identity and credential.may_audience:
        context["may_audience"] = list(credential.may_audience)
    claims: dict[str, Any] = {
        "active": True,
        # Not an access token (RFC 8693, section 2.2.1): a client that takes this answer for one must not admit the
        # holder.
        "token_type": "N_A" if is_identity else "Bearer",
        "iss": introspected.issuer,
        "sub": credential.delegator,
        "act": act_claim(actors_of(introspected.trust_domain, [credential, *introspected.lineage])),
        "client_id": credential.agent,
        "aud": credential.audiences[0] if len(credential.audiences) == 1 else credential.audiences,
        "scope": " ".join(credential.scopes),
        "exp": credential.ends_at,
        "iat": credential.issued_at,
        "nbf": credential.issued_at,
        "jti": credential.jti,
        "txn": credential.task,
        "delegator_proof": credential.delegator_proof,
        "jitid": context,
    }
    if credential.details is not None:
        claims["authorization_details"] = strict_json.loads(credential.details)
    if credential.may_act is not None:
        claims["may_act"] = strict_json.loads(credential.may_act)
    return claims


AUTHORIZE = "/authorize"
TOKEN = "/token"  # noqa: S105 - a path
INTROSPECT = "/introspect"
REVOKE = "/revoke"

Endpoint = Callable[["Request"], Awaitable[Response]]


def routes(service: Service) -> list[BaseRoute]:
    """Return the routes of OAuth."""

    async def token(request: Request) -> Response:
        form, form_error = await _form(service, request, token_endpoint.REPEATABLE)

        def work(authority: Authority, caller: Caller) -> tuple[token_endpoint.TokenRequest, Issued]:
            oauth_client_auth.must_be_named(form, caller)
            _must_be_whole(form_error)
            token_endpoint.must_be_served(caller, form)
            token_request = token_endpoint.parse_request(form)
            return token_request, token_endpoint.grant(authority, caller, token_request)

        return token_endpoint.answer(*await oauth_client_auth.call(service, request, form, work))

    async def introspect(request: Request) -> Response:
        form, form_error = await _form(service, request)

        def work(authority: Authority, caller: Caller) -> dict[str, Any]:
            oauth_client_auth.must_be_named(form, caller)
            _must_be_whole(form_error)
            presented = Secret.single(form.need("token"))
            try:
                return claims_of(authority.perform(Introspect(token=presented)))
            except InvalidCredentialError:
                return INACTIVE

        return document(
            await oauth_client_auth.call(service, request, form, work, reads=True, operation_type=Introspect)
        )

    async def revoke(request: Request) -> Response:
        form, form_error = await _form(service, request)

        def work(authority: Authority, caller: Caller) -> None:
            oauth_client_auth.must_be_named(form, caller)
            _must_be_whole(form_error)
            # The token itself shows its type (section 2.1: the hint may be ignored).
            operation = RevokeToken(token=Secret.single(form.need("token")), reason="revoked by its client")
            if (
                authority.perform(operation) is None
                and caller.agent is None
                and caller.credential is not None
                and oauth_client_auth.shows(request, form, operation.token)
            ):
                # This is the access credential of the client itself: its holder may revoke it.
                authority.perform(RevokeAccess(ids=(caller.credential,), reason=operation.reason))

        await oauth_client_auth.call(service, request, form, work)
        # RFC 7009, section 2.2: a client ignores the body, but some refuse an answer that is not JSON.
        return document({})

    async def authorize(_request: Request) -> Response:
        # RFC 6749, section 4.1.2.1: no client has registered a redirection URI, so the answer redirects nowhere. The
        # request is not read.
        raise OAuthError(
            "unsupported_response_type",
            "this authority issues no authorization codes: a client posts a grant to the token endpoint",
        )

    return [
        Route(AUTHORIZE, _endpoint(service, authorize), methods=["GET", "POST"]),
        Route(TOKEN, _endpoint(service, token), methods=["POST"]),
        Route(INTROSPECT, _endpoint(service, introspect, refused=403), methods=["POST"]),
        Route(REVOKE, _endpoint(service, revoke, refused=403), methods=["POST"]),
    ]


async def _form(
    service: Service, request: Request, repeatable: Collection[str] = ()
) -> tuple[OAuthForm, OAuthError | None]:
    """Return the form of a request. If it is invalid, return its client credentials only, and the error.

    The error is for authenticated clients only.
    """
    try:
        return await read_form(request, repeatable), None
    except OAuthError as error:
        if shows_credential(request.scope["query_string"]):
            # Credentials in the address are not read, so they authenticate no client.
            raise
        body = await request.body()
        with service.counting_failures(request):
            return credentials_of(body), error


def _must_be_whole(form_error: OAuthError | None) -> None:
    if form_error is not None:
        raise form_error


def _endpoint(service: Service, endpoint: Endpoint, *, refused: int = 400) -> Endpoint:
    """Return an endpoint that reports errors in the OAuth format."""

    @wraps(endpoint)
    async def answering(request: Request) -> Response:
        try:
            return await endpoint(request)
        except OAuthError as error:
            oauth_error = error
        except JitidError as error:
            if isinstance(error, LimitedError):
                service.metrics.count("limited")
            oauth_error = as_oauth(error, refused=refused)
        if oauth_error.status == 401:
            if oauth_client_auth.uses_basic(request):
                # RFC 6749, section 5.2: the scheme that the client used.
                oauth_error.headers["www-authenticate"] = oauth_client_auth.BASIC
            # RFC 9110, section 15.5.2: each 401 has a challenge.
            oauth_error.headers.setdefault("www-authenticate", CHALLENGE[1].decode())
        record_of(request.scope).error = oauth_error.code
        return oauth_error.response()

    return answering
