"""One time limit covers the lookup of a name and the attempts to connect to the host's addresses."""

from __future__ import annotations

import errno
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from jitid.capabilities.access.key_sets import read_key_set
from jitid.errors import StorageError
from jitid.system import http
from jitid.system.authority_address import parse_address
from jitid.system.http import Channel, LostError

PATIENCE = 120


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let no name be resolved during the test, as without an answering name server."""
    over = threading.Event()
    find = socket.getaddrinfo

    def search(*words: Any, **more: Any) -> Any:
        if not more.get("flags", 0) & socket.AI_NUMERICHOST:
            over.wait(PATIENCE)
        return find(*words, **more)

    monkeypatch.setattr(socket, "getaddrinfo", search)
    yield
    over.set()


@pytest.mark.usefixtures("slow")
def test_a_name_server_that_is_silent_is_waited_for_no_longer() -> None:
    with pytest.raises(LostError, match="did not answer in time") as raised:
        Channel(parse_address("https://authority.example")).request("GET", "/", None, {}, seconds=0.2)
    assert not raised.value.sent
    with pytest.raises(StorageError, match=r"was not fetched within|cannot be fetched"):
        read_key_set("https://issuer.example/jwks.json", 0.2)


class Swallowing(socket.socket):
    """A socket whose connections time out."""

    def connect(self, _place: Any) -> None:
        Swallowing.passed(self.gettimeout() or 0)
        raise TimeoutError

    passed: Callable[[float], None]


def test_addresses_that_swallow_what_they_are_sent_share_one_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now, waits = 1_000.0, []

    def passed(seconds: float) -> None:
        nonlocal now
        waits.append(seconds)
        now += seconds

    monkeypatch.setattr(Swallowing, "passed", passed, raising=False)
    places = [(socket.AF_INET, socket.SOCK_STREAM, 0, "", ("192.0.2.1", 443))] * 4
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: places)
    monkeypatch.setattr(socket, "socket", Swallowing)
    monkeypatch.setattr(http, "monotonic", lambda: now)
    with pytest.raises(LostError, match="did not answer in time"):
        Channel(parse_address("https://authority.example")).request("GET", "/", None, {}, seconds=8)
    assert waits == pytest.approx([2, 2, 2, 2])


def test_the_address_that_answers_is_found_behind_one_that_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    find = socket.getaddrinfo
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        socket.create_server(("127.0.0.1", 0)) as closed,
    ):
        place, gone = listening.getsockname(), closed.getsockname()
        closed.close()
        places = [found for one in (gone, place) for found in find(one[0], one[1], type=socket.SOCK_STREAM)]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: places)
        with http.connect("authority.example", 443, lambda: 30.0) as made:
            assert made.getpeername() == place
            assert made.gettimeout() == 30.0


def test_an_address_of_a_family_that_the_kernel_lacks_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    made = socket.socket

    def lacks(family: int, *more: Any) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
        return made(family, *more)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        there = listening.getsockname()
        first = (socket.AF_INET6, socket.SOCK_STREAM, 0, "", ("::1", 443, 0, 0))
        places = [first, (socket.AF_INET, socket.SOCK_STREAM, 0, "", there)]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: places)
        monkeypatch.setattr(socket, "socket", lacks)
        with http.connect("authority.example", 443, lambda: 30.0) as found:
            assert found.getpeername() == there
        places.pop()
        with pytest.raises(OSError, match="not supported"):
            http.connect("authority.example", 443, lambda: 30.0)


@pytest.mark.parametrize("host", ["a" * 64 + ".example", "nowhere.invalid", "."])
def test_a_host_that_cannot_be_found_is_out_of_reach(host: str) -> None:
    with pytest.raises(OSError, match=r"\w"):
        http.connect(host, 443, lambda: 30.0)
