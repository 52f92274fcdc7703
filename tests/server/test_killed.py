"""An authority that is killed at any step of an issue: after a retry elsewhere, one credential is live."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from jitid.authority.wire.codec import encode_operation
from jitid.capabilities.issue.operations import Issue
from jitid.model.request import IssueRequest
from tests.ledger.test_lost import shell_over
from tests.real import Shell, need, need_root, until
from tests.server.asking import grant
from tests.serving import Answer, Served, serving

CALLS = ("sendto", "recvfrom", "write")
"""System calls by which a worker communicates with the database and the client."""


@contextmanager
def killing(pid: int, call: str, when: int) -> Iterator[Callable[[], bool]]:
    """Kill a process before system call number `when` of a thread, counted from now on.

    Yields a check that strace has followed the process until then: a busy machine may have replaced the process before.
    """
    strace = [need("strace"), "-f", "-qq", "-o", os.devnull, "-e", f"trace={call}", "-p", str(pid)]
    tracer = subprocess.Popen(
        [*strace, "-e", f"inject={call}:signal=KILL:when={when}"], stderr=subprocess.DEVNULL
    )
    try:
        until(lambda: tracer.poll() is not None or _all_traced(pid), "strace does not attach")
        yield lambda: tracer.poll() is None and Path(f"/proc/{pid}").exists()
    finally:
        tracer.terminate()
        tracer.wait()


def _all_traced(pid: int) -> bool:
    threads = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        # A thread may end between the listing and the reading.
        with suppress(FileNotFoundError, ProcessLookupError):
            threads.append(task.joinpath("status").read_text())
    return all("TracerPid:\t0\n" not in status for status in threads)


def ask(served: Served, bearer: str, key: str, task: str) -> Answer | None:
    """Request a credential with an idempotency key; return None if there is no answer."""
    values = encode_operation(Issue(requests=(IssueRequest(task, "user:alice", "agent"),)))
    headers = {
        "content-type": "application/json",
        "authorization": f"Bearer {bearer}",
        "idempotency-key": key,
    }
    with suppress(OSError, http.client.HTTPException):
        return served.ask("POST", "/v1/operations/Issue", json.dumps(values).encode(), headers)
    return None


def living(shell: Shell, task: str) -> list[dict[str, Any]]:
    """Return the live credentials of a task."""
    listed = shell.good("list", "--task", task, "--live", "--format", "jsonl")
    return [json.loads(line) for line in listed.splitlines()]


@pytest.mark.parametrize("call", CALLS)
def test_whoever_asks_again_has_the_only_one_that_lives(postgres_url: str, tmp_path: Path, call: str) -> None:
    need_root()
    shell = shell_over(tmp_path / "one", postgres_url)
    shell.good("issue", "--task", "FIRST-1", "--delegator", "alice")
    bearer = grant(shell, "system:launcher", "issuer")
    deaths = 0
    with (
        serving(shell.home, ledger=postgres_url) as first,
        serving(shell.home, ledger=postgres_url) as second,
    ):
        for served in (first, second):
            # Each is connected, and has loaded all modules that an issue needs.
            assert ask(served, bearer, uuid.uuid4().hex, "WARM") is not None
        for when in range(1, 200):
            key, task = uuid.uuid4().hex, f"T-{when}"
            (worker,) = first.workers()
            with killing(worker, call, when) as followed:
                answer = ask(first, bearer, key, task)
                lasts = answer is not None and followed()
            if lasts:
                break
            if answer is not None:
                continue
            deaths += 1
            again = ask(second, bearer, key, task)
            assert again is not None
            assert again.status == 200, again.body
            (one,) = living(shell, task)
            assert one["jti"] in again.body.decode()
            until(lambda: first.workers() not in ([], [worker]) and _warm(first, bearer), "no new worker")  # noqa: B023
    assert deaths >= 1
    shell.good("audit", "verify")


def _warm(served: Served, bearer: str) -> bool:
    answer = ask(served, bearer, uuid.uuid4().hex, "WARM")
    return answer is not None and answer.status == 200
