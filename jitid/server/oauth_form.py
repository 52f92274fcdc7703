"""OAuth form parsing (RFC 6749, appendix B): strict, in one way only, and with limits."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import unquote_to_bytes

from jitid.errors import UnauthenticatedError
from jitid.server.oauth_errors import OAuthError

if TYPE_CHECKING:
    from starlette.requests import Request

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
        _refuse("parameters belong into the body, not into the address")
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
            _refuse("a parameter stands twice in the form")
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
            raise UnauthenticatedError(
                "a parameter by which the client authenticates stands twice; nothing was done"
            )
        try:
            credentials[name] = _decoded((parameter[2] or b"").decode("ascii"))
        except (OAuthError, UnicodeDecodeError):
            raise UnauthenticatedError(
                "a parameter by which the client authenticates cannot be read; nothing was done"
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
