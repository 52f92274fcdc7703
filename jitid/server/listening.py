"""The sockets of the service: on which it listens, and how connections come in, no more than it has room for."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
import stat
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from jitid.authority.erring import encode_error
from jitid.errors import ConfigurationError, IntegrityError, StorageError, UsageError
from jitid.server.answers import LimitedError, dumps
from jitid.server.peers import peer_of
from jitid.text import quote

if TYPE_CHECKING:
    from jitid.server.limits import Limits
    from jitid.server.metrics import Metrics
    from jitid.server.record import Peer

_BACKLOG = 1024
_AT_ONCE = 16
"""So many connections are taken before anything else has its turn."""
_SHARE = 4
"""One user of this machine holds at most the fourth part of all connections over the Unix socket."""
_REST = 0.5
"""Seconds for descriptors to become free when there are none."""
_HANDSHAKE = 10.0
_LOOPBACK = ("127.", "::1", "localhost")


def parse_bind(text: str) -> tuple[str, int]:
    """Return host and port of `HOST:PORT`, `[IPV6]:PORT` or `PORT`. Raises UsageError."""
    host, colon, port = text.rpartition(":")
    if not colon:
        host = "127.0.0.1"
    host = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not host or not (port.isascii() and port.isdigit()) or int(port) > 65_535:
        raise UsageError(f"{quote(text, 200)} is no place to listen", "such as 127.0.0.1:8477 or [::1]:8477")
    return host, int(port)


def listen(host: str, port: int, *, encrypted: bool) -> list[socket.socket]:
    """Return the sockets of a host and a port, which listen already.

    Raises:
        UsageError: others could listen in; or there is no such host.
        StorageError: the port is somebody else's.

    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise UsageError(f"there is no address {quote(host, 200)}: {error.strerror}") from None
    addresses = list(dict.fromkeys((family, address) for family, _, _, _, address in found))
    if not encrypted and not all(str(address[0]).startswith(_LOOPBACK) for _, address in addresses):
        raise UsageError(
            f"on {quote(host, 200)} others could listen in: without TLS there is only loopback",
            "give --tls-cert and --tls-key, or bind to 127.0.0.1 behind what ends TLS",
        )
    sockets: list[socket.socket] = []
    try:
        for family, address in addresses:
            if port == 0 and sockets:
                # All of them on the port that the first one was given.
                address = (address[0], sockets[0].getsockname()[1], *address[2:])
            sockets.append(_bound(family, address))
    except BaseException:
        for each in sockets:
            each.close()
        raise
    return sockets


def _bound(family: int, address: tuple[object, ...]) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.setblocking(False)
        made.bind(address)
        made.listen(_BACKLOG)
    except OSError as error:
        made.close()
        where = f"{address[0]}, port {address[1]}"
        if error.errno == errno.EADDRINUSE:
            raise StorageError(
                f"somebody else listens on {where} already", "end it, or choose another port with --bind"
            ) from None
        raise UsageError(f"{where} cannot be had: {(error.strerror or 'error').lower()}") from None
    return made


def listen_at(path: str, mode: int) -> socket.socket:
    """Return a Unix socket at a path, which listens already; one that nobody answers at is replaced.

    Raises:
        UsageError: something else is there, or it cannot be made.
        IntegrityError: others could put another one in its place.
        StorageError: somebody answers there.

    """
    folder = os.path.dirname(path) or "."
    _check_folder(folder)
    if len(os.fsencode(path)) > 107:
        raise UsageError(f"the path {quote(path, 200)} is longer than the 107 bytes that a socket's can have")
    _clear(path)
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        made.setblocking(False)
        # Nobody connects before the mode is right: it listens only after that.
        before = os.umask(0o777 & ~mode)
        try:
            made.bind(path)
        finally:
            os.umask(before)
        os.chmod(path, mode)
        made.listen(_BACKLOG)
    except OSError as error:
        made.close()
        raise UsageError(
            f"no socket can be made at {quote(path, 200)}: {(error.strerror or 'error').lower()}"
        ) from None
    return made


def _check_folder(folder: str) -> None:
    try:
        status = os.stat(folder)
    except OSError as error:
        raise UsageError(
            f"the folder {quote(folder, 200)} of the socket: {(error.strerror or 'error').lower()}",
            "make it first, for the service's user alone to write to",
        ) from None
    if status.st_uid not in (os.geteuid(), 0):
        raise IntegrityError(
            f"the folder {quote(folder, 200)} of the socket belongs to another user, who could replace it",
            "choose one that belongs to the service's user",
        )
    if status.st_mode & 0o022 and not status.st_mode & stat.S_ISVTX:
        raise IntegrityError(
            f"the folder {quote(folder, 200)} of the socket may be written by others (mode "
            f"{stat.S_IMODE(status.st_mode):03o}), who could replace it",
            f"chmod go-w {folder}",
        )


def _clear(path: str) -> None:
    """Take away a socket that nobody listens on any more."""
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise UsageError(f"{quote(path, 200)}: {(error.strerror or 'error').lower()}") from None
    if not stat.S_ISSOCK(status.st_mode):
        raise UsageError(f"{quote(path, 200)} is there and is no socket; it was left as it is")
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
        f"somebody listens at {quote(path, 200)} already", "end it, or choose another path with --socket"
    )


def server_context(certificate: str, key: str) -> ssl.SSLContext:
    """Return the TLS side of the service: version 1.2 or later (RFC 9325), and nothing else.

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
    """Read certificate and key anew. Raises as `server_context` does; the old ones are in force then."""
    try:
        status = os.stat(key)
        # A group of its own may read it, as certificate tools set it up.
        if status.st_mode & 0o037:
            raise IntegrityError(
                f"the TLS key {quote(key, 200)} is open to others (mode {stat.S_IMODE(status.st_mode):03o})",
                f"chmod 600 {key}",
            )
        context.load_cert_chain(certificate, key, password=_no_password)
    except ssl.SSLError as error:
        raise ConfigurationError(
            f"{quote(certificate, 200)} and {quote(key, 200)} are no certificate with its key: "
            f"{(error.reason or 'unreadable').lower().replace('_', ' ')}"
        ) from None
    except (OSError, ValueError) as error:
        said = error.strerror if isinstance(error, OSError) else None
        raise ConfigurationError(
            f"the TLS certificate or its key cannot be read: {(said or 'it has a password').lower()}",
            f"they are {quote(certificate, 200)} and {quote(key, 200)}",
        ) from None


def _no_password() -> str:
    # Otherwise OpenSSL would ask for it on a terminal.
    raise ValueError("the key has a password")


class Listener:
    """Takes connections from one listening socket and gives each a protocol."""

    def __init__(
        self,
        listening: socket.socket,
        context: ssl.SSLContext | None,
        limits: Limits,
        metrics: Metrics,
        make: Callable[[Peer | None, Callable[[], None]], asyncio.Protocol],
    ) -> None:
        """`make` returns the protocol of a new connection, which says when that one is gone."""
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
        """Take no more; whoever still waits to connect is another worker's, or refused."""
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
                # No descriptors are left. The others are served meanwhile.
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
        task = self._loop.create_task(self._hand_over(connection, peer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _hand_over(self, connection: socket.socket, peer: Peer | None) -> None:
        self._count(peer, 1)
        protocol = self._make(peer, lambda: self._count(peer, -1))
        try:
            if self._context is None:
                await self._loop.connect_accepted_socket(lambda: protocol, connection)
            else:
                await self._loop.connect_accepted_socket(
                    lambda: protocol, connection, ssl=self._context, ssl_handshake_timeout=_HANDSHAKE
                )
        except OSError:
            # A client that speaks no TLS, or none that is new enough, or left.
            self._metrics.count("malformed")
            connection.close()
            self._count(peer, -1)

    def _count(self, peer: Peer | None, by: int) -> None:
        self._open += by
        self._metrics.count("connections", by)
        if peer is not None:
            self._of_user[peer.uid] += by
            if not self._of_user[peer.uid]:
                del self._of_user[peer.uid]


def _full() -> bytes:
    body = dumps(encode_error(LimitedError("there are too many connections", "try again soon")))
    return (
        b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 1\r\n"
        b"connection: close\r\ncontent-length: %d\r\n\r\n" % len(body)
    ) + body


_FULL = _full()
