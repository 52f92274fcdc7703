"""The service with PostgreSQL: its answers while the database is frozen, down, and back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import postgres
from tests.postgres import Postgres
from tests.server.waiting import eventually
from tests.serving import Answer, Served, serving


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """Return this module's own database, which the tests freeze and kill."""
    with postgres.running() as found:
        yield found


@pytest.fixture
def served(server: Postgres, tmp_path: Path) -> Iterator[Served]:
    """Return a service with short time limits, over a new ledger in the database."""
    (tmp_path / "config.toml").write_text("serve_time = '3s'\n")
    arguments = ("--socket", str(tmp_path / "s"), "--workers", "2", "--config", str(tmp_path / "config.toml"))
    address = server.url(server.new_database())
    with serving(tmp_path, *arguments, ledger=address, more={"JITID_HOME": str(tmp_path / "home")}) as found:
        yield found


def issue(served: Served, task: str = "T1") -> Answer:
    """Request a credential."""
    body = json.dumps({"requests": [{"task": task, "delegator": None, "agent": "bot"}]}).encode()
    return served.ask("POST", "/v1/operations/Issue", body, {"content-type": "application/json"})


def test_while_the_database_is_frozen_it_says_so_in_time(server: Postgres, served: Served) -> None:
    assert issue(served).status == 200
    server.freeze()
    try:
        answer = issue(served)
        assert answer.status == 503
        assert answer.headers["retry-after"]
        assert answer.json["error"]["exit"] == 5
        assert served.ask("GET", "/readyz").status == 503
        assert served.ask("GET", "/healthz").status == 200
    finally:
        server.thaw()
    assert eventually(lambda: issue(served).status == 200, 60.0)
    assert eventually(lambda: served.ask("GET", "/readyz").status == 200)


def test_it_goes_on_when_the_database_comes_back(server: Postgres, served: Served) -> None:
    workers = served.workers()
    assert issue(served).status == 200
    server.kill()
    try:
        answer = issue(served)
        assert answer.status == 503
        # Callers need not know the address of the database; the operator finds it in the log.
        said = answer.body.decode()
        assert not [place for place in ("postgres", "127.0.0.1", str(server.port)) if place in said]
        (told, *_) = [line for line in served.lines() if line["event"] == "ledger"]
        assert str(server.port) in told["error"]
        assert served.ask("GET", "/readyz").status == 503
    finally:
        server.start()
    assert eventually(lambda: issue(served).status == 200, 60.0)
    assert eventually(lambda: served.ask("GET", "/readyz").status == 200)
    assert served.workers() == workers


def test_it_ends_although_the_database_is_frozen(server: Postgres, served: Served) -> None:
    assert issue(served).status == 200
    server.freeze()
    try:
        served.process.terminate()
        assert served.process.wait(60) == 0
    finally:
        server.thaw()
