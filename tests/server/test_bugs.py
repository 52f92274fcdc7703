"""Errors within the service: the client gets an answer, and the log gets the place without a flood of lines."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from jitid.server.app import App
from jitid.server.metrics import Log, Metrics
from jitid.server.service import Service
from jitid.server.service_limits import RequestPace, ServiceLimits


async def _one(_request: Request) -> Response:
    raise KeyError("jitid_secret")


async def _other(_request: Request) -> Response:
    raise ValueError("jitid_secret")


@pytest.fixture
def statuses(tmp_path: Path) -> Iterator[Callable[..., list[int]]]:
    """Return a function that requests paths of an application and returns the statuses; its log is the file `log`."""
    table = [Route("/one", _one), Route("/other", _other)]
    service = SimpleNamespace(metrics=Metrics(["/one", "/other", "none"]), limits=ServiceLimits())
    descriptor = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT)
    app = App(cast("Service", service), table, Log("none", descriptor))

    async def ask(path: str) -> int:
        found: list[int] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request"}

        async def send(message: Any) -> None:
            found.extend([message["status"]] if "status" in message else [])

        scope = {"type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "headers": []}
        await app({**scope, "query_string": b"", "client": ("::1", 1)}, receive, send)
        (status,) = found
        return status

    yield lambda *paths: [asyncio.run(ask(path)) for path in paths]
    os.close(descriptor)


def test_each_bug_is_told_a_few_times_and_then_counted(
    statuses: Callable[..., list[int]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another bug is logged separately. The next line about the first bug has the number of errors not logged."""
    assert set(statuses(*["/one"] * 60)) == {500}
    assert statuses("/other") == [500]
    told = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [line["error"] for line in told] == ["KeyError"] * 5 + ["ValueError"]
    assert {line["untold"] for line in told} == {0}
    monkeypatch.setattr(RequestPace, "take", lambda *_: 0)
    statuses("/one", "/one")
    told = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [line["untold"] for line in told[6:]] == [55, 0]
    assert "secret" not in (tmp_path / "log").read_text()
