"""Acceptance of connections: limited in total and for each local user."""

from __future__ import annotations

import asyncio
import errno
import grp
import pwd
import socket
import ssl
import struct
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from jitid.authority.wire.codec import encode_error
from jitid.errors import JitidError, UnauthenticatedError
from jitid.model.access import Caller
from jitid.server.answers import LimitedError, dumps
from jitid.server.request_record import Peer
from jitid.values.names import check_delegator

if TYPE_CHECKING:
    from jitid.config.effective import Config
    from jitid.server.metrics import Metrics
    from jitid.server.service_limits import ServiceLimits


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
                f"the groups of {login} delegate as different people: {', '.join(sorted(delegators))}",
                f"name the one that is meant in the service's configuration, under [socket.delegator]: {login}",
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
    body = dumps(encode_error(LimitedError("there are too many connections", "try again soon")))
    return (
        b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 1\r\n"
        b"connection: close\r\ncontent-length: %d\r\n\r\n" % len(body)
    ) + body


_FULL = _full()
