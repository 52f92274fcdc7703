"""A proxy to a database that counts the messages of its clients: each Query, Sync and Flush is one round trip."""

from __future__ import annotations

import socket
import struct
import threading
from collections import Counter
from contextlib import suppress
from urllib.parse import urlsplit, urlunsplit

_WITHOUT_TYPE = (80877103, 80877104)
"""Requests for encryption, which come before the startup message (PostgreSQL manual, section 54.7)."""


class Counting:
    """A proxy between clients and the server that counts the messages of the clients by type."""

    def __init__(self, address: str) -> None:
        self._address = urlsplit(address)
        self.sent: Counter[str] = Counter()
        """By type: `Q` is a Query, `S` a Sync, `H` a Flush, `P` a Parse, `B` a Bind; `startup` is a new connection."""
        self._opened: list[socket.socket] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def address(self) -> str:
        """Return the address of the database through the proxy."""
        host = f"{self._address.username}@127.0.0.1:{self._listening.getsockname()[1]}"
        return urlunsplit(self._address._replace(netloc=host))

    @property
    def round_trips(self) -> int:
        """Return how often a client waited for the server, except while it connected."""
        return self.sent["Q"] + self.sent["S"] + self.sent["H"]

    def close(self) -> None:
        """Close the listening socket and all open connections."""
        for opened in (self._listening, *self._opened):
            with suppress(OSError):
                opened.shutdown(socket.SHUT_RDWR)
            opened.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                server = socket.create_connection((self._address.hostname or "", self._address.port or 0))
                self._opened += [client, server]
                for source, target, counted in ((client, server, True), (server, client, False)):
                    threading.Thread(target=self._pass, args=(source, target, counted), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, counted: bool) -> None:
        left, begun = b"", False
        with suppress(OSError):
            while data := source.recv(65_536):
                if counted:
                    left, begun = self._count(left + data, begun)
                # Count before the server can answer, so that the count includes each request whose answer a client
                # has.
                target.sendall(data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_RDWR)

    def _count(self, data: bytes, begun: bool) -> tuple[bytes, bool]:
        while len(data) >= 8 - 3 * begun:
            (length,) = struct.unpack_from("!I", data, 1 if begun else 0)
            if len(data) < length + begun:
                break
            if begun:
                self.sent[chr(data[0])] += 1
            elif struct.unpack_from("!I", data, 4)[0] not in _WITHOUT_TYPE:
                self.sent["startup"] += 1
                begun = True
                data = data[length:]
                continue
            data = data[length + begun :]
        return data, begun
