"""Requests of other programs on standard input for a credential, of which an attacker may control a part."""

from __future__ import annotations

import os
import re
import unicodedata
from urllib.parse import urlsplit

from jitid.errors import UsageError
from jitid.system.read_input import read
from jitid.values.text import quote

_MOST = 65_536
"""Maximum number of bytes in a request; requests of git and docker need a thousandth of it."""

_NEVER = ("Cc", "Cf", "Zl", "Zp", "Cs")
"""Control and format characters, and separators of lines and paragraphs (Unicode, table 4-4)."""

_UNPRINTABLE = re.compile(rb"[^ -~]")

_AUTHORITY = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?")
"""Host and port, in a form that all parsers read alike."""

_LOOPBACK = ("localhost", "127.0.0.1", "[::1]", "::1")


def read_request(label: str, of_servers: str | None = None) -> str:
    """Return the request that a program writes to standard input. It has no control characters but line feeds.

    An attacker may control parts of it, such as the user in an address for `git clone`. If a character ended a line
    for jitid but not for the program, the attacker could name another server than the receiver of the token. Lines
    that begin with `of_servers` repeat a header of a server. A header may contain any byte (RFC 9110, section 5.5) and
    names no server, so each byte that is not printable ASCII becomes a space.

    Raises UsageError for an invalid or too long request.
    """
    data = read("-", _MOST, label)
    if len(data) > _MOST:
        raise UsageError(f"{label} has more than {_MOST} bytes")
    if of_servers is not None:
        data = b"\n".join(
            _UNPRINTABLE.sub(b" ", line) if line.startswith(of_servers.encode()) else line
            for line in data.split(b"\n")
        )
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise UsageError(f"{label} is not UTF-8") from None
    if any(unicodedata.category(character) in _NEVER and character != "\n" for character in text):
        raise UsageError(
            f"{label} has a character that is invalid in addresses; no credential was made",
            "check the address: it may be an attempt to get the token of another server",
        )
    return text


_PORTS = {"https": 443, "http": 80}


def origin(url: str) -> str:
    """Return scheme, host and port of a URL, the audience of a token for that server; without the scheme's own port.

    Raises UsageError for an invalid address, or if the token would be sent unencrypted to another machine, which may
    be a proxy.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port, parts = "", None, urlsplit("")
    if not host or parts.scheme not in ("https", "http") or not _AUTHORITY.fullmatch(parts.netloc):
        raise UsageError(f"{quote(url, 200)} is not an address with a host", "such as https://git.example")
    if parts.scheme == "http" and host not in _LOOPBACK:
        raise UsageError(
            f"a token for {quote(host)} would cross the network unencrypted; none was made", "use https"
        )
    if parts.scheme == "http":
        _must_be_direct(host)
    url_host = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{url_host}" + ("" if port in (None, _PORTS[parts.scheme]) else f":{port}")


def _must_be_direct(host: str) -> None:
    """Raise UsageError if a program might send unencrypted requests for this machine to a proxy; some do."""
    # Both functions only read the settings; they make no request.
    from urllib.request import getproxies, proxy_bypass

    proxies = getproxies()
    # Where `REQUEST_METHOD` is set, Python ignores HTTP_PROXY; other programs do not.
    if not any((proxies.get("http"), proxies.get("all"), os.environ.get("HTTP_PROXY"))) or proxy_bypass(host):
        return
    raise UsageError(
        f"a token for {quote(host)} would pass through a proxy unencrypted; none was made",
        "except this machine from the proxy: NO_PROXY=localhost,127.0.0.1,::1",
    )
