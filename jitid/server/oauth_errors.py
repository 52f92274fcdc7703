"""OAuth error responses (RFC 6749, section 5.2), and the OAuth code of each jitid error."""

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
"""Headers of answers with credentials, or about a moment (RFC 6749, section 5.1)."""

_LONGEST = 1_000
# RFC 6749, section 5.2: characters that an `error_description` must not contain.
_PLAIN = str.maketrans({'"': "'", "\\": "/"})
# RFC 6749, section 5.2; RFC 8707, section 2; RFC 9396, section 5.
_TOO_MUCH = {
    "scope": "invalid_scope",
    "audience": "invalid_target",
    "detail": "invalid_authorization_details",
}


class OAuthError(Exception):
    """An error with the code and the status that OAuth clients expect."""

    def __init__(
        self, code: str, description: str, status: int = 400, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(description)
        self.code = code
        self.description = description
        self.status = status
        self.headers = dict(headers or {})

    def response(self) -> Response:
        """Return the HTTP answer for the error."""
        body = {"error": self.code, "error_description": plain(self.description)}
        return document(body, self.status, self.headers)


def document(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return a JSON document as an answer that no cache may store."""
    return Response(dumps(value), status, {**KEPT_NOWHERE, **(headers or {})}, "application/json")


def plain(text: str) -> str:
    """Return a text with only the characters of an `error_description`, and of limited length."""
    plain_text = safe(text).translate(_PLAIN).encode("ascii", "replace").decode("ascii")
    return plain_text if len(plain_text) <= _LONGEST else f"{plain_text[:_LONGEST]}..."


def as_oauth(error: JitidError, *, refused: int = 400) -> OAuthError:
    """Return the OAuth error for an error; `refused` is the status if the client lacks permission."""
    description = error.message if error.hint is None else f"{error.message}; {error.hint}"
    match error:
        case UnauthenticatedError():
            # With the authentication scheme that the client used or could use.
            return OAuthError("invalid_client", error.message, 401, _headers(error))
        case ApprovalNeededError():
            # RFC 8628, section 3.5: the same request succeeds later, after its approval.
            return OAuthError("authorization_pending", description)
        case PolicyDeniedError(about=about):
            return OAuthError(_TOO_MUCH.get(about or "", "access_denied"), description)
        case ShownError():
            # RFC 8693, section 2.2.2: the subject token or the actor token is not accepted.
            return OAuthError("invalid_request", description)
        case RefusedError():
            return OAuthError("unauthorized_client", description, refused)
        case PresenterError():
            # RFC 6749, section 5.2: it was issued to another client.
            return OAuthError("invalid_grant", description)
        case InvalidCredentialError():
            # RFC 8693, section 2.2.2: the subject token or the actor token is not valid "for any reason".
            return OAuthError("invalid_request", description)
        case _:
            status = status_of(error)
            codes = {503: "temporarily_unavailable", 429: "temporarily_unavailable", 500: "server_error"}
            return OAuthError(codes.get(status, "invalid_request"), description, status, _headers(error))


def usage(code: str, error: UsageError) -> OAuthError:
    """Return the error for an invalid value of a parameter."""
    return OAuthError(code, error.message if error.hint is None else f"{error.message}; {error.hint}")


def _headers(error: JitidError) -> dict[str, str]:
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in headers_of(error)}
