"""A guard for Starlette and FastAPI: no request reaches the application without a valid token for it.

    pip install starlette uvicorn         # beside jitid
    uvicorn asgi_guard:app

For FastAPI: app.add_middleware(AuthenticationMiddleware, backend=Guard(), on_error=refused). The endpoints find the
verified token at `request.user`. WebSockets are guarded, too.
"""

from functools import partial
from typing import Any

from anyio import CapacityLimiter, to_thread
from starlette.applications import Starlette
from starlette.authentication import AuthCredentials, AuthenticationBackend, AuthenticationError
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse
from starlette.routing import Route

import jitid

AUDIENCE = "https://api.example"
# Its own threads: an authority that does not answer must not stop the application's other endpoints.
THREADS = CapacityLimiter(16)


class Guard(AuthenticationBackend):
    """Verifies the bearer token of each request (RFC 6750)."""

    async def authenticate(self, conn: HTTPConnection) -> tuple[AuthCredentials, Any]:
        """Return the verified token. Several headers together are not a token."""
        scheme, _, token = ", ".join(conn.headers.getlist("authorization")).partition(" ")
        try:
            presented = token if scheme.lower() == "bearer" else ""
            verify = partial(jitid.verify, presented, audience=AUDIENCE, timeout=10)
            verified = await to_thread.run_sync(verify, limiter=THREADS)
        except jitid.InvalidCredentialError as error:
            raise AuthenticationError(str(error)) from None
        return AuthCredentials(verified.scopes), verified


def refused(_: HTTPConnection, error: Exception) -> JSONResponse:
    """Return the answer to a request without a valid token."""
    return JSONResponse({"error": str(error)}, 401, {"WWW-Authenticate": 'Bearer error="invalid_token"'})


def issues(request: Request) -> JSONResponse:
    """Answer a request that requires a scope."""
    if not request.user.permits("repo:read:acme"):
        return JSONResponse({}, 403, {"WWW-Authenticate": 'Bearer error="insufficient_scope"'})
    # Both names belong into the service's own log: the delegator, and the acting agent.
    return JSONResponse({"delegator": request.user.delegator, "agent": request.user.agent})


app = Starlette(
    routes=[Route("/issues", issues)],
    middleware=[Middleware(AuthenticationMiddleware, backend=Guard(), on_error=refused)],
)
