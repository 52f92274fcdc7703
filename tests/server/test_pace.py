"""The rate limit of a client's requests."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, MutableMapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitid.server import app
from jitid.server.metrics import Log
from jitid.server.service_limits import RequestPace
from tests.server.routing import service, table
from tests.serving import Served, serving


def test_a_burst_is_served_and_then_the_rate() -> None:
    pace = RequestPace(rate=10, burst=5)
    assert [pace.take("a", 100.0) for _ in range(6)] == [0, 0, 0, 0, 0, 1]
    assert pace.take("b", 100.0) == 0
    assert pace.take("a", 100.1) == 0
    assert pace.take("a", 100.1) == 1


@given(
    st.lists(st.floats(0, 2), max_size=80),
    st.integers(1, 20),
    st.integers(1, 10),
)
def test_no_client_gets_more_than_its_burst_and_its_rate(waits: list[float], rate: int, burst: int) -> None:
    pace, now, served = RequestPace(rate, burst), 0.0, 0
    for wait in waits:
        now += wait
        served += pace.take("a", now) == 0
    assert served <= burst + rate * now + 1e-6


@given(st.lists(st.floats(0, 2), min_size=1, max_size=40))
def test_whoever_waits_as_told_is_served(waits: list[float]) -> None:
    pace, now = RequestPace(3, 2), 0.0
    for wait in waits:
        now += wait
        seconds = pace.take("a", now)
        if seconds:
            now += seconds
            assert pace.take("a", now) == 0


def test_memory_is_bounded() -> None:
    pace = RequestPace(1, 1, most=10)
    for number in range(1000):
        pace.take(str(number), float(number))
    assert len(pace._empty_at) == 10


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Return a service that knows no caller without a token."""
    with serving(tmp_path_factory.mktemp("nobody")) as found:
        yield found


@pytest.mark.parametrize(("path", "methods"), table(), ids=[path for path, _ in table()])
def test_a_path_without_a_credential_has_a_pace(
    served: Served, path: str, methods: frozenset[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every client can request it: it is cheap, or the requests of one address are limited."""
    if path in CHEAP:
        return
    method = min(methods - {"HEAD"})
    form = {"content-type": "application/json" if "/v1/" in path else "application/x-www-form-urlencoded"}
    body = None if method == "GET" else b"{}" if "/v1/" in path else b"token=x&grant_type=client_credentials"
    needs_credential = served.ask(method, path, body, form if body else {}).status == 401
    assert needs_credential or _paced_status(method, path, monkeypatch) == 429


CHEAP = ("/healthz", "/authorize")
"""The second one answers every request with the same refusal."""


def _paced_status(method: str, path: str, monkeypatch: pytest.MonkeyPatch) -> int:
    """Return the status of a request while the limit for requests without a credential is 0."""
    monkeypatch.setattr(app, "_OPEN_RATE", 0.001)
    own = app.App(service(), app.routes(service()), Log("none", os.open(os.devnull, os.O_WRONLY)))
    statuses = []

    async def send(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [],
        "client": ("192.0.2.1", 1),
    }
    asyncio.run(own(scope, receive, send))
    return int(statuses[-1])
