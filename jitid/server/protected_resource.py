"""Metadata of protected resources (RFC 9728): clients of a service learn which authority issues its tokens.

The services are those behind a proxy with forward authentication. Their challenge names the address of the metadata at
this authority, so the services need no such document themselves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from jitid.errors import UsageError
from jitid.server.answers import dumps
from jitid.server.oauth_form import OAuthError, parse_form, usage
from jitid.values.names import check_audience
from jitid.values.scope import Scope, parse_scopes

if TYPE_CHECKING:
    from collections.abc import Collection

    from starlette.requests import Request

    from jitid.server.service import Service

PLACE = "/.well-known/oauth-protected-resource"
ROUTE = f"{PLACE}{{path:path}}"

_PUBLIC = {"cache-control": "public, max-age=60"}
# Some clients look for `scope=` anywhere in a challenge, so the address there must not contain it.
_KNOWN = ("resource", "scopes")


def routes(service: Service) -> list[BaseRoute]:
    """Return the route of the metadata."""

    async def found(request: Request) -> Response:
        form = parse_form(request.scope["query_string"], ("scopes",))
        if not set(form.names()) <= set(_KNOWN):
            raise OAuthError("invalid_request", f"the parameters must be among: {', '.join(_KNOWN)}")
        issuer = (await service.names_now()).issuer
        if not _is_address(issuer):
            raise OAuthError("no_discovery", "the issuer of this ledger is not an address", 404)
        if request.scope["path"] not in (PLACE, f"{PLACE}{urlsplit(issuer).path.rstrip('/')}"):
            raise OAuthError("not_found", "no resource has this path", 404)
        try:
            # Without a parameter: the authority itself. Its bearer tokens are its own identity tokens.
            resource = _resource(form.one("resource") or issuer)
            scopes = parse_scopes(form.many("scopes"))
        except UsageError as error:
            raise usage("invalid_request", error) from None
        metadata: dict[str, Any] = {
            "resource": resource,
            "authorization_servers": [issuer],
            "bearer_methods_supported": ["header"],
        }
        if scopes:
            metadata["scopes_supported"] = scopes
        return Response(dumps(metadata), 200, _PUBLIC, "application/json")

    async def answering(request: Request) -> Response:
        try:
            return await found(request)
        except OAuthError as error:
            return error.response()

    return [Route(ROUTE, answering, methods=["GET"])]


def challenge(service: Service, audiences: Collection[str], scopes: Collection[Scope]) -> str:
    """Return the parameters of a challenge that lead a client without a valid token to this authority.

    An empty text if that is impossible: the service does not require one audience that is an address, or clients cannot
    look up the issuer.
    """
    needed = " ".join(scopes)
    stated = f', scope="{needed}"' if needed else ""
    # The names at the start suffice: a refusal must stay cheap, and the metadata reads them again.
    issuer = service.names.issuer
    if len(audiences) != 1 or not _is_address(issuer):
        return stated
    (audience,) = audiences
    try:
        query = f"resource={quote(_resource(audience), safe='')}"
    except UsageError:
        return stated
    if needed:
        query += f"&scopes={quote(needed, safe='')}"
    # Clients reach the authority at its issuer; the service itself may know only a socket.
    origin = urlsplit(issuer)._replace(path="", query="", fragment="").geturl()
    return f'{stated}, resource_metadata="{origin}{PLACE}?{query}"'


def _resource(text: str) -> str:
    """Return the identifier of a resource (RFC 9728, section 1.2). Raises UsageError if it is not an address."""
    resource = check_audience(text)
    if not _is_address(resource) or "#" in resource:
        raise UsageError("a resource must be an https address without a fragment")
    return resource


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return parts.scheme in ("https", "http") and bool(parts.hostname)
