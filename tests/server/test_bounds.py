"""Limits on the requests of clients, in content, size and time; tested over bare sockets."""

from __future__ import annotations

import json
import resource
import select
import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from time import monotonic

import pytest

from tests.server.waiting import eventually
from tests.serving import Served, serving

CONFIGURATION = "serve_time = '2s'\nserve_connections = 60\nserve_body = 100000\n"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Return a service with small limits; it still answers after every test."""
    folder = tmp_path_factory.mktemp("bounds")
    (folder / "config.toml").write_text(CONFIGURATION)
    with serving(folder, "--config", str(folder / "config.toml")) as found:
        yield found


@pytest.fixture(autouse=True)
def still_answers(served: Served) -> Iterator[None]:
    """Assert after each test that the same process still serves clients."""
    before = served.workers()
    yield
    assert eventually(lambda: _connections(served) <= 1)
    assert served.ask("GET", "/healthz").body == b"ok\n"
    assert served.workers() == before


def _connections(served: Served) -> int:
    answer = served.ask("GET", "/metrics")
    if answer.status != 200:
        # While thousands of connections close, a request may be refused for a moment.
        return 1 << 16
    (line,) = [line for line in answer.body.decode().splitlines() if line.startswith("jitid_connections ")]
    return int(line.split()[1])


def _all(connection: socket.socket) -> bytes:
    """Return all bytes until the other side closes."""
    found = b""
    with suppress(ConnectionError):
        while piece := connection.recv(65536):
            found += piece
    return found


def _exchange(served: Served, sent: bytes) -> bytes:
    """Send bytes, and return all bytes of the answer; the service must close the connection to end it."""
    with served.connect() as connection:
        with suppress(ConnectionError):
            connection.sendall(sent)
        return _all(connection)


def _status(answer: bytes) -> int:
    assert answer.startswith(b"HTTP/1.1 "), answer[:100]
    return int(answer.split()[1])


GET = b"GET /healthz HTTP/1.1\r\nhost: x\r\n"


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        pytest.param(b"hello\r\n\r\n", 400, id="no HTTP"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, id="TLS"),
        pytest.param(b"GET /healthz HTTP/1.1\r\n\r\n", 400, id="no host"),
        pytest.param(GET + b"host: y\r\n\r\n", 400, id="two hosts"),
        pytest.param(GET + b"content-length: 1\r\ncontent-length: 2\r\n\r\nxx", 400, id="two lengths"),
        pytest.param(GET + b"content-length: 1, 1\r\n\r\nx", 400, id="a list of lengths"),
        pytest.param(GET + b"content-length: +1\r\n\r\nx", 400, id="a signed length"),
        pytest.param(GET + b"content-length: -1\r\n\r\nx", 400, id="a negative length"),
        pytest.param(
            GET + b"content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400, id="both"
        ),
        pytest.param(
            GET + b"transfer-encoding: chunked\r\ncontent-length: 4\r\n\r\n0\r\n\r\n", 400, id="both, turned"
        ),
        pytest.param(
            GET + b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
            id="two codings",
        ),
        pytest.param(GET + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400, id="another coding"),
        pytest.param(GET + b"transfer-encoding: xchunked\r\n\r\n0\r\n\r\n", 400, id="a misspelt coding"),
        pytest.param(GET + b"transfer-encoding : chunked\r\n\r\n0\r\n\r\n", 400, id="a space before a colon"),
        pytest.param(GET + b" folded: x\r\n\r\n", 400, id="a folded header"),
        pytest.param(GET + b"x: a\x00b\r\n\r\n", 400, id="a NUL"),
        pytest.param(GET + b"x: a\rb: c\r\n\r\n", 400, id="a bare CR"),
        pytest.param(
            GET + b"authorization: Bearer a\r\nauthorization: Bearer b\r\n\r\n", 400, id="two bearers"
        ),
        pytest.param(b"GET http://else/healthz HTTP/1.1\r\nhost: x\r\n\r\n", 400, id="an absolute address"),
        pytest.param(b"CONNECT x:1 HTTP/1.1\r\nhost: x\r\n\r\n", 400, id="CONNECT"),
        pytest.param(b"GET /healthz HTTP/2.0\r\nhost: x\r\n\r\n", 505, id="another version"),
        pytest.param(b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n", 431, id="a long path"),
        pytest.param(GET + b"x: " + b"a" * 20_000 + b"\r\n\r\n", 431, id="a long header"),
        pytest.param(GET + b"x: " + b"a" * 2_000_000, 431, id="a header without end"),
        pytest.param(GET + b"x: y\r\n" * 101 + b"\r\n", 431, id="many headers"),
        pytest.param(GET + b"content-length: 100001\r\n\r\n", 413, id="a long body"),
        pytest.param(
            GET + b"content-length: 99999999999999999999999\r\n\r\n", 400, id="a length beyond 64 bits"
        ),
        pytest.param(
            GET + b"transfer-encoding: chunked\r\n\r\n" + (b"ffff\r\n" + b"a" * 65535 + b"\r\n") * 3,
            413,
            id="a body in pieces",
        ),
        pytest.param(
            GET + b"transfer-encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
            400,
            id="a piece beyond 64 bits",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused_and_the_connection_closed(
    served: Served, sent: bytes, status: int
) -> None:
    answer = _exchange(served, sent)
    assert _status(answer) == status
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"connection: close" in head
    assert json.loads(body)["error"]["exit"] == 2


def test_a_body_of_100_megabytes_is_refused_before_it_is_read(served: Served) -> None:
    with served.connect() as connection:
        connection.sendall(b"POST /healthz HTTP/1.1\r\nhost: x\r\ncontent-length: 100000000\r\n\r\n")
        sent = 0
        with suppress(ConnectionError):
            while sent < 100_000_000 and not select.select([connection], [], [], 0)[0]:
                sent += connection.send(b"a" * 65536)
        assert sent < 20_000_000
        assert _status(_all(connection)) == 413


def test_it_is_not_asked_to_go_on_with_what_is_too_long(served: Served) -> None:
    sent = b"POST /healthz HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 9000000\r\n\r\n"
    assert _status(_exchange(served, sent)) == 413


def _drip(served: Served, begin: bytes, drop: bytes, seconds: float) -> tuple[float, bytes]:
    """Send a drop at a time until the service answers or the time is up; return the seconds and the answer."""
    began = monotonic()
    with served.connect() as connection:
        connection.sendall(begin)
        with suppress(ConnectionError):
            while monotonic() - began < seconds and not select.select([connection], [], [], 0.2)[0]:
                connection.sendall(drop)
        connection.settimeout(seconds)
        return monotonic() - began, _all(connection)


@pytest.mark.deep
@pytest.mark.parametrize(
    ("begin", "drop"),
    [
        pytest.param(
            b"POST /healthz HTTP/1.1\r\nhost: x\r\ncontent-length: 10000\r\n\r\n", b"a", id="a body"
        ),
        pytest.param(
            b"POST /healthz HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n",
            b"1\r\na\r\n",
            id="pieces",
        ),
        pytest.param(b"GET /healthz HTTP/1.1\r\nhost: x\r\n", b"x: y\r\n", id="headers"),
        pytest.param(b"GET /", b"a", id="a path"),
        pytest.param(b"", b"\r\n", id="empty lines"),
        pytest.param(b"", b"", id="nothing at all"),
    ],
)
def test_a_client_that_sends_a_byte_at_a_time_is_cut(served: Served, begin: bytes, drop: bytes) -> None:
    """The time limits are the server's: the test only waits until they expire."""
    took, _ = _drip(served, begin, drop, 30.0)
    assert took < 30.0


def test_requests_that_come_together_are_answered_in_order(served: Served) -> None:
    with served.connect() as connection:
        connection.sendall(GET + b"\r\n" + GET.replace(b"healthz", b"nothing") + b"\r\n" + GET)
        connection.sendall(b"connection: close\r\n\r\n")
        found = _all(connection)
    assert [int(part.split()[0]) for part in found.split(b"HTTP/1.1 ")[1:]] == [200, 404, 200]


def test_a_flood_of_requests_on_one_connection_is_cut(served: Served) -> None:
    found = _exchange(served, (GET + b"\r\n") * 5_000)
    assert found.count(b"HTTP/1.1 200") < 5_000


def test_a_trailer_is_no_header(served: Served) -> None:
    """A proxy that checks only the headers would let the field pass."""
    sent = (
        b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n"
        b"1\r\na\r\n0\r\nauthorization: Bearer x\r\nauthorization: Bearer y\r\n\r\n"
    )
    assert _status(_exchange(served, sent)) == 200


def test_a_trailer_is_bounded(served: Served) -> None:
    sent = (
        b"GET /nothing HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n0\r\n"
        + b"x: y\r\n" * 20_000
        + b"\r\n"
    )
    assert _exchange(served, sent).count(b"HTTP/1.1") >= 1


def test_a_client_that_says_no_more_still_gets_its_answer(served: Served) -> None:
    with served.connect() as connection:
        connection.sendall(GET + b"\r\n")
        connection.shutdown(socket.SHUT_WR)
        assert _status(_all(connection)) == 200


def test_a_wish_for_another_protocol_is_not_heard(served: Served) -> None:
    """Java's client sends it by default."""
    sent = GET + b"connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\n\r\n"
    assert _status(_exchange(served, sent)) == 200


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"content-length: 2\r\n\r\n{}", 400),
        (b"transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", 400),
        (b"content-length: 0\r\n\r\n", 401),
    ],
    ids=["of a length", "in pieces", "empty"],
)
def test_a_request_is_not_performed_without_the_body_that_it_came_with(
    served: Served, body: bytes, status: int
) -> None:
    """The parser treats a body after an upgrade request as data of the other protocol."""
    sent = b"POST /v1/operations/Settle HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
    assert _status(_exchange(served, sent + b"connection: upgrade\r\nupgrade: h2c\r\n" + body)) == status


@pytest.mark.deep
def test_a_client_that_does_not_read_is_cut(served: Served) -> None:
    """The output that waits for the client is bounded, and so is the time that it may hold its connection."""
    with served.connect() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(1.0)
        request = b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n"
        with suppress(TimeoutError, ConnectionError):
            while True:
                connection.sendall(request * 10)
        assert eventually(lambda: _connections(served) <= 1, 30.0)


@pytest.mark.deep
def test_more_connections_than_there_may_be_are_turned_away_at_once(served: Served) -> None:
    with ExitStack() as stack:
        some = [stack.enter_context(served.connect()) for _ in range(100)]
        turned_away = 0
        for connection in some:
            if select.select([connection], [], [], 0.2 if not turned_away else 0)[0]:
                answer = _all(connection)
                turned_away += answer.startswith(b"HTTP/1.1 503") and b"retry-after: 1" in answer
        # The service has room for sixty.
        assert turned_away >= 40


def test_ten_thousand_connections_do_it_no_harm(served: Served) -> None:
    """The test opens as many as its process may have; half of them send a request that never ends."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 12_000), hard))
    connections: list[socket.socket] = []
    try:
        for number in range(min(hard, 12_000) - 2_000):
            connection = socket.socket()
            connection.setblocking(False)
            connections.append(connection)
            connection.connect_ex(served.address)
            if number % 2:
                with suppress(OSError):
                    connection.send(b"GET /healthz HTTP/1.1\r\n")
        assert len(connections) > 100
    finally:
        for connection in connections:
            connection.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_health_check_is_answered_while_all_connections_but_one_are_slow(served: Served) -> None:
    with ExitStack() as stack:
        for _ in range(50):
            stack.enter_context(served.connect()).sendall(b"GET /healthz HTTP/1.1\r\n")
        assert served.ask("GET", "/healthz").status == 200
