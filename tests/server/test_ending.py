"""The shutdown of the service, and its answers while its ledger is unavailable."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.real import Shell
from tests.server.waiting import eventually
from tests.serving import Answer, Served, serving


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Lock the ledger, so that every writer waits."""
    with sqlite3.connect(folder / "ledger" / "ledger.db", isolation_level=None) as db:
        db.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            db.execute("ROLLBACK")
    db.close()


class Asking(threading.Thread):
    """A thread that requests a credential."""

    def __init__(self, served: Served, task: str = "T1") -> None:
        super().__init__(daemon=True)
        self.served = served
        self.task = task
        self.answer: Answer | None = None
        self.error: Exception | None = None
        self.start()

    def run(self) -> None:
        body = json.dumps({"requests": [{"task": self.task, "delegator": None, "agent": "bot"}]}).encode()
        try:
            self.answer = self.served.ask(
                "POST", "/v1/operations/Issue", body, {"content-type": "application/json"}
            )
        except OSError as error:
            self.error = error


def in_work(served: Served) -> bool:
    """Return whether another request is in progress besides this one."""
    text = served.ask("GET", "/metrics").body.decode()
    return "\njitid_requests_in_work 2\n" in text


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """Return a service on a socket."""
    with serving(tmp_path, "--socket", str(tmp_path / "s")) as found:
        yield found


def test_what_is_in_work_is_finished_before_it_ends(served: Served, tmp_path: Path) -> None:
    with held(tmp_path):
        asking = Asking(served)
        assert eventually(lambda: in_work(served))
        served.process.send_signal(signal.SIGTERM)
        # The service accepts no new connections from now on.
        assert eventually(lambda: _refused(served))
        assert served.process.poll() is None
    asking.join(30)
    assert asking.answer is not None
    assert asking.answer.status == 200
    assert asking.answer.headers["connection"] == "close"
    assert served.process.wait(30) == 0


def _refused(served: Served) -> bool:
    try:
        served.connect().close()
    except OSError:
        return True
    return False


def test_a_second_signal_ends_it_at_once(served: Served, tmp_path: Path) -> None:
    with held(tmp_path):
        asking = Asking(served)
        assert eventually(lambda: in_work(served))
        served.process.send_signal(signal.SIGTERM)
        assert eventually(lambda: _refused(served))
        served.process.send_signal(signal.SIGTERM)
        assert served.process.wait(30) == 128 + signal.SIGTERM
        asking.join(30)
        assert asking.answer is None
    # An unanswered request changed nothing: no caller holds a credential that the ledger lacks.
    assert Shell(tmp_path).good("list", "--field", "task") == ""


def test_a_worker_that_is_killed_in_the_middle_leaves_nothing_behind(served: Served, tmp_path: Path) -> None:
    with held(tmp_path):
        asking = Asking(served)
        assert eventually(lambda: in_work(served))
        os.kill(served.workers()[0], signal.SIGKILL)
        asking.join(30)
        assert asking.answer is None
    again = Asking(served, "T2")
    again.join(30)
    assert again.answer is not None
    assert again.answer.status == 200
    assert Shell(tmp_path).good("list", "--field", "task").split() == ["T2"]


@pytest.mark.deep
def test_without_its_ledger_it_lives_and_says_that_it_cannot_serve(served: Served, tmp_path: Path) -> None:
    (tmp_path / "ledger").rename(tmp_path / "elsewhere")
    assert eventually(lambda: served.ask("GET", "/readyz").status == 503)
    assert served.ask("GET", "/healthz").status == 200
    assert b"jitid_ledger_up 0\n" in served.ask("GET", "/metrics").body
    asking = Asking(served)
    asking.join(30)
    assert asking.answer is not None
    assert asking.answer.status == 503
    assert asking.answer.headers["retry-after"]
    assert asking.answer.json["error"]["exit"] == 5
    (tmp_path / "elsewhere").rename(tmp_path / "ledger")
    assert eventually(lambda: served.ask("GET", "/readyz").status == 200)
    asking = Asking(served)
    asking.join(30)
    assert asking.answer is not None
    assert asking.answer.status == 200


def test_a_changed_policy_counts_without_a_new_start(served: Served, tmp_path: Path) -> None:
    def status() -> int:
        asking = Asking(served)
        asking.join(30)
        assert asking.answer is not None
        return asking.answer.status

    assert status() == 200
    policy = tmp_path / "ledger" / "policy" / "default.cedar"
    text = policy.read_text()
    policy.write_text(text + '\n@id("closed")\nforbid (principal, action, resource);\n')
    assert eventually(lambda: status() == 403)
    policy.write_text("this is no policy")
    # Operations without a policy continue: the service is ready, but cannot issue.
    told = {"ready": True, "issues": False, "error": "configuration"}
    assert eventually(lambda: served.ask("GET", "/readyz").json == told)
    assert b"\njitid_can_issue 0\n" in served.ask("GET", "/metrics").body
    assert eventually(lambda: status() == 500)
    policy.write_text(text)
    assert eventually(lambda: status() == 200)


@pytest.mark.deep
def test_a_ledger_that_is_held_too_long_is_told(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("serve_time = '1s'\n")
    arguments = ("--socket", str(tmp_path / "s"), "--config", str(tmp_path / "config.toml"))
    with serving(tmp_path, *arguments) as served, held(tmp_path):
        asking = Asking(served)
        asking.join(30)
        assert asking.answer is not None
        assert asking.answer.status == 503
        assert asking.answer.json["error"]["retryable"] is True


@pytest.mark.deep
def test_a_worker_that_is_busy_is_not_taken_for_hung(tmp_path: Path) -> None:
    """The worker's only thread waits for the ledger longer than `serve_hung`."""
    (tmp_path / "config.toml").write_text("serve_time = '9s'\nserve_hung = '5s'\nserve_threads = 1\n")
    arguments = ("--socket", str(tmp_path / "s"), "--config", str(tmp_path / "config.toml"))
    with serving(tmp_path, *arguments) as served, held(tmp_path):
        before = served.workers()
        asking = Asking(served)
        asking.join(60)
        assert asking.answer is not None
        assert asking.answer.status == 503
        assert served.workers() == before
        assert not [line for line in served.lines() if line["event"] == "worker hung"]


@pytest.mark.deep
def test_without_its_key_it_says_that_it_cannot_issue(served: Served, tmp_path: Path) -> None:
    (tmp_path / "ledger" / "keys").rename(tmp_path / "keys")
    (tmp_path / "ledger" / "keys").mkdir(0o700)
    os.kill(served.workers()[0], signal.SIGKILL)

    def told() -> bool:
        try:
            answer = served.ask("GET", "/readyz")
        except OSError:
            return False
        return answer.status == 200 and answer.json["issues"] is False

    assert eventually(told)
    (tmp_path / "ledger" / "keys").rmdir()
    (tmp_path / "keys").rename(tmp_path / "ledger" / "keys")
    assert eventually(lambda: served.ask("GET", "/readyz").json["issues"])
