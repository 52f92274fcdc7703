"""Counters of all workers of one service in shared memory: each worker writes its own part, and each can sum them.

And the facts about a request in progress; the service log has a line for each.
"""

from __future__ import annotations

import json
import mmap
import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from time import perf_counter
from typing import TYPE_CHECKING, Any

from jitid import __version__
from jitid.formats.prometheus import family, label_value
from jitid.values.record import Record
from jitid.values.text import safe

if TYPE_CHECKING:
    from starlette.types import Scope


STATUSES = (
    200,
    201,
    204,
    302,
    400,
    401,
    403,
    404,
    405,
    408,
    409,
    411,
    413,
    415,
    422,
    429,
    431,
    500,
    501,
    503,
)
_OTHER = len(STATUSES)
_STATUS = {status: number for number, status in enumerate(STATUSES)}
BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
"""Seconds: upper ends of the histogram's buckets."""
COUNTERS = {
    "issued": ("jitid_credentials_issued_total", "Credentials issued or renewed."),
    "denied": ("jitid_denials_total", "Requests denied by the policy."),
    "refused": (
        "jitid_refusals_total",
        "Requests refused because the caller lacked a role or was unknown.",
    ),
    "limited": ("jitid_limited_total", "Requests and connections refused because of a limit."),
    "malformed": ("jitid_malformed_total", "Connections closed because their input was malformed or slow."),
    "restarts": ("jitid_worker_starts_total", "Starts of worker processes."),
}
GAUGES = {
    "in_work": ("jitid_requests_in_work", "Requests in progress now."),
    "connections": ("jitid_connections", "Connections open now."),
}
_NUMBER = {name: number for number, name in enumerate((*COUNTERS, *GAUGES))}
_BYTES = 8


class Metrics:
    """The counters of one worker, and the sums over all of them."""

    def __init__(self, routes: Sequence[str], workers: int = 1) -> None:
        """Allocate the memory; workers that are forked later share it."""
        self._routes = tuple(dict.fromkeys((*routes, "none")))
        self._route = {route: number for number, route in enumerate(self._routes)}
        self._histogram = len(self._routes) * (_OTHER + 1) + len(_NUMBER)
        self._of_route = len(BOUNDS) + 2
        self._size = self._histogram + len(self._routes) * self._of_route
        self._workers = workers
        self._memory = memoryview(mmap.mmap(-1, self._size * workers * _BYTES)).cast("d")
        self._base = 0
        # Threads count too, and adding to a memory cell is not atomic.
        self._lock = threading.Lock()

    def take_part(self, worker: int) -> None:
        """Count as this worker from now on. Counters of its earlier process continue; gauges restart at 0."""
        self._base = worker * self._size
        for name in GAUGES:
            self.set(name, 0)

    def count(self, name: str, amount: int = 1) -> None:
        """Add to a counter or a gauge."""
        with self._lock:
            self._memory[self._place(name)] += amount

    def set(self, name: str, value: float) -> None:
        """Set a gauge."""
        self._memory[self._place(name)] = value

    def observe(self, route: str, status: int, seconds: float) -> None:
        """Count a request that was answered."""
        route_index = self._route.get(route, len(self._routes) - 1)
        cell = self._base + route_index * (_OTHER + 1) + _STATUS.get(status, _OTHER)
        self._memory[cell] += 1
        histogram_start = self._base + self._histogram + route_index * self._of_route
        bucket = next((index for index, bound in enumerate(BOUNDS) if seconds <= bound), len(BOUNDS))
        self._memory[histogram_start + bucket] += 1
        self._memory[histogram_start + len(BOUNDS) + 1] += seconds

    def text(self, *, ledger_up: bool, issues: bool) -> str:
        """Return all metrics in Prometheus' text exposition format 0.0.4."""
        return "".join(self._lines(ledger_up=ledger_up, issues=issues))

    def _place(self, name: str) -> int:
        return self._base + len(self._routes) * (_OTHER + 1) + _NUMBER[name]

    def _sum(self, cell: int) -> float:
        return sum(self._memory[cell + worker * self._size] for worker in range(self._workers))

    def _lines(self, *, ledger_up: bool, issues: bool) -> Iterator[str]:
        yield from family("jitid_build_info", "The version of jitid.", [({"version": __version__}, 1)])
        yield from family(
            "jitid_ledger_up", "Whether the ledger answers (1) or not (0).", [({}, int(ledger_up))]
        )
        yield from family(
            "jitid_can_issue",
            "Whether ledger, policy and signing key are ready to issue (1) or not (0).",
            [({}, int(issues))],
        )
        counters_start = len(self._routes) * (_OTHER + 1)
        for names, kind in ((COUNTERS, "counter"), (GAUGES, "gauge")):
            for name, (metric_name, description) in names.items():
                value = int(self._sum(counters_start + _NUMBER[name]))
                yield from family(
                    metric_name, description, [({}, value)], "counter" if kind == "counter" else "gauge"
                )
        yield from family(
            "jitid_http_requests_total",
            "Answered requests, by path template and status.",
            (
                ({"route": route, "status": str((*STATUSES, "other")[status_index])}, int(count))
                for route_index, route in enumerate(self._routes)
                for status_index in range(_OTHER + 1)
                if (count := self._sum(route_index * (_OTHER + 1) + status_index))
            ),
            "counter",
        )
        yield from self._histograms()

    def _histograms(self) -> Iterator[str]:
        name = "jitid_http_request_seconds"
        head = f"# HELP {name} Duration of answers, by path template.\n# TYPE {name} histogram\n"
        for route_index, route in enumerate(self._routes):
            histogram_start = self._histogram + route_index * self._of_route
            counts = [int(self._sum(histogram_start + bucket)) for bucket in range(len(BOUNDS) + 1)]
            if not any(counts):
                continue
            yield head
            head = ""
            label = f'route="{label_value(route)}"'
            total = 0
            for bound, count in zip((*map(str, BOUNDS), "+Inf"), counts, strict=True):
                total += count
                yield f'{name}_bucket{{{label},le="{bound}"}} {total}\n'
            yield f"{name}_sum{{{label}}} {self._sum(histogram_start + len(BOUNDS) + 1):.6f}\n"
            yield f"{name}_count{{{label}}} {total}\n"


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
