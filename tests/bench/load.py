"""The load client for all servers: it keeps its connections, and sends each request right after the last answer.

It is one process that polls all of its connections, and reads an answer only to find its end. It is the same for every
server, and cheap, so that the measurement shows the server.
"""

from __future__ import annotations

import json
import select
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from statistics import quantiles
from time import perf_counter
from typing import NamedTuple

from tests.bench.ground import ROOT

_END = b"\r\n\r\n"
_LAST_CHUNK = b"0\r\n\r\n"


class Load(NamedTuple):
    """The result of a load."""

    rate: float
    """Answers per second."""
    median: float
    """Seconds from the request to the end of the answer."""
    p99: float
    longest: float


def message(
    method: str, path: str, body: str = "", headers: Mapping[str, str] | None = None, host: str = "127.0.0.1"
) -> bytes:
    """Return one HTTP/1.1 request in wire format (RFC 9112)."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    if body or method != "GET":
        lines.append(f"Content-Length: {len(body.encode())}")
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


def drive(
    port: int, messages: Sequence[bytes], clients: int, count: int, statuses: Sequence[int] = (200,)
) -> Load:
    """Send `count` requests, these messages in turn, from a number of concurrent clients.

    Raises:
        RuntimeError: an answer has another status.

    """
    order = {
        "port": port,
        "messages": [one.decode() for one in messages],
        "clients": clients,
        "count": count,
        "statuses": statuses,
    }
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.load"],
        input=json.dumps(order),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
    )
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    return Load(*json.loads(done.stdout))


class _Client:
    """A connection, and the answer that it is receiving."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), 30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._got = b""
        self.asked = 0.0

    def ask(self, message: bytes) -> None:
        """Send a request, and start the clock."""
        self._got = b""
        self.asked = perf_counter()
        self.socket.sendall(message)

    def answer(self) -> bytes | None:
        """Read the available data; return the answer if it is complete, or None."""
        part = self.socket.recv(65536)
        if not part:
            raise ConnectionError(f"the server hung up after {self._got[:200]!r}")
        got = self._got = self._got + part if self._got else part
        head, mark, body = got.partition(_END)
        if not mark:
            return None
        head = head.lower()
        _, length, rest = head.partition(b"\r\ncontent-length:")
        if length:
            whole = len(body) >= int(rest.partition(b"\r\n")[0])
        elif b"\r\ntransfer-encoding: chunked" in head:
            whole = body.endswith(_LAST_CHUNK)
        else:
            whole = True
        return got if whole else None


def _run(
    port: int, messages: Sequence[bytes], clients: int, count: int, statuses: Sequence[int]
) -> list[float]:
    expected = tuple(f"HTTP/1.1 {status}".encode() for status in statuses)
    poll = select.epoll()
    waiting: dict[int, _Client] = {}
    taken: list[float] = []
    asked = 0
    start = perf_counter()
    for _ in range(min(clients, count)):
        client = _Client(port)
        poll.register(client.socket.fileno(), select.EPOLLIN)
        waiting[client.socket.fileno()] = client
    for client in waiting.values():
        client.ask(messages[asked % len(messages)])
        asked += 1
    while waiting:
        for descriptor, _ in poll.poll():
            client = waiting[descriptor]
            answer = client.answer()
            if answer is None:
                continue
            taken.append(perf_counter() - client.asked)
            if not answer.startswith(expected):
                raise RuntimeError(f"answered {answer[:600]!r}")
            if asked < count:
                client.ask(messages[asked % len(messages)])
                asked += 1
            else:
                poll.unregister(descriptor)
                waiting.pop(descriptor).socket.close()
    whole = perf_counter() - start
    poll.close()
    at = quantiles(taken, n=100, method="inclusive") if len(taken) > 1 else taken * 99
    return [count / whole, at[49], at[98], max(taken)]


if __name__ == "__main__":
    order = json.load(sys.stdin)
    print(
        json.dumps(
            _run(
                order["port"],
                [one.encode() for one in order["messages"]],
                order["clients"],
                order["count"],
                order["statuses"],
            )
        )
    )
