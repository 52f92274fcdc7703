"""More than the service takes, of one client and of all: who is turned away, and that nobody else is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.real import Shell
from tests.server.asking import grant
from tests.server.test_ending import Asking, held
from tests.server.waiting import eventually
from tests.serving import Answer, Served, serving


@contextmanager
def limited(folder: Path, **limits: int | str) -> Iterator[Served]:
    """Start a service on a socket with other limits."""
    lines = [f"{name} = {json.dumps(value)}\n" for name, value in limits.items()]
    (folder / "config.toml").write_text("".join(lines))
    with serving(folder, "--socket", str(folder / "s"), "--config", str(folder / "config.toml")) as served:
        yield served


def keys(served: Served, **headers: str) -> Answer:
    """Ask for something that anybody may know who is known."""
    given = {"content-type": "application/json", **headers}
    return served.ask("POST", "/v1/operations/PublishKeys", b"{}", given)


def test_more_requests_than_may_be_in_work_are_told_to_come_again(tmp_path: Path) -> None:
    with limited(tmp_path, serve_requests=2) as served, held(tmp_path):
        asking = [Asking(served, f"T{number}") for number in range(5)]
        assert eventually(lambda: sum(one.answer is not None for one in asking) == 3)
        answer = keys(served)
        assert answer.status == 503
        assert answer.headers["retry-after"] == "1"
        assert answer.json["error"]["retryable"] is True
        # Whoever only asks whether it lives is answered.
        assert served.ask("GET", "/healthz").status == 200
    for one in asking:
        one.join(30)
    answers = [one.answer.status for one in asking if one.answer is not None]
    assert sorted(answers) == [200, 200, 503, 503, 503]


def test_a_caller_that_asks_too_fast_is_told_to_wait(tmp_path: Path) -> None:
    with limited(tmp_path, serve_rate=5) as served:
        answers = [keys(served) for _ in range(40)]
        assert {answer.status for answer in answers} == {200, 429}
        late = next(answer for answer in answers if answer.status == 429)
        assert int(late.headers["retry-after"]) >= 1
        assert late.json["error"]["code"] == "limited"
        assert eventually(lambda: keys(served).status == 200)


def test_guessing_is_slowed_down_and_keeps_nobody_else_out(tmp_path: Path) -> None:
    with limited(tmp_path) as served:
        right = {"authorization": f"Bearer {grant(Shell(tmp_path), 'system:ci')}"}
        assert keys(served, **right).status == 200
        wrong = {"authorization": "Bearer jitid_00000000000000000000000000000000000000"}
        statuses = [keys(served, **wrong).status for _ in range(80)]
        assert statuses[0] == 401
        assert statuses[-1] == 429
        assert keys(served, **right).status == 200


@pytest.mark.parametrize("name", ["serve_rate", "serve_threads", "serve_connections", "serve_body"])
def test_a_bound_of_nothing_is_none(tmp_path: Path, name: str) -> None:
    (tmp_path / "config.toml").write_text(f"{name} = 0\n")
    done = Shell(tmp_path).run("--config", "config.toml", "serve", "--bind", "127.0.0.1:0")
    assert done.returncode == 2
    assert f"`{name}` is at least 1" in done.stderr


def test_it_listens_on_ipv6_too(tmp_path: Path) -> None:
    with serving(tmp_path, "--bind", "[::1]:0") as served:
        assert served.url.startswith("http://[::1]:")
        assert served.ask("GET", "/healthz").status == 200


def test_a_stream_whose_client_left_frees_its_thread(tmp_path: Path) -> None:
    """There are two threads for what looks at the whole ledger; none of them waits for somebody who is gone."""
    (tmp_path / "native.toml").write_text("[socket.role]\nroot = 'auditor'\n0 = 'auditor'\n")
    shell = Shell(tmp_path)
    for number in range(3):
        shell.good("-q", "issue", "--task", f"T{number}", "--delegator", "alice", "--count", "2000")
    arguments = ("--socket", str(tmp_path / "s"), "--config", str(tmp_path / "native.toml"))
    with serving(tmp_path, *arguments) as served:
        head = b"POST /v1/operations/ExportLog HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
        for _ in range(6):
            with served.connect() as connection:
                connection.sendall(head + b"content-length: 2\r\n\r\n{}")
                assert connection.recv(100).startswith(b"HTTP/1.1 200")
        answer = served.ask("POST", "/v1/operations/ExportLog", b"{}", {"content-type": "application/json"})
        assert answer.status == 200
        assert answer.body.endswith(b"\n")
