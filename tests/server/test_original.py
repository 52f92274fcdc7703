"""Forward authentication permits only the path that is served, for every spelling and for every kind of server."""

from __future__ import annotations

import random
import re
import socket
import unicodedata
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import unquote_to_bytes, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from jitid.errors import UsageError
from jitid.server.forward_auth import path_of
from tests.nginx import nginx
from tests.server.asking import API, Asked, asking
from tests.server.wire import Wire

PIECES = (
    "a",
    "f",
    "public",
    "private",
    "/",
    "//",
    ".",
    "..",
    "...",
    "/../",
    "/./",
    "%2e",
    "%2E%2e",
    ".%2e",
    "%2f",
    "%2F",
    "%5c",
    "\\",
    "%5C..",
    ";",
    ";x",
    ";/..",
    "%3b",
    "#",
    "#/..",
    "%23",
    "?",
    "?#",
    "%3f",
    "%",
    "%2",
    "%zz",
    "%u002e",
    "%25",
    "%252e",
    "%252f",
    "%25252e",
    "%00",
    "%01",
    "%0a",
    "%0d%0a",
    "%7f",
    "%20",
    "%09",
    "+",
    "*",
    ":",
    "@",
    "~",
    "%70ublic",
    "%c0%ae",
    "%c0%af",
    "%e0%80%af",
    "%ef%bc%8f",
    "%ef%bc%8e",
    "%e2%80%a5",
    "%e2%80%ae",
    "%c3%a9",
    "e%cc%81",
    "%ff",
    "é",
    "|",
    "[",
    '"',
    "<",
    "{",
)


GOOD = {
    "/public/",
    "/public/f",
    "/public/%66",
    "/%70ublic/a/f?x=/../..",
    "/public/a/",
    "/public/..f",
    "/public/f?%2f..",
}
"""Legitimate targets, which must be served."""


def resolved(path: bytes) -> bytes:
    """Resolve `.` and `..`, and merge slashes."""
    kept: list[bytes] = []
    segments = path.split(b"/")
    for segment in segments[1:]:
        if segment == b"..":
            kept = kept[:-1]
        elif segment not in (b"", b"."):
            kept.append(segment)
    tail = b"/" if segments[-1] in (b"", b".", b"..") and kept else b""
    return b"/" + b"/".join(kept) + tail


def _before(path: bytes, marks: bytes) -> bytes:
    return re.split(b"[" + re.escape(marks) + b"]", path, maxsplit=1)[0]


def _without_parameters(path: bytes) -> bytes:
    return re.sub(rb";[^/]*", b"", path)


def _trimmed(path: bytes) -> bytes:
    return b"/".join([one if one in (b".", b"..") else one.rstrip(b". ") for one in path.split(b"/")])


def _folded(path: bytes) -> bytes:
    # Overlong forms of a dot and a slash, as lenient decoders read them.
    for long, short in ((b"\xc0\xae", b"."), (b"\xc0\xaf", b"/"), (b"\xe0\x80\xaf", b"/")):
        path = path.replace(long, short)
    return unicodedata.normalize("NFKC", path.decode("utf-8", "replace")).encode()


READERS: dict[str, Callable[[bytes], bytes]] = {
    "decodes once, then resolves": lambda raw: resolved(unquote_to_bytes(_before(raw, b"?#"))),
    "takes a fragment for a part of the path": lambda raw: resolved(unquote_to_bytes(_before(raw, b"?"))),
    "ends the path at the first mark, encoded or not": lambda raw: resolved(
        _before(unquote_to_bytes(raw), b"?#")
    ),
    "decodes twice": lambda raw: resolved(unquote_to_bytes(unquote_to_bytes(_before(raw, b"?#")))),
    "decodes three times": lambda raw: resolved(
        unquote_to_bytes(unquote_to_bytes(unquote_to_bytes(_before(raw, b"?"))))
    ),
    "resolves, then decodes": lambda raw: unquote_to_bytes(resolved(_before(raw, b"?#"))),
    "does not resolve": lambda raw: unquote_to_bytes(_before(raw, b"?#")),
    "takes a backslash for a slash": lambda raw: resolved(
        unquote_to_bytes(_before(raw, b"?#")).replace(b"\\", b"/")
    ),
    "drops parameters, then decodes": lambda raw: resolved(
        unquote_to_bytes(_without_parameters(_before(raw, b"?#")))
    ),
    "decodes, then drops parameters": lambda raw: resolved(
        _without_parameters(unquote_to_bytes(_before(raw, b"?#")))
    ),
    "ends at a NUL": lambda raw: resolved(_before(unquote_to_bytes(_before(raw, b"?#")), b"\0")),
    "ends at a line": lambda raw: resolved(_before(unquote_to_bytes(_before(raw, b"?#")), b"\r\n")),
    "drops what a name ends in": lambda raw: resolved(_trimmed(unquote_to_bytes(_before(raw, b"?#")))),
    "is kind to overlong UTF-8 and what looks alike": lambda raw: resolved(
        _folded(unquote_to_bytes(_before(raw, b"?#")))
    ),
}


@given(st.lists(st.sampled_from(PIECES), max_size=8).map("".join))
@example("a#/../../private/f")
@example("a%252f..%252f..%252fprivate/f")
def test_what_passes_is_read_alike_by_everybody(tail: str) -> None:
    target = f"/public/{tail}"
    try:
        decided = path_of(target)
    except UsageError:
        return
    meant = unquote_to_bytes(decided)
    raw = target.encode("latin-1")
    assert {name: read(raw) for name, read in READERS.items()} == dict.fromkeys(READERS, meant)
    # The decided path is its own decided spelling.
    assert path_of(decided) == decided


@given(st.text(st.characters(codec="latin-1"), max_size=20))
def test_any_text_is_one_path_or_none(tail: str) -> None:
    target = f"/{tail}"
    try:
        decided = path_of(target)
    except UsageError:
        return
    raw = target.encode("latin-1")
    assert {read(raw) for read in READERS.values()} == {unquote_to_bytes(decided)}


@pytest.mark.parametrize("target", ["", "*", "public", "http://x/public", "?/public", "#/public", " /public"])
def test_a_target_without_a_path_passes_nowhere(target: str) -> None:
    with pytest.raises(UsageError):
        path_of(target)


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    """Serve this user as issuer."""
    with asking(tmp_path_factory.mktemp("original"), "issuer") as made:
        yield made


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of files; each contains the name of its top folder, `public` or `private`."""
    folder = tmp_path_factory.mktemp("files")
    for place in ("public", "public/a", "private", "private/public"):
        (folder / place).mkdir()
        for name in ("f", "index.html", "..f"):
            (folder / place / name).write_text(place.split("/")[0])
    (folder / "f").write_text("private")
    return folder


@pytest.fixture(scope="module")
def behind() -> Iterator[int]:
    """Return the port of a server that answers with the unchanged target of each request."""

    class Echo(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = self.requestline.split(" ")[1].encode("latin-1")
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def targets() -> list[str]:
    """Return targets that an attacker might try, the same in every run."""
    chance = random.Random(18)
    made = {f"/public/{''.join(chance.choices(PIECES, k=chance.randint(1, 6)))}" for _ in range(300)}
    for way in PIECES:
        made |= {f"/public{way}/private/f", f"/public/a{way}/../../private/f", f"/public/..{way}private/f"}
        made |= {f"/public/{way}/{way}/f", f"/public/a/f{way}", f"/{way}public/../f"}
    return sorted(made | GOOD)


@pytest.mark.deep
def test_behind_nginx_only_what_was_permitted_is_served(
    asked: Asked, files: Path, behind: int, tmp_path: Path
) -> None:
    """The target is forwarded unchanged, except with a variable. For its own files nginx resolves it."""
    check = f"""
        location = /check {{
            internal;
            proxy_pass http://unix:{asked.served.socket}:/forward-auth?audience={API}&action=http:$request_method;
            proxy_pass_request_body off;
            proxy_set_header Content-Length "";
            proxy_set_header X-Original-URI $request_uri;
            proxy_set_header X-Forwarded-Uri "";
        }}
    """
    token = asked.token(scope="http:GET:/public/*")
    at = f"http://127.0.0.1:{behind}"
    for answer in (f"root {files};", f"proxy_pass {at};", f"proxy_pass {at}$uri;"):
        tried = targets()
        found = {}
        with nginx(tmp_path, check + f"location / {{ auth_request /check; {answer} }}") as address:
            for target, (status, body) in zip(tried, _ask_all(address, token, tried), strict=True):
                if status == 200:
                    found[target] = {body} if answer.startswith("root") else _read_by_all(body)
        assert found.keys() >= GOOD, answer
        for target, seen in found.items():
            assert all(each == b"public" or each.startswith(b"/public/") for each in seen), (
                answer,
                target,
                seen,
            )


def _read_by_all(target: bytes) -> set[bytes]:
    return {resolved(read(target)) for read in READERS.values()}


def _ask_all(address: str, token: str, wanted: list[str]) -> Iterator[tuple[int, bytes]]:
    parts = urlsplit(address)
    wire: Wire | None = None
    for target in wanted:
        if wire is None:
            wire = Wire(socket.create_connection((str(parts.hostname), parts.port or 80), 30))
        request = f"GET {target} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\r\n"
        wire.send(request.encode("latin-1"))
        reply = wire.reply("GET")
        if reply.closes:
            wire.__exit__()
            wire = None
        yield reply.status, reply.body
    if wire is not None:
        wire.__exit__()
