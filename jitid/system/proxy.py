"""The proxy that HTTPS_PROXY names for a host, unless NO_PROXY exempts the host."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import unquote, urlsplit


class Proxy(NamedTuple):
    """A proxy that opens tunnels (RFC 9110, section 9.3.6)."""

    host: str
    port: int
    authorization: str | None
    """The value of the header Proxy-Authorization."""


def proxy_for(scheme: str, host_port: str) -> Proxy | None:
    """Return the proxy for a scheme and a host with its port; None without a proxy.

    Raises ValueError if the setting is not an address.
    """
    # Both functions only read the settings; they make no request.
    from urllib.request import getproxies, proxy_bypass

    setting = getproxies().get(scheme)
    if not setting or proxy_bypass(host_port):
        return None
    # The last `@` ends the password, which may contain `/`, `?` and `#`.
    login, _, address = setting.rpartition("://")[2].rpartition("@")
    parts = urlsplit(f"//{address}")
    if not parts.hostname:
        raise ValueError
    authorization = None
    name, _, password = login.partition(":")
    if name and password:
        from base64 import b64encode

        user = f"{unquote(name)}:{unquote(password)}"
        authorization = f"Basic {b64encode(user.encode()).decode()}"
    # A setting without a port means port 443 for every scheme: the library has always read it so.
    return Proxy(parts.hostname, 443 if parts.port is None else parts.port, authorization)
