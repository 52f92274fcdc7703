"""An agent that calls as fast as it can: all calls are answered in order, and memory and ledger stay bounded."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitid.mcp.handed_out import RESERVE, CallPace
from tests.mcp.asking import OPENING, Server, called, events, lines, piped, states
from tests.real import Shell

MANY = 10_000


def peak(server: Server) -> int:
    """Return the peak memory of the server until now, in KiB (proc_pid_status(5))."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])


def mixed(number: int) -> dict[str, Any]:
    """Return the nth call of a mix: some pass, some are denied, some are invalid."""
    match number % 5:
        case 0:
            return called(number, "request_identity", {"agent": "coder", "scopes": ["repo:a"]})
        case 1:
            return called(number, "request_identity", {"agent": "coder", "scopes": ["db:a"] * 60})
        case 2:
            return called(number, "hand_back", {"id": "jid_" + "0" * 26})
        case 3:
            return called(number, "request_identity", {"agent": 1})
        case _:
            return called(number, "hand_back", {"id": "x"})


@pytest.mark.deep
def test_ten_thousand_calls_are_answered_in_order_and_the_ledger_has_what_the_rate_allows(
    shell: Shell,
) -> None:
    before = len(events(shell))
    start = time.monotonic()
    answers = piped(shell, lines(OPENING, *map(mixed, range(MANY))), "--rate", "2", "--most", "5")
    seconds = time.monotonic() - start
    assert [answer["id"] for answer in answers] == ["opening", *range(MANY)]
    results = [answer["result"]["structuredContent"] for answer in answers[1:]]
    given = [result for result in results if "error" not in result]
    assert len(given) == 5
    written = len(events(shell)) - before
    # Two more events: the key for the first service token, and the revocation at the end.
    assert RESERVE * 2 <= written <= 2 * (RESERVE + seconds) + 2
    limits = [result["error"] for result in results if result.get("error", {}).get("code") == "limit"]
    assert len(limits) > MANY // 2 - 200
    assert all(error["retryable"] and error["retry_after_seconds"] > 0 for error in limits)
    assert states(shell, "--task", "T1", "--live") == ["active"]


@pytest.mark.deep
def test_memory_does_not_grow_with_what_is_asked(shell: Shell) -> None:
    few, at_once = 600, 50
    peaks = []
    with Server(shell) as server:
        stdin, stdout = server.process.stdin, server.process.stdout
        assert stdin is not None
        assert stdout is not None
        for first in range(0, MANY, at_once):
            stdin.write(lines(*map(mixed, range(first, first + at_once))).encode())
            stdin.flush()
            answered = [json.loads(stdout.readline())["id"] for _ in range(at_once)]
            assert answered == list(range(first, first + at_once))
            if first + at_once in (few, MANY):
                peaks.append(peak(server))
    assert peaks[1] < peaks[0] + 4096


@pytest.mark.parametrize("flood", [b"x" * (50 << 20), b"\n" * (5 << 20), b"[" * (5 << 20)])
def test_memory_does_not_grow_with_a_message(shell: Shell, flood: bytes) -> None:
    with Server(shell) as server:
        assert server.process.stdin is not None
        server.refused("whoami", no=1)
        before = peak(server)
        server.process.stdin.write(flood + b"\n")
        if flood.strip():
            server.send({})
            assert server.process.stdout is not None
            assert json.loads(server.process.stdout.readline())["error"]["code"] == -32600
            assert json.loads(server.process.stdout.readline())["error"]["code"] == -32600
        server.refused("whoami", no=1)
        assert peak(server) < before + 8192


def test_when_as_many_are_out_as_may_be_one_must_be_handed_back(shell: Shell) -> None:
    with Server(shell, "--most", "2") as server:
        first = server.call("request_identity", agent="a")
        server.call("request_identity", agent="b", ttl="1m")
        error = server.refused("request_identity", agent="c")
        assert error["code"] == "limit"
        assert error["message"] == "the limit of 2 live identities is reached"
        assert 0 < error["retry_after_seconds"] <= 60
        server.call("hand_back", id=first["id"])
        server.call("request_identity", agent="c")
        assert len(server.call("whoami")["handed_out"]) == 2


def test_what_is_refused_for_its_rate_says_when_to_try_again(shell: Shell) -> None:
    with Server(shell, "--rate", "1") as server:
        answers = [
            server.ask("tools/call", {"name": "hand_back", "arguments": {"id": "jid_" + "0" * 26}})
            for _ in range(200)
        ]
        codes = [answer["result"]["structuredContent"]["error"]["code"] for answer in answers]
        assert codes[:RESERVE] == ["policy_denied"] * RESERVE
        late = next(
            answer["result"]["structuredContent"]["error"]
            for answer, code in zip(answers, codes, strict=True)
            if code == "limit"
        )
        assert 0 < late["retry_after_seconds"] <= 1
        # Read-only calls are not limited.
        assert server.call("whoami")["agent"] == "planner"
        assert server.call("what_may_i_do")["permitted"]


def test_a_client_that_does_not_read_does_not_make_the_server_keep_answers(shell: Shell) -> None:
    """The server stops reading as well, until the client reads its answers."""
    with Server(shell) as server:
        stdin, stdout = server.process.stdin, server.process.stdout
        assert stdin is not None
        assert stdout is not None
        os.set_blocking(stdin.fileno(), False)
        line = lines(called(1, "whoami", {})).encode()
        sent = 0
        try:
            # Many times the capacity of the two pipes.
            for _ in range(MANY):
                sent += os.write(stdin.fileno(), line)
        except BlockingIOError:
            pass
        assert sent < MANY * len(line)
        assert json.loads(stdout.readline())["id"] == 1
        assert server.end(15)[0] == 143


@given(
    rate=st.integers(1, 1000),
    steps=st.lists(st.tuples(st.floats(0, 30), st.integers(0, 50)), max_size=50),
)
def test_no_more_turns_are_taken_than_the_rate_and_its_reserve(
    rate: int, steps: list[tuple[float, int]]
) -> None:
    now = 0.0
    pace = CallPace(rate, lambda: now)
    taken = 0
    for wait, tries in steps:
        now += wait
        for _ in range(tries):
            taken += not pace.take()
        assert taken <= rate * (RESERVE + now) + 1e-6


@given(rate=st.integers(1, 1000), spent=st.integers(0, 20_000))
def test_who_waits_as_long_as_is_said_gets_a_turn(rate: int, spent: int) -> None:
    now = 0.0
    pace = CallPace(rate, lambda: now)
    for _ in range(spent):
        seconds = pace.take()
        if seconds:
            now += seconds + 1e-9
            assert pace.take() == 0
            break
