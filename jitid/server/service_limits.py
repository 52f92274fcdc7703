"""How much the service takes: of one request, of one client, and at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from jitid.errors import ConfigurationError

if TYPE_CHECKING:
    from jitid.config.effective import Config


_COUNTS = ("serve_body", "serve_connections", "serve_requests", "serve_rate", "serve_threads")


_LEAST_HUNG = 3
"""Seconds: less would be no more than a busy machine may take to give every process its turn."""


class ServiceLimits(NamedTuple):
    """The bounds of one worker process."""

    body: int = 1 << 20
    """Bytes of a request's body."""
    connections: int = 1_000
    requests: int = 256
    """How many requests may be in work at once; further ones are told to come again."""
    rate: int = 1_000
    """Requests a second of one caller; twice as many may come at once."""
    threads: int = 8
    """How many requests can be at the ledger at once."""
    long_threads: int = 2
    """How many of those that may look at all of it."""
    time: float = 30.0
    """Seconds for a request to arrive, and again for its answer to be found."""
    long_time: float = 900.0
    """Seconds for an answer that may take a look at the whole ledger."""
    headers: int = 16_384
    """Bytes of a request's line and headers."""
    header_time: float = 10.0
    """Seconds for these to arrive."""
    idle: float = 5.0
    """Seconds that a connection is kept for a next request."""
    stop: float = 30.0
    """Seconds for what is in work to finish when the service is stopped."""
    hung: float = 30.0
    """Seconds for which a worker may be silent before it is killed and replaced."""


def limits_of(config: Config) -> ServiceLimits:
    """Return the bounds that the configuration sets. Raises ConfigurationError for a bound of nothing."""
    for name in _COUNTS:
        if config.number(name) < 1:
            raise ConfigurationError(f"`{name}` is at least 1", f"jitid config set {name} NUMBER")
    if config.number("serve_hung") < _LEAST_HUNG:
        raise ConfigurationError(
            f"`serve_hung` is at least {_LEAST_HUNG} s", "jitid config set serve_hung DURATION"
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
