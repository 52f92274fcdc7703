"""What a program says of a place that it wants a credential for, and which audience that is."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from jitid.errors import UsageError
from jitid.text import quote

if TYPE_CHECKING:
    from jitid.secret import Secret

_MOST = 65_536
"""Bytes that a program says at most: what git and docker say has a thousandth of it."""

_LOOPBACK = ("localhost", "127.0.0.1", "[::1]", "::1")


def said(what: str) -> str:
    """Return what a program says on standard input. Raises UsageError for what is no text, or too much of it."""
    from jitid.commands import reading

    data = reading.read("-", _MOST, what)
    if len(data) > _MOST:
        raise UsageError(f"{what} has more than {_MOST} bytes")
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise UsageError(f"{what} is not UTF-8") from None
    if "\0" in text:
        raise UsageError(f"{what} has a NUL")
    return text


def origin(url: str) -> str:
    """Return scheme, host and port of a URL, which is who a token for that place is meant for.

    Raises UsageError for a place that a token would reach unencrypted, this machine aside.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port, parts = "", None, urlsplit("")
    if not host or parts.scheme not in ("https", "http"):
        raise UsageError(f"{quote(url, 200)} is no address with a host", "such as https://git.example")
    if parts.scheme == "http" and host not in _LOOPBACK:
        raise UsageError(
            f"a token for {quote(host)} would cross the network unencrypted; none was made", "use https"
        )
    written = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{written}" + ("" if port is None else f":{port}")


def bearer(kind: str, secret: Secret, consumer: str) -> str:
    """Return the token of a credential that is one. Raises UsageError for a secret of another form."""
    if secret.names != ("token",):
        raise UsageError(
            f"a credential of kind {kind} is no token, and {consumer} takes nothing else",
            "such as --kind jwt; it was ended",
        )
    return secret.reveal()
