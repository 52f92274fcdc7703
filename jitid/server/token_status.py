"""The status of a token for its holder: a secret scanner checks whether a token that it found still works."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from jitid.capabilities.access.operations import Authenticate
from jitid.capabilities.issue.token_operations import Introspect
from jitid.errors import InvalidCredentialError, UnauthenticatedError
from jitid.model.access import Caller
from jitid.server.forward_auth import shown_token, shows_token
from jitid.server.oauth_form import KEPT_NOWHERE, document
from jitid.values.secret import Secret

if TYPE_CHECKING:
    from starlette.requests import Request

    from jitid.authority.local import LocalAuthority
    from jitid.server.service import Service

PLACE = "/token-status"

_REALM = 'Bearer realm="jitid"'

_ANYBODY = Caller("system:token-status", frozenset({"verifier"}))
"""The caller under which requests are counted.

No credential is required besides the token: its holder could try it anyway, and learns no more than that.
"""


def routes(service: Service) -> list[BaseRoute]:
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
