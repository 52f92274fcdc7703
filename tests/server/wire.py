"""HTTP/1.1 answers from a bare socket, one after the other, as a proxy with kept connections reads them."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from contextlib import suppress
from typing import NamedTuple, Self


class Reply(NamedTuple):
    """One final answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    told_to_go_on: bool
    """Whether a 100 preceded it."""

    @property
    def closes(self) -> bool:
        """Return whether the answer announces the end of the connection."""
        return self.headers.get("connection") == "close"


class Wire:
    """A connection whose answers are read strictly (RFC 9112, section 6.3)."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._file = connection.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._connection.close()

    def send(self, data: bytes) -> None:
        """Send bytes; a closed connection is noticed when an answer is read."""
        with suppress(ConnectionError):
            self._connection.sendall(data)

    def end(self) -> None:
        """Close the sending side."""
        self._connection.shutdown(socket.SHUT_WR)

    def interim(self) -> bool:
        """Read one head if its status is 100, and return whether it is; leave every other head to `reply`."""
        head = self._file.peek(len(_GO_ON))
        if not head.startswith(_GO_ON):
            return False
        assert self._head()[0] == 100
        return True

    def reply(self, method: str) -> Reply:
        """Read the answer to a request with this method."""
        status, headers = self._head()
        had_interim = status == 100
        if had_interim:
            status, headers = self._head()
        assert 200 <= status < 600, status
        return Reply(status, headers, self._body(method, status, headers), had_interim)

    def rest(self) -> bytes:
        """Read all bytes until the other side closes."""
        found = b""
        with suppress(ConnectionError):
            while piece := self._file.read1(65536):
                found += piece
        return found

    def _head(self) -> tuple[int, dict[str, str]]:
        line = self._file.readline()
        assert line.startswith(b"HTTP/1.1 "), line
        headers: dict[str, str] = {}
        while (field := self._file.readline()) != b"\r\n":
            assert field.endswith(b"\r\n"), field
            name, _, value = field.decode("latin-1").partition(":")
            assert name.lower() not in headers, name
            headers[name.lower()] = value.strip()
        return int(line.split()[1]), headers

    def _body(self, method: str, status: int, headers: Mapping[str, str]) -> bytes:
        if method == "HEAD" or status in (204, 304):
            return b""
        if headers.get("transfer-encoding") != "chunked":
            return self._exactly(int(headers["content-length"]))
        found = b""
        while size := int(self._file.readline(), 16):
            found += self._exactly(size)
            assert self._file.readline() == b"\r\n"
        assert self._file.readline() == b"\r\n"
        return found

    def _exactly(self, size: int) -> bytes:
        found = self._file.read(size)
        assert len(found) == size, found
        return found


_GO_ON = b"HTTP/1.1 100 "
