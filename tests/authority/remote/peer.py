"""Somebody at the other end of a connection who answers as the test says: what no authority of ours does."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

Reply = bytes | Callable[[socket.socket], None]
"""What is sent back; or what is done with the connection."""


class Request(NamedTuple):
    """What came."""

    path: str
    headers: Mapping[str, str]
    body: bytes


class Peer:
    """Answers one connection after the other, each with the next reply; the last one again and again."""

    def __init__(self, replies: Sequence[Reply]) -> None:
        self._replies = list(replies)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._listening.settimeout(30)
        self.requests: list[Request] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self._listening.getsockname()[1]}"

    def close(self) -> None:
        """Listen no more."""
        self._listening.close()

    def reply(self, request: Request) -> Reply:  # noqa: ARG002 - for those who answer by it
        """Return what is sent back to a request."""
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
    """Return a request; None where the client leaves without a word."""
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
    """Start a peer for the length of the block."""
    peer = Peer(replies)
    try:
        yield peer
    finally:
        peer.close()


def answer(status: int, document: object, *headers: str, kind: str = "application/json") -> bytes:
    """Return a whole answer, after which the connection is closed."""
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
    """Return the answer that tells an error."""
    told = {"code": code, "message": "told", "hint": None, "retryable": retryable, "exit": exit_status}
    return answer(status, {"error": told}, *headers)
