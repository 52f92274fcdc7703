"""OAuth form parsing (RFC 6749, appendix B): strict, in one way only, and with limits.

And OAuth error responses (RFC 6749, section 5.2).
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import unquote_to_bytes

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

    from starlette.requests import Request


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


MAX_FORM = 256 * 1024
"""Maximum bytes of a form: enough for several tokens of maximum length, percent-encoded."""

MAX_PARAMETERS = 64

CREDENTIALS = frozenset({"client_id", "client_secret", "client_assertion", "client_assertion_type"})
"""The parameters by which a client authenticates (RFC 6749, section 2.3.1; RFC 7521, section 4.2)."""


def _spelt(name: str, *spellings: bytes) -> bytes:
    """Return a pattern for a name in which each character may have any of these spellings, by its number."""
    return b"".join(
        [b"(?:%s)" % b"|".join([spelling % byte for spelling in spellings]) for byte in name.encode()]
    )


_ESCAPED = b"%%(?i:%02x)"
_CREDENTIAL = re.compile(
    b"&(%s)(?:=([^&]*))?(?![^&])" % b"|".join([_spelt(name, b"%c", _ESCAPED) for name in sorted(CREDENTIALS)])
)
"""A parameter by which a client authenticates, and its value."""
# Any case, plain or escaped as in forms or JSON, and in UTF-16 too.
_LENIENT = (b"(?i:%c)\\0*", b"%%(?i:%02x)\\0*", b"\\\\u00(?i:%02x)\\0*")
_CLIENT_S = b"|".join([_spelt(name, *_LENIENT) for name in ("id", "secret", "assertion")])
_SHOWN = (
    re.compile(b"%s(?:%s)" % (_spelt("client_", *_LENIENT), _CLIENT_S)),
    re.compile(_spelt("access_token", *_LENIENT)),
)
_BROKEN = re.compile(r"%(?![0-9A-Fa-f]{2})")
_TYPE = re.compile(rb'application/x-www-form-urlencoded(?:\s*;\s*charset\s*=\s*"?utf-8"?)?', re.IGNORECASE)
# Tokens, names and scopes have no control characters. Rejecting them keeps them out of output and storage.
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class OAuthForm:
    """The parameters of a request. A parameter without a value counts as omitted (RFC 6749, section 3.2)."""

    def __init__(self, values: dict[str, list[str]], *, doubtful: bool) -> None:
        self._values = values
        self.doubtful = doubtful
        """Whether the form may contain a credential outside the parameters: one without a value, or misspelt."""

    def names(self) -> Collection[str]:
        """Return the names of the parameters that have a value."""
        return self._values.keys()

    def one(self, name: str) -> str | None:
        """Return the value of a parameter; None if there is none."""
        values = self._values.get(name)
        return None if values is None else values[0]

    def need(self, name: str) -> str:
        """Return the value of a required parameter. Raises OAuthError."""
        value = self.one(name)
        if value is None:
            raise OAuthError("invalid_request", f"the parameter {name} is missing")
        return value

    def many(self, name: str) -> tuple[str, ...]:
        """Return the values of a repeatable parameter."""
        return tuple(self._values.get(name, ()))


async def read_form(request: Request, repeatable: Collection[str] = ()) -> OAuthForm:
    """Return the form in the body of a request.

    Only parameters in `repeatable` may occur twice. Raises OAuthError for input that two parsers could read
    differently: parameters in the address, another content type, broken escapes, bytes that are not UTF-8.
    """
    if request.scope["query_string"]:
        # A secret in an address would be in the logs of all servers on the way (RFC 6749, section 2.3.1).
        _refuse("parameters must be in the body, not in the address")
    types = [value for name, value in request.scope["headers"] if name == b"content-type"]
    if len(types) != 1 or not _TYPE.fullmatch(types[0]):
        _refuse("the content type must be application/x-www-form-urlencoded")
    body = await request.body()
    return parse_form(body, repeatable)


def parse_form(body: bytes, repeatable: Collection[str] = ()) -> OAuthForm:
    """Return the parameters of a form. Raises OAuthError like `read_form`."""
    if len(body) > MAX_FORM:
        _refuse(f"the form is longer than {MAX_FORM} bytes", 413)
    if not body.isascii():
        _refuse("the form has characters that are not percent-encoded")
    pairs = body.decode("ascii").split("&")
    if len(pairs) > MAX_PARAMETERS:
        _refuse(f"the form has more than {MAX_PARAMETERS} parameters")
    values: dict[str, list[str]] = {}
    seen: set[str] = set()
    for pair in pairs:
        if not pair:
            continue
        name, equals, value = pair.partition("=")
        name, value = _decoded(name), _decoded(value)
        if not equals or not name:
            _refuse("the form has a parameter without a name or without =")
        if name in repeatable:
            if value:
                values.setdefault(name, []).append(value)
            continue
        if name in seen:
            _refuse("a parameter occurs twice in the form")
        seen.add(name)
        if value:
            values[name] = [value]
    others = seen - (values.keys() & CREDENTIALS)
    return OAuthForm(values, doubtful=shows_credential("&".join(others).encode()))


def credentials_of(body: bytes) -> OAuthForm:
    """Return the client authentication parameters of a form that is otherwise invalid.

    A mistake elsewhere in the form does not change the client. Raises UnauthenticatedError if a parameter occurs twice
    or cannot be decoded: a credential in the request is never ignored.
    """
    body = b"&" + body
    credentials: dict[str, str] = {}
    for parameter in _CREDENTIAL.finditer(body):
        name = unquote_to_bytes(parameter[1]).decode("ascii")
        if name in credentials:
            raise UnauthenticatedError("an authentication parameter occurs twice; nothing was done")
        try:
            credentials[name] = _decoded((parameter[2] or b"").decode("ascii"))
        except (OAuthError, UnicodeDecodeError):
            raise UnauthenticatedError(
                "an authentication parameter cannot be read; nothing was done"
            ) from None
    values = {name: [value] for name, value in credentials.items() if value}
    # The body may not be a form at all, so the rest is searched for credentials too.
    rest = _CREDENTIAL.sub(lambda parameter: b"&" if parameter[2] else parameter[0], body)
    return OAuthForm(values, doubtful=shows_credential(rest))


def shows_credential(text: bytes) -> bool:
    """Return whether a text contains the name of a credential parameter, at any place and in any spelling.

    Besides those of clients it is `access_token` of RFC 6750 (section 2.2), which is not read here.
    """
    return any(pattern.search(text) is not None for pattern in _SHOWN)


def _decoded(text: str) -> str:
    if "%" not in text and "+" not in text:
        # A plain token needs no decoding, but must not contain a control character.
        if _CONTROL.search(text):
            _refuse("the form has a control character")
        return text
    if _BROKEN.search(text):
        _refuse("the form has a broken percent-encoding")
    try:
        decoded = unquote_to_bytes(text.replace("+", " ")).decode("utf-8")
    except UnicodeDecodeError:
        _refuse("the form is not UTF-8 text")
    if _CONTROL.search(decoded):
        _refuse("the form has a control character")
    return decoded


def _refuse(reason: str, status: int = 400) -> NoReturn:
    raise OAuthError("invalid_request", reason, status)
