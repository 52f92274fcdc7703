"""HTTP answers on the wire for every behaviour of an application, tested with applications of a few lines."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import pytest

from jitid.server.http_protocol import BoundedProtocol, ServerState
from jitid.server.metrics import Metrics
from jitid.server.service_limits import ServiceLimits

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

GET = b"GET /a%20b?c=d HTTP/1.1\r\nhost: x\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nhello"
LENGTH = (b"content-length", b"2")
Application = Callable[["Scope", "Receive", "Send"], Awaitable[None]]


def start(*headers: tuple[bytes, bytes], status: int = 200) -> dict[str, Any]:
    """Return the message that begins an answer."""
    return {"type": "http.response.start", "status": status, "headers": list(headers)}


def piece(body: bytes, *, more: bool = False) -> dict[str, Any]:
    """Return the message with a piece of an answer's body."""
    return {"type": "http.response.body", "body": body, "more_body": more}


def sending(*messages: dict[str, Any], error: BaseException | None = None) -> Application:
    """Return an application that sends these messages, and then may raise an error."""

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)
        if error is not None:
            raise error

    return app


def answered(app: Application, sent: bytes) -> bytes:
    """Send bytes on a connection, and return all bytes that come back."""

    async def talk() -> bytes:
        loop = asyncio.get_running_loop()
        state = ServerState(app)
        state.default_headers = b"date: now\r\n"
        limits, metrics = ServiceLimits(), Metrics(())
        server = await loop.create_server(
            lambda: BoundedProtocol(state, limits, metrics, None, lambda: None), "127.0.0.1", 0
        )
        async with server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.write(sent)
            writer.write_eof()
            found = await asyncio.wait_for(reader.read(), 30)
            writer.close()
            await writer.wait_closed()
        return found

    return asyncio.run(talk())


class PanicError(BaseException):
    """An error like a panic in a Rust library: it is not an Exception."""


@pytest.mark.parametrize(
    ("messages", "answer"),
    [
        pytest.param(
            [start((b"Content-Length", b"2")), piece(b"hi")],
            b"HTTP/1.1 200 OK\r\ndate: now\r\ncontent-length: 2\r\n\r\nhi",
            id="of known length",
        ),
        pytest.param(
            [start(), piece(b"hi", more=True), piece(b"", more=True), piece(b"ho")],
            b"HTTP/1.1 200 OK\r\ndate: now\r\ntransfer-encoding: chunked\r\n\r\n"
            b"2\r\nhi\r\n2\r\nho\r\n0\r\n\r\n",
            id="in pieces",
        ),
        pytest.param(
            [start(status=204), piece(b"")],
            b"HTTP/1.1 204 No Content\r\ndate: now\r\n\r\n",
            id="without body",
        ),
        pytest.param(
            [start(LENGTH, (b"connection", b"Close")), piece(b"hi")],
            b"HTTP/1.1 200 OK\r\ndate: now\r\ncontent-length: 2\r\nconnection: Close\r\n\r\nhi",
            id="the last one",
        ),
    ],
)
def test_an_answer_goes_out_as_it_is_sent(messages: list[dict[str, Any]], answer: bytes) -> None:
    assert answered(sending(*messages), GET) == answer


def test_the_answer_to_a_head_has_no_body() -> None:
    app = sending(start(LENGTH), piece(b"hi"))
    assert answered(app, GET.replace(b"GET", b"HEAD")) == (
        b"HTTP/1.1 200 OK\r\ndate: now\r\ncontent-length: 2\r\n\r\n"
    )


def test_a_client_of_an_older_version_is_told_that_nothing_follows() -> None:
    app = sending(start(LENGTH), piece(b"hi"))
    assert b"\r\nconnection: close\r\n" in answered(app, GET.replace(b"1.1", b"1.0"))


@pytest.mark.parametrize(
    "header",
    [
        (b"x", b"a\r\ny: b"),
        (b"x", b"a\nb"),
        (b"x", b"a\x00b"),
        (b"x\r\ny", b"a"),
        (b"x y", b"a"),
        (b"x:", b"a"),
        (b"", b"a"),
    ],
)
def test_no_header_smuggles_another_one(header: tuple[bytes, bytes]) -> None:
    assert answered(sending(start(header, LENGTH), piece(b"hi")), GET) == b""


@pytest.mark.parametrize("kind", [ValueError, PanicError])
def test_an_application_that_fails_before_its_answer_gets_a_status(kind: type[BaseException]) -> None:
    answer = answered(sending(error=kind("secret")), GET * 2)
    assert answer.startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
    assert b"connection: close" in answer
    assert answer.count(b"HTTP/1.1") == 1
    assert b"secret" not in answer


@pytest.mark.parametrize(
    ("messages", "error"),
    [
        pytest.param([start(LENGTH), piece(b"h", more=True)], ValueError(), id="an error"),
        pytest.param([start(LENGTH), piece(b"h", more=True)], None, id="no end"),
        pytest.param([start(LENGTH), piece(b"h")], None, id="too short"),
        pytest.param([start(LENGTH), piece(b"h", more=True), piece(b"ello")], None, id="too long"),
        pytest.param([start(), piece(b"h", more=True)], None, id="no end of pieces"),
        pytest.param([start(LENGTH), start(LENGTH)], None, id="two beginnings"),
    ],
)
def test_an_answer_that_is_cut_looks_cut(messages: list[dict[str, Any]], error: Exception | None) -> None:
    """The connection closes, so the client cannot take a further answer for the rest of this one."""
    answer = answered(sending(*messages, error=error), GET * 2)
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.count(b"HTTP/1.1") == 1
    body = answer.partition(b"\r\n\r\n")[2]
    assert len(body) < 2 or not body.endswith(b"0\r\n\r\n")


def test_nothing_is_sent_after_the_end_of_an_answer() -> None:
    late = sending(start(LENGTH), piece(b"hi"), piece(b"ho"))
    assert answered(late, GET).endswith(b"\r\n\r\nhi")


def test_the_application_sees_the_request_as_it_came() -> None:
    seen: dict[str, Any] = {}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.update(scope)
        body = b""
        while (message := await receive())["type"] == "http.request":
            body += message["body"]
            if not message["more_body"]:
                break
        seen["body"] = body
        await sending(start(LENGTH), piece(b"hi"))(scope, receive, send)

    answered(app, POST)
    assert (seen["method"], seen["body"]) == ("POST", b"hello")
    answered(app, GET.replace(b"host", b"X-Y: Z\r\nHost"))
    assert (seen["raw_path"], seen["query_string"]) == (b"/a%20b", b"c=d")
    assert seen["headers"] == [(b"x-y", b"Z"), (b"host", b"x")]
    assert (seen["client"][0], seen["scheme"], seen["http_version"]) == ("127.0.0.1", "http", "1.1")


@pytest.mark.parametrize("beginning", [b"0\r\nx: ", b"5;x="], ids=["trailer", "extension of a chunk"])
def test_what_stands_between_pieces_of_a_body_is_bounded_before_it_is_complete(beginning: bytes) -> None:
    """The parser buffers it until its end, and reports it only then."""

    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive()).get("more_body"):
            pass
        await send(start(LENGTH))
        await send(piece(b"hi"))

    head = b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
    assert answered(app, head + beginning + b"a" * 200_000).startswith(b"HTTP/1.1 431 ")
    assert answered(app, head + b"3;x=y\r\nabc\r\n" * 1 + b"0\r\nx: y\r\n\r\n").startswith(b"HTTP/1.1 200 ")


def test_many_small_pieces_of_a_body_are_accepted() -> None:
    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive()).get("more_body"):
            pass
        await send(start(LENGTH))
        await send(piece(b"hi"))

    head = b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
    assert answered(app, head + b"1\r\na\r\n" * 50_000 + b"0\r\n\r\n").startswith(b"HTTP/1.1 200 ")


def test_an_application_learns_that_its_client_has_left() -> None:
    """The application waits for the rest of a body that never comes."""
    learned = asyncio.Event()

    async def app(_scope: Scope, receive: Receive, _send: Send) -> None:
        while (await receive())["type"] == "http.request":
            pass
        learned.set()

    async def talk() -> None:
        state = ServerState(app)
        limits, metrics = ServiceLimits(), Metrics(())
        server = await asyncio.get_running_loop().create_server(
            lambda: BoundedProtocol(state, limits, metrics, None, lambda: None), "127.0.0.1", 0
        )
        async with server:
            with socket.create_connection(server.sockets[0].getsockname()) as client:
                client.sendall(POST[:-2])
                await asyncio.sleep(0.1)
            await asyncio.wait_for(learned.wait(), 30)

    asyncio.run(talk())
