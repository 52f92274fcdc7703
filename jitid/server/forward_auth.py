"""Forward authentication: a proxy (such as nginx with `auth_request`) checks whether it may forward a request.

The original request target is parsed strictly: the path of the decision is the path that is served.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import quote, unquote_to_bytes

from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from jitid.capabilities.identity import recognise_token
from jitid.capabilities.identity.operations import Verify
from jitid.errors import InvalidCredentialError, PolicyDeniedError, UsageError
from jitid.model.access import Caller
from jitid.model.credential import TOKENS, TokenUse
from jitid.redaction.token_format import MAX_TOKEN
from jitid.server import protected_resource
from jitid.server.metrics import record_of
from jitid.server.oauth_form import KEPT_NOWHERE, MAX_FORM, OAuthError, parse_form, plain
from jitid.values.names import check_audience
from jitid.values.scope import Scope, parse_scopes, uncovered
from jitid.values.secret import Secret

if TYPE_CHECKING:
    from starlette.requests import Request

    from jitid.authority.local import LocalAuthority
    from jitid.model.credential import Credential
    from jitid.server.service import Service


_KEPT = "/:@!$&'()*+,="
"""Characters that stay unescaped besides letters, digits and `-._~` (RFC 3986, section 3.3), without `;`."""

_PATH = re.compile(r"/(?:[A-Za-z0-9._~!$&'()*+,=:@/-]|%[0-9A-Fa-f]{2})*", re.ASCII)
# A fragment is never sent (RFC 9112, section 3.2). Nginx ends the path at `#`, but forwards all of it.
_TARGET = re.compile(r"[^#\x00-\x20\x7f]*")
_TWO_WAYS = {
    "an encoded separator": re.compile("%(?:2F|5C|3B)", re.IGNORECASE),
    "an encoded dot": re.compile("%2E", re.IGNORECASE),
    "an encoded percent sign": re.compile("%25"),
    "an encoded question mark or hash": re.compile("%(?:3F|23)", re.IGNORECASE),
    "an encoded control character": re.compile("%(?:[01][0-9A-F]|7F)", re.IGNORECASE),
}
"""Escapes that some servers decode late, and some twice. Separators are `/`, `\\` and `;`."""


def path_of(target: str) -> str:
    """Return the path of a request target in one spelling (RFC 3986, section 6.2.2), without its query.

    Only characters that need it are percent-encoded, so that a rule about a path matches every spelling of it. A query
    may hold secrets, and is dropped.

    Raises:
        UsageError: two servers could read two different paths in the target.

    """
    if not target.startswith("/"):
        raise UsageError("the proxy sent no path of the original request", "set the header X-Original-URI")
    path = target.partition("?")[0]
    if not _TARGET.fullmatch(target) or not _PATH.fullmatch(path):
        # RFC 3986, section 3.3, and RFC 9110, section 4.1; some servers read a backslash as a slash, and drop the text
        # after a semicolon.
        _refuse("a character that must be percent-encoded")
    for fault, encoded in _TWO_WAYS.items():
        if encoded.search(path):
            _refuse(fault)
    decoded = unquote_to_bytes(path)
    prefix, *segments = decoded.split(b"/")
    assert not prefix
    if b"" in segments[:-1]:
        _refuse("an empty segment")
    if b"." in segments or b".." in segments:
        # RFC 3986, section 5.2.4.
        _refuse("a segment `.` or `..`")
    if any(segment.endswith((b".", b" ")) for segment in segments):
        # Some file systems drop these characters at the end of a name.
        _refuse("a segment that ends in a dot or a space")
    if not decoded.isascii():
        _check_text(decoded)
    return quote(decoded, safe=_KEPT)


def _check_text(path: bytes) -> None:
    try:
        text = path.decode()
    except UnicodeDecodeError:
        _refuse("encoded bytes that are not UTF-8")
    if unicodedata.normalize("NFKC", text) != text:
        # Some servers and file systems read it as the similar plain text, such as a full-width slash as a slash.
        _refuse("text that is not in the form NFKC (Unicode Standard Annex 15)")
    if any(not character.isascii() and unicodedata.category(character)[0] not in "LMN" for character in text):
        _refuse("a non-ASCII character that is neither a letter nor a digit")


def _refuse(fault: str) -> NoReturn:
    raise UsageError(f"the path of the request has {fault}: servers interpret it differently")


PLACE = "/forward-auth"
SCHEME = "Bearer"
"""The scheme of tokens in the header `Authorization` (RFC 6750)."""

_PROXY = Caller("system:forward-auth", frozenset({"verifier"}))
"""The caller under which requests are counted.

The proxy needs no credential: it shows the token of its client, and each client learns only whether its own token is
valid. The setting `audience` registers the audiences of the proxy.
"""

_PLACES = ("x-original-uri", "x-forwarded-uri")
"""Headers in which proxies send the path of the original request."""

_KNOWN = ("audience", "scope", "action")


def routes(service: Service) -> list[BaseRoute]:
    """Return the route of forward authentication."""
    proxy = _PROXY._replace(audiences=service.config.many("audience") or None)

    def where(request: Request) -> str:
        """Return the parameters of a challenge for a client without a valid token: where to get one."""
        try:
            audiences, scopes, _ = _requirements(request)
        except (UsageError, OAuthError):
            return ""
        return protected_resource.challenge(service, audiences or proxy.audiences or (), scopes)

    async def authenticate(request: Request) -> Response:
        if not shows_token(request):
            return _challenge(request, 401, where(request))
        token = shown_token(request)
        if token is None:
            return _challenge(request, 401, _error("invalid_token", "the token is malformed"))
        try:
            audiences, scopes, action = _requirements(request)
        except (UsageError, OAuthError) as error:
            # A mistake in the proxy's configuration: no request gets through.
            return Response(f"{error}\n", 400, KEPT_NOWHERE, "text/plain")

        def work(authority: LocalAuthority) -> Credential:
            serving = authority.serving(proxy)
            # A proxy without an audience accepts only tokens for the authority's name.
            required_audiences = audiences or proxy.audiences or (authority.names_now().issuer,)
            # An invalid token is not recorded: any client could fill the ledger.
            credential = serving.perform(Verify(token=token, audiences=required_audiences))
            if credential.kind not in TOKENS:
                raise InvalidCredentialError(recognise_token.NO_RIGHT)
            if credential.token_use == TokenUse.IDENTITY:
                raise InvalidCredentialError(
                    "an identity token is valid only at the authority, not at a service"
                )
            if action is None:
                return credential
            # Each use is recorded. The rate limit belongs to the shown identity, apart from its holder's own limit.
            service.keep_pace(f"shown {credential.id}")
            from jitid.capabilities.use.authorization import UseRequest, check_resource
            from jitid.capabilities.use.operations import Authorize

            (verdict,) = serving.perform(
                Authorize(
                    asked=(UseRequest(token, action, check_resource(_resource(request))),),
                    audiences=required_audiences,
                )
            ).verdicts
            if not verdict.valid or verdict.credential is None:
                raise InvalidCredentialError(verdict.reason or "the token is not valid")
            if not verdict.allowed:
                raise PolicyDeniedError(verdict.reason or "denied")
            return verdict.credential

        try:
            credential = await service.within(work)
        except InvalidCredentialError as error:
            description = _error("invalid_token", error.message)
            return _challenge(request, 401, f"{description}{where(request)}")
        except (PolicyDeniedError, UsageError) as error:
            return _challenge(request, 403, _error("insufficient_scope", error.message))
        missing = uncovered([Scope(scope) for scope in credential.scopes], scopes)
        if missing:
            challenge = _error("insufficient_scope", "the token lacks a required scope")
            return _challenge(request, 403, f'{challenge}, scope="{" ".join(scopes)}"')
        return Response(headers={**KEPT_NOWHERE, **_headers(credential)})

    return [Route(PLACE, authenticate, methods=["GET"])]


def _requirements(request: Request) -> tuple[tuple[str, ...], tuple[Scope, ...], Scope | None]:
    """Return the proxy's demands: audiences of the token, scopes that it must hold, an action that it must permit."""
    query = request.scope["query_string"]
    form = parse_form(query[: MAX_FORM + 1], ("audience", "scope"))
    if not set(form.names()) <= set(_KNOWN):
        raise UsageError(f"the parameters must be among: {', '.join(_KNOWN)}")
    action = form.one("action")
    if action is not None:
        from jitid.capabilities.use.authorization import check_action

        action = check_action(action)
    return (
        tuple(check_audience(audience) for audience in form.many("audience")),
        parse_scopes(form.many("scope")),
        None if action is None else Scope(action),
    )


def shows_token(request: Request) -> bool:
    """Return whether a request has a token, malformed or not (RFC 6750, section 3.1)."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return scheme.lower() == "bearer" and token.strip(" ") != ""


def shown_token(request: Request) -> Secret | None:
    """Return the token of a request (RFC 6750, section 2.1), not yet verified; None if the header is malformed."""
    headers = request.headers.getlist("authorization")
    if len(headers) != 1:
        return None
    scheme, _, token = headers[0].partition(" ")
    token = token.strip(" ")
    return Secret.single(token) if scheme.lower() == "bearer" and 0 < len(token) <= MAX_TOKEN else None


def _resource(request: Request) -> str:
    """Return the resource of the original request: its path, in one spelling.

    Raises:
        UsageError: two servers could read different paths, or the proxy sends two paths or none.

    """
    paths = {path for name in _PLACES for path in request.headers.getlist(name)}
    if len(paths) > 1:
        # Proxies set one of these headers and forward the other unchanged from the client.
        raise UsageError("the headers of the request contain two different paths")
    return path_of("".join(paths))


def _error(code: str, description: str) -> str:
    return f'error="{code}", error_description="{plain(description)}"'


def _challenge(request: Request, status: int, error: str) -> Response:
    """Return a refusal (RFC 6750, section 3): 401 if another token can help, 403 if the client lacks a permission."""
    record_of(request.scope).error = "invalid_credential" if status == 401 else "denied"
    parameters = error if error.startswith(",") or not error else f", {error}"
    challenge = f'{SCHEME} realm="jitid"{parameters}'
    return Response(status_code=status, headers={**KEPT_NOWHERE, "www-authenticate": challenge})


def _headers(credential: Credential) -> dict[str, str]:
    """Return the agent, delegator and task as headers for the proxy to forward. Names are valid header values."""
    return {
        "x-jitid-agent": credential.agent,
        "x-jitid-delegator": credential.delegator,
        "x-jitid-task": credential.task,
        "x-jitid-scopes": " ".join(credential.scopes),
        "x-jitid-id": credential.id,
        "x-jitid-jti": credential.jti,
    }
