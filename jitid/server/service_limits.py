"""The limits of the service: for one request, for one client, and in total.

And the parameters of a service start, which all its workers share.
"""

from __future__ import annotations

import socket
import ssl
import threading
from collections import OrderedDict
from math import ceil
from time import monotonic
from typing import TYPE_CHECKING

from jitid.errors import ConfigurationError
from jitid.server.answers import LimitedError
from jitid.values.record import Record

if TYPE_CHECKING:
    from jitid.config.effective import Config
    from jitid.model.ledger_rows import Names
    from jitid.server.metrics import Log


_COUNTS = ("serve_body", "serve_connections", "serve_requests", "serve_rate", "serve_threads")


_LEAST_HUNG = 3
"""Minimum seconds: on a busy machine a process may wait that long for its turn."""


class ServiceLimits(Record):
    """The limits of one worker process."""

    body: int = 1 << 20
    """Bytes of a request's body."""
    connections: int = 1_000
    requests: int = 256
    """Maximum number of concurrent requests; further requests get the status 503."""
    rate: int = 1_000
    """Requests per second of one caller; twice as many are allowed at once."""
    threads: int = 8
    """Maximum number of requests that use the ledger at once."""
    long_threads: int = 2
    """The same for requests that may read the whole ledger."""
    time: float = 30.0
    """Seconds for a request to arrive, and again for its answer."""
    long_time: float = 900.0
    """Seconds for an answer that may read the whole ledger."""
    headers: int = 16_384
    """Bytes of a request's line and headers."""
    header_time: float = 10.0
    """Seconds for the request's line and headers to arrive."""
    idle: float = 5.0
    """Seconds that an idle connection stays open for the next request."""
    stop: float = 30.0
    """Seconds for requests in progress to finish when the service stops."""
    hung: float = 30.0
    """Seconds for which a worker may be silent before it is killed and replaced."""


def limits_of(config: Config) -> ServiceLimits:
    """Return the limits of the configuration. Raises ConfigurationError if a limit is too low."""
    for name in _COUNTS:
        if config.number(name) < 1:
            raise ConfigurationError(f"`{name}` must be at least 1", f"jitid config set {name} NUMBER")
    if config.number("serve_hung") < _LEAST_HUNG:
        raise ConfigurationError(
            f"`serve_hung` must be at least {_LEAST_HUNG} s", "jitid config set serve_hung DURATION"
        )
    time = float(config.number("serve_time"))
    return ServiceLimits(
        body=config.number("serve_body"),
        connections=config.number("serve_connections"),
        requests=config.number("serve_requests"),
        rate=config.number("serve_rate"),
        threads=config.number("serve_threads"),
        time=time,
        header_time=min(time, ServiceLimits().header_time),
        long_time=float(config.number("serve_long_time")),
        stop=float(config.number("serve_stop")),
        hung=float(config.number("serve_hung")),
    )


_MOST_CLIENTS = 10_000


class RequestPace:
    """A rate limit for each client."""

    def __init__(self, rate: float, burst: float, most: int = _MOST_CLIENTS) -> None:
        """`rate` is in requests per second, `burst` the maximum at once; up to `most` clients are stored."""
        self._rate = rate
        self._burst = burst
        self._most = most
        # Client -> time at which its bucket is empty. Clients that are missing here have an empty bucket.
        self._empty_at: OrderedDict[str, float] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, client: str, now: float | None = None) -> int:
        """Count one request; return 0 if it is within the limit, otherwise the seconds until the next one is.

        A request beyond the limit does not count.
        """
        now = monotonic() if now is None else now
        with self._lock:
            empty_at = max(self._empty_at.get(client, 0.0), now)
            level = (empty_at - now) * self._rate
            if level + 1 > self._burst:
                return max(1, ceil((level + 1 - self._burst) / self._rate))
            self._empty_at[client] = empty_at + 1 / self._rate
            self._empty_at.move_to_end(client)
            if len(self._empty_at) > self._most:
                # Delete the client with the oldest request: its bucket is most probably empty by now.
                self._empty_at.popitem(last=False)
        return 0

    def keep(self, client: str, message: str, hint: str = "try again") -> None:
        """Count one request. Raises LimitedError beyond the limit; `hint` precedes the seconds until the next one."""
        seconds = self.take(client)
        if seconds:
            raise LimitedError(message, f"{hint} in {seconds} s", status=429, seconds=seconds)


class StartPlan(Record):
    """Listening sockets, an existing ledger, and the limits."""

    config: Config
    names: Names
    base_url: str
    tcp: tuple[socket.socket, ...]
    unix: socket.socket | None
    tls: Tls | None
    workers: int
    limits: ServiceLimits
    log: Log


class Tls(Record):
    """The certificate of the service; SIGHUP makes the workers read its files again."""

    context: ssl.SSLContext
    certificate: str
    key: str
