"""Public metadata: the endpoints (RFC 8414, OpenID Connect Discovery), the keys (RFC 7517)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from jitid.capabilities.trust.operations import PublishKeys
from jitid.capabilities.trust.publication import RESPONSE_TYPES
from jitid.crypto.jws import ALGORITHMS
from jitid.server import oauth, token_endpoint
from jitid.server.answers import dumps
from jitid.server.oauth_client_auth import ALGORITHMS as CLIENT_ALGORITHMS
from jitid.server.oauth_client_auth import METHODS
from jitid.server.oauth_form import document

if TYPE_CHECKING:
    from starlette.requests import Request

    from jitid.server.service import Service

KEYS = "/jwks"

_PUBLIC = {"cache-control": "public, max-age=60"}
"""Cache headers. The lifetime is short: a verifier may accept a revoked key until its cached key set expires."""
_METHODS = {
    "token": METHODS,
    # RFC 8414, section 2: an introspection endpoint may name types of access tokens too, a revocation endpoint may not.
    "introspection": (*METHODS, "Bearer"),
    "revocation": METHODS,
}
"""Authentication methods of clients at each endpoint."""


def routes(service: Service) -> list[BaseRoute]:
    """Return the routes of the public documents."""

    async def found(request: Request) -> Response:
        # Read for each request: the issuer may be renamed while the service runs.
        issuer = (await service.names_now()).issuer
        metadata = _metadata(service, issuer)
        if request.scope["path"] not in _places(issuer):
            return document({"error": "not_found", "error_description": "no issuer has that path here"}, 404)
        if metadata is None:
            return document(
                {
                    "error": "no_discovery",
                    "error_description": (
                        f"the issuer of this ledger is {issuer}, which is no address, and clients look for "
                        "metadata at the address that is the issuer (RFC 8414, section 3): give the ledger of an "
                        "authority for OAuth clients its https address with `jitid ledger issuer set URL`. The keys "
                        f"are at {service.base_url}{KEYS}"
                    ),
                },
                404,
            )
        return Response(dumps(metadata), 200, _PUBLIC, "application/json")

    async def keys(_request: Request) -> Response:
        published = await service.within(lambda authority: authority.perform(PublishKeys()))
        return Response(dumps(published), 200, _PUBLIC, "application/jwk-set+json")

    # Any path: the issuer, and so its path, may change.
    templates = (
        "/.well-known/oauth-authorization-server{path:path}",
        "/.well-known/openid-configuration{path:path}",
        "/{path:path}/.well-known/openid-configuration",
    )
    return [*[Route(template, found) for template in templates], Route(KEYS, keys)]


def _path(issuer: str) -> str:
    return urlsplit(issuer).path.rstrip("/") if urlsplit(issuer).scheme in ("https", "http") else ""


def _places(issuer: str) -> set[str]:
    """Return the paths at which clients look for the metadata of an issuer."""
    path = _path(issuer)
    return {
        # RFC 8414, section 3.1, puts the well-known part before the issuer's path; OpenID Connect puts it behind.
        f"/.well-known/oauth-authorization-server{path}",
        f"/.well-known/openid-configuration{path}",
        f"{path}/.well-known/openid-configuration",
    }


def _metadata(service: Service, issuer: str) -> dict[str, Any] | None:
    """Return the metadata of the authorization server; None if its issuer is not an http(s) address."""
    if urlsplit(issuer).scheme not in ("https", "http"):
        return None
    base_url = service.base_url
    algorithms = sorted(CLIENT_ALGORITHMS)
    metadata: dict[str, Any] = {
        "issuer": issuer,
        # Common clients require it, even for other grants; it refuses every response type.
        "authorization_endpoint": f"{base_url}{oauth.AUTHORIZE}",
        "jwks_uri": f"{base_url}{KEYS}",
        "grant_types_supported": list(token_endpoint.GRANTS),
        "response_types_supported": RESPONSE_TYPES,
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": sorted(ALGORITHMS),
    }
    types = service.config.many("detail_types")
    if types:
        # RFC 9396, section 10; without the setting any type is accepted, which the member cannot say.
        metadata["authorization_details_types_supported"] = list(types)
    for name, path in (
        ("token", oauth.TOKEN),
        ("introspection", oauth.INTROSPECT),
        ("revocation", oauth.REVOKE),
    ):
        metadata[f"{name}_endpoint"] = f"{base_url}{path}"
        metadata[f"{name}_endpoint_auth_methods_supported"] = list(_METHODS[name])
        metadata[f"{name}_endpoint_auth_signing_alg_values_supported"] = algorithms
    return metadata
