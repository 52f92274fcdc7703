"""The stateless revision: each request names its revision, and its answer depends on no earlier request."""

from __future__ import annotations

import json
from typing import Any

import pytest

from jitid.mcp.revisions import HANDSHAKE, STATELESS, VERSIONS
from tests.mcp.asking import (
    API,
    META,
    OPENING,
    Server,
    lines,
    piped,
    same_in_text,
    stateless,
    states,
    verifies,
)
from tests.real import Shell, module

KEY = "io.modelcontextprotocol/"
VERSION, CAPABILITIES, CLIENT = (
    f"{KEY}{name}" for name in ("protocolVersion", "clientCapabilities", "clientInfo")
)


def without(*names: str) -> dict[str, Any]:
    """Return the envelope without some of its members."""
    return {name: value for name, value in META.items() if name not in names}


def codes(answers: list[dict[str, Any]]) -> list[object]:
    """Return the code of each error, and None for a result."""
    return [answer.get("error", {}).get("code") for answer in answers]


def test_a_client_discovers_and_calls_without_a_handshake(shell: Shell) -> None:
    discovered, listed, called = piped(
        shell,
        lines(
            stateless(1, "server/discover"),
            stateless(2, "tools/list"),
            stateless(3, "tools/call", name="whoami", arguments={}),
        ),
    )
    offer = discovered["result"]
    assert offer["supportedVersions"] == list(VERSIONS)
    assert offer["capabilities"] == {"tools": {}}
    assert "request_identity" in offer["instructions"]
    assert len(listed["result"]["tools"]) == 4
    for kept in (offer, listed["result"]):
        assert (kept["cacheScope"], kept["ttlMs"] > 0) == ("private", True)
    assert same_in_text(called["result"])["agent"] == "planner"
    # The rights of the agent change, so its answers are never cached.
    assert "ttlMs" not in called["result"]
    for answer in (discovered, listed, called):
        assert answer["result"]["resultType"] == "complete"
        assert answer["result"]["_meta"][f"{KEY}serverInfo"]["name"] == "jitid"


@pytest.mark.parametrize("method", ["server/discover", "tools/list", "tools/call"])
def test_every_answer_has_the_form_of_the_official_schema(shell: Shell, method: str) -> None:
    methods, version = module("mcp_types.methods"), module("mcp_types.version").LATEST_MODERN_VERSION
    assert version == STATELESS
    calls: list[dict[str, Any]] = [{}]
    if method == "tools/call":
        calls = [
            {"name": "whoami"},
            {"name": "what_may_i_do", "arguments": {"scopes": ["db:x"]}},
            {"name": "request_identity", "arguments": {"agent": "coder", "audiences": [API]}},
            {"name": "hand_back", "arguments": {"id": "jid_unknown"}},
        ]
    for answer in piped(
        shell, lines(*(stateless(number, method, **call) for number, call in enumerate(calls)))
    ):
        methods.validate_server_result(method, version, answer["result"])
        # The schema allows other members; these have to be there.
        assert answer["result"]["resultType"] == "complete"


@pytest.mark.parametrize(
    ("meta", "code"),
    [
        (None, -32602),
        ([], -32602),
        ({}, -32602),
        (without(VERSION), -32602),
        (without(CAPABILITIES), -32602),
        ({**META, CAPABILITIES: None}, -32602),
        ({**META, CAPABILITIES: []}, -32602),
        ({**META, CLIENT: None}, -32602),
        ({**META, CLIENT: "tests"}, -32602),
        ({**META, CLIENT: {"name": "tests"}}, -32602),
        ({**META, VERSION: None}, -32602),
        ({**META, VERSION: 20260728}, -32602),
        ({**META, VERSION: [STATELESS]}, -32602),
        *(({**META, VERSION: version}, -32602) for version in HANDSHAKE),
        ({**META, VERSION: "2027-01-01"}, -32022),
        ({**META, VERSION: STATELESS + " "}, -32022),
        ({**META, VERSION: ""}, -32022),
        (without(CLIENT), None),
        ({**META, f"{KEY}logLevel": "debug", "example.com/x": {}}, None),
    ],
)
def test_a_request_with_an_incomplete_envelope_is_refused_and_the_next_is_answered(
    shell: Shell, meta: object, code: int | None
) -> None:
    answers = piped(shell, lines(stateless(1, "server/discover", meta), stateless(2, "server/discover")))
    assert codes(answers) == [code, None]
    assert [answer["id"] for answer in answers] == [1, 2]


def test_an_unsupported_revision_is_told_which_are_and_repeated_only_if_it_is_no_secret(shell: Shell) -> None:
    secret = (shell.home / "own.jwt").read_text().strip()
    versions = ["2027-01-01", secret, secret[:33], "x" * 33, "<b>"]
    answers = piped(
        shell,
        lines(
            *(
                stateless(number, "tools/list", {**META, VERSION: each})
                for number, each in enumerate(versions)
            )
        ),
    )
    assert codes(answers) == [-32022] * len(versions)
    assert all(answer["error"]["data"]["supported"] == list(VERSIONS) for answer in answers)
    assert [answer["error"]["data"]["requested"] for answer in answers] == ["2027-01-01", "", "", "", ""]
    assert secret[:30] not in json.dumps(answers)


def test_a_refused_revision_leaves_the_handshake_open(shell: Shell) -> None:
    """A client of a later revision that also knows the handshake goes on with that."""
    later = stateless(1, "server/discover", {**META, VERSION: "2027-01-01"})
    answers = piped(shell, lines(later, OPENING, {"jsonrpc": "2.0", "id": 2, "method": "tools/list"}))
    assert codes(answers) == [-32022, None, None]
    assert "resultType" not in answers[2]["result"]


def test_a_discovery_leaves_the_handshake_open(shell: Shell) -> None:
    """It offers the older revisions, so one of them may follow."""
    discovery = stateless(1, "server/discover")
    listing = {"jsonrpc": "2.0", "id": 2, "method": "tools/list"}
    answers = piped(shell, lines(discovery, discovery, OPENING, listing, stateless(3, "tools/list")))
    assert codes(answers) == [None, None, None, None, -32600]
    offered = answers[0]["result"]["supportedVersions"]
    assert answers[2]["result"]["protocolVersion"] in offered
    # The revision of the discovery may follow as well; then there is no handshake any more.
    answers = piped(shell, lines(discovery, stateless(2, "tools/list"), OPENING))
    assert codes(answers) == [None, None, -32022]


def test_a_session_has_one_kind_of_revision(shell: Shell) -> None:
    plain = {"jsonrpc": "2.0", "id": 7, "method": "tools/list"}
    ping = {"jsonrpc": "2.0", "id": 8, "method": "ping"}
    first = stateless(1, "tools/list")
    parameters: Any = OPENING["params"]
    begun = piped(shell, lines(first, OPENING, {**OPENING, "params": {**parameters, "_meta": META}}))
    assert codes(begun) == [None, -32022, -32601]
    assert begun[1]["error"]["data"] == {"supported": [STATELESS], "requested": "2025-06-18"}
    assert codes(piped(shell, lines(first, plain, ping, first))) == [None, -32602, -32602, None]
    assert codes(piped(shell, lines(OPENING, first, plain, ping))) == [None, -32600, None, None]


@pytest.mark.parametrize(
    "method",
    [
        *("ping", "logging/setLevel", "resources/list", "resources/subscribe", "prompts/list"),
        *("subscriptions/listen", "tasks/get", "unknown/method", ""),
    ],
)
def test_methods_that_the_revision_does_not_have_here_are_unknown(shell: Shell, method: str) -> None:
    assert codes(piped(shell, lines(stateless(1, method), stateless(2, "tools/list")))) == [-32601, None]


def test_what_a_stateless_client_was_given_ends_with_the_server(shell: Shell) -> None:
    """The protocol keeps no state between requests; the server's process does, and answers for it."""
    request = {"name": "request_identity", "arguments": {"agent": "coder", "audiences": [API]}}
    with Server(shell, opening=False) as server:
        given = [
            server.ask("tools/call", {**request, "_meta": META})["result"]["structuredContent"]
            for _ in range(2)
        ]
        me = {"name": "whoami", "arguments": {}, "_meta": META}
        held = server.ask("tools/call", me)["result"]["structuredContent"]["handed_out"]
        assert [each["id"] for each in held] == [each["id"] for each in given]
        assert all(verifies(shell, each["token_file"]) for each in given)
        assert server.end() == (0, "")
    assert states(shell, "--agent", "coder") == ["revoked", "revoked"]
