"""TCP connections: the lookup of the name and the attempts at all addresses share one time limit."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, Queue
from threading import Thread
from typing import Any


def connect(host: str, port: int, seconds_left: Callable[[], float]) -> socket.socket:
    """Return a socket that is connected to one of the addresses of a host.

    Args:
        host: its name, or an address without brackets.
        port: the port of the service.
        seconds_left: returns the seconds that are left for all of it. Raises TimeoutError if no time is left.

    Raises:
        OSError: none of its addresses can be reached; TimeoutError: not in time.

    """
    addresses = _resolved(host, port, seconds_left)
    while True:
        (family, kind, protocol, _, address), *addresses = addresses
        sock: socket.socket | None = None
        try:
            # If the kernel lacks an address family, addresses of another family may still be reachable.
            sock = socket.socket(family, kind, protocol)
            # An address that does not answer must leave time for the other addresses.
            sock.settimeout(seconds_left() / (1 + len(addresses)))
            sock.connect(address)
            sock.settimeout(seconds_left())
        except BaseException as error:
            if sock is not None:
                sock.close()
            if not addresses or not isinstance(error, OSError):
                raise
        else:
            return sock


def _resolved(host: str, port: int, seconds_left: Callable[[], float]) -> list[Any]:
    """Return the addresses of a host like `socket.getaddrinfo`, at least one. Raises OSError."""
    with suppress(socket.gaierror, UnicodeError):
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    results: Queue[list[Any] | OSError] = Queue()

    def resolve() -> None:
        try:
            results.put(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except OSError as error:
            results.put(error)
        except UnicodeError:
            # A label of it is too long for a name (RFC 1035, section 2.3.4).
            results.put(socket.gaierror(socket.EAI_NONAME, "Name or service not known"))

    # A daemon thread: the resolver has its own time limits, and must not keep the process from ending.
    Thread(target=resolve, daemon=True).start()
    try:
        result = results.get(timeout=seconds_left())
    except Empty:
        raise TimeoutError from None
    if isinstance(result, OSError):
        raise result
    return result
