"""A server with scripted answers, for answers that no authority of jitid gives."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

Reply = bytes | Callable[[socket.socket], None]
"""The bytes to send back, or a function that uses the connection."""


class Request(NamedTuple):
    """A request that the server received."""

    path: str
    headers: Mapping[str, str]
    body: bytes


class Peer:
    """A server that answers each connection with the next reply, and repeats the last reply."""

    def __init__(self, replies: Sequence[Reply]) -> None:
        self._replies = list(replies)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._listening.settimeout(30)
        self.requests: list[Request] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Return the server's URL."""
        return f"http://127.0.0.1:{self._listening.getsockname()[1]}"

    def close(self) -> None:
        """Stop listening."""
        self._listening.close()

    def reply(self, request: Request) -> Reply:  # noqa: ARG002 - peers that look at the request use it
        """Return the reply to a request."""
        return self._replies[0] if len(self._replies) == 1 else self._replies.pop(0)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            with connection:
                try:
                    request = _read(connection)
                    if request is None:
                        continue
                    self.requests.append(request)
                    reply = self.reply(request)
                    if callable(reply):
                        reply(connection)
                    else:
                        connection.sendall(reply)
                except OSError:
                    continue


def _read(connection: socket.socket) -> Request | None:
    """Return a request; None if the client closes the connection without one."""
    connection.settimeout(30)
    with connection.makefile("rb") as file:
        words = file.readline().split()
        if len(words) != 3:
            return None
        path = words[1].decode()
        headers = {}
        while line := file.readline().strip():
            name, _, value = line.decode().partition(":")
            headers[name.lower()] = value.strip()
        return Request(path, headers, file.read(int(headers.get("content-length", "0"))))


@contextmanager
def answering(*replies: Reply) -> Iterator[Peer]:
    """Run a peer for the duration of the block."""
    peer = Peer(replies)
    try:
        yield peer
    finally:
        peer.close()


def answer(status: int, document: object, *headers: str, kind: str = "application/json") -> bytes:
    """Return a complete answer that closes the connection."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    lines = [
        f"HTTP/1.1 {status} X",
        f"content-type: {kind}",
        f"content-length: {len(body)}",
        "connection: close",
        *headers,
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


def error(status: int, code: str, exit_status: int, *headers: str, retryable: bool = False) -> bytes:
    """Return an answer that reports an error."""
    told = {"code": code, "message": "told", "hint": None, "retryable": retryable, "exit": exit_status}
    return answer(status, {"error": told}, *headers)
