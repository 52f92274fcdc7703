"""The MCP conformance suite and the server. The suite speaks HTTP, so a bridge passes each message on to the server."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.conformance import Suite
from tests.mcp.asking import Server
from tests.real import Shell

_STATUSES = {-32601: 404, -32020: 400, -32022: 400, -32600: 400, -32602: 400, -32700: 400}
"""The status in HTTP by the code of the error; the server itself has no HTTP."""


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Suite:
    """Return the suite."""
    return Suite(tmp_path_factory.mktemp("suite"))


@contextmanager
def bridged(server: Server) -> Iterator[str]:
    """Serve a server over HTTP, and yield its address."""
    turn = threading.Lock()

    class Bridge(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            message = json.loads(body)
            with turn:
                answer = _pass_on(server, message)
            if answer is None:
                self.send_response(202)
                self.end_headers()
                return
            text = json.dumps(answer).encode()
            self.send_response(_STATUSES.get(answer.get("error", {}).get("code"), 200))
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def do_GET(self) -> None:
            self.send_response(405)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    front = ThreadingHTTPServer(("127.0.0.1", 0), Bridge)
    thread = threading.Thread(target=front.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{front.server_port}/mcp"
    finally:
        front.shutdown()
        thread.join()
        front.server_close()


def _pass_on(server: Server, message: Any) -> Any:
    """Write a message, unchanged, and return the answer to a request."""
    stdin, stdout = server.process.stdin, server.process.stdout
    assert stdin is not None
    assert stdout is not None
    stdin.write(json.dumps(message).encode() + b"\n")
    stdin.flush()
    return json.loads(stdout.readline()) if "id" in message and "method" in message else None


_TOOLS_OF_THE_SUITE = {
    # They need a tool that the suite prescribes for a server under test.
    "sep-2575-server-rejects-undeclared-capability",
    "sep-2575-missing-capability-http-400",
    "sep-2575-http-server-no-independent-requests-on-stream",
    "sep-2575-server-no-log-without-loglevel",
}
_HTTP_ALONE = {
    # The header belongs to the transport, which is the bridge here.
    "sep-2575-http-server-header-mismatch-400",
}


@pytest.mark.deep
@pytest.mark.parametrize(
    ("scenario", "revision", "open_checks"),
    [
        ("server-initialize", "2025-11-25", set()),
        ("ping", "2025-11-25", set()),
        ("tools-list", "2025-11-25", set()),
        ("tools-list", "2026-07-28", set()),
        ("server-stateless", "2026-07-28", _TOOLS_OF_THE_SUITE | _HTTP_ALONE),
    ],
)
def test_a_scenario_has_no_other_open_check(
    shell: Shell, suite: Suite, scenario: str, revision: str, open_checks: set[str]
) -> None:
    with Server(shell, opening=False) as server, bridged(server) as address:
        outcome = suite.run("server", scenario, "--url", address, "--spec-version", revision)
    found = {name for name, status in outcome.not_green().items() if status != "SKIPPED"}
    assert outcome.checks, outcome.said
    assert found == open_checks, outcome.said
