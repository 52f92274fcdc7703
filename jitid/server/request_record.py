"""Facts about a request in progress, for its answer, its log line and its counters."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from starlette.types import Scope

KEY = "jitid"
"""The key of the record in the scope of a request."""


class Peer(NamedTuple):
    """The process at the other end of a Unix socket, as the kernel reports it (SO_PEERCRED, unix(7))."""

    pid: int
    uid: int
    gid: int
    groups: tuple[int, ...] = ()
    """The supplementary groups (SO_PEERGROUPS)."""


class RequestRecord:
    """The record of one request."""

    __slots__ = ("began", "caller", "error", "peer", "route", "status", "trace")

    def __init__(self, trace: str, peer: Peer | None) -> None:
        self.began = perf_counter()
        self.trace = trace
        """Its `traceparent`."""
        self.peer = peer
        self.route = "none"
        """The template of the path; never the path itself, since a client may have put a secret into it."""
        self.caller: str | None = None
        self.status = 0
        self.error: str | None = None


def record_of(scope: Scope) -> RequestRecord:
    """Return the record of a request."""
    found: RequestRecord = scope[KEY]
    return found
