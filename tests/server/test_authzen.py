"""The Authorization API 1.0: decisions about credentials, each recorded before its answer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.server.asking import API, Asked, asking

SINGLE = "/access/v1/evaluation"
SEVERAL = "/access/v1/evaluations"


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    """Serve this user as issuer, verifier and responder."""
    with asking(tmp_path_factory.mktemp("full"), "issuer", "verifier", "responder") as made:
        yield made


@pytest.fixture(scope="module")
def live(asked: Asked) -> str:
    """Return a token that may read one repository."""
    return asked.token(scope="repo:read:acme/web", jitid_agent="planner", jitid_task="T-1")


def subject(token: str, audience: str | list[str] = API) -> dict[str, Any]:
    """Return a credential as a subject."""
    return {"type": "token", "id": "of this request", "properties": {"token": token, "audience": audience}}


def question(token: str, id_: str = "acme/web", action: str = "repo:read", **more: Any) -> dict[str, Any]:
    """Return one evaluation."""
    return {
        "subject": subject(token),
        "action": {"name": action},
        "resource": {"type": "resource", "id": id_},
        **more,
    }


def test_a_scope_that_covers_it_permits_it(asked: Asked, live: str) -> None:
    done = asked.json(SINGLE, question(live, context={"ip": "192.0.2.1"}, unknown=True))
    assert done.status == 200
    told = done.json["context"]
    assert done.json["decision"] is True
    assert (told["agent"], told["delegator"], told["task"], told["scope"]) == (
        "planner",
        "user:alice",
        "T-1",
        "repo:read:acme/web",
    )
    (used,) = [
        json.loads(line)
        for line in asked.shell.good("audit", "log", "--format", "jsonl").splitlines()
        if json.loads(line)["seq"] == told["event"]
    ]
    assert (used["op"], used["allowed"]) == ("use", 1)


def test_the_type_of_a_resource_belongs_to_its_name(asked: Asked) -> None:
    token = asked.token(scope="doc:view:report:7")
    one = question(token, "7", "doc:view")
    assert asked.json(SINGLE, one).json["decision"] is False
    assert asked.json(SINGLE, {**one, "resource": {"type": "report", "id": "7"}}).json["decision"] is True


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"action": {"name": "repo:write"}}, "no scope of the credential covers"),
        ({"action": {"name": "repo:*"}}, "is not a single action"),
        ({"resource": {"type": "resource", "id": "acme/api"}}, "no scope of the credential covers"),
        ({"subject": {"type": "user", "id": "alice"}}, "the subject must be a credential, not a name"),
        ({"subject": {"type": "token", "id": "nonsense"}}, "three dot-separated parts"),
        ({"subject": {"type": "token", "id": "x", "properties": {"token": 7}}}, "is not a string"),
    ],
    ids=str,
)
def test_whatever_is_not_permitted_is_denied(
    asked: Asked, live: str, change: dict[str, Any], reason: str
) -> None:
    """A well-formed request gets a decision, and a subject is never trusted by its name."""
    done = asked.json(SINGLE, {**question(live), **change})
    assert (done.status, done.json["decision"]) == (200, False)
    assert reason in done.json["context"]["reason"]


def test_a_token_for_others_is_denied(asked: Asked, live: str) -> None:
    other = {**question(live), "subject": subject(live, "https://other.example")}
    assert asked.json(SINGLE, other).json["decision"] is False
    either = {**question(live), "subject": subject(live, ["https://other.example", API])}
    assert asked.json(SINGLE, either).json["decision"] is True
    # This caller may see tokens for all audiences. It states none here, so the token's audience does not matter.
    own = {**question(live), "subject": {"type": "token", "id": live}}
    assert asked.json(SINGLE, own).json["decision"] is True


def test_several_are_answered_in_their_order(asked: Asked, live: str) -> None:
    """Their common members are stated once (section 7.1.1)."""
    other = asked.token(audience="https://other.example", scope="repo:read")
    done = asked.json(
        SEVERAL,
        {
            "subject": subject(live),
            "action": {"name": "repo:read"},
            "evaluations": [
                {"resource": {"type": "resource", "id": "acme/web"}},
                {"resource": {"type": "resource", "id": "acme/api"}},
                {"resource": {"type": "resource"}},
                7,
                {
                    "subject": subject(other, "https://other.example"),
                    "resource": {"type": "resource", "id": "x"},
                },
                {"resource": {"type": "resource", "id": "acme/web"}, "action": {"name": "repo:write"}},
            ],
        },
    )
    answers = done.json["evaluations"]
    assert [one["decision"] for one in answers] == [True, False, False, False, True, False]
    assert [("error" in one["context"]) for one in answers] == [False, False, True, True, False, False]


@pytest.mark.parametrize(
    ("semantic", "ids", "decisions"),
    [
        ("execute_all", "web api web", [True, False, True]),
        ("deny_on_first_deny", "web api web", [True, False]),
        ("deny_on_first_deny", "web web", [True, True]),
        ("permit_on_first_permit", "api web web", [False, True]),
        ("permit_on_first_permit", "api api", [False, False]),
    ],
)
def test_what_comes_after_the_first_of_a_sort_is_neither_decided_nor_recorded(
    asked: Asked, live: str, semantic: str, ids: str, decisions: list[bool]
) -> None:
    """Section 7.1.2.1."""
    document = {
        "options": {"evaluations_semantic": semantic},
        "evaluations": [question(live, f"acme/{name}") for name in ids.split()],
    }
    answers = asked.json(SEVERAL, document).json["evaluations"]
    assert [one["decision"] for one in answers] == decisions


def test_none_of_several_is_a_single_one(asked: Asked, live: str) -> None:
    empty: list[dict[str, Any]] = [{}, {"evaluations": []}]
    for more in empty:
        assert asked.json(SEVERAL, {**question(live), **more}).json["decision"] is True


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b'{"subject":{},"subject":{}}',
        b'{"evaluations":{}}',
        b'{"evaluations":[{}],"options":{"evaluations_semantic":"maybe"}}',
        b'{"evaluations":[{}],"options":[]}',
        b'{"evaluations":[' + b",".join([b"{}"] * 1001) + b"]}",
        b'{"a":' + b"[" * 100 + b"]" * 100 + b"}",
        b"\xff",
    ],
    ids=lambda body: repr(body[:40]),
)
def test_what_is_no_request_is_refused_as_text(asked: Asked, body: bytes) -> None:
    """Section 10.1.2; the answer has the client's request id (section 10.1.3)."""
    done = asked.json(SEVERAL, body, **{"X-Request-ID": "r-1"})
    assert (done.status, done.headers["content-type"]) == (400, "text/plain; charset=utf-8")
    assert done.headers["x-request-id"] == "r-1"


@pytest.mark.parametrize("part", ["subject", "action", "resource"])
def test_what_must_be_there_is(asked: Asked, live: str, part: str) -> None:
    wrong: list[Any] = [None, {}, [], "text"]
    for value in wrong:
        assert asked.json(SINGLE, {**question(live), part: value}).status == 400
    document = question(live)
    del document[part]
    assert asked.json(SINGLE, document).status == 400
    assert asked.served.ask("POST", SINGLE, json.dumps(question(live)).encode()).status == 400


def test_only_a_verifier_asks(tmp_path_factory: pytest.TempPathFactory, live: str) -> None:
    with asking(tmp_path_factory.mktemp("plain"), "issuer") as other:
        assert other.json(SINGLE, question(live)).status == 403
        assert other.json(SINGLE, question(live), authorization="Bearer nonsense").status == 401


def test_the_metadata_is_found(asked: Asked) -> None:
    found = asked.served.ask("GET", "/.well-known/authzen-configuration").json
    assert found["access_evaluation_endpoint"] == found["policy_decision_point"] + SINGLE
    assert found["access_evaluations_endpoint"] == found["policy_decision_point"] + SEVERAL
