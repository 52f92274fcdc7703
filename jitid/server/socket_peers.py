"""Callers over a Unix socket: the kernel reports the user, and the configuration gives that user's rights."""

from __future__ import annotations

import errno
import grp
import pwd
import socket
import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING

from jitid.errors import JitidError, UnauthenticatedError
from jitid.model.access import Caller
from jitid.server.request_record import Peer
from jitid.values.names import check_delegator

if TYPE_CHECKING:
    from jitid.config.effective import Config

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
