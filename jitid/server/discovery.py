"""Public metadata: the endpoints (RFC 8414, OpenID Connect Discovery), the keys (RFC 7517).

And public endpoints about tokens: the status lists that they refer to, and the status of one for its holder. And
liveness, readiness and metrics of the service; these need no credential.
"""

from __future__ import annotations

import asyncio
from hashlib import sha256
from time import monotonic
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from jitid.capabilities.access.operations import Authenticate
from jitid.capabilities.issue.token_operations import Introspect
from jitid.capabilities.trust import publication, status_lists
from jitid.capabilities.trust.operations import MakeStatusList, PublishKeys
from jitid.crypto import status_list
from jitid.crypto.jws import ALGORITHMS
from jitid.errors import InvalidCredentialError, JitidError, NotFoundError, UnauthenticatedError
from jitid.model.access import Caller
from jitid.server import oauth
from jitid.server.answers import dumps
from jitid.server.forward_auth import SCHEME, shown_token, shows_token
from jitid.server.oauth_client_auth import ALGORITHMS as CLIENT_ALGORITHMS
from jitid.server.oauth_client_auth import METHODS
from jitid.server.oauth_form import KEPT_NOWHERE, document
from jitid.values.record import Record
from jitid.values.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

    from jitid.authority.local import LocalAuthority
    from jitid.model.ledger_rows import Names
    from jitid.server.service import Service


KEYS = "/jwks"
METADATA = (
    "/.well-known/oauth-authorization-server{path:path}",
    "/.well-known/openid-configuration{path:path}",
    "/{path:path}/.well-known/openid-configuration",
)
"""The routes of the metadata. They have any path: the issuer, and so its path, may change."""

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
        names = await service.names_now()
        issuer = names.issuer
        metadata = await _metadata(service, names)
        if request.scope["path"] not in _places(issuer):
            return document({"error": "not_found", "error_description": "no issuer has this path"}, 404)
        if metadata is None:
            return document(
                {
                    "error": "no_discovery",
                    "error_description": (
                        f"the issuer of this ledger is {issuer}, not an https address; OAuth clients look up "
                        "metadata at the address of the issuer (RFC 8414, section 3). To change the issuer: `jitid "
                        f"ledger issuer set URL`. The keys are at {service.base_url}{KEYS}"
                    ),
                },
                404,
            )
        return Response(dumps(metadata), 200, _PUBLIC, "application/json")

    async def keys(request: Request) -> Response:
        requested = request.query_params.getlist("alg")
        if len(requested) > 1 or not ALGORITHMS.issuperset(requested):
            known = ", ".join(sorted(ALGORITHMS))
            return document(
                {"error": "invalid_request", "error_description": f"alg must be one of: {known}"}, 400
            )
        operation = PublishKeys(algorithm=requested[0] if requested else None)
        text = dumps(await service.within(lambda authority: authority.perform(operation)))
        return _with_etag(request, text, _PUBLIC, "application/jwk-set+json")

    return [*[Route(template, found) for template in METADATA], Route(KEYS, keys)]


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


def _etag(raw: bytes) -> str:
    return f'"{sha256(raw).hexdigest()[:32]}"'


def _with_etag(
    request: Request, text: bytes | str, headers: Mapping[str, str], media_type: str, etag: str | None = None
) -> Response:
    """Return a cacheable document; only its headers if the client has it already (RFC 9110, section 13.1.2)."""
    raw = text.encode() if isinstance(text, str) else text
    etag = etag or _etag(raw)
    headers = {**headers, "etag": etag}
    known_etags = [known.strip() for known in request.headers.get("if-none-match", "").split(",")]
    if etag in known_etags or f"W/{etag}" in known_etags:
        return Response(None, 304, headers)
    return Response(raw, 200, headers, media_type)


async def _metadata(service: Service, names: Names) -> dict[str, Any] | None:
    """Return the metadata of the authorization server; None if its issuer is not an http(s) address."""
    issuer = names.issuer
    if urlsplit(issuer).scheme not in ("https", "http"):
        return None
    base_url = service.base_url
    algorithms = sorted(CLIENT_ALGORITHMS)
    keys = await service.within(lambda authority: authority.perform(PublishKeys()))
    used = {key["alg"] for key in keys["keys"]} | set(service.config.algorithms.values())
    if names.service_algorithm is not None:
        # The first service token makes its key.
        used.add(names.service_algorithm)
    metadata: dict[str, Any] = {
        "issuer": issuer,
        # Common clients require an endpoint that knows `code` with PKCE, even for other grants. It permits no client to
        # use it: `grant_types_supported` lacks `authorization_code`.
        "authorization_endpoint": f"{base_url}{oauth.AUTHORIZE}",
        "jwks_uri": f"{base_url}{KEYS}",
        "grant_types_supported": list(oauth.GRANTS),
        "authorization_grant_profiles_supported": list(oauth.PROFILES),
        "response_types_supported": [oauth.RESPONSE_TYPE],
        "code_challenge_methods_supported": [oauth.CHALLENGE_METHOD],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": sorted(used),
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


_FRESH = 60
"""Seconds for which a list is cached: making it may read the tokens of a whole day."""


class _KeptList(Record):
    text: str
    etag: str
    made_at: float


class _Lists:
    """A cache of recent lists."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._kept: dict[str, _KeptList] = {}
        # Only one list is made at a time, even if many requests need missing lists.
        self._making = asyncio.Lock()

    async def get(self, name: str) -> _KeptList:
        """Return the list with that file name. Raises NotFoundError."""
        fresh_list = self._fresh(name)
        if fresh_list is not None:
            return fresh_list
        list_number = publication.number_of(name)
        if list_number < 0:
            raise NotFoundError("unknown status list")
        (algorithm,) = [
            candidate for candidate in ALGORITHMS if status_list.file_name(list_number, candidate) == name
        ]
        operation = MakeStatusList(number=list_number, algorithm=algorithm)
        async with self._making:
            fresh_list = self._fresh(name)
            if fresh_list is not None:
                return fresh_list
            text = await self._service.within(lambda authority: authority.perform(operation), long=True)
            # Only lists that live tokens may name exist, so the fresh ones need no limit.
            self._kept = {each: kept for each, kept in self._kept.items() if self._fresh(each)}
            new_list = self._kept[name] = _KeptList(text, _etag(text.encode()), monotonic())
            return new_list

    def _fresh(self, name: str) -> _KeptList | None:
        kept_list = self._kept.get(name)
        return kept_list if kept_list is not None and monotonic() - kept_list.made_at < _FRESH else None


def status_list_routes(service: Service) -> list[BaseRoute]:
    """Return the route of the lists."""
    lists = _Lists(service)

    async def listed(request: Request) -> Response:
        kept_list = await lists.get(request.path_params["name"])
        return _with_etag(
            request,
            kept_list.text,
            {"cache-control": f"public, max-age={_FRESH}"},
            status_list.MEDIA_TYPE,
            kept_list.etag,
        )

    return [Route(f"/{status_lists.FOLDER}/{{name}}", listed)]


PLACE = "/token-status"

_REALM = f'{SCHEME} realm="jitid"'

_ANYBODY = Caller("system:token-status", frozenset({"verifier"}))
"""The caller under which requests are counted.

No credential is required besides the token: its holder could try it anyway, and learns no more than that.
"""


def token_status_routes(service: Service) -> list[BaseRoute]:
    """Return the route of the status check."""

    async def check_token(request: Request) -> Response:
        token = shown_token(request)
        if not shows_token(request):
            return Response(status_code=401, headers={**KEPT_NOWHERE, "www-authenticate": _REALM})
        if token is not None and await service.within(lambda authority: _works(authority, token)):
            return document({"active": True})
        # Scanners interpret this status (RFC 6750, section 3.1), and the body shows that jitid sent it.
        return document({"active": False}, 401, {"www-authenticate": f'{_REALM}, error="invalid_token"'})

    return [Route(PLACE, check_token, methods=["GET"])]


def _works(authority: LocalAuthority, token: Secret) -> bool:
    """Return whether a token works anywhere: at a service of its audience, or as access to this authority."""
    try:
        authority.serving(_ANYBODY).perform(Introspect(token=token))
    except InvalidCredentialError:
        try:
            authority.perform(Authenticate(bearer=token))
        except UnauthenticatedError:
            return False
    return True


_PATIENCE = 3.0
"""Seconds to wait for the ledger before it counts as unavailable."""
_CHECKED = 1.0
"""Seconds for which one check of the ledger serves all requests."""


def health_routes(service: Service) -> list[BaseRoute]:
    """Return the routes of health and metrics."""
    looker = _Looker(service)

    async def healthz(_request: Request) -> Response:
        return PlainTextResponse("ok\n", headers={"cache-control": "no-store"})

    async def readyz(_request: Request) -> Response:
        condition = await looker.found()
        error = condition.away or condition.hindered
        document = {
            "ready": condition.away is None,
            # A service that cannot issue can still verify, revoke and report, so it stays ready.
            "issues": error is None,
            "error": None if error is None else error.code,
        }
        return Response(
            dumps(document),
            200 if condition.away is None else 503,
            {"cache-control": "no-store"} | ({} if condition.away is None else {"retry-after": "1"}),
            "application/json",
        )

    async def metrics(_request: Request) -> Response:
        condition = await looker.found()
        return Response(
            service.metrics.text(
                ledger_up=condition.away is None, issues=condition.away is None and condition.hindered is None
            ),
            headers={"cache-control": "no-store"},
            media_type="text/plain; version=0.0.4",
        )

    return [Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", metrics)]


class _Condition(Record):
    """The condition at the last check."""

    away: JitidError | None
    """The error if the ledger cannot be used; None if it can."""
    hindered: JitidError | None
    """The error if the ledger is available, but the service cannot issue; None if it can."""


class _Looker:
    """A check of the ledger, at most once per `_CHECKED` seconds."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._found = _Condition(None, None)
        self._until = 0.0
        self._turn = asyncio.Lock()

    async def found(self) -> _Condition:
        """Return the current condition, at most `_CHECKED` seconds old."""
        async with self._turn:
            if monotonic() >= self._until:
                try:
                    self._found = _Condition(None, await self._service.ready(_PATIENCE))
                except JitidError as error:
                    self._found = _Condition(error, None)
                self._until = monotonic() + _CHECKED
        return self._found
