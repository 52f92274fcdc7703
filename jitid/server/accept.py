"""Acceptance of connections: limited in total and for each local user."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from jitid.authority.wire.codec import encode_error
from jitid.server.answers import LimitedError, dumps
from jitid.server.socket_peers import peer_of

if TYPE_CHECKING:
    from jitid.server.metrics import Metrics
    from jitid.server.request_record import Peer
    from jitid.server.service_limits import ServiceLimits

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
    body = dumps(encode_error(LimitedError("there are too many connections", "try again soon")))
    return (
        b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 1\r\n"
        b"connection: close\r\ncontent-length: %d\r\n\r\n" % len(body)
    ) + body


_FULL = _full()
