"""What a program says of a place that it wants a credential for, and which audience that is."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from jitid.errors import UsageError
from jitid.values.text import quote

if TYPE_CHECKING:
    from jitid.values.secret import Secret

_MOST = 65_536
"""Bytes that a program says at most: what git and docker say has a thousandth of it."""

_NEVER = ("Cc", "Cf", "Zl", "Zp", "Cs")
"""Control and format characters, and separators of lines and paragraphs (Unicode, table 4-4)."""

_UNPRINTABLE = re.compile(rb"[^ -~]")

_AUTHORITY = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?")
"""Host and port, and nothing that one parser takes for the host and another for something else."""

_LOOPBACK = ("localhost", "127.0.0.1", "[::1]", "::1")


def said(what: str, of_servers: str | None = None) -> str:
    """Return what a program says on standard input, which has no control characters but line feeds.

    Parts of it are a stranger's, such as the user in an address that somebody was asked to clone: what ends a line for
    us and not for the program would let it name another server than the one that gets the token. Lines that begin with
    `of_servers` repeat a header of a server, which may have any byte (RFC 9110, section 5.5) and names no place: what
    is not printable ASCII in them becomes a space.

    Raises UsageError for what is no such text, or too much of it.
    """
    from jitid.cli import read_input

    data = read_input.read("-", _MOST, what)
    if len(data) > _MOST:
        raise UsageError(f"{what} has more than {_MOST} bytes")
    if of_servers is not None:
        data = b"\n".join(
            _UNPRINTABLE.sub(b" ", line) if line.startswith(of_servers.encode()) else line
            for line in data.split(b"\n")
        )
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise UsageError(f"{what} is not UTF-8") from None
    if any(unicodedata.category(each) in _NEVER and each != "\n" for each in text):
        raise UsageError(
            f"{what} has a character that no address has; no credential was made",
            "somebody may want the token of one server to reach another: look at the address",
        )
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
    if not host or parts.scheme not in ("https", "http") or not _AUTHORITY.fullmatch(parts.netloc):
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
