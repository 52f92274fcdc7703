"""Concurrent use of a ledger: no write is lost, and no writer waits for ever."""

from __future__ import annotations

import contextlib
import fcntl
import json
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from jitid.errors import StorageError
from jitid.ledger.contract import Ledger
from jitid.ledger.sqlite.lock import FairLock
from tests.builders import World
from tests.ledger.places import Place, with_a_mark
from tests.real import Shell


@pytest.mark.deep
def test_sixty_four_processes_that_issue_at_once_lose_nothing(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    shell.good("issue", "--task", "T0", "--delegator", "alice")
    started = [
        shell.start("issue", "--task", f"T{number % 8}", "--delegator", "alice", "--kind", kind)
        for number, kind in enumerate(["jwt", "opaque"] * 32)
    ]
    done = [(process.communicate(timeout=120), process.returncode) for process in started]
    assert [status for _, status in done] == [0] * 64, [error for (_, error), _ in done if error]
    tokens = {token for (token, _), _ in done}
    assert len(tokens) == 64
    rows = [
        json.loads(line) for line in shell.good("list", "--limit", "100", "--format", "jsonl").splitlines()
    ]
    assert len(rows) == len({row["jti"] for row in rows}) == len({row["id"] for row in rows}) == 65
    assert shell.good("audit", "verify", "--format", "json")
    log = shell.good("audit", "log", "--operation", "issue", "--format", "jsonl").splitlines()
    assert len(log) == 65
    for token in list(tokens)[:8]:
        shell.good("verify", stdin=token)


def test_issuing_revoking_and_rotating_at_once_agree(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    shell.good("issue", "--task", "T0", "--delegator", "alice", "--count", "20")
    verbs = [
        ("issue", "--task", "T1", "--delegator", "alice", "--count", "50"),
        ("revoke", "--task", "T0"),
        ("keys", "rotate"),
        ("issue", "--task", "T2", "--delegator", "bob"),
        ("retire", "T0"),
        ("keys", "rotate"),
    ]
    started = [shell.start(*verb) for verb in verbs * 2]
    done = [(process.communicate(timeout=120), process.returncode) for process in started]
    assert {status for _, status in done} == {0}, [error for (_, error), _ in done if error]
    shell.good("audit", "verify")
    keys = [json.loads(line) for line in shell.good("keys", "list", "--format", "jsonl").splitlines()]
    signing = [key["kid"] for key in keys if key["state"] == "signing"]
    assert [path.name for path in (shell.ledger / "keys").iterdir()] == signing


@with_a_mark
def test_plans_are_made_ahead_where_others_write_too(place: Place) -> None:
    """A lone writer would look up everything twice without need. It learns only from later writes that it is alone."""
    other = place.again()

    def foresees(*writers: Ledger) -> bool:
        for writer in writers:
            with writer.write() as transaction:
                transaction.append("note", {})
        assert place.ledger.foresees(quick=lambda: False), "others wait for what takes long, if any come"
        return place.ledger.foresees(quick=lambda: True)

    assert foresees()
    assert foresees(place.ledger)
    assert not foresees(place.ledger)
    assert foresees(other, place.ledger)
    assert not foresees(place.ledger)
    assert foresees(other, other, place.ledger)
    with contextlib.suppress(ZeroDivisionError), other.write() as transaction:
        transaction.append("note", {})
        raise ZeroDivisionError
    assert not foresees(place.ledger)


def test_a_writer_gives_up_when_its_time_is_over(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.touch()
    with path.open("r+") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        waiting = FairLock(str(path), 0.05)
        with pytest.raises(StorageError) as caught:
            waiting.acquire()
        waiting.close()
    assert caught.value.retryable


def test_a_writer_that_may_not_wait_gives_up_at_once(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.touch()
    with path.open("r+") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        waiting = FairLock(str(path), 0)
        with pytest.raises(StorageError):
            waiting.acquire()
        waiting.close()


def test_a_lock_is_free_after_its_holder_gave_up_waiting(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.touch()
    waiting, next_one = FairLock(str(path), 0.05), FairLock(str(path), 0.05)
    with path.open("r+") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(StorageError):
            waiting.acquire()
    next_one.acquire()
    next_one.close()
    waiting.close()


def test_readers_do_not_wait_for_a_writer(tmp_path: Path) -> None:
    with World(tmp_path / "ledger") as world, World(tmp_path / "ledger") as other:
        made = world.issue()
        with world.ledger.write():
            assert other.verify(made.token).jti == made.jti


def test_a_lock_is_waited_for_by_whoever_keeps_alarms_back(tmp_path: Path) -> None:
    """An alarm that has rung already counts as a timeout, and never raises its own exception."""
    path = str(tmp_path / "lock")
    Path(path).touch()
    holder, waiter = FairLock(path, 5), FairLock(path, 60)
    holder.acquire()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
    try:
        signal.raise_signal(signal.SIGALRM)
        with pytest.raises(StorageError, match="other writers"):
            waiter.acquire()
        assert signal.SIGALRM in signal.pthread_sigmask(signal.SIG_BLOCK, ()), "it is kept back as before"
        holder.release()
        waiter.acquire()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        holder.close()
        waiter.close()


def test_threads_of_a_process_take_turns(tmp_path: Path) -> None:
    """Each thread has its own lock on the same file. A thread whose wait times out leaves nothing behind."""
    path = str(tmp_path / "lock")
    Path(path).touch()
    inside, seen = 0, []

    def work(_: int) -> None:
        nonlocal inside
        own = FairLock(path, 60)
        for _ in range(20):
            own.acquire()
            inside += 1
            seen.append(inside)
            inside -= 1
            own.release()
        own.close()

    def in_vain() -> None:
        with pytest.raises(StorageError, match="other writers"):
            FairLock(path, 0.05).acquire()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
        assert seen == [1] * 160
        held = FairLock(path, 60)
        pool.submit(held.acquire).result()
        pool.submit(in_vain).result()
        pool.submit(held.close).result()
        pool.submit(work, 0).result()
