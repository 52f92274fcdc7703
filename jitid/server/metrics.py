"""Counters of all workers of one service in shared memory: each worker writes its own part, and each can sum them."""

from __future__ import annotations

import mmap
import threading
from collections.abc import Iterator, Sequence

from jitid import __version__
from jitid.formats.prometheus import family, label_value

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
    "issued": ("jitid_credentials_issued_total", "Credentials that were issued or renewed."),
    "denied": ("jitid_denials_total", "Requests that the policy denied."),
    "refused": (
        "jitid_refusals_total",
        "Requests that the caller's roles did not allow, or whose caller was unknown.",
    ),
    "limited": ("jitid_limited_total", "Requests and connections turned away because of a limit."),
    "malformed": ("jitid_malformed_total", "Connections ended because of what or how slowly they sent."),
    "restarts": ("jitid_worker_starts_total", "Starts of worker processes."),
}
GAUGES = {
    "in_work": ("jitid_requests_in_work", "Requests in work now."),
    "connections": ("jitid_connections", "Connections that are open now."),
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
            "Whether ledger, policy and signing key are there to issue with (1) or not (0).",
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
            "Requests that were answered, by the template of their path and their status.",
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
        head = f"# HELP {name} How long answers took, by the template of the path.\n# TYPE {name} histogram\n"
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
