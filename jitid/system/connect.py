"""TCP connections: the lookup of the name and the attempts at all addresses share one time limit."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, Queue
from threading import Thread
from typing import Any


def connect(host: str, port: int, left: Callable[[], float]) -> socket.socket:
    """Return a socket that is connected to one of the addresses of a host.

    Args:
        host: its name, or an address without brackets.
        port: the port of the service.
        left: returns the seconds that are left for all of it. Raises TimeoutError if no time is left.

    Raises:
        OSError: none of its addresses can be reached; TimeoutError: not in time.

    """
    places = _resolved(host, port, left)
    while True:
        (family, kind, protocol, _, place), *places = places
        made: socket.socket | None = None
        try:
            # If the kernel lacks an address family, addresses of another family may still be reachable.
            made = socket.socket(family, kind, protocol)
            # An address that does not answer must leave time for the other addresses.
            made.settimeout(left() / (1 + len(places)))
            made.connect(place)
            made.settimeout(left())
        except BaseException as error:
            if made is not None:
                made.close()
            if not places or not isinstance(error, OSError):
                raise
        else:
            return made


def _resolved(host: str, port: int, left: Callable[[], float]) -> list[Any]:
    """Return the addresses of a host like `socket.getaddrinfo`, at least one. Raises OSError."""
    with suppress(socket.gaierror, UnicodeError):
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    found: Queue[list[Any] | OSError] = Queue()

    def resolve() -> None:
        try:
            found.put(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except OSError as error:
            found.put(error)
        except UnicodeError:
            # A label of it is too long for a name (RFC 1035, section 2.3.4).
            found.put(socket.gaierror(socket.EAI_NONAME, "Name or service not known"))

    # A daemon thread: the resolver has its own time limits, and must not keep the process from ending.
    Thread(target=resolve, daemon=True).start()
    try:
        places = found.get(timeout=left())
    except Empty:
        raise TimeoutError from None
    if isinstance(places, OSError):
        raise places
    return places
