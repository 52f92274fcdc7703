"""Forms as OAuth sends them (RFC 6749, appendix B), read in one way only and within bounds."""

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
"""The longest form, in bytes: several tokens of the longest sort, percent signs and all."""

MAX_PARAMETERS = 64

CREDENTIALS = frozenset({"client_id", "client_secret", "client_assertion", "client_assertion_type"})
"""The parameters by which a client authenticates (RFC 6749, section 2.3.1; RFC 7521, section 4.2)."""


def _spelt(name: str, *ways: bytes) -> bytes:
    """Return a pattern for a name; each character of it may be written in any of these ways, by its number."""
    return b"".join([b"(?:%s)" % b"|".join([way % each for way in ways]) for each in name.encode()])


_ESCAPED = b"%%(?i:%02x)"
_CREDENTIAL = re.compile(
    b"&(%s)(?:=([^&]*))?(?![^&])" % b"|".join([_spelt(name, b"%c", _ESCAPED) for name in sorted(CREDENTIALS)])
)
"""A parameter by which a client authenticates, and its value."""
# In small letters or capitals, as it is or as forms or JSON escape it, and in UTF-16 too.
_LENIENT = (b"(?i:%c)\\0*", b"%%(?i:%02x)\\0*", b"\\\\u00(?i:%02x)\\0*")
_CLIENT_S = b"|".join([_spelt(name, *_LENIENT) for name in ("id", "secret", "assertion")])
_SHOWN = (
    re.compile(b"%s(?:%s)" % (_spelt("client_", *_LENIENT), _CLIENT_S)),
    re.compile(_spelt("access_token", *_LENIENT)),
)
_BROKEN = re.compile(r"%(?![0-9A-Fa-f]{2})")
_TYPE = re.compile(rb'application/x-www-form-urlencoded(?:\s*;\s*charset\s*=\s*"?utf-8"?)?', re.IGNORECASE)
# Neither tokens nor names nor scopes have any; what has is not shown or kept by mistake.
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class OAuthForm:
    """The parameters of a request. One without a value counts as left out (RFC 6749, section 3.2)."""

    def __init__(self, values: dict[str, list[str]], *, doubtful: bool) -> None:
        self._values = values
        self.doubtful = doubtful
        """Whether a credential may be meant that is not among the parameters: one without a value, or misspelt."""

    def names(self) -> Collection[str]:
        """Return the names of the parameters that have a value."""
        return self._values.keys()

    def one(self, name: str) -> str | None:
        """Return the value of a parameter; None if there is none."""
        found = self._values.get(name)
        return None if found is None else found[0]

    def need(self, name: str) -> str:
        """Return the value of a parameter that must be there. Raises OAuthError."""
        found = self.one(name)
        if found is None:
            raise OAuthError("invalid_request", f"the parameter {name} is missing")
        return found

    def many(self, name: str) -> tuple[str, ...]:
        """Return the values of a parameter that may stand several times."""
        return tuple(self._values.get(name, ()))


async def read_form(request: Request, repeatable: Collection[str] = ()) -> OAuthForm:
    """Return the form in the body of a request.

    Only the parameters `repeatable` may stand twice. Raises OAuthError for anything that two readers could read
    differently: parameters in the address, another content type, broken escapes, bytes that are not UTF-8.
    """
    if request.scope["query_string"]:
        # A secret in an address is in every log on the way (RFC 6749, section 2.3.1).
        _refuse("parameters belong into the body, not into the address")
    types = [value for name, value in request.scope["headers"] if name == b"content-type"]
    if len(types) != 1 or not _TYPE.fullmatch(types[0]):
        _refuse("the content type must be application/x-www-form-urlencoded")
    body = await request.body()
    return parse_form(body, repeatable)


def parse_form(body: bytes, repeatable: Collection[str] = ()) -> OAuthForm:
    """Return the parameters of a form. Raises OAuthError as `read_form` does."""
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
    """Return the parameters by which a client authenticates, of a form that cannot be read as a whole.

    Who the client is does not depend on a mistake elsewhere in it. Raises UnauthenticatedError where one of them stands
    twice or cannot be read: what a client shows is never taken for nothing.
    """
    body = b"&" + body
    found: dict[str, str] = {}
    for one in _CREDENTIAL.finditer(body):
        name = unquote_to_bytes(one[1]).decode("ascii")
        if name in found:
            raise UnauthenticatedError(
                "a parameter by which the client authenticates stands twice; nothing was done"
            )
        try:
            found[name] = _decoded((one[2] or b"").decode("ascii"))
        except (OAuthError, UnicodeDecodeError):
            raise UnauthenticatedError(
                "a parameter by which the client authenticates cannot be read; nothing was done"
            ) from None
    values = {name: [value] for name, value in found.items() if value}
    # It may be no form at all: whatever else looks like one.
    rest = _CREDENTIAL.sub(lambda one: b"&" if one[2] else one[0], body)
    return OAuthForm(values, doubtful=shows_credential(rest))


def shows_credential(text: bytes) -> bool:
    """Tell whether a text has the name of a parameter that shows a credential, wherever and in whatever spelling.

    Besides those of clients it is the one of RFC 6750 (section 2.2), which is not read here.
    """
    return any(pattern.search(text) is not None for pattern in _SHOWN)


def _decoded(text: str) -> str:
    if "%" not in text and "+" not in text:
        # As a token is; a bare control character is none of a form's.
        if _CONTROL.search(text):
            _refuse("the form has a control character")
        return text
    if _BROKEN.search(text):
        _refuse("the form has a broken percent-encoding")
    try:
        found = unquote_to_bytes(text.replace("+", " ")).decode("utf-8")
    except UnicodeDecodeError:
        _refuse("the form is not UTF-8 text")
    if _CONTROL.search(found):
        _refuse("the form has a control character")
    return found


def _refuse(why: str, status: int = 400) -> NoReturn:
    raise OAuthError("invalid_request", why, status)
