"""HTTP/1.1 with limits on the form, the size and the time of each request."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Any

import httptools

from jitid.authority.wire.codec import encode_error
from jitid.server.answers import RequestError, dumps
from jitid.server.http_exchange import STATUS_LINES, Flow, HttpExchange

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from jitid.server.metrics import Metrics, Peer
    from jitid.server.service_limits import ServiceLimits

_MOST_HEADERS = 100
_MOST_PIPELINED = 16
_ONCE = frozenset(
    (
        b"authorization",
        b"content-length",
        b"content-type",
        b"host",
        b"idempotency-key",
        b"traceparent",
        b"transfer-encoding",
    )
)
"""Headers that must not be repeated: two parsers of the same request could use different values."""
_LINGER = 2.0
"""Seconds for a client to read the error before the connection is cut."""
_FLUSH = 5.0
"""Seconds for the client to receive the end of an answer before the connection is cut."""


class ServerState:
    """The shared state of all connections of a worker."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        """Answers each request."""
        self.connections: set[BoundedProtocol] = set()
        self.tasks: set[asyncio.Task[None]] = set()
        """The requests in progress."""
        self.default_headers = b""
        """Field lines of each answer."""


class BoundedProtocol(asyncio.Protocol):
    """A connection. An external clock regularly calls `end_if_late`, which ends a connection past its `deadline`."""

    _transport: asyncio.Transport
    _flow: Flow
    _headers: list[tuple[bytes, bytes]]
    _url: bytes

    def __init__(
        self,
        state: ServerState,
        limits: ServiceLimits,
        metrics: Metrics,
        peer: Peer | None,
        lost: Callable[[], None],
    ) -> None:
        """`peer` is the user that connected over a Unix socket; `lost` is called when the connection is gone."""
        self._state = state
        self._loop = asyncio.get_running_loop()
        self._parser: Any = httptools.HttpRequestParser(self)
        # Data after the last request of a connection is dropped, and that request is answered.
        self._parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self._server: tuple[str, int | None] | None = None
        self._client: tuple[str, int] | None = None
        self._scheme = "http"
        self._exchange: HttpExchange | None = None
        """The latest exchange that has begun."""
        self._pipeline: deque[HttpExchange] = deque()
        """Exchanges that wait for earlier answers, the latest one at the left."""
        self._expects_continue = False
        self._lost = lost
        self._limits = limits
        self._metrics = metrics
        self._peer = peer
        self.deadline: float | None = monotonic() + limits.header_time
        """Time of the monotonic clock, in seconds, at which the connection is ended unless it makes progress."""
        self._in_headers = self._in_body = False
        self._unparsed = 0
        """Bytes received since the parser last reported a part of the headers or of the body."""
        self._header_bytes = 0
        self._body_bytes = 0
        self._refused: RequestError | None = None
        self._lingers = False
        """Whether reading has stopped: the last answer is being sent, or waits for its turn."""
        self._last: RequestError | None = None
        """The error to send after the answers to all earlier requests of this connection."""

    # Input.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin; the client has a limited time for its first request."""
        self._state.connections.add(self)
        self._transport = transport
        self._flow = Flow(transport)
        self._server, self._client = _addresses(transport)
        if transport.get_extra_info("sslcontext"):
            self._scheme = "https"
        # Answers are small, and a slow reader must be noticed before much data waits for it.
        transport.set_write_buffer_limits(high=1 << 16)

    def connection_lost(self, exc: Exception | None) -> None:
        """Release the connection."""
        self.deadline = None
        self._state.connections.discard(self)
        if self._exchange is not None:
            self._exchange.disconnect()
        self._flow.resume_writing()
        if exc is None:
            self._transport.close()
        # The parser and the protocol refer to each other: without this, they stay in memory until the next collection.
        self._parser = None
        self._lost()

    def data_received(self, data: bytes) -> None:
        """Parse received data within the limits."""
        if self._lingers or self._transport.is_closing():
            return
        began_before = self._in_headers
        if self._in_body:
            self._unparsed += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._lingers = True
        except httptools.HttpParserError:
            self._refuse(
                self._refused or RequestError(400, "the request is not an HTTP request; nothing was done")
            )
            return
        if self._in_headers:
            # The parser reports a header only when it is complete.
            self._unparsed = self._unparsed + len(data) if began_before else 0
        if self._unparsed > self._limits.headers:
            # This also limits trailers and the extensions of chunks.
            self._refuse(_too_large_headers(self._limits.headers))

    def eof_received(self) -> bool:
        """Keep the connection open after the client's end of file while it waits for an answer."""
        exchange = self._running
        return exchange is not None and not (exchange.is_disconnected or self._in_headers or self._in_body)

    def on_message_begin(self) -> None:
        """Begin a request."""
        if self._running is None:
            self.deadline = monotonic() + self._limits.header_time
        self._in_headers = True
        self._header_bytes = self._body_bytes = 0
        self._url = b""
        self._headers = []
        self._expects_continue = False

    def on_url(self, url: bytes) -> None:
        """Take a part of the request's line."""
        self._take_header(len(url))
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Store a header; trailers after a chunked body are counted and dropped."""
        self._take_header(len(name) + len(value) + 4)
        if self._in_headers:
            name = name.lower()
            if name == b"expect" and value.lower() == b"100-continue":
                self._expects_continue = True
            self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Start the answer to the request, unless its headers are invalid already."""
        self._in_headers = False
        self._unparsed = 0
        headers = dict(self._headers)
        if len(headers) < len(self._headers):
            self._look_for_twins()
        if len(self._headers) > _MOST_HEADERS:
            self._stop(_too_large_headers(self._limits.headers))
        version = self._parser.get_http_version()
        if version not in ("1.0", "1.1"):
            self._stop(RequestError(505, "HTTP/1.1 is required"))
        if b"host" not in headers and version == "1.1":
            # RFC 9112, section 3.2.
            self._stop(RequestError(400, "the header `host` is missing; nothing was done"))
        coding = headers.get(b"transfer-encoding")
        if coding is not None and (
            coding.lower() != b"chunked" or b"content-length" in headers or version == "1.0"
        ):
            # RFC 9112, section 6.1: two parsers could read bodies of different length.
            self._stop(RequestError(400, "the only transfer-encoding here is `chunked`; nothing was done"))
        if not self._url.startswith(b"/"):
            self._stop(RequestError(400, "the path of a request must begin with a slash; nothing was done"))
        if b"#" in self._url:
            # RFC 9112, section 3.2: a fragment is never sent, and two parsers could end the path at different places.
            self._stop(RequestError(400, "the target of a request must not contain `#`; nothing was done"))
        length = headers.get(b"content-length")
        if length is not None and (len(length) > 18 or int(length) > self._limits.body):
            self._stop(self._too_large_body())
        if self._parser.should_upgrade() and (coding is not None or (length is not None and int(length))):
            # The parser treats the body as data of the other protocol, so the request would be performed without it.
            self._stop(
                RequestError(400, "a request with a body must not request an upgrade; nothing was done")
            )
        if len(self._pipeline) >= _MOST_PIPELINED:
            self._stop(RequestError(400, "too many requests were sent at once"))
        self.deadline = monotonic() + self._limits.time
        url = httptools.parse_url(self._url)
        waits = self._running is not None
        self._exchange = exchange = HttpExchange(
            {
                "type": "http",
                "asgi": {"version": "3.0", "spec_version": "2.3"},
                "http_version": version,
                "server": self._server,
                "client": self._client,
                "scheme": self._scheme,
                "root_path": "",
                "headers": self._headers,
                "state": {},
                "method": self._parser.get_method().decode("ascii"),
                "path": url.path.decode("ascii"),
                "raw_path": url.path,
                "query_string": url.query or b"",
                "peer": self._peer,
            },
            self._transport,
            self._flow,
            self._state.default_headers,
            self._begin_next,
            # After an upgrade request the client would speak another protocol, which is not supported.
            keep_alive=version != "1.0"
            and self._parser.should_keep_alive()
            and not self._parser.should_upgrade(),
            # RFC 9110, section 10.1.1: a client of HTTP/1.0 does not understand the status 100.
            expects_continue=version != "1.0" and self._expects_continue,
        )
        self._in_body = True
        if waits:
            self._flow.pause_reading()
            self._pipeline.appendleft(exchange)
        else:
            self._answer(exchange)

    def on_body(self, body: bytes) -> None:
        """Store a part of a body."""
        self._unparsed = 0
        self._body_bytes += len(body)
        if self._body_bytes > self._limits.body:
            self._stop(self._too_large_body())
        if self._exchange is not None:
            self._exchange.take_body(body)

    def on_message_complete(self) -> None:
        """Mark the request as complete: from here on its time does not depend on the client."""
        self._in_body = False
        self._unparsed = 0
        exchange = self._running
        self.deadline = monotonic() + self._limits.idle if exchange is None else None
        if exchange is not None:
            exchange.end_body()

    # Output.

    def _answer(self, exchange: HttpExchange) -> None:
        task = self._loop.create_task(exchange.run(self._state.app))
        self._state.tasks.add(task)
        task.add_done_callback(self._state.tasks.discard)

    def _begin_next(self) -> None:
        """Answer the next waiting request, or wait a limited time for one."""
        if self._transport.is_closing():
            self.deadline = monotonic() + _FLUSH
            return
        self._flow.resume_reading()
        if self._last is not None and not self._pipeline:
            self._answer_last(self._last)
        elif self._pipeline:
            exchange = self._pipeline.pop()
            if not exchange.has_more:
                self.deadline = None
            self._answer(exchange)
        elif not self._in_body:
            # Otherwise a body is still arriving, and its own deadline stays.
            self.deadline = monotonic() + (
                self._limits.header_time if self._in_headers else self._limits.idle
            )

    def pause_writing(self) -> None:
        """Give a client that reads too slowly some time to catch up."""
        self._flow.pause_writing()
        self.deadline = monotonic() + self._limits.time

    def resume_writing(self) -> None:
        """Continue with a client that has caught up."""
        self._flow.resume_writing()
        if self._running is not None:
            self.deadline = None

    def shutdown(self) -> None:
        """Close the connection, at once if it is idle, otherwise after the answer to its latest request."""
        exchange = self._running
        if exchange is None:
            self._transport.close()
        else:
            exchange.keep_alive = False

    def abort(self) -> None:
        """Cut the connection."""
        self._transport.abort()

    def end_if_late(self, now: float) -> None:
        """End the connection if its deadline has passed: with an answer if possible, by cutting it otherwise."""
        if self.deadline is None or now < self.deadline:
            return
        if self._lingers or self._transport.is_closing():
            self._transport.abort()
            return
        late = self._in_headers or self._in_body
        if late and not self._flow.is_full:
            self._refuse(RequestError(408, "the request did not arrive in time; nothing was done"))
        elif self._running is not None:
            # The answer waits for a client that does not read.
            self._metrics.count("malformed")
            self._transport.abort()
        else:
            self.deadline = now + _FLUSH
            self._transport.close()

    @property
    def _running(self) -> HttpExchange | None:
        """The latest started exchange, unless its answer is complete."""
        return None if self._exchange is None or self._exchange.is_complete else self._exchange

    def _look_for_twins(self) -> None:
        seen = set()
        for name, _ in self._headers:
            if name in seen and name in _ONCE:
                self._stop(RequestError(400, f"the header {name.decode()} occurs twice; nothing was done"))
            seen.add(name)

    def _take_header(self, size: int) -> None:
        self._header_bytes += size
        if self._header_bytes > self._limits.headers:
            self._stop(_too_large_headers(self._limits.headers))

    def _too_large_body(self) -> RequestError:
        return RequestError(413, f"the body is larger than {self._limits.body} bytes; nothing was done")

    def _stop(self, error: RequestError) -> None:
        """Leave the parser, which raises the error again in `data_received`."""
        self._refused = error
        raise error

    def _refuse(self, error: RequestError) -> None:
        """Answer an invalid request with an error, after the answers to earlier requests, and close the connection."""
        self._metrics.count("malformed")
        self._lingers = True
        exchange = self._running
        has_exchange = self._in_body
        """Whether the request has an exchange already: its headers were valid, and its body is not."""
        self._in_headers = self._in_body = False
        if has_exchange and self._pipeline:
            # It waits for earlier answers.
            self._pipeline.popleft()
        elif has_exchange and exchange is None:
            # It is answered already. The client would take a second answer for that of the next request.
            self._end()
            return
        elif has_exchange and exchange is not None:
            exchange.disconnect()
            if exchange.is_started:
                self._transport.abort()
                return
            self._answer_last(error)
            return
        if self._running is not None:
            self._last = error
            self.deadline = None
        else:
            self._answer_last(error)

    def _answer_last(self, error: RequestError) -> None:
        """Send the error of a refused request, and close the connection."""
        self._last = None
        body = dumps(encode_error(error))
        self._transport.write(
            b"".join(
                (
                    STATUS_LINES[error.status],
                    b"content-type: application/json\r\ncache-control: no-store\r\nconnection: close\r\n",
                    b"content-length: %d\r\n\r\n" % len(body),
                    body,
                )
            )
        )
        self._end()

    def _end(self) -> None:
        """Close the connection; data that still arrives is read and dropped for a moment."""
        self.deadline = monotonic() + _LINGER
        self._flow.resume_reading()
        if self._transport.can_write_eof():
            self._transport.write_eof()
        else:
            self._transport.close()


def _addresses(transport: asyncio.Transport) -> tuple[tuple[str, int | None] | None, tuple[str, int] | None]:
    """Return the addresses of the service and of the client; a Unix socket's client has none."""
    connection = transport.get_extra_info("socket")
    try:
        local, remote = connection.getsockname(), connection.getpeername()
    except OSError:
        # The client has left already.
        return None, None
    server = (str(local[0]), int(local[1])) if isinstance(local, tuple) else (str(local), None)
    return server, (str(remote[0]), int(remote[1])) if isinstance(remote, tuple) else None


def _too_large_headers(limit: int) -> RequestError:
    return RequestError(431, f"the request line and headers are larger than {limit} bytes; nothing was done")
