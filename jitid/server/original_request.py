"""Strict parsing of the original request target from a proxy: the path of the decision is the path that is served."""

from __future__ import annotations

import re
import unicodedata
from typing import NoReturn
from urllib.parse import quote, unquote_to_bytes

from jitid.errors import UsageError

_KEPT = "/:@!$&'()*+,="
"""Characters that stay unescaped besides letters, digits and `-._~` (RFC 3986, section 3.3), without `;`."""

_PATH = re.compile(r"/(?:[A-Za-z0-9._~!$&'()*+,=:@/-]|%[0-9A-Fa-f]{2})*", re.ASCII)
# A fragment is never sent (RFC 9112, section 3.2). Nginx ends the path at `#`, but forwards all of it.
_TARGET = re.compile(r"[^#\x00-\x20\x7f]*")
_TWO_WAYS = {
    "an encoded separator": re.compile("%(?:2F|5C|3B)", re.IGNORECASE),
    "an encoded dot": re.compile("%2E", re.IGNORECASE),
    "an encoded percent sign": re.compile("%25"),
    "an encoded question mark or hash": re.compile("%(?:3F|23)", re.IGNORECASE),
    "an encoded control character": re.compile("%(?:[01][0-9A-F]|7F)", re.IGNORECASE),
}
"""Escapes that some servers decode late, and some twice. Separators are `/`, `\\` and `;`."""


def path_of(target: str) -> str:
    """Return the path of a request target in one spelling (RFC 3986, section 6.2.2), without its query.

    Only characters that need it are percent-encoded, so that a rule about a path matches every spelling of it. A query
    may hold secrets, and is dropped.

    Raises:
        UsageError: two servers could read two different paths in the target.

    """
    if not target.startswith("/"):
        raise UsageError("the proxy names no path of the original request", "set the header X-Original-URI")
    path = target.partition("?")[0]
    if not _TARGET.fullmatch(target) or not _PATH.fullmatch(path):
        # RFC 3986, section 3.3, and RFC 9110, section 4.1; some servers read a backslash as a slash, and drop the text
        # after a semicolon.
        _refuse("a character that a path cannot have unencoded")
    for fault, encoded in _TWO_WAYS.items():
        if encoded.search(path):
            _refuse(fault)
    decoded = unquote_to_bytes(path)
    prefix, *segments = decoded.split(b"/")
    assert not prefix
    if b"" in segments[:-1]:
        _refuse("an empty segment")
    if b"." in segments or b".." in segments:
        # RFC 3986, section 5.2.4.
        _refuse("a segment `.` or `..`")
    if any(segment.endswith((b".", b" ")) for segment in segments):
        # Some file systems drop these characters at the end of a name.
        _refuse("a segment that ends in a dot or a blank")
    if not decoded.isascii():
        _check_text(decoded)
    return quote(decoded, safe=_KEPT)


def _check_text(path: bytes) -> None:
    try:
        text = path.decode()
    except UnicodeDecodeError:
        _refuse("encoded bytes that are not UTF-8")
    if unicodedata.normalize("NFKC", text) != text:
        # Some servers and file systems read it as the similar plain text, such as a full-width slash as a slash.
        _refuse("text with a second spelling (Unicode Standard Annex 15: it is not in the form NFKC)")
    if any(not character.isascii() and unicodedata.category(character)[0] not in "LMN" for character in text):
        _refuse("a character outside of ASCII that is neither a letter nor a digit")


def _refuse(fault: str) -> NoReturn:
    raise UsageError(f"the path of the request has {fault}: servers read it in different ways")
