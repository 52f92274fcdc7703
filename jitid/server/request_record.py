"""Facts about a request in progress, for its answer and its counters; and the service log, with a line per request."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable
from contextlib import suppress
from time import perf_counter
from typing import TYPE_CHECKING, Any

from jitid.values.record import Record
from jitid.values.text import safe

if TYPE_CHECKING:
    from starlette.types import Scope


KEY = "jitid"
"""The key of the record in the scope of a request."""


class Peer(Record):
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
    record: RequestRecord = scope[KEY]
    return record


Line = Callable[[dict[str, Any]], str]


class Log:
    """A log of one line per event, each in a single write, since several processes share the output."""

    def __init__(self, form: str = "json", descriptor: int = 2) -> None:
        """`form` is `json`, `text`, or `none`, which keeps errors and drops requests."""
        self.requests = form != "none"
        """Whether requests are logged."""
        self._line: Line = _text if form == "text" else _json
        self._descriptor = descriptor

    def write(self, event: str, level: str = "info", **facts: object) -> None:
        """Write an event. A failure to write does not affect the service."""
        now = time.time()
        timestamp = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(now))}.{int(now % 1 * 1000):03d}Z"
        line = self._line({"time": timestamp, "level": level, "event": event, **facts, "pid": os.getpid()})
        with suppress(OSError):
            os.write(self._descriptor, f"{line}\n".encode())


def _json(facts: dict[str, Any]) -> str:
    # ASCII only: control characters of terminals are escaped.
    return json.dumps(facts, separators=(",", ":"))


def _text(facts: dict[str, Any]) -> str:
    timestamp, other_facts = facts["time"], {name: value for name, value in facts.items() if name != "time"}
    pairs = " ".join(f"{name}={safe(str(value))}" for name, value in other_facts.items() if value is not None)
    return f"{timestamp} {pairs}"


# Version 00 ends after the flags; a later version may continue (section 3.2.4), and is passed on as version 00.
_PARENT = re.compile(
    rb"(?!ff)(?P<version>[0-9a-f]{2})-(?P<trace>[0-9a-f]{32})-(?P<parent>[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})"
    rb"(?P<more>-[ -~]*)?"
)
_LONGEST = 512


def traceparent(header: bytes | None) -> str:
    """Return the `traceparent` of a request if it is valid; a new one otherwise."""
    if header is not None and len(header) <= _LONGEST:
        match = _PARENT.fullmatch(header)
        if (
            match is not None
            and (match["more"] is None or match["version"] != b"00")
            and match["trace"].strip(b"0")
            and match["parent"].strip(b"0")
        ):
            return f"00-{match['trace'].decode()}-{match['parent'].decode()}-{match['flags'].decode()}"
    random_hex = os.urandom(24).hex()
    return f"00-{random_hex[:32]}-{random_hex[32:]}-00"


def trace_id(parent: str) -> str:
    """Return the id that all requests of one trace share."""
    return parent[3:35]
