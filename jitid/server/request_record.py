"""What is known of one request while it is served, for its answer, its log line and its counters."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from starlette.types import Scope

KEY = "jitid"
"""Under which the scope of a request holds it."""


class Peer(NamedTuple):
    """The process at the other end of a Unix socket, as the kernel tells it (SO_PEERCRED, unix(7))."""

    pid: int
    uid: int
    gid: int
    groups: tuple[int, ...] = ()
    """The others that it is in (SO_PEERGROUPS)."""


class RequestRecord:
    """One request."""

    __slots__ = ("began", "caller", "error", "peer", "route", "status", "trace")

    def __init__(self, trace: str, peer: Peer | None) -> None:
        self.began = perf_counter()
        self.trace = trace
        """Its `traceparent`."""
        self.peer = peer
        self.route = "none"
        """The template of its path; never the path itself, which anybody could have put a secret into."""
        self.caller: str | None = None
        self.status = 0
        self.error: str | None = None


def record_of(scope: Scope) -> RequestRecord:
    """Return the record of a request."""
    found: RequestRecord = scope[KEY]
    return found
