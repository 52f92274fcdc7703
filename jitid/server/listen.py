"""Listening sockets of the service, and the acceptance of connections: limited in total and for each local user.

With TLS: the certificate, its key and the minimum version.
"""

from __future__ import annotations

import asyncio
import errno
import grp
import os
import pwd
import socket
import ssl
import stat
import struct
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from ipaddress import ip_address
from shlex import quote as word
from typing import TYPE_CHECKING

from jitid.authority.wire.codec import encode_error
from jitid.errors import (
    ConfigurationError,
    IntegrityError,
    JitidError,
    StorageError,
    UnauthenticatedError,
    UsageError,
)
from jitid.model.access import Caller
from jitid.server.answers import LimitedError, dumps
from jitid.server.metrics import Peer
from jitid.system.files import changeable, trusted_uids
from jitid.values.names import check_delegator
from jitid.values.text import quote

if TYPE_CHECKING:
    from jitid.config.effective import Config
    from jitid.server.metrics import Metrics
    from jitid.server.service_limits import ServiceLimits


_BACKLOG = 1024


def parse_bind(text: str) -> tuple[str, int]:
    """Return host and port of `HOST:PORT`, `[IPV6]:PORT` or `PORT`. Raises UsageError."""
    host, colon, port = text.rpartition(":")
    if not colon:
        host = "127.0.0.1"
    host = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    # At most five digits, since `int` is slow for long texts.
    if not host or not (port.isascii() and port.isdigit() and len(port) <= 5) or int(port) > 65_535:
        raise UsageError(
            f"{quote(text, 200)} is not an address with a port", "such as 127.0.0.1:8477 or [::1]:8477"
        )
    return host, int(port)


def listen(host: str, port: int, *, encrypted: bool) -> list[socket.socket]:
    """Return listening sockets for a host and a port.

    Raises:
        UsageError: without TLS the address is not loopback; or there is no such host, or it cannot be used.
        StorageError: another process uses the port.

    """
    try:
        infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        # A text that cannot be a DNS name is not looked up.
        reason = error.strerror if isinstance(error, OSError) else "not the name of a host"
        raise UsageError(f"unknown address {quote(host, 200)}: {reason}") from None
    addresses = list(dict.fromkeys((family, address) for family, _, _, _, address in infos))
    if not encrypted and not all(_is_loopback(str(address[0])) for _, address in addresses):
        raise UsageError(
            f"{quote(host, 200)} is not loopback, and requires TLS",
            "add --tls-cert and --tls-key, or bind to 127.0.0.1 behind a TLS proxy",
        )
    sockets: list[socket.socket] = []
    try:
        for family, address in addresses:
            if port == 0 and sockets:
                # All sockets use the port that the first one got.
                address = (address[0], sockets[0].getsockname()[1], *address[2:])
            sockets.append(_bound(family, address))
    except BaseException:
        for listening in sockets:
            listening.close()
        raise
    return sockets


def _is_loopback(address: str) -> bool:
    # The interface follows the percent sign.
    return ip_address(address.partition("%")[0]).is_loopback


def _bound(family: int, address: tuple[object, ...]) -> socket.socket:
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listening.setblocking(False)
        listening.bind(address)
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        where = f"{address[0]}, port {address[1]}"
        if error.errno == errno.EADDRINUSE:
            raise StorageError(
                f"another process listens on {where} already", "stop it, or choose another port with --bind"
            ) from None
        raise UsageError(f"{where} cannot be used: {(error.strerror or 'error').lower()}") from None
    return listening


def listen_at(path: str, mode: int) -> socket.socket:
    """Return a listening Unix socket at a path; a socket without a listener is replaced.

    Raises:
        UsageError: another kind of file is there, or the socket cannot be created.
        IntegrityError: other users could replace it.
        StorageError: another process listens there.

    """
    folder = os.path.dirname(path) or "."
    _check_folder(folder)
    if len(os.fsencode(path)) > 107:
        raise UsageError(f"the path {quote(path, 200)} is longer than 107 bytes, the limit for a socket")
    _clear(path)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listening.setblocking(False)
        # The socket listens only after its mode is set, so no client connects before.
        old_umask = os.umask(0o777 & ~mode)
        try:
            listening.bind(path)
        finally:
            os.umask(old_umask)
        os.chmod(path, mode)
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        raise UsageError(
            f"the socket {quote(path, 200)} could not be created: {(error.strerror or 'error').lower()}"
        ) from None
    return listening


def _check_folder(folder: str) -> None:
    try:
        status = os.stat(folder)
    except OSError as error:
        raise UsageError(
            f"the socket's folder {quote(folder, 200)} cannot be used: {(error.strerror or 'error').lower()}",
            "create it first, writable only by the service's user",
        ) from None
    if status.st_uid not in trusted_uids():
        raise IntegrityError(
            f"the socket's folder {quote(folder, 200)} belongs to another user, and that user could replace the socket",
            "choose a folder that belongs to the service's user",
        )
    if status.st_mode & 0o022 and not status.st_mode & stat.S_ISVTX:
        raise IntegrityError(
            f"other users may write to the socket's folder {quote(folder, 200)} (mode "
            f"{stat.S_IMODE(status.st_mode):03o}), and could replace the socket",
            f"chmod go-w {folder}",
        )
    exposed_path = changeable(os.path.abspath(folder))
    if exposed_path is not None:
        raise IntegrityError(
            f"other users can change {quote(exposed_path, 200)}, and so the socket's folder {quote(folder, 200)}",
            f"chmod go-w {word(exposed_path)}; its owner must be root or the service's user",
        )


def _clear(path: str) -> None:
    """Delete a socket that has no listener any more."""
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise UsageError(f"{quote(path, 200)}: {(error.strerror or 'error').lower()}") from None
    if not stat.S_ISSOCK(status.st_mode):
        raise UsageError(f"{quote(path, 200)} exists and is not a socket; it was left unchanged")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(2.0)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            with suppress(FileNotFoundError):
                os.unlink(path)
            return
        except OSError:
            pass
    raise StorageError(
        f"another process listens at {quote(path, 200)} already",
        "stop it, or choose another path with --socket",
    )


def server_context(certificate: str, key: str) -> ssl.SSLContext:
    """Return the TLS server context: version 1.2 or later only (RFC 9325).

    Raises:
        ConfigurationError: certificate or key cannot be used.
        IntegrityError: others can read the key.

    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    load_certificate(context, certificate, key)
    return context


def load_certificate(context: ssl.SSLContext, certificate: str, key: str) -> None:
    """Read certificate and key again. Raises the errors of `server_context`; then the old ones stay in use."""
    try:
        status = os.stat(key)
        # Its group may read it: certificate tools use a dedicated group.
        if status.st_mode & 0o037:
            raise IntegrityError(
                f"the TLS key {quote(key, 200)} is open to others (mode {stat.S_IMODE(status.st_mode):03o})",
                f"chmod 600 {key}",
            )
        context.load_cert_chain(certificate, key, password=_no_password)
    except ssl.SSLError as error:
        raise ConfigurationError(
            f"{quote(certificate, 200)} and {quote(key, 200)} are not a certificate and its key: "
            f"{(error.reason or 'unreadable').lower().replace('_', ' ')}"
        ) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else None
        raise ConfigurationError(
            f"the TLS certificate or its key cannot be read: {(reason or 'it has a password').lower()}",
            f"the files: {quote(certificate, 200)} and {quote(key, 200)}",
        ) from None


def _no_password() -> str:
    # Without this, OpenSSL would prompt for the password on a terminal.
    raise ValueError("the key has a password")


_CREDENTIALS = struct.Struct("iII")
_SO_PEERGROUPS = 59
"""Since Linux 4.13; Python has no constant for it."""
_MOST_GROUPS = 256
"""The most that Python reads; a user in more groups counts as a member of its primary group only."""


def peer_of(connection: socket.socket) -> Peer:
    """Return the peer of a connection at the time of its connect call (SO_PEERCRED, unix(7)). Raises OSError."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, gid = _CREDENTIALS.unpack(raw)
    try:
        groups = connection.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, 4 * _MOST_GROUPS)
    except OSError as error:
        if error.errno != errno.ERANGE:
            raise
        groups = b""
    return Peer(pid, uid, gid, struct.unpack(f"{len(groups) // 4}I", groups))


class Peers:
    """The mapping from users of this machine to callers."""

    def __init__(self, config: Config) -> None:
        self._delegators = config.socket_delegators
        self._roles = config.socket_roles

    def caller(self, peer: Peer) -> Caller:
        """Return the caller for a peer.

        Entries of the user take precedence over those of its groups. Without entries, the user delegates under its
        login, and has no role.

        Raises:
            UnauthenticatedError: two of its groups delegate as different people.

        """
        login = _login(peer.uid)
        names = [login, str(peer.uid), *_groups(peer)]
        roles = frozenset(role for name in names for role in self._roles.get(name, ()))
        return Caller(login, roles, self._delegator(names), "os-user")

    def _delegator(self, names: list[str]) -> str:
        login, uid, *groups = names
        for name in (login, uid):
            if name in self._delegators:
                return self._delegators[name]
        delegators = {self._delegators[group] for group in groups if group in self._delegators}
        if len(delegators) > 1:
            raise UnauthenticatedError(
                f"the groups of {login} have different delegators: {', '.join(sorted(delegators))}",
                f"set the delegator of {login} in the service's configuration, in the table [socket.delegator]",
            )
        if delegators:
            return delegators.pop()
        try:
            return check_delegator(login)
        except JitidError:
            # A login of a domain may contain characters that jitid's names do not allow.
            return check_delegator(uid)


def _login(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _groups(peer: Peer) -> Iterator[str]:
    for gid in dict.fromkeys((peer.gid, *peer.groups)):
        try:
            yield f"@{grp.getgrgid(gid).gr_name}"
        except KeyError:
            yield f"@{gid}"


_AT_ONCE = 16
"""Maximum number of connections to accept before the event loop continues."""
_SHARE = 4
"""Divisor of the connection limit: one local user may hold at most a quarter of it over the Unix socket."""
_REST = 0.5
"""Seconds to wait for free descriptors when there are none."""
_HANDSHAKE = 10.0


class Listener:
    """A listening socket that gives each new connection a protocol."""

    def __init__(
        self,
        listening: socket.socket,
        context: ssl.SSLContext | None,
        limits: ServiceLimits,
        metrics: Metrics,
        make: Callable[[Peer | None, Callable[[], None]], asyncio.Protocol],
    ) -> None:
        """`make` returns the protocol of a new connection, which calls its callback at the connection's end."""
        self._socket = listening
        self._context = context
        self._most = limits.connections
        self._metrics = metrics
        self._make = make
        self._local = listening.family == socket.AF_UNIX
        self._open = 0
        self._of_user: Counter[int] = Counter()
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop.add_reader(listening.fileno(), self._accept)

    def close(self) -> None:
        """Stop accepting. Other workers accept the waiting connections; without other workers they are refused."""
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket.fileno())
            self._socket.close()

    def _accept(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                connection, _address = self._socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError:
                # No descriptors are left. Open connections are served meanwhile.
                self._loop.remove_reader(self._socket.fileno())
                self._loop.call_later(_REST, self._resume)
                return
            connection.setblocking(False)
            self._begin(connection)

    def _resume(self) -> None:
        if self._socket.fileno() >= 0:
            self._loop.add_reader(self._socket.fileno(), self._accept)

    def _begin(self, connection: socket.socket) -> None:
        peer = None
        if self._local:
            try:
                peer = peer_of(connection)
            except OSError:
                connection.close()
                return
        if self._open >= self._most or (
            peer is not None and self._of_user[peer.uid] >= max(1, self._most // _SHARE)
        ):
            self._metrics.count("limited")
            if self._context is None:
                with suppress(OSError):
                    connection.send(_FULL)
            connection.close()
            return
        # Count now, not in the task: several connections are accepted before any of their tasks runs.
        self._count(peer, 1)
        task = self._loop.create_task(self._hand_over(connection, peer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _hand_over(self, connection: socket.socket, peer: Peer | None) -> None:
        protocol = self._make(peer, lambda: self._count(peer, -1))
        try:
            if self._context is None:
                await self._loop.connect_accepted_socket(lambda: protocol, connection)
            else:
                await self._loop.connect_accepted_socket(
                    lambda: protocol, connection, ssl=self._context, ssl_handshake_timeout=_HANDSHAKE
                )
        except OSError:
            # The client does not speak TLS, or only an old version, or has left.
            self._metrics.count("malformed")
            connection.close()
            self._count(peer, -1)

    def _count(self, peer: Peer | None, change: int) -> None:
        self._open += change
        self._metrics.count("connections", change)
        if peer is not None:
            self._of_user[peer.uid] += change
            if not self._of_user[peer.uid]:
                del self._of_user[peer.uid]


def _full() -> bytes:
    body = dumps(encode_error(LimitedError("too many connections", "try again soon")))
    return (
        b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 1\r\n"
        b"connection: close\r\ncontent-length: %d\r\n\r\n" % len(body)
    ) + body


_FULL = _full()
