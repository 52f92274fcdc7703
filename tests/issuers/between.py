"""A server between an issuer and moto: it records the requests, and answers some of them instead of moto."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple
from urllib.parse import parse_qsl, urlsplit

ERROR = """<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type>\
<Code>{code}</Code><Message>{message}</Message></Error><RequestId>1</RequestId></ErrorResponse>"""


class Said(NamedTuple):
    """An answer of the server instead of moto's."""

    status: int
    body: str
    headers: Mapping[str, str] = {}


def refused(code: str, message: str = "no", status: int = 400, **headers: str) -> Said:
    """Return an error in AWS's form."""
    return Said(status, ERROR.format(code=code, message=message), headers)


class Between:
    """The recorded requests, and the answers to give."""

    def __init__(self, url: str) -> None:
        self.behind = urlsplit(url).netloc
        self.url = ""
        self.asked: list[dict[str, str]] = []
        self.answers: dict[str, list[Said | None]] = {}
        """By action: the answers to the next calls, in their order; None is moto's own."""
        self.always: dict[str, Said] = {}
        self.hidden: set[str] = set()
        """Names of policies whose text the server hides."""
        self.replaced: list[tuple[str, str]] = []
        """Texts in moto's answers, each with its replacement."""

    def calls(self, action: str) -> list[dict[str, str]]:
        """Return the members of all calls of an action."""
        return [one for one in self.asked if one["Action"] == action]


@contextmanager
def between(url: str) -> Iterator[Between]:
    """Run such a server in front of the server at this address."""
    state = Between(url)

    class Answering(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            members = dict(parse_qsl(body.decode()))
            state.asked.append(members)
            action = members["Action"]
            waiting = state.answers.get(action)
            said = waiting.pop(0) if waiting else state.always.get(action)
            if action == "GetRolePolicy" and members["PolicyName"] in state.hidden:
                said = refused("NoSuchEntity", status=404)
            if said is None:
                said = self.forwarded(body)
            data = said.body.encode()
            self.send_response_only(said.status)
            for name, value in {"Content-Type": "text/xml", **said.headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def forwarded(self, body: bytes) -> Said:
            connection = http.client.HTTPConnection(state.behind, timeout=30)
            connection.request("POST", self.path, body, dict(self.headers))
            answer = connection.getresponse()
            text = answer.read().decode()
            connection.close()
            for old, new in state.replaced:
                text = text.replace(old, new)
            return Said(answer.status, text)

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
