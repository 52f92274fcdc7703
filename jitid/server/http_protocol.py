"""HTTP/1.1 with an end to everything: what a client may send, how much of it, and for how long."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Any, cast

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from jitid.authority.wire.error_codec import encode_error
from jitid.server.answers import RequestError, dumps

if TYPE_CHECKING:
    from uvicorn.config import Config
    from uvicorn.server import ServerState

    from jitid.server.metrics import Metrics
    from jitid.server.request_record import Peer
    from jitid.server.service_limits import Limits

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
"""Headers of which a second one could make two readers of the same request understand two different ones."""
_GO_ON = b"HTTP/1.1 100 "
"""How the interim answer begins that lets a client send its body."""
_LINGER = 2.0
"""Seconds for a client to read why its request was refused before the connection is cut."""
_FLUSH = 5.0
"""Seconds for the end of an answer to be taken before the connection is cut."""


class BoundedProtocol(HttpToolsProtocol):
    """A connection. A clock outside looks at `deadline` now and then, and ends what is past it: `end_if_late`."""

    def __init__(
        self,
        config: Config,
        state: ServerState,
        limits: Limits,
        metrics: Metrics,
        peer: Peer | None,
        lost: Callable[[], None],
    ) -> None:
        """`peer` is who connected over a Unix socket; `lost` is told when the connection is gone."""
        super().__init__(config, state, {}, asyncio.get_running_loop())
        self._lost = lost
        self._limits = limits
        self._metrics = metrics
        self._peer = peer
        self.deadline: float | None = monotonic() + limits.header_time
        """When the connection is ended if nothing comes of it before, in seconds of the monotonic clock."""
        self._in_headers = self._in_body = False
        self._unparsed = 0
        """Bytes that came since a request began and before its headers were whole."""
        self._header_bytes = 0
        self._body_bytes = 0
        self._refused: RequestError | None = None
        self._lingers = False
        """Whether nothing more is read: the last answer is on its way, or waits for its turn."""
        self._last: RequestError | None = None
        """The error that is answered once all earlier requests of this connection are answered."""

    # What comes in

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin; the client has some seconds to say what it wants."""
        super().connection_made(transport)
        # Answers are small, and a client that reads slowly must be noticed before much waits for it.
        transport.set_write_buffer_limits(high=1 << 16)

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self.deadline = None
        super().connection_lost(exc)
        self._lost()

    def data_received(self, data: bytes) -> None:
        """Take what came, as long as it stays within the bounds."""
        if self._lingers or self.transport.is_closing():
            return
        began_before = self._in_headers
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._lingers = True
        except httptools.HttpParserError:
            self._refuse(self._refused or RequestError(400, "that is no HTTP request; nothing was done"))
            return
        if self._in_headers:
            # A part of a header is not told before all of it is there.
            self._unparsed = self._unparsed + len(data) if began_before else 0
            if self._unparsed > self._limits.headers:
                self._refuse(_too_large_headers(self._limits.headers))

    def eof_received(self) -> bool:  # type: ignore[override]
        """Keep a connection open whose client will say no more, for as long as it waits for an answer."""
        return self._busy and not (self.cycle.disconnected or self._in_headers or self._in_body)

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        if not self._busy:
            self.deadline = monotonic() + self._limits.header_time
        self._in_headers = True
        self._header_bytes = self._body_bytes = 0
        self.scope["peer"] = self._peer  # type: ignore[typeddict-unknown-key]

    def on_url(self, url: bytes) -> None:
        """Take a part of the request's line."""
        self._take_header(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; what comes after a body in pieces (a trailer) is counted and thrown away."""
        self._take_header(len(name) + len(value) + 4)
        if self._in_headers:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Start what answers the request, unless it is clear already that it cannot be meant."""
        self._in_headers = False
        self._unparsed = 0
        headers = dict(self.headers)
        if len(headers) < len(self.headers):
            self._look_for_twins()
        if len(self.headers) > _MOST_HEADERS:
            self._stop(_too_large_headers(self._limits.headers))
        version = self.parser.get_http_version()
        if version not in ("1.0", "1.1"):
            self._stop(RequestError(505, "HTTP/1.1 is spoken here"))
        if b"host" not in headers and version == "1.1":
            # RFC 9112, section 3.2.
            self._stop(RequestError(400, "the header host is missing; nothing was done"))
        coding = headers.get(b"transfer-encoding")
        if coding is not None and (
            coding.lower() != b"chunked" or b"content-length" in headers or version == "1.0"
        ):
            # RFC 9112, section 6.1: what two readers could take for bodies of different length.
            self._stop(RequestError(400, "transfer-encoding is `chunked` alone here; nothing was done"))
        if not self.url.startswith(b"/"):
            self._stop(RequestError(400, "the path of a request begins with a slash; nothing was done"))
        if b"#" in self.url:
            # RFC 9112, section 3.2: a fragment is never sent, and two readers could end the path in two places.
            self._stop(RequestError(400, "the target of a request has no `#`; nothing was done"))
        length = headers.get(b"content-length")
        if length is not None and (len(length) > 18 or int(length) > self._limits.body):
            self._stop(self._too_large_body())
        if len(self.pipeline) >= _MOST_PIPELINED:
            self._stop(RequestError(400, "too many requests were sent at once"))
        if version == "1.0":
            # RFC 9110, section 10.1.1: such a client does not know what 100 means.
            self.expect_100_continue = False
        self.deadline = monotonic() + self._limits.time
        super().on_headers_complete()
        self._in_body = True
        if self.parser.should_upgrade():
            # What follows would be another protocol, and there is none here. The request itself is answered.
            self.cycle.keep_alive = False
        # It has not run yet.
        _Together(self.transport, self.cycle)

    def on_body(self, body: bytes) -> None:
        """Take a part of a body."""
        self._body_bytes += len(body)
        if self._body_bytes > self._limits.body:
            self._stop(self._too_large_body())
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Note that the request is whole: from here on, its time is the service's own matter."""
        self._in_body = False
        self.deadline = None if self._busy else monotonic() + self._limits.idle
        super().on_message_complete()

    # What goes out

    def on_response_complete(self) -> None:
        """Begin the next request that is there already, or wait a little for one."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            self.deadline = monotonic() + _FLUSH
            return
        self.flow.resume_reading()
        if self._last is not None and not self.pipeline:
            self._answer_last(self._last)
        elif self.pipeline:
            cycle, app = self.pipeline.pop()
            if not cycle.more_body:
                self.deadline = None
            self._start_asgi_task(cycle, app)
        elif not self._in_body:
            # A body that nobody waits for any more still has to come in its own time.
            self.deadline = monotonic() + (
                self._limits.header_time if self._in_headers else self._limits.idle
            )

    def pause_writing(self) -> None:
        """Give a client that reads too slowly some time to catch up."""
        super().pause_writing()
        self.deadline = monotonic() + self._limits.time

    def resume_writing(self) -> None:
        """Go on with one that has caught up."""
        super().resume_writing()
        if self._busy:
            self.deadline = None

    def end_if_late(self, now: float) -> None:
        """End the connection if its deadline has passed: first in good order, and if that does not help, at once."""
        if self.deadline is None or now < self.deadline:
            return
        if self._lingers or self.transport.is_closing():
            self.transport.abort()
            return
        late = self._in_headers or self._in_body
        if late and not self.flow.write_paused:
            self._refuse(RequestError(408, "the request did not arrive in time; nothing was done"))
        elif self._busy:
            # It waits for a client that does not read.
            self._metrics.count("malformed")
            self.transport.abort()
        else:
            self.deadline = now + _FLUSH
            self.transport.close()

    @property
    def _busy(self) -> bool:
        """Whether a request is being answered."""
        return self.cycle is not None and not self.cycle.response_complete

    def _look_for_twins(self) -> None:
        seen = set()
        for name, _ in self.headers:
            if name in seen and name in _ONCE:
                self._stop(RequestError(400, f"the header {name.decode()} comes twice; nothing was done"))
            seen.add(name)

    def _take_header(self, size: int) -> None:
        self._header_bytes += size
        if self._header_bytes > self._limits.headers:
            self._stop(_too_large_headers(self._limits.headers))

    def _too_large_body(self) -> RequestError:
        return RequestError(413, f"the body is larger than {self._limits.body} bytes; nothing was done")

    def _stop(self, error: RequestError) -> None:
        """Leave the parser, which raises on in `data_received`."""
        self._refused = error
        raise error

    def _refuse(self, error: RequestError) -> None:
        """Answer a request that is not served with an error, in its turn, and end the connection after that."""
        self._metrics.count("malformed")
        self._lingers = True
        cycle = self.cycle
        own = self._in_body
        """Whether the request has a cycle already: its headers were in order, and its body is not."""
        self._in_headers = self._in_body = False
        if own and self.pipeline:
            # Its turn has not come.
            self.pipeline.popleft()
        elif own and cycle.response_complete:
            # It has its answer. A second one would be taken for that of the next request.
            self._end()
            return
        elif own:
            cycle.disconnected = True
            cycle.message_event.set()
            if cycle.response_started:
                self.transport.abort()
                return
            self._answer_last(error)
            return
        if self._busy:
            self._last = error
            self.deadline = None
        else:
            self._answer_last(error)

    def _answer_last(self, error: RequestError) -> None:
        """Say why a request is refused, and end the connection."""
        self._last = None
        body = dumps(encode_error(error))
        self.transport.write(
            b"".join(
                (
                    STATUS_LINE[error.status],
                    b"content-type: application/json\r\ncache-control: no-store\r\nconnection: close\r\n",
                    b"content-length: %d\r\n\r\n" % len(body),
                    body,
                )
            )
        )
        self._end()

    def _end(self) -> None:
        """End the connection; what is still under way to us is read and thrown away for a moment."""
        self.deadline = monotonic() + _LINGER
        self.flow.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        else:
            self.transport.close()


class _Together:
    """The transport as one answer sees it: its head goes out with the first piece of its body, in one write."""

    __slots__ = ("_cycle", "_done", "_head", "_keep_alive", "_transport")

    def __init__(self, transport: asyncio.Transport, cycle: RequestResponseCycle) -> None:
        """Stand between a cycle that has not begun and its transport."""
        self._transport = transport
        self._cycle = cycle
        self._head: bytes | None = b""
        self._done = cycle.on_response
        self._keep_alive = cycle.keep_alive
        if cycle.waiting_for_100_continue:
            # RFC 9110, section 10.1.1: whether a client that was not told to go on sends its body, nobody knows.
            cycle.keep_alive = False
        cycle.transport = cast("asyncio.Transport", self)
        cycle.on_response = self._complete

    def write(self, data: bytes) -> None:
        """Write the next piece."""
        if self._head is None:
            self._transport.write(data)
        elif self._head:
            self._transport.write(self._head + data)
            self._head = None
        elif data.startswith(_GO_ON):
            # The client waits for it before it sends the body.
            self._transport.write(data)
            self._cycle.keep_alive = self._keep_alive
        else:
            self._head = data

    def close(self) -> None:
        """Close the connection once all is written."""
        self._flush()
        self._transport.close()

    def is_closing(self) -> bool:
        """Tell whether nothing can be written any more."""
        return self._transport.is_closing()

    def _complete(self) -> None:
        # The answer to a HEAD has no body, and nothing else is written.
        self._flush()
        self._done()

    def _flush(self) -> None:
        if self._head:
            self._transport.write(self._head)
        self._head = None


def _too_large_headers(most: int) -> RequestError:
    return RequestError(431, f"the request's line and headers are larger than {most} bytes; nothing was done")


def cut_late(connections: set[Any], now: float) -> None:
    """End every connection that is past its deadline."""
    for connection in list(connections):
        connection.end_if_late(now)
