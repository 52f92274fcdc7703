"""The address of an authority: `https://HOST[:PORT][/PATH]`, `http://` on this machine alone, or `unix:///PATH`."""

from __future__ import annotations

from jitid.errors import UsageError
from jitid.values.names import check_issuer
from jitid.values.record import Record
from jitid.values.text import quote

_SHAPE = "write https://HOST, http://127.0.0.1:PORT on this machine, or unix:///run/jitid.sock"
PORTS = {"https": 443, "http": 80}
_LONGEST_SOCKET = 107
"""The maximum length in bytes of the path of a Unix socket (unix(7))."""


class Address(Record):
    """The address of an authority."""

    scheme: str
    host: str
    """The host in lower case, an IPv6 address in brackets; empty for a Unix socket."""
    port: int
    path: str
    """The prefix of the authority's paths, without a slash at its end; for a Unix socket, the path of the socket."""

    @property
    def is_encrypted(self) -> bool:
        """Whether the server must prove its identity by a certificate."""
        return self.scheme == "https"

    @property
    def is_socket(self) -> bool:
        """Whether it is a Unix socket on this machine."""
        return self.scheme == "unix"

    def __str__(self) -> str:
        if self.is_socket:
            return f"unix://{self.path}"
        port = "" if self.port == PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{self.host}{port}{self.path}"


def parse_address(text: str) -> Address:
    """Return the address in a text.

    Raises:
        UsageError: the text is not an address, has a user, a query or a fragment, or is plain HTTP to another machine.

    """
    scheme, separator, rest = text.partition("://")
    if scheme == "unix" and separator:
        if not rest.startswith("/") or len(rest.encode("utf-8", "replace")) > _LONGEST_SOCKET or "\0" in rest:
            raise UsageError(f"{quote(text)} is not the address of a Unix socket", _SHAPE)
        return Address(scheme, "", 0, rest)
    if scheme not in PORTS or not separator:
        raise UsageError(f"{quote(text)} is not the address of an authority", _SHAPE)
    try:
        # The rules of issuer names apply: lower-case scheme, a host and no user, no query, plain HTTP on loopback
        # alone.
        check_issuer(text)
    except UsageError:
        raise UsageError(f"{quote(text)} is not the address of an authority", _SHAPE) from None
    host_port, _, path = rest.partition("/")
    if host_port.startswith("["):
        host, _, port = host_port.partition("]")
        host, port = f"{host}]", port.removeprefix(":")
    else:
        host, _, port = host_port.partition(":")
    path = f"/{path}".rstrip("/")
    if "/../" in f"{path}/" or "/./" in f"{path}/":
        raise UsageError(f"{quote(text)} is not the address of an authority", _SHAPE)
    return Address(scheme, host.lower(), int(port) if port else PORTS[scheme], path)
