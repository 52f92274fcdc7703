"""The OAuth endpoints: token, introspection (RFC 7662), revocation (RFC 7009), and an authorization endpoint.

The token endpoint: token exchange (RFC 8693), the assertion of an identity provider (RFC 7523, ID-JAG), and client
credentials (RFC 6749, section 4.4) for systems.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from functools import wraps
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from jitid.capabilities.access.operations import RevokeAccess
from jitid.capabilities.issue.may_act import own_agent
from jitid.capabilities.issue.operations import Issue
from jitid.capabilities.issue.token_operations import Exchange, Introspect, RevokeToken
from jitid.capabilities.issue.token_perform import new_task
from jitid.errors import InvalidCredentialError, JitidError, ShownError, UsageError
from jitid.model.credential import TOKENS, Kind, TokenUse
from jitid.model.delegation import act_claim, actors_of
from jitid.model.request import IssueRequest
from jitid.model.task import MAX_PURPOSE, SENSITIVITIES, check_task
from jitid.server import oauth_client_auth
from jitid.server.answers import CHALLENGE, LimitedError
from jitid.server.metrics import record_of
from jitid.server.oauth_form import (
    OAuthError,
    OAuthForm,
    as_oauth,
    credentials_of,
    document,
    parse_form,
    read_form,
    shows_credential,
    usage,
)
from jitid.values import strict_json
from jitid.values.names import check_audience, check_name
from jitid.values.record import Record
from jitid.values.scope import Scope, parse_scopes
from jitid.values.secret import Secret
from jitid.values.times import parse_duration

if TYPE_CHECKING:
    from starlette.requests import Request

    from jitid.capabilities.issue.issue_result import Issued
    from jitid.capabilities.issue.token_operations import Introspected
    from jitid.model.access import Caller, TokenType
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
    if credential.subject is not None:
        from jitid.model.subject_template import rendered

        # `sub` names the delegator, as for every other token; this is the `sub` that the token shows to its vendor.
        context["subject"] = rendered(credential, introspected.trust_domain)
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
RESPONSE_TYPE, CHALLENGE_METHOD = "code", "S256"
"""The only response type that the authorization endpoint knows, and its only method of PKCE (RFC 7636)."""
TOKEN = "/token"  # noqa: S105 - a path
INTROSPECT = "/introspect"
REVOKE = "/revoke"

Endpoint = Callable[["Request"], Awaitable[Response]]


def routes(service: Service) -> list[BaseRoute]:
    """Return the routes of OAuth."""

    async def token(request: Request) -> Response:
        form, form_error = await _form(service, request, REPEATABLE)

        def work(authority: Authority, caller: Caller) -> tuple[TokenRequest, Issued]:
            _must_be_valid(form, form_error, caller)
            must_be_served(caller, form)
            token_request = parse_request(form)
            return token_request, grant(authority, caller, token_request)

        return answer(*await oauth_client_auth.call(service, request, form, work))

    async def introspect(request: Request) -> Response:
        form, form_error = await _form(service, request)

        def work(authority: Authority, caller: Caller) -> dict[str, Any]:
            _must_be_valid(form, form_error, caller)
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
            _must_be_valid(form, form_error, caller)
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

    async def authorize(request: Request) -> Response:
        # RFC 6749, section 4.1.2.1: no client has registered a redirection URI, so the answer redirects nowhere, and
        # says nothing about the client.
        if request.method == "POST":
            raise _authorization_refusal(await read_form(request))
        raise _authorization_refusal(parse_form(request.scope["query_string"]))

    return [
        Route(AUTHORIZE, _endpoint(service, authorize), methods=["GET", "POST"]),
        Route(TOKEN, _endpoint(service, token), methods=["POST"]),
        Route(INTROSPECT, _endpoint(service, introspect, refused=403), methods=["POST"]),
        Route(REVOKE, _endpoint(service, revoke, refused=403), methods=["POST"]),
    ]


def _authorization_refusal(form: OAuthForm) -> OAuthError:
    """Return why no authorization code is issued (RFC 6749, section 4.1.2.1; RFC 7636, section 4.4.1)."""
    response_type = form.one("response_type")
    if response_type is None:
        return OAuthError("invalid_request", "the parameter response_type is missing")
    if response_type != RESPONSE_TYPE:
        return OAuthError("unsupported_response_type", f"the response_type must be {RESPONSE_TYPE}")
    if form.one("code_challenge") is None or form.one("code_challenge_method") != CHALLENGE_METHOD:
        return OAuthError(
            "invalid_request", f"a code_challenge of the method {CHALLENGE_METHOD} is required (RFC 7636)"
        )
    return OAuthError(
        "unauthorized_client",
        "no client of this authority may get authorization codes: post a grant to the token endpoint",
    )


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


def _must_be_valid(form: OAuthForm, form_error: OAuthError | None, caller: Caller) -> None:
    """Refuse a form of another client, and an invalid form. Raises OAuthError."""
    oauth_client_auth.must_be_named(form, caller)
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


EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
CLIENT_CREDENTIALS = "client_credentials"
ASSERTION = "urn:ietf:params:oauth:grant-type:jwt-bearer"
GRANTS = (EXCHANGE, CLIENT_CREDENTIALS, ASSERTION)
PROFILES = ("urn:ietf:params:oauth:grant-profile:id-jag",)
"""The only assertions of that grant (draft-ietf-oauth-identity-assertion-authz-grant)."""

REPEATABLE = ("resource", "audience")
"""Parameters that may be repeated (RFC 8693, section 2.1; RFC 8707, section 2)."""

_TYPE = "urn:ietf:params:oauth:token-type:"
_TOKEN_TYPES: dict[str, TokenType] = {
    f"{_TYPE}access_token": "access_token",
    f"{_TYPE}id_token": "id_token",
    f"{_TYPE}jwt": "jwt",
}
_MADE = (f"{_TYPE}access_token", f"{_TYPE}jwt")
"""Token types that an exchange can issue (RFC 8693, section 3)."""

_PREFIX = "jitid_"
_OWN = frozenset(
    f"{_PREFIX}{name}"
    for name in ("task", "purpose", "sensitivity", "ttl", "kind", "agent", "allow_narrower")
)
"""jitid's own parameters, with its prefix (RFC 6749, section 8.2)."""


class TokenRequest(Record):
    """A request at the token endpoint, parsed as far as that does not depend on the client."""

    grant: str
    request: IssueRequest
    agent: str | None
    subject: Secret | None = None
    subject_sort: TokenType = "jwt"
    actor: Secret | None = None
    actor_sort: TokenType = "jwt"
    type: str = _MADE[0]


def must_be_served(caller: Caller, form: OAuthForm) -> None:
    """Refuse a client that may not use the grant of a form. Raises OAuthError."""
    if form.one("grant_type") == CLIENT_CREDENTIALS and not (caller.delegator or "").startswith("system:"):
        raise OAuthError(
            "unauthorized_client",
            f"client_credentials is only for systems, not for {caller.name}: exchange a token instead",
        )


def parse_request(form: OAuthForm) -> TokenRequest:
    """Return the parsed request of a form. Raises OAuthError."""
    grant = form.need("grant_type")
    if grant not in GRANTS:
        raise OAuthError("unsupported_grant_type", f"the grant_type must be {' or '.join(GRANTS)}")
    unknown = [name for name in form.names() if name.startswith(_PREFIX) and name not in _OWN]
    if unknown:
        raise OAuthError(
            "invalid_request", f"unknown parameter; the parameters of jitid: {', '.join(sorted(_OWN))}"
        )
    agent = form.one("jitid_agent")
    request = _request(form)
    if agent is not None:
        agent = _checked("invalid_request", lambda: check_name(agent or "", "agent"))
    if grant == CLIENT_CREDENTIALS:
        return TokenRequest(grant, request, agent)
    if grant == ASSERTION:
        return TokenRequest(grant, request, agent, Secret.single(form.need("assertion")))
    token_type = form.one("requested_token_type") or _MADE[0]
    if token_type not in _MADE or (token_type == _MADE[1] and request.kind != Kind.JWT):
        raise OAuthError("invalid_request", f"the requested_token_type must be {' or '.join(_MADE)}")
    subject, subject_type = _token(form, "subject_token")
    actor, actor_type = _token(form, "actor_token", needed=False)
    assert subject is not None
    return TokenRequest(grant, request, agent, subject, subject_type, actor, actor_type, token_type)


def grant(authority: Authority, caller: Caller, token_request: TokenRequest) -> Issued:
    """Issue the requested token. Raises OAuthError if the grant does not allow it, and the errors of issuing."""
    request = token_request.request._replace(agent=token_request.agent or own_agent(caller))
    if token_request.subject is not None:
        try:
            return authority.perform(
                Exchange(
                    request=request,
                    subject=token_request.subject,
                    subject_sort=token_request.subject_sort,
                    actor=token_request.actor,
                    actor_sort=token_request.actor_sort,
                    assertion=token_request.grant == ASSERTION,
                )
            )
        except (InvalidCredentialError, ShownError) as error:
            if token_request.grant != ASSERTION:
                raise
            # RFC 7521, section 4.1.1.
            raise OAuthError("invalid_grant", error.message) from None
    if token_request.agent not in (None, own_agent(caller)) and "issuer" not in (caller.roles or ()):
        raise OAuthError("unauthorized_client", f"{caller.name} may act only as {own_agent(caller)}")
    request = request._replace(
        delegator=caller.delegator, task=request.task or new_task(request.agent, caller)
    )
    (issued,) = authority.perform(Issue(requests=(request,)))
    return issued


def answer(token_request: TokenRequest, issued: Issued) -> Response:
    """Return the answer with the token (RFC 6749, section 5.1; RFC 8693, section 2.2.1)."""
    (credential,) = issued.credentials
    body: dict[str, Any] = {
        "access_token": credential.secret.reveal(),
        "token_type": "Bearer",
        "expires_in": issued.expires_at - issued.issued_at,
        "jitid": {"id": credential.id, "jti": credential.jti, "task": issued.task},
    }
    if token_request.grant == EXCHANGE:
        body["issued_token_type"] = token_request.type
    if issued.scopes:
        body["scope"] = " ".join(issued.scopes)
    if token_request.request.details:
        # RFC 9396, section 7.
        body["authorization_details"] = [strict_json.loads(text) for text in token_request.request.details]
    return document(body)


def _request(form: OAuthForm) -> IssueRequest:
    ttl, task = form.one("jitid_ttl"), form.one("jitid_task")
    purpose, sensitivity = form.one("jitid_purpose"), form.one("jitid_sensitivity")
    kind = form.one("jitid_kind") or Kind.JWT.value
    narrower = form.one("jitid_allow_narrower")
    if sensitivity not in (None, *SENSITIVITIES):
        raise OAuthError("invalid_request", f"the sensitivity must be one of: {', '.join(SENSITIVITIES)}")
    if purpose is not None and len(purpose) > MAX_PURPOSE:
        raise OAuthError("invalid_request", f"the purpose is longer than {MAX_PURPOSE} characters")
    if kind not in TOKENS:
        # RFC 6749, section 5.1: the answer contains one token as text. The operation Issue makes other kinds.
        raise OAuthError("invalid_request", f"the kind must be one of: {', '.join(sorted(TOKENS))}")
    if narrower not in (None, "true", "false"):
        raise OAuthError("invalid_request", "jitid_allow_narrower must be true or false")
    return IssueRequest(
        task=None if task is None else _checked("invalid_request", lambda: check_task(task)),
        delegator=None,
        agent="",
        kind=kind,
        scopes=_scopes(form.one("scope")),
        # An ID-JAG may name the resource itself.
        audiences=_audiences(form, needed=form.one("grant_type") != ASSERTION),
        ttl=None if ttl is None else _checked("invalid_request", lambda: parse_duration(ttl)),
        purpose=purpose,
        sensitivity=sensitivity,
        details=_details(form.one("authorization_details")),
        allow_narrower=narrower == "true",
    )


def _checked(code: str, check: Any) -> Any:  # noqa: ANN401 - the type of the check's result
    try:
        return check()
    except UsageError as error:
        raise usage(code, error) from None


def _scopes(text: str | None) -> tuple[Scope, ...]:
    if text is None:
        return ()
    scopes: tuple[Scope, ...] = _checked("invalid_scope", lambda: parse_scopes([text]))
    return scopes


def _audiences(form: OAuthForm, *, needed: bool) -> tuple[str, ...]:
    """Return the audiences of the token (RFC 8707, section 2)."""
    resources, audiences = form.many("resource"), form.many("audience")
    if needed and not resources and not audiences:
        raise OAuthError("invalid_target", "the token has no audience: add a resource or an audience")
    for resource in resources:
        try:
            absolute = bool(urlsplit(resource).scheme) and "#" not in resource
        except ValueError:
            absolute = False
        if not absolute:
            raise OAuthError("invalid_target", "a resource must be an absolute URI without a fragment")
    named = (*resources, *audiences)
    checked = _checked("invalid_target", lambda: [check_audience(audience) for audience in named])
    return tuple(dict.fromkeys(checked))


def _details(text: str | None) -> tuple[str, ...]:
    """Return each of the `authorization_details` (RFC 9396, section 2) as canonical JSON text."""
    if text is None:
        return ()
    try:
        details = strict_json.loads(text, "authorization_details")
        if type(details) is not list or not details:
            raise strict_json.StrictJSONError("authorization_details must be a non-empty JSON array")
        if not all(
            type(detail) is dict and type(detail.get("type")) is str and detail["type"] for detail in details
        ):
            raise strict_json.StrictJSONError(
                "each of the authorization_details must be an object with a type"
            )
        return tuple([strict_json.dumps(detail) for detail in details])
    except strict_json.StrictJSONError as error:
        raise OAuthError("invalid_authorization_details", str(error)) from None


def _token(form: OAuthForm, name: str, *, needed: bool = True) -> tuple[Secret | None, TokenType]:
    """Return a token of the form with its type; both are required together (RFC 8693, section 2.1)."""
    text = form.need(name) if needed else form.one(name)
    token_type = form.one(f"{name}_type")
    if text is None:
        if token_type is not None:
            raise OAuthError("invalid_request", f"{name}_type requires {name}")
        return None, "jwt"
    if token_type not in _TOKEN_TYPES:
        raise OAuthError("invalid_request", f"{name}_type must be one of: {', '.join(_TOKEN_TYPES)}")
    return Secret.single(text), _TOKEN_TYPES[token_type]
