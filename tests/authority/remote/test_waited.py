"""Waiting for the caller's input, output or answer does not count towards a command's --timeout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from jitid.errors import StorageError
from jitid.ledger.sqlite.lock import FairLock
from jitid.system import time_limit
from jitid.system.authority_address import parse_address
from jitid.system.http import Channel, LostError
from jitid.system.read_input import spared
from tests.authority.remote.test_time import PATIENCE
from tests.real import Shell

SLOW = """
import os, sys, time
from jitid.cli import main
from jitid.system import time_limit

late = 0

def slow(call):
    def waits(descriptor, *more):
        global late
        late += 3600 * (descriptor in (0, 1))
        return call(descriptor, *more)
    return waits

os.read, os.readv, os.write = slow(os.read), slow(os.readv), slow(os.write)
time_limit.monotonic = lambda: time.monotonic() + late
sys.exit(main.run(sys.argv[1:]))
"""
"""A program that runs a command whose every read and write takes an hour, by the clock of its time limit."""

RINGING = """
import os, sys, time
from jitid.cli import main
from jitid.system import time_limit

late, read = 0, os.read

def rings(descriptor, *more):
    global late
    late += 3600 * (descriptor == 0)
    time_limit._ring()
    return read(descriptor, *more)

os.read = rings
time_limit.monotonic = lambda: time.monotonic() + late
sys.exit(main.run(sys.argv[1:]))
"""
"""A program that runs a command whose caller takes an hour to answer, while the timer of one minute fires."""

LINES = 1_200
"""The lines of a list that takes two transactions."""


LONG = "nothing\n" * 100_000
"""A text before a token, long enough for several processes to search it."""

GITLEAKS = '[{{"RuleID": "x", "File": "f", "StartLine": 1, "Secret": "{token}", "Match": "{token}"}}]'
BATCH = '{{"token": "{token}", "action": "read", "resource": "https://a.example/x"}}\n'
ADOPTED = f"name,place,fingerprint\nci,here,{'0' * 64}\n"


def slow(shell: Shell, line: str, stdin: str) -> subprocess.CompletedProcess[str]:
    """Run a command with a time limit of one minute, for a caller that takes hours."""
    return subprocess.run(
        [sys.executable, "-c", SLOW, *line.split(), "--timeout", "1m"],
        input=stdin,
        capture_output=True,
        text=True,
        env=shell.environment,
        cwd=shell.home,
        timeout=PATIENCE,
    )


READING = (
    ("verify", "{token}"),
    ("inspect -", "{token}"),
    ("trace -", "{token}"),
    ("trace -", LONG + "{token}"),
    ("renew", "{token}"),
    ("leak add - --dry-run", LONG + "{token}"),
    ("leak add --from - --report-format gitleaks --dry-run", GITLEAKS),
    ("scan - --fail-on critical", "nothing"),
    ("revoke --token-file - --yes", "{token}"),
    ("revoke --ids-file - --yes", "{jti}"),
    ("authorize --batch", BATCH),
    ("delegator import - --as csv", "name\nuser:carol\n"),
    ("adopt add --from-file - --as csv --owner bob --purpose x", ADOPTED),
    ("issue --parent-file -", "{token}"),
)
"""Verbs that read standard input, each with its input."""


def test_input_may_be_long_in_coming(client: Shell) -> None:
    words = ("--task", "T1", "--delegator", "alice", "--may-audience", "https://a.example")
    wrong = {}
    for line, form in READING:
        made = json.loads(client.good("issue", *words, "--format", "json"))
        done = slow(client, line, form.format(token=made["token"], jti=made["jti"]))
        if done.returncode:
            wrong[line] = (done.returncode, done.stderr)
    assert not wrong


def test_a_list_may_be_long_in_coming_and_in_going(client: Shell) -> None:
    lines = '{"task": "T1", "delegator": "alice"}\n' * LINES
    done = slow(client, "issue --from-file - --yes", lines)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == LINES


@pytest.mark.parametrize("line", ["revoke --task T1", "retire T1"])
def test_a_person_may_think_before_they_answer(client: Shell, line: str) -> None:
    _end_when_confirmed(client, SLOW, line)


def test_a_connection_to_a_database_outlives_what_its_caller_takes(postgres_url: str, tmp_path: Path) -> None:
    """The connection is open while a person decides, and the timer that would cut it pauses too."""
    shell = Shell(tmp_path)
    shell.environment["JITID_LEDGER"] = postgres_url
    _end_when_confirmed(shell, RINGING, "revoke --task T1")


def _end_when_confirmed(shell: Shell, code: str, line: str) -> None:
    """Issue 150 credentials, and end them with a line that is confirmed at a terminal; `code` runs the line."""
    shell.good("issue", "--task", "T1", "--delegator", "alice", "--count", "150", "--yes")
    ours, theirs = os.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", code, *line.split(), "--timeout", "1m"],
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=theirs,
        env=shell.environment,
        cwd=shell.home,
    ) as command:
        os.close(theirs)
        os.write(ours, b"150\n")
        assert command.wait(PATIENCE) == 0, os.read(ours, 1 << 16).decode()
    os.close(ours)
    assert shell.good("list", "--live") == ""


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """Return the time that the clock of the time limit shows; a test may change it."""
    now = [1_000.0]
    monkeypatch.setattr(time_limit, "monotonic", lambda: now[0])
    yield now
    time_limit.lift()


def test_what_passes_in_a_pause_does_not_count(clock: list[float]) -> None:
    time_limit.bound(10)
    with time_limit.Pause():
        clock[0] += 3_600
        assert time_limit.left(100) == 10
        with time_limit.Pause():
            clock[0] += 3_600
        assert not time_limit.has_expired()
    assert time_limit.left(100) == 10
    clock[0] += 4
    assert time_limit.left(100) == 6
    with pytest.raises(ZeroDivisionError), time_limit.Pause():
        clock[0] += 3_600
        raise ZeroDivisionError
    assert time_limit.left(100) == 6
    clock[0] += 6
    assert time_limit.has_expired()
    with time_limit.Pause():
        assert time_limit.has_expired()
    assert time_limit.has_expired()


def test_what_is_waited_for_between_pieces_counts(clock: list[float]) -> None:
    def pieces() -> Iterator[int]:
        for number in range(3):
            clock[0] += 3_600
            yield number

    time_limit.bound(10)
    for number in spared(pieces()):
        assert time_limit.left(100) == 10 - number
        clock[0] += 1
    assert time_limit.left(100) == 7


@pytest.mark.usefixtures("clock")
def test_a_time_without_bound_has_no_pause() -> None:
    with time_limit.Pause():
        time_limit.bound(10)
    assert time_limit.left(100) == 10


def test_nothing_is_cut_in_a_pause_and_after_it_in_time() -> None:
    called = threading.Event()
    time_limit.bound(0.2)
    try:
        time_limit.at_end(called.set)
        with time_limit.Pause():
            time.sleep(0.5)
            assert not called.is_set()
        assert called.wait(PATIENCE)
    finally:
        time_limit.lift()


def test_what_is_nearly_over_is_not_cut_in_a_pause_either(clock: list[float]) -> None:
    called = threading.Event()
    time_limit.bound(10)
    time_limit.at_end(called.set)
    clock[0] += 9.99
    with time_limit.Pause():
        time_limit._ring()
        assert not called.is_set()
    assert called.wait(PATIENCE)


def test_who_was_not_asked_is_not_blamed(tmp_path: Path) -> None:
    """The command waited neither for a server nor for a writer."""
    path = tmp_path / "lock"
    path.touch()
    holder, lock = FairLock(str(path), 1), FairLock(str(path), 1)
    holder.acquire()
    time_limit.bound(0)
    try:
        with pytest.raises(
            StorageError, match=r"the command's time limit has expired.*--timeout.*nothing was changed"
        ):
            lock.acquire()
        with pytest.raises(
            LostError, match=r"the command's time limit has expired.*nothing was sent"
        ) as raised:
            Channel(parse_address("http://127.0.0.1:1")).request("GET", "/", None, {}, seconds=5)
        assert not raised.value.sent
    finally:
        time_limit.lift()
        holder.close()
