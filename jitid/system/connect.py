"""Connections over TCP, whose names are looked up and whose addresses are tried within one time."""

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
        port: where it listens there.
        left: returns how many seconds are left for all of it. Raises TimeoutError when none are.

    Raises:
        OSError: none of its addresses can be reached; TimeoutError: not in time.

    """
    places = _resolved(host, port, left)
    while True:
        (family, kind, protocol, _, place), *places = places
        made: socket.socket | None = None
        try:
            # Where the kernel lacks a family, its addresses are out of reach, and those of another may not be.
            made = socket.socket(family, kind, protocol)
            # One that swallows what it is sent leaves the others their share.
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
    """Return the addresses of a host as `socket.getaddrinfo` does, one at least. Raises OSError."""
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

    # A daemon: the resolver has its own time limits, and keeps no process from ending.
    Thread(target=resolve, daemon=True).start()
    try:
        places = found.get(timeout=left())
    except Empty:
        raise TimeoutError from None
    if isinstance(places, OSError):
        raise places
    return places
