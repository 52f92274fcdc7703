"""A token for another service gets the same answers as an invented token."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import pytest

from jitid.values.secret import new_opaque
from tests.server.asking import API, Asked, asking, grant

OWN = "https://own.example"
TELLING = {"agent": "planner-7", "task": "T-secret", "scope": "repo:read:acme/web", "purpose": "to look"}
ASK = {"action": "repo:read", "resource": "acme/web", "context": "{}"}


class World(NamedTuple):
    """An authority, a service with one registered audience, and tokens."""

    asked: Asked
    bearer: str
    tokens: Mapping[str, str]
    """Tokens for another service, by kind and state."""
    known: frozenset[str]
    """Data of the tokens that a holder of an opaque token cannot know."""
    every: str
    """The access token of a verifier for all audiences."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with asking(tmp_path_factory.mktemp("silent"), "issuer", "responder") as asked:
        tokens, known = {}, set()
        for kind in ("jwt", "opaque"):
            for state in ("live", "ended"):
                words = [
                    *("issue", "--delegator", "alice", "--kind", kind, "--audience", API, "--format", "json"),
                    *("--agent", TELLING["agent"], "--task", TELLING["task"]),
                    *("--scope", TELLING["scope"], "--purpose", TELLING["purpose"]),
                ]
                issued = json.loads(asked.shell.good(*words))
                tokens[f"{kind} {state}"] = issued["token"]
                known |= {issued["id"], issued["jti"]}
                if state == "ended":
                    asked.shell.good("revoke", issued["id"], "--reason", "test")
        bearer = grant(asked.shell, "system:own", "verifier", audiences=(OWN,))
        tokens["identity live"] = asked.shell.good(
            *("issue", "--delegator", "alice", "--task", "T-2", "--scope", TELLING["scope"])
        ).strip()
        every = grant(asked.shell, "system:every", "verifier")
        yield World(asked, bearer, tokens, frozenset({*known, *TELLING.values(), "user:alice"}), every)


def native(name: str, **more: Any) -> Callable[[World, str], Any]:
    """Return a native operation on a token."""

    def ask(world: World, token: str) -> Any:
        return world.asked.json(
            f"/v1/operations/{name}", {"token": token, **more}, authorization=f"Bearer {world.bearer}"
        )

    return ask


def authorize(world: World, token: str) -> Any:
    """Return the verdict on an action."""
    asked = {"asked": [{"token": token, **ASK}]}
    return world.asked.json("/v1/operations/Authorize", asked, authorization=f"Bearer {world.bearer}")


def authorize_there(world: World, token: str) -> Any:
    """Return the verdict if the caller states the token's audience."""
    asked = {"asked": [{"token": token, **ASK}], "audiences": [API]}
    return world.asked.json("/v1/operations/Authorize", asked, authorization=f"Bearer {world.bearer}")


def authzen(world: World, token: str) -> Any:
    """Return an evaluation."""
    question = {
        "subject": {"type": "token", "id": "x", "properties": {"token": token}},
        "action": {"name": ASK["action"]},
        "resource": {"type": "resource", "id": ASK["resource"]},
    }
    return world.asked.json("/access/v1/evaluation", question, authorization=f"Bearer {world.bearer}")


def introspect(world: World, token: str) -> Any:
    """Return the introspection answer."""
    return world.asked.form("/introspect", token=token, bearer=world.bearer)


def forward(query: str) -> Callable[[World, str], Any]:
    """Return a function that sends the request of a proxy, which requires its own audience."""

    def ask(world: World, token: str) -> Any:
        headers = {"authorization": f"Bearer {token}", "x-original-uri": "/repo"}
        return world.asked.served.ask("GET", f"/forward-auth?audience={OWN}{query}", headers=headers)

    return ask


DOORS: dict[str, Callable[[World, str], Any]] = {
    "authorize": authorize,
    "authorize-there": authorize_there,
    "verify": native("Verify"),
    "verify-there": native("Verify", audiences=[API]),
    "inspect": native("Inspect"),
    "introspect-native": native("Introspect"),
    "introspect": introspect,
    "authzen": authzen,
    "forward": forward(""),
    "forward-action": forward("&action=http:GET"),
}
# The token status endpoint is missing here: a holder uses it, not a service. It has no caller, and answers yes or no.


def answer(world: World, door: str, token: str) -> tuple[int, str, str]:
    """Return an endpoint's answer about a token, without the reason and without values that always differ."""
    done = DOORS[door](world, token)
    body = done.body.decode()
    said = re.sub(r'"(reason|message|hint)": ?"(?:[^"\\]|\\.)*"', r'"\1"', body)
    said = re.sub(r'"(event|at)": ?\d+', r'"\1"', said)
    challenge = re.sub(r'error_description="[^"]*"', "", done.headers.get("www-authenticate", ""))
    for one in world.known:
        assert one not in body, one
        assert one not in str(done.headers), one
    return done.status, said, challenge


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("sort", ["jwt live", "jwt ended", "opaque live", "opaque ended"])
def test_a_token_for_others_is_as_silent_as_one_that_there_is_not(world: World, door: str, sort: str) -> None:
    token = world.tokens[sort]
    made_up = new_opaque(os.urandom) if sort.startswith("opaque") else f"{token[:-8]}AAAAAAAA"
    assert answer(world, door, token) == answer(world, door, made_up)


def test_who_held_it_is_recorded_all_the_same(world: World) -> None:
    """To the auditor, a token that was shown to the wrong service is evidence."""
    done = authorize(world, world.tokens["opaque live"]).json
    (verdict,) = done["verdicts"]
    assert (verdict["valid"], verdict["credential"], verdict["lineage"]) == (False, None, [])
    (row,) = [
        json.loads(line)
        for line in world.asked.shell.good(
            "audit", "log", "--action", ASK["action"], "--format", "jsonl"
        ).splitlines()
        if json.loads(line)["event"] == done["event"]
    ]
    assert (row["agent"], row["decision"]) == (TELLING["agent"], "deny")


def says_yes(world: World, door: str, token: str) -> bool:
    """Return whether an endpoint accepts a token."""
    done = DOORS[door](world, token)
    if done.status != 200:
        assert done.json["error"]["code"] == "invalid_credential"
        return False
    verdicts = done.json.get("verdicts")
    if verdicts is not None:
        return bool(verdicts[0]["valid"])
    return bool(done.json.get("decision", done.json.get("active", True)))


@pytest.mark.parametrize("door", ["authorize", "verify", "introspect-native", "introspect", "authzen"])
@pytest.mark.parametrize("sort", ["jwt live", "jwt ended", "opaque live", "opaque ended", "identity live"])
def test_who_is_told_about_all_and_states_nothing_has_one_answer_everywhere(
    world: World, door: str, sort: str
) -> None:
    """The access is for all audiences, so the token's audience does not matter."""
    asking_all = world._replace(bearer=world.every)
    assert says_yes(asking_all, door, world.tokens[sort]) == sort.endswith("live")


@pytest.mark.parametrize("door", ["authorize", "verify"])
@pytest.mark.parametrize("sort", ["jwt live", "opaque live", "identity live"])
def test_what_is_stated_counts(world: World, door: str, sort: str) -> None:
    """This includes a verifier for all audiences."""
    asking_all = world._replace(bearer=world.every)
    assert says_yes(asking_all, f"{door}-there", world.tokens[sort]) == (sort != "identity live")
