"""The native binding: operations over HTTP, and the OpenAPI document that describes them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jitid.authority.wire import codec
from tests import real
from tests.authority.callers import FOUND_OUT
from tests.serving import Answer, Served, serving

CONFIG = """\
[socket.delegator]
{user} = "user:alice"

[socket.role]
{user} = ["issuer", "responder", "auditor", "verifier", "sweeper"]
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Yield a service on a Unix socket, with a caller that has many roles."""
    folder = tmp_path_factory.mktemp("native")
    config = folder / "authority.toml"
    config.write_text(CONFIG.format(user=os.getuid()))
    with serving(folder, "--socket", str(folder / "s"), more={"JITID_CONFIG": str(config)}) as found:
        yield found


def post(served: Served, name: str, values: object, **headers: str) -> Answer:
    """Request an operation."""
    given = {"content-type": "application/json", **headers}
    return served.ask("POST", f"/v1/operations/{name}", json.dumps(values).encode(), given)


def issue(served: Served, **fields: Any) -> Any:
    """Issue one credential, and return its answer."""
    request = {"task": "T1", "delegator": "user:bob", "agent": "bot", **fields}
    answer = post(served, "Issue", {"requests": [request]})
    assert answer.status == 200, answer.body
    (issued,) = answer.json
    return issued


def test_an_operation_is_asked_and_answered(served: Served) -> None:
    issued = issue(served)
    token = issued["credentials"][0]["secret"]
    verified = post(served, "Verify", {"token": token})
    assert verified.status == 200
    assert verified.json["delegator"] == "user:bob"
    assert verified.headers["cache-control"] == "no-store"
    ended = post(served, "Revoke", {"selection": {"ids": [issued["credentials"][0]["jti"]]}, "most": 1})
    assert ended.json["credentials"] == 1
    refused = post(served, "Verify", {"token": token})
    assert refused.status == 422
    assert refused.json["error"]["exit"] == 8


def test_the_kernel_proves_the_delegator(served: Served) -> None:
    """The kernel proves the caller's own name as the delegator; another name is only asserted."""
    assert issue(served, delegator="user:alice")["delegator_proof"] == "os-user"
    assert issue(served)["delegator_proof"] == "asserted"


@pytest.mark.parametrize("at", [0, 1])
@pytest.mark.parametrize("member", FOUND_OUT)
def test_no_request_of_many_says_itself_whom_a_token_proves(served: Served, member: str, at: int) -> None:
    task = f"T-{member}-{at}"
    requests: list[dict[str, Any]] = [{"task": task, "delegator": None, "agent": "bot"} for _ in range(2)]
    requests[at][member] = FOUND_OUT[member]
    answer = post(served, "Issue", {"requests": requests})
    assert (answer.status, answer.json["error"]["code"]) == (400, "usage")
    assert f"requests[{at}]" in answer.json["error"]["message"]
    assert post(served, "ShowTask", {"name": task}).status == 404


def test_the_audit_log_names_the_caller_and_the_trace(served: Served) -> None:
    trace = f"00-{'ab' * 16}-{'cd' * 8}-01"
    request = {"task": "T-trace", "delegator": "user:bob", "agent": "bot"}
    assert post(served, "Issue", {"requests": [request]}, traceparent=trace).status == 200
    events = post(served, "ReadLog", {"chosen": {"task": "T-trace"}, "limit": 10}).json
    assert [event["trace"] for event in events] == [trace]


def test_an_answer_comes_in_lines_while_it_is_made(served: Served) -> None:
    issue(served)
    answer = post(served, "ExportLog", {})
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    lines = [json.loads(line) for line in answer.body.splitlines()]
    assert len(lines) > 1
    assert all(isinstance(line, str) for line in lines)


@pytest.mark.parametrize(
    ("name", "body", "kind", "status", "code"),
    [
        ("Verify", b"{", "application/json", 400, "usage"),
        ("Verify", b'{"token": "x", "token": "y"}', "application/json", 400, "usage"),
        ("Verify", b'{"token": 1}', "application/json", 400, "usage"),
        ("Verify", b"[" * 10_000, "application/json", 400, "usage"),
        ("Verify", b'{"token": "x"}', "text/plain", 415, "request"),
        ("Nothing", b"{}", "application/json", 400, "usage"),
        ("Examine", b'{"stated": {}}', "application/json", 400, "usage"),
        ("ShowTask", b'{"name": "none"}', "application/json", 404, "not_found"),
        ("Verify", b'{"token": "x"}', "application/json", 422, "invalid_credential"),
        ("RotateKey", b'{"algorithm": "EdDSA"}', "application/json", 403, "refused"),
        ("Sweep", b'{"rules": ["none"], "limits": {}}', "application/json", 400, "usage"),
        ("ExportLog", b"[]", "application/json", 400, "usage"),
    ],
)
def test_what_cannot_be_done_has_the_status_of_its_sort(
    served: Served, name: str, body: bytes, kind: str, status: int, code: str
) -> None:
    answer = served.ask("POST", f"/v1/operations/{name}", body, {"content-type": kind})
    assert (answer.status, answer.json["error"]["code"]) == (status, code)


def test_a_denial_tells_what_the_command_line_tells(served: Served) -> None:
    answer = post(
        served,
        "Issue",
        {
            "requests": [
                {
                    "task": "T9",
                    "delegator": "user:bob",
                    "agent": "bot",
                    "sensitivity": "critical",
                    "scopes": ["*"],
                }
            ]
        },
    )
    assert answer.status == 403
    assert answer.json["error"]["exit"] == 4
    assert answer.json["error"]["rules"]


def test_a_caller_is_told_whom_the_authority_takes_them_for(served: Served) -> None:
    told = served.ask("GET", "/v1/whoami").json
    assert (told["delegator"], told["proof"]) == ("user:alice", "os-user")
    assert "responder" in told["roles"]


def test_nobody_is_served_whom_nothing_proves(tmp_path: Path) -> None:
    with serving(tmp_path) as served:
        for headers in ({}, {"authorization": "Bearer nonsense"}, {"authorization": "Basic eDp5"}):
            answer = post(served, "ListTasks", {"state": None, "after": None, "limit": 1}, **headers)
            assert answer.status == 401
            assert answer.headers["www-authenticate"].startswith("Bearer")


def test_the_document_describes_every_operation(served: Served) -> None:
    """OpenAPI's own validator accepts it too, if it is installed."""
    document = served.ask("GET", "/v1/openapi.json").json
    asked = {path.removeprefix("/v1/operations/") for path in document["paths"]}
    assert asked == {*codec.names(), "/v1/whoami"}
    for path in document["paths"].values():
        (method,) = path.values()
        assert method["summary"]
    real.module("openapi_spec_validator").validate(document)
