"""Forms as OAuth sends them (RFC 6749, appendix B), read in one way only and within bounds."""

from __future__ import annotations

import re
from collections.abc import Collection
from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import unquote_to_bytes

from jitid.server.oautherror import OAuthError

if TYPE_CHECKING:
    from starlette.requests import Request

MAX_FORM = 256 * 1024
"""The longest form, in bytes: several tokens of the longest sort, percent signs and all."""

MAX_PARAMETERS = 64

CREDENTIALS = frozenset({"client_id", "client_secret", "client_assertion", "client_assertion_type"})
"""The parameters by which a client authenticates (RFC 6749, section 2.3.1; RFC 7521, section 4.2)."""

_BROKEN = re.compile(r"%(?![0-9A-Fa-f]{2})")
_TYPE = re.compile(rb'application/x-www-form-urlencoded(?:\s*;\s*charset\s*=\s*"?utf-8"?)?', re.IGNORECASE)
# Neither tokens nor names nor scopes have any; what has is not shown or kept by mistake.
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class Form:
    """The parameters of a request. One without a value counts as left out (RFC 6749, section 3.2)."""

    def __init__(self, values: dict[str, list[str]]) -> None:
        self._values = values

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


async def read_form(request: Request, repeatable: Collection[str] = ()) -> Form:
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


def parse_form(body: bytes, repeatable: Collection[str] = ()) -> Form:
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
    return Form(values)


def credentials_of(body: bytes) -> Form:
    """Return the parameters by which a client authenticates, of a form that cannot be read as a whole.

    Who the client is does not depend on a mistake elsewhere in it. Raises OAuthError where one of them stands twice.
    """
    found: dict[str, list[str]] = {}
    for pair in body[:MAX_FORM].decode("ascii", "replace").split("&")[:MAX_PARAMETERS]:
        name, _, value = pair.partition("=")
        if name in CREDENTIALS:
            with suppress(OAuthError):
                found.setdefault(name, []).append(_decoded(value))
    if any(len(values) > 1 for values in found.values()):
        raise OAuthError("invalid_client", "a parameter by which the client authenticates stands twice", 401)
    return Form({name: values for name, values in found.items() if values[0]})


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
