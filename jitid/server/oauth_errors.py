"""Errors as OAuth tells them (RFC 6749, section 5.2), and which one each error of jitid is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import Response

from jitid.errors import (
    ApprovalNeededError,
    InvalidCredentialError,
    JitidError,
    PolicyDeniedError,
    PresenterError,
    RefusedError,
    ShownError,
    UnauthenticatedError,
    UsageError,
)
from jitid.server.answers import dumps, headers_of, status_of
from jitid.values.text import safe

if TYPE_CHECKING:
    from collections.abc import Mapping

KEPT_NOWHERE = {"cache-control": "no-store", "pragma": "no-cache"}
"""Of answers with credentials, and of those that were true for a moment (RFC 6749, section 5.1)."""

_LONGEST = 1_000
# RFC 6749, section 5.2: what an `error_description` cannot have.
_PLAIN = str.maketrans({'"': "'", "\\": "/"})
# RFC 6749, section 5.2; RFC 8707, section 2; RFC 9396, section 5.
_TOO_MUCH = {
    "scope": "invalid_scope",
    "audience": "invalid_target",
    "detail": "invalid_authorization_details",
}


class OAuthError(Exception):
    """An error with the code and the status that a client expects of it."""

    def __init__(
        self, code: str, description: str, status: int = 400, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(description)
        self.code = code
        self.description = description
        self.status = status
        self.headers = dict(headers or {})

    def response(self) -> Response:
        """Return the answer that tells it."""
        told = {"error": self.code, "error_description": plain(self.description)}
        return document(told, self.status, self.headers)


def document(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return a JSON document as an answer that nobody on the way may keep."""
    return Response(dumps(value), status, {**KEPT_NOWHERE, **(headers or {})}, "application/json")


def plain(text: str) -> str:
    """Return a text in the characters that an `error_description` has, and no longer than people read."""
    shown = safe(text).translate(_PLAIN).encode("ascii", "replace").decode("ascii")
    return shown if len(shown) <= _LONGEST else f"{shown[:_LONGEST]}..."


def as_oauth(error: JitidError, *, refused: int = 400) -> OAuthError:
    """Return how a client is told an error; `refused` is the status where it may not ask for what it asked."""
    told = error.message if error.hint is None else f"{error.message}; {error.hint}"
    match error:
        case UnauthenticatedError():
            # With the scheme that the client used, or could have used.
            return OAuthError("invalid_client", error.message, 401, _headers(error))
        case ApprovalNeededError():
            # RFC 8628, section 3.5: the same request, made again, is granted as soon as others have approved of it.
            return OAuthError("authorization_pending", told)
        case PolicyDeniedError(about=about):
            return OAuthError(_TOO_MUCH.get(about or "", "access_denied"), told)
        case ShownError():
            # RFC 8693, section 2.2.2: a subject's or an actor's token that is not accepted.
            return OAuthError("invalid_request", told)
        case RefusedError():
            return OAuthError("unauthorized_client", told, refused)
        case PresenterError():
            # RFC 6749, section 5.2: it was issued to another client.
            return OAuthError("invalid_grant", told)
        case InvalidCredentialError():
            # RFC 8693, section 2.2.2: so it is with a subject's or an actor's token that is not valid "for any reason".
            return OAuthError("invalid_request", told)
        case _:
            status = status_of(error)
            code = {503: "temporarily_unavailable", 429: "temporarily_unavailable", 500: "server_error"}
            return OAuthError(code.get(status, "invalid_request"), told, status, _headers(error))


def usage(code: str, error: UsageError) -> OAuthError:
    """Return the error for a value of a parameter that cannot be meant."""
    return OAuthError(code, error.message if error.hint is None else f"{error.message}; {error.hint}")


def _headers(error: JitidError) -> dict[str, str]:
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in headers_of(error)}
