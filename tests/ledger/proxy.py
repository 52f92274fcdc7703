"""A proxy to a database that cuts a connection at a given string of the protocol."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from urllib.parse import urlsplit, urlunsplit


class Proxy:
    """A proxy between clients and the server that cuts a connection once, when a client sends `word`.

    With `forwarded` the server still receives the word, and only its answer is lost. With `closed` the proxy accepts
    no further connections.
    """

    def __init__(self, address: str, word: bytes, *, forwarded: bool, closed: bool = False) -> None:
        self._address = urlsplit(address)
        self._word = word
        self._forwarded = forwarded
        self._closed = closed
        self.cuts = 0
        """The number of connections that were cut."""
        self.armed = False
        self._opened: list[socket.socket] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def address(self) -> str:
        """Return the address of the database through the proxy."""
        user = f"{self._address.username}@" if self._address.username else ""
        host = f"{user}127.0.0.1:{self._listening.getsockname()[1]}"
        return urlunsplit(self._address._replace(netloc=host))

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
                if self.cuts and self._closed:
                    client.close()
                    continue
                server = socket.create_connection((self._address.hostname or "", self._address.port or 0))
                self._opened += [client, server]
                for source, target, heard in ((client, server, self._word), (server, client, None)):
                    threading.Thread(target=self._pass, args=(source, target, heard), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, word: bytes | None) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                if word is not None and self.armed and not self.cuts and word in data:
                    self.cuts += 1
                    source.shutdown(socket.SHUT_RDWR)
                    source.close()
                    if self._forwarded:
                        target.sendall(data)
                        # The other thread reads the server's answer, and cannot deliver it.
                        return
                    break
                target.sendall(data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_RDWR)
            target.close()
