"""A listener on the loopback interface that receives the answer of a browser (RFC 8252, section 7.3).

Any local program may send requests to it. Each request is bounded in size and time.
"""

from __future__ import annotations

import selectors
import socket
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Self

from jitid.errors import StorageError
from jitid.values.text import foreign

PATH = "/login"
"""The path of the address that the browser is sent to."""

_LONGEST = 16 * 1024
"""The maximum size of the head of a request in bytes."""
_PATIENCE = 5.0
"""Seconds for the head of a request."""
_MOST = 32
"""The maximum number of connections at once."""

_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>jitid login</title></head>
<body><p>{text}</p></body></html>
"""
_HEADERS = (
    "Content-Type: text/html; charset=utf-8",
    "Content-Security-Policy: default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options: nosniff",
    "Referrer-Policy: no-referrer",
    "Cache-Control: no-store",
    "Connection: close",
)
_RECEIVED = "jitid has received the answer. Close this page, and return to the terminal."
_REFUSED = "This request is not part of the login."


class Loopback:
    """A listening socket on a port that the system chooses."""

    def __init__(self) -> None:
        try:
            self._listener = socket.create_server(("127.0.0.1", 0), backlog=_MOST)
        except OSError as error:
            raise StorageError(
                f"no port of the loopback interface can be opened: {foreign(error.strerror or 'error').lower()}",
                "log in with a code instead: --device",
            ) from None
        self._listener.setblocking(False)
        self._host = f"127.0.0.1:{self._listener.getsockname()[1]}"

    @property
    def address(self) -> str:
        """The address for the browser."""
        return f"http://{self._host}{PATH}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def receive(self, accept: Callable[[str], bool], seconds_left: Callable[[], float]) -> str:
        """Return the query of the first request that `accept` accepts; refuse all others.

        Raises TimeoutError if no seconds are left.
        """
        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            requests: dict[socket.socket, _Head] = {}
            try:
                while (left := seconds_left()) > 0:
                    ready = selector.select(min(left, 0.5))
                    for key, _ in ready:
                        if key.fileobj is self._listener:
                            self._admit(selector, requests)
                            continue
                        connection = key.fileobj
                        assert isinstance(connection, socket.socket)
                        query = self._advance(connection, requests[connection], accept)
                        if query is not None:
                            return query
                    for connection, head in list(requests.items()):
                        if head.done or monotonic() >= head.end:
                            selector.unregister(connection)
                            requests.pop(connection).close(connection)
            finally:
                for connection, head in requests.items():
                    head.close(connection)
        raise TimeoutError

    def _admit(self, selector: selectors.BaseSelector, requests: dict[socket.socket, _Head]) -> None:
        with suppress(OSError):
            connection, _ = self._listener.accept()
            if len(requests) >= _MOST:
                # The oldest connection makes room: silent ones must not keep the browser out.
                oldest = next(iter(requests))
                selector.unregister(oldest)
                requests.pop(oldest).close(oldest)
            connection.setblocking(False)
            requests[connection] = _Head()
            selector.register(connection, selectors.EVENT_READ)

    def _advance(self, connection: socket.socket, head: _Head, accept: Callable[[str], bool]) -> str | None:
        """Read from a connection. Answer a complete request, and return its query if it is accepted."""
        if not head.read(connection):
            return None
        status, query = self._judged(bytes(head.data))
        if status == 200 and not accept(query):
            status = 400
        head.answer(connection, status)
        return query if status == 200 else None

    def _judged(self, data: bytes) -> tuple[int, str]:
        """Return the status for a request, and its query."""
        try:
            first, *lines = data.decode("ascii").split("\r\n")
            method, target, version = first.split(" ")
        except ValueError:
            return 400, ""
        hosts = [
            value.strip()
            for name, colon, value in (line.partition(":") for line in lines)
            if colon and name.lower() == "host"
        ]
        # Another host is a name that resolves to this machine: a page there must not reach this listener.
        if version not in ("HTTP/1.1", "HTTP/1.0") or hosts != [self._host]:
            return 400, ""
        path, _, query = target.partition("?")
        if path != PATH:
            return 404, ""
        return (200, query) if method == "GET" else (405, "")


class _Head:
    """The part of a request head that has arrived."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.end = monotonic() + _PATIENCE
        self.done = False

    def read(self, connection: socket.socket) -> bool:
        """Read the available bytes; return whether the head is complete. A head that breaks off is done."""
        try:
            piece = connection.recv(4_096)
        except BlockingIOError:
            return False
        except OSError:
            piece = b""
        self.data += piece
        end = self.data.find(b"\r\n\r\n")
        if len(self.data) > _LONGEST:
            self.answer(connection, 431)
        elif end >= 0 and not self.done:
            del self.data[end:]
            return True
        elif not piece:
            self.done = True
        return False

    def answer(self, connection: socket.socket, status: int) -> None:
        """Send a page, without waiting for a slow reader."""
        self.done = True
        body = _PAGE.format(text=_RECEIVED if status == 200 else _REFUSED).encode()
        lines = (f"HTTP/1.1 {status} {_REASONS[status]}", *_HEADERS, f"Content-Length: {len(body)}", "", "")
        with suppress(OSError):
            connection.send("\r\n".join(lines).encode() + body)

    def close(self, connection: socket.socket) -> None:
        """Close the connection."""
        with suppress(OSError):
            connection.shutdown(socket.SHUT_WR)
        connection.close()


_REASONS = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    431: "Request Header Fields Too Large",
}
