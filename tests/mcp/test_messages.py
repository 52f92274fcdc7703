"""JSON-RPC over two pipes: valid messages, answers to invalid ones, and the protocol revision."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from jitid.mcp.messages import LONGEST
from jitid.mcp.revisions import HANDSHAKE, VERSIONS
from tests.mcp.asking import OPENING, Server, called, lines, piped
from tests.real import Shell

PING = {"jsonrpc": "2.0", "id": 7, "method": "ping"}
PONG = {"jsonrpc": "2.0", "id": 7, "result": {}}


def codes(answers: list[dict[str, Any]]) -> list[tuple[object, int]]:
    """Return id and code of each error."""
    return [(answer["id"], answer["error"]["code"]) for answer in answers]


@pytest.mark.deep
@pytest.mark.parametrize(
    ("line", "id_", "code"),
    [
        (b"{", None, -32700),
        (b"\xff\xfe", None, -32700),
        (b'{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}', None, -32700),
        (b'{"jsonrpc":"2.0","id":NaN,"method":"ping"}', None, -32700),
        (b'{"jsonrpc":"2.0","id":"\\ud800","method":"ping"}', None, -32700),
        (b"[" * 100 + b"]" * 100, None, -32700),
        (b'{"jsonrpc":"2.0","id":1' + b"0" * 30 + b',"method":"ping"}', None, -32700),
        (b'[{"jsonrpc":"2.0","id":1,"method":"ping"}]', None, -32600),
        (b"[]", None, -32600),
        (b"null", None, -32600),
        (b'"ping"', None, -32600),
        (b"{}", None, -32600),
        (b'{"id":1,"method":"ping"}', 1, -32600),
        (b'{"jsonrpc":"1.0","id":1,"method":"ping"}', 1, -32600),
        (b'{"jsonrpc":2.0,"id":1,"method":"ping"}', 1, -32600),
        (b'{"jsonrpc":"2.0","id":1}', 1, -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":["ping"]}', 1, -32600),
        (b'{"jsonrpc":"2.0","id":null,"method":"ping"}', None, -32600),
        (b'{"jsonrpc":"2.0","id":true,"method":"ping"}', None, -32600),
        (b'{"jsonrpc":"2.0","id":1.5,"method":"ping"}', None, -32600),
        (b'{"jsonrpc":"2.0","id":{},"method":"ping"}', None, -32600),
        (b'{"jsonrpc":"2.0","id":"' + b"x" * 257 + b'","method":"ping"}', None, -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":"ping","params":[1]}', 1, -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":"ping","params":null}', 1, -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":"resources/list"}', 1, -32601),
        (b'{"jsonrpc":"2.0","id":1,"method":"server/discover"}', 1, -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":""}', 1, -32601),
        (b'{"jsonrpc":"2.0","id":1,"method":"tools/list"}', 1, -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"whoami"}}', 1, -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":"initialize"}', 1, -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":1}}', 1, -32602),
    ],
)
def test_what_is_no_message_is_refused_and_the_next_one_is_answered(
    shell: Shell, line: bytes, id_: object, code: int
) -> None:
    error, pong = piped(shell, line + b"\n" + lines(PING).encode())
    assert codes([error]) == [(id_, code)]
    assert pong == PONG


@pytest.mark.deep
@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({}, -32602),
        ({"name": "no_such_tool"}, -32602),
        ({"name": ["whoami"]}, -32602),
        ({"name": "whoami", "arguments": []}, -32602),
        ({"name": "whoami", "arguments": None}, -32602),
    ],
)
def test_a_call_of_no_tool_is_a_mistake_of_the_protocol(
    shell: Shell, params: dict[str, Any], code: int
) -> None:
    with Server(shell) as server:
        assert server.ask("tools/call", params)["error"]["code"] == code
        assert server.ask("tools/list", {"cursor": "x"})["error"]["code"] == -32602
        assert server.call("whoami")["agent"] == "planner"


def test_nobody_answers_notifications_and_answers(shell: Shell) -> None:
    silent = (
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 7}},
        {"jsonrpc": "2.0", "method": "no/such/method"},
        {"jsonrpc": "2.0", "method": "tools/call", "params": {"name": "request_identity"}},
        {"jsonrpc": "2.0", "id": 1, "result": {}},
        {"jsonrpc": "2.0", "id": 1, "error": {"code": -1, "message": "x"}},
    )
    assert piped(shell, "\n  \r\n" + lines(*silent, PING)) == [PONG]


@pytest.mark.parametrize("text", ["", "\n", "\r\n\n"])
def test_without_a_message_there_is_no_answer(shell: Shell, text: str) -> None:
    assert piped(shell, text) == []


def test_a_last_line_without_its_end_counts_if_it_is_whole(shell: Shell) -> None:
    line = lines(PING).rstrip()
    assert piped(shell, line) == [PONG]
    for cut in (1, len(line) // 2, len(line) - 1):
        assert codes(piped(shell, line[:cut])) == [(None, -32700)]


@pytest.mark.deep
@pytest.mark.parametrize("size", [LONGEST - 1, LONGEST, LONGEST + 1, 3 * LONGEST, 3 * LONGEST + 1])
def test_a_message_is_read_up_to_a_bound_and_the_next_one_from_its_beginning(shell: Shell, size: int) -> None:
    long = json.dumps(PING)
    long = long[:-1] + " " * (size - len(long)) + "}"
    assert len(long) == size
    for end in ("\n", ""):
        first, *rest = piped(shell, lines(PING) + long + end)[1:]
        assert (first == PONG) == (size <= LONGEST)
        if size > LONGEST:
            assert codes([first]) == [(None, -32600)]
        assert not rest
    assert piped(shell, long + "\n" + lines(PING))[1] == PONG


def test_messages_may_come_in_any_pieces(shell: Shell) -> None:
    text = lines(PING) + "\n" + "x" * (LONGEST + 5) + "\r\n" + lines(PING)
    pieces = random.Random(5)
    with Server(shell) as server:
        stdin, stdout = server.process.stdin, server.process.stdout
        assert stdin is not None
        assert stdout is not None
        left = text.encode()
        while left:
            size = pieces.choice((1, 7, 100, 40_000))
            stdin.write(left[:size])
            stdin.flush()
            left = left[size:]
        answers = [json.loads(stdout.readline()) for _ in range(3)]
    assert [answer.get("result", "error") for answer in answers] == [{}, "error", {}]


@pytest.mark.deep
@pytest.mark.parametrize("wanted", [*VERSIONS, "1.0", ""])
def test_the_revision_is_the_clients_if_it_is_spoken_here(shell: Shell, wanted: str) -> None:
    opening = {**OPENING, "params": {"protocolVersion": wanted}}
    again = {**opening, "id": 2}
    first, second = piped(shell, lines(opening, again))
    agreed = first["result"]["protocolVersion"]
    assert agreed == (wanted if wanted in HANDSHAKE else HANDSHAKE[-1])
    assert first["result"]["capabilities"] == {"tools": {}}
    assert first["result"]["serverInfo"]["name"] == "jitid"
    assert codes([second]) == [(2, -32600)]


def test_what_is_refused_is_not_repeated(shell: Shell) -> None:
    secret = (shell.home / "own.jwt").read_text().strip()
    hostile = [
        {"jsonrpc": "2.0", "id": 1, "method": secret},
        {"jsonrpc": secret, "id": 1, "method": "ping"},
        called(2, secret, {}),
        called(3, "whoami", {secret: 1}),
        called(4, "request_identity", {"agent": "x", secret: 1}),
        called(5, "request_identity", {"agent": secret}),
        called(6, "request_identity", {"agent": "x", "scopes": [secret]}),
        called(7, "request_identity", {"agent": "x", "task": secret}),
        called(8, "request_identity", {"agent": "x", "ttl": secret}),
        called(9, "request_identity", {"agent": "x", "purpose": f"with {secret}", "task": "T1/9"}),
        called(10, "what_may_i_do", {"audiences": [secret]}),
        called(11, "hand_back", {"id": secret}),
        called(12, "hand_back", {"id": f"jid_{secret[:60]}"}),
    ]
    answers = piped(shell, lines(OPENING, *hostile) + secret + "\n")
    assert len(answers) == len(hostile) + 2
    assert all("error" in answer or answer["result"]["isError"] for answer in answers[1:])
    for part in secret.split("."):
        assert part[:30] not in json.dumps(answers)
    assert shell.run("audit", "log", "--format", "jsonl").stdout.count('"op": "denial"') == 0
