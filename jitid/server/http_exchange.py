"""One HTTP/1.1 request and its answer, as the messages of an ASGI application."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Scope

MAX_WAITING = 1 << 16
"""Bytes of a body that may wait for the application before reading from the connection stops."""
STATUS_LINES: dict[int, bytes] = {
    status: b"HTTP/1.1 %d %s\r\n" % (status, status.phrase.encode()) for status in HTTPStatus
}
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_NO_BODY = (204, 304)
_FIELD = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+: [^\x00-\x08\x0a-\x1f\x7f]*\r\n")
"""A field line (RFC 9110, section 5): a line break in a value would begin another header or answer."""
_ERROR = b"Internal Server Error"
_ERROR_HEADERS = (
    (b"content-type", b"text/plain; charset=utf-8"),
    (b"content-length", b"%d" % len(_ERROR)),
    (b"connection", b"close"),
)


class Flow:
    """Flow control for both directions of a connection."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._is_reading = True
        self._writable = asyncio.Event()
        self._writable.set()

    @property
    def is_full(self) -> bool:
        """Whether the client reads too slowly for more to be written."""
        return not self._writable.is_set()

    async def drain(self) -> None:
        """Wait until more can be written."""
        await self._writable.wait()

    def pause_reading(self) -> None:
        """Stop reading."""
        if self._is_reading:
            self._is_reading = False
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Continue reading."""
        if not self._is_reading:
            self._is_reading = True
            self._transport.resume_reading()

    def pause_writing(self) -> None:
        """Make `drain` wait."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Let `drain` return."""
        self._writable.set()


class HttpExchange:
    """A request whose headers are complete, and its answer."""

    def __init__(
        self,
        scope: Scope,
        transport: asyncio.Transport,
        flow: Flow,
        default_headers: bytes,
        finished: Callable[[], None],
        *,
        keep_alive: bool,
        expects_continue: bool,
    ) -> None:
        """Take a request.

        Args:
            scope: the request, as ASGI describes it.
            transport: where the answer is written.
            flow: that of the connection.
            default_headers: field lines of each answer.
            finished: is called once the answer is written.
            keep_alive: whether further requests may follow.
            expects_continue: whether the client waits for the status 100 before it sends the body.

        """
        self.keep_alive = keep_alive
        self.is_started = False
        """Whether the answer has begun."""
        self.is_complete = False
        """Whether the answer is written."""
        self.has_more = True
        """Whether some of the request's body has not arrived."""
        self.is_disconnected = False
        """Whether no client reads the answer any more."""
        self._scope = scope
        self._transport = transport
        self._flow = flow
        self._default_headers = default_headers
        self._finished = finished
        self._expects_continue = expects_continue
        self._body = bytearray()
        self._event = asyncio.Event()
        """Set when there is data to receive."""
        self._head = b""
        """The head of the answer until the first piece of its body: both are sent in one write."""
        self._is_chunked = False
        self._length = 0
        """Remaining bytes of the answer's body."""

    # Called by the connection.

    def disconnect(self) -> None:
        """Report to the application that no client reads its answer; later output is dropped."""
        if not self.is_complete:
            self.is_disconnected = True
        self._event.set()

    def take_body(self, body: bytes) -> None:
        """Keep a part of the request's body until the application receives it."""
        if self.is_complete:
            return
        self._body += body
        if len(self._body) > MAX_WAITING:
            self._flow.pause_reading()
        self._event.set()

    def end_body(self) -> None:
        """Mark the request's body as complete."""
        if not self.is_complete:
            self.has_more = False
            self._event.set()

    async def run(self, app: ASGIApp) -> None:
        """Let an application answer the request."""
        failed = False
        try:
            await app(self._scope, self.receive, self.send)
        except asyncio.CancelledError:
            self._transport.close()
            raise
        except BaseException:  # noqa: BLE001 - the application logs its own errors; a panic in Rust is not an Exception
            failed = True
        if not self.is_started:
            await self._send_error()
        elif failed or not (self.is_complete or self.is_disconnected):
            # The closed connection shows the client that the answer is incomplete.
            self._write(b"")
            self._transport.close()

    # Called by the application.

    async def receive(self) -> Message:
        """Return the next part of the request's body, or a disconnect message if the client has left."""
        if self._expects_continue and not self.is_started and not self._transport.is_closing():
            self._expects_continue = False
            self._transport.write(_CONTINUE)
        if not self.is_disconnected and not self.is_complete:
            self._flow.resume_reading()
            await self._event.wait()
            self._event.clear()
        if self.is_disconnected or self.is_complete:
            return {"type": "http.disconnect"}
        body, self._body = bytes(self._body), bytearray()
        return {"type": "http.request", "body": body, "more_body": self.has_more}

    async def send(self, message: Message) -> None:
        """Write a part of the answer. Raises RuntimeError if it violates the order or form of ASGI."""
        if self._flow.is_full and not self.is_disconnected:
            await self._flow.drain()
        if self.is_disconnected:
            return
        expected = "http.response.body" if self.is_started else "http.response.start"
        if message["type"] != expected or self.is_complete:
            raise RuntimeError(f"unexpected message: {message['type']}")
        if self.is_started:
            self._continue(message.get("body", b""), more=message.get("more_body", False))
        else:
            self._start(message["status"], message.get("headers", ()))

    async def _send_error(self) -> None:
        await self.send({"type": "http.response.start", "status": 500, "headers": _ERROR_HEADERS})
        await self.send({"type": "http.response.body", "body": _ERROR})

    def _start(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        self.is_started = True
        if self._expects_continue:
            # RFC 9110, section 10.1.1: a client that did not receive 100 may or may not send its body.
            self.keep_alive = False
        lines = [STATUS_LINES[status], self._default_headers]
        length: bytes | None = None
        has_close = False
        for name, value in headers:
            line = b"%b: %b\r\n" % (name.lower(), value)
            if _FIELD.fullmatch(line) is None:
                raise RuntimeError("invalid header")
            lines.append(line)
            if line.startswith(b"content-length:"):
                length = value
            elif line.startswith(b"connection:") and b"close" in value.lower():
                self.keep_alive = False
                has_close = True
        if not self.keep_alive and not has_close:
            lines.append(b"connection: close\r\n")
        if length is not None:
            self._length = int(length)
        elif self._scope["method"] != "HEAD" and status not in _NO_BODY:
            self._is_chunked = True
            lines.append(b"transfer-encoding: chunked\r\n")
        lines.append(b"\r\n")
        self._head = b"".join(lines)

    def _continue(self, body: bytes, *, more: bool) -> None:
        if self._scope["method"] == "HEAD":
            self._length = 0
            body = b""
        elif self._is_chunked:
            piece = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            body = piece if more else piece + b"0\r\n\r\n"
        else:
            self._length -= len(body)
            if self._length < 0:
                raise RuntimeError("the body is longer than its content-length")
        if not more and self._length:
            raise RuntimeError("the body is shorter than its content-length")
        self._write(body)
        if not more:
            self.is_complete = True
            self._event.set()
            if not self.keep_alive:
                self._transport.close()
            self._finished()

    def _write(self, piece: bytes) -> None:
        """Write a piece of the answer, with the head before the first one."""
        data = self._head + piece
        self._head = b""
        if data:
            self._transport.write(data)
