"""Kept connections: each request gets its own answer, or the connection closes without a further answer."""

from __future__ import annotations

import getpass
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.nginx import get, nginx
from tests.server.routing import table
from tests.server.wire import Reply, Wire
from tests.serving import Served, serving

METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND", "BREW")
BODIES = {
    "none": ("", b""),
    "length": ("content-length: 5\r\n", b"hello"),
    "nothing": ("content-length: 0\r\n", b""),
    "form": ("content-type: application/x-www-form-urlencoded\r\ncontent-length: 3\r\n", b"a=b"),
    "json": ("content-type: application/json\r\ncontent-length: 2\r\n", b"{}"),
    "pieces": ("transfer-encoding: chunked\r\n", b"5\r\nhello\r\n0\r\n\r\n"),
    "trailer": ("transfer-encoding: chunked\r\n", b"5\r\nhello\r\n0\r\nx: y\r\n\r\n"),
}
HEALTH = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"
ENDING = b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
LARGE = 70_000


@pytest.fixture(scope="module", params=["tcp", "unix"])
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Return a service at each kind of socket; at the Unix socket this user has only the role verifier."""
    folder = tmp_path_factory.mktemp("kept")
    configuration = folder / "config.toml"
    configuration.write_text(
        f'serve_body = {LARGE}\nserve_time = "5s"\n[socket.role]\n{getpass.getuser()} = ["verifier"]\n'
    )
    configuration.chmod(0o600)
    where = ("--socket", str(folder / "jitid.sock")) if request.param == "unix" else ()
    with serving(folder, "--config", str(configuration), *where) as found:
        yield found


def head(method: str, path: str, more: str = "") -> bytes:
    """Return the line and the headers of a request."""
    return f"{method} {path} HTTP/1.1\r\nhost: x\r\n{more}\r\n".encode()


def follow(wire: Wire, first: Reply, method: str, *, together: bool) -> None:
    """Assert that the answers to further requests follow an answer and no others, or that the connection ends."""
    if first.closes:
        assert wire.rest() == b"", (method, first)
        return
    sent = (HEALTH, head("HEAD", "/healthz"), ENDING)
    if not together:
        wire.send(sent[0])
    healthy = wire.reply("GET")
    assert (healthy.status, healthy.body) == (200, b"ok\n"), (method, first, healthy)
    if not together:
        wire.send(sent[1])
    headed = wire.reply("HEAD")
    assert (headed.status, headed.headers["content-length"]) == (200, "3")
    if not together:
        wire.send(sent[2])
    assert wire.reply("GET").body == b"ok\n"
    assert wire.rest() == b""


@pytest.mark.deep
@pytest.mark.parametrize("together", [True, False], ids=["pipelined", "kept"])
@pytest.mark.parametrize("method", METHODS)
def test_every_route_answers_every_method_in_its_turn(served: Served, method: str, *, together: bool) -> None:
    """RFC 9112, section 9.3.2, and RFC 9110, section 9.3.2: a HEAD is answered as a GET, and without its body."""
    for path, methods in [*table(), ("/nowhere", frozenset())]:
        for name, (headers, body) in BODIES.items():
            with Wire(served.connect()) as wire:
                request = head(method, path, headers) + body
                after = HEALTH + head("HEAD", "/healthz") + ENDING
                wire.send(request + after if together else request)
                first = wire.reply(method)
                if methods and method not in methods and first.status not in (400, 429):
                    assert first.status == 405, (path, name, first)
                    assert first.headers["allow"] == ", ".join(sorted(methods))
                follow(wire, first, method, together=together)


@pytest.mark.parametrize("place", ["/healthz", "/jwks", "/v1/openapi.json", "/metrics"])
def test_a_head_has_the_headers_of_a_get(served: Served, place: str) -> None:
    with Wire(served.connect()) as wire:
        wire.send(head("GET", place) + head("HEAD", place))
        got, headed = wire.reply("GET"), wire.reply("HEAD")
    assert (got.status, headed.status) == (200, 200)
    assert got.headers.keys() == headed.headers.keys()
    assert got.headers["content-type"] == headed.headers["content-type"]
    if place != "/metrics":
        assert headed.headers["content-length"] == str(len(got.body))


@pytest.mark.parametrize("method", METHODS)
def test_whoever_waits_to_be_told_to_go_on_is_told_or_the_connection_ends(
    served: Served, method: str
) -> None:
    """RFC 9110, section 10.1.1: without a 100, it is unknown whether the client still sends its body."""
    for path, methods in [*table(), ("/nowhere", frozenset())]:
        for kind in ("text/plain", "application/json", "application/x-www-form-urlencoded"):
            with Wire(served.connect()) as wire:
                more = f"expect: 100-continue\r\ncontent-type: {kind}\r\ncontent-length: 2\r\n"
                wire.send(head(method, path, more))
                if wire.interim():
                    wire.send(b"{}")
                    first = wire.reply(method)
                else:
                    first = wire.reply(method)
                    assert first.closes, (path, kind, first)
                if method in methods and method == "POST" and kind == "application/json":
                    assert first.status != 405
                follow(wire, first, method, together=False)


def test_a_body_that_comes_unasked_is_read_and_the_next_request_answered(served: Served) -> None:
    with Wire(served.connect()) as wire:
        more = "expect: 100-continue\r\ncontent-type: application/json\r\ncontent-length: 2\r\n"
        wire.send(head("POST", "/v1/operations/ListTasks", more) + b"{}" + HEALTH)
        first = wire.reply("POST")
        if first.closes:
            assert wire.rest() == b""
        else:
            assert first.told_to_go_on
            assert wire.reply("GET").body == b"ok\n"


BROKEN = {
    "no HTTP": b"hello\r\n\r\n",
    "no host": b"GET /healthz HTTP/1.1\r\n\r\n",
    "two lengths": b"POST /token HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxx",
    "both lengths": head("POST", "/token", "content-length: 4\r\ntransfer-encoding: chunked\r\n")
    + b"0\r\n\r\n",
    "a large body": head("POST", "/token", f"content-length: {LARGE + 1}\r\n"),
    "a large body in pieces": head("POST", "/token", "transfer-encoding: chunked\r\n")
    + b"%x\r\n" % (LARGE + 1)
    + b"a" * (LARGE + 1),
    "a broken piece": head("POST", "/token", "transfer-encoding: chunked\r\n") + b"5\r\nhelloo\r\n",
    "a size that is none": head("POST", "/token", "transfer-encoding: chunked\r\n") + b"x\r\n",
    "a long header": head("GET", "/healthz", f"x: {'a' * 20_000}\r\n"),
    "a fragment": head("GET", "/healthz#x"),
    "an absolute address": head("GET", "http://else/healthz"),
    "every resource": head("OPTIONS", "*"),
    "another version": b"GET /healthz HTTP/2.0\r\nhost: x\r\n\r\n",
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN.keys())
@pytest.mark.parametrize("before", [0, 1, 3])
def test_a_refusal_waits_for_its_turn(served: Served, broken: bytes, before: int) -> None:
    """A premature refusal would look like the answer to the request before it."""
    if broken.startswith(b"POST /token") and b"chunked" in broken and b"content-length" not in broken:
        # The answer may come before or after the body breaks. No second answer may follow.
        statuses: tuple[int, ...] = (400, 401, 413)
    else:
        statuses = (400, 413, 431, 505)
    jwks = head("GET", "/jwks")
    with Wire(served.connect()) as wire:
        wire.send(jwks * before + broken)
        for _ in range(before):
            first = wire.reply("GET")
            assert first.status in (200, 429), first
            assert first.headers["content-type"] == (
                "application/jwk-set+json" if first.status == 200 else "application/json"
            )
        last = wire.reply("POST")
        assert last.status in statuses, last
        assert last.closes
        assert wire.rest() == b""


def test_a_refusal_waits_for_its_turn_when_the_client_says_no_more(served: Served) -> None:
    with Wire(served.connect()) as wire:
        wire.send(head("GET", "/jwks") + b"hello\r\n\r\n")
        wire.end()
        assert b'"keys"' in wire.reply("GET").body
        assert wire.reply("GET").status == 400
        assert wire.rest() == b""


@pytest.mark.parametrize("length", [f"content-length: {LARGE}\r\n", "transfer-encoding: chunked\r\n"])
def test_what_has_its_answer_gets_no_second_one(served: Served, length: str) -> None:
    """The body turns out to be broken or too large only after its request was answered."""
    with Wire(served.connect()) as wire:
        wire.send(head("PUT", "/healthz", length))
        assert wire.reply("PUT").status == 405
        if "chunked" in length:
            wire.send(b"%x\r\n" % (LARGE + 1) + b"a" * (LARGE + 1))
        else:
            wire.send(b"a" * LARGE + b"hello\r\n\r\n")
            assert wire.reply("GET").status == 400
        assert wire.rest() == b""


@pytest.mark.deep
def test_nginx_with_kept_connections_gives_each_client_its_own_answer(served: Served, tmp_path: Path) -> None:
    """All clients of nginx share one connection to the service."""
    where = served.url.removeprefix("http://") or f"unix:{served.socket}"
    locations = """
        location / {
            proxy_pass http://jitid;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host x;
        }
    """
    upstream = f"upstream jitid {{ server {where}; keepalive 1; }}"
    with nginx(tmp_path, locations, around=upstream) as address:
        for path, methods in [*table(), ("/nowhere", frozenset({"GET"}))]:
            for method in ("HEAD", "OPTIONS", "GET", "POST", "PUT", "PROPFIND"):
                status, headers, body = get(
                    f"{address}{path}", method=method, data=b"{}" if method == "POST" else None
                )
                assert status < 502, (method, path, status)
                assert status != 405 or method not in methods
                assert not (method == "HEAD" and body), (method, path)
                status, headers, body = get(f"{address}/healthz")
                assert (status, body) == (200, "ok\n"), (method, path, status, headers)
