"""A token whose `sub` follows a template names the real delegator at every door of an authority."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from jitid.values.strict_json import b64url_decode
from tests.server.asking import API, TYPE, Asked, configured, id_token
from tests.serving import serving

TEMPLATE = "jitid/{trust_domain}/{delegator}/{id}/"


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    """Serve this user; the file that `--config` names has a template for the service."""
    folder = tmp_path_factory.mktemp("served")
    table = f'[federate.service]\nvendor = "openai"\naudience = "{API}"\nsubject = "{TEMPLATE}"\n'
    shell = configured(folder, ("issuer", "verifier", "responder", "auditor"), more="")
    settings = folder / ".config/jitid/config.toml"
    settings.write_text(f"{settings.read_text()}{table}")
    place = str(folder / "jitid.sock")
    with serving(folder, "--config", str(settings), "--socket", place, ledger=shell.ledger) as served:
        yield Asked(served, shell)


def claims(token: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(b64url_decode(token.split(".")[1]))
    return found


def test_introspection_names_the_delegator_and_tells_the_subject(asked: Asked) -> None:
    token = asked.token(jitid_agent="planner", jitid_task="T-1", scope="repo:read")
    signed = claims(token)
    told = asked.form("/introspect", token=token).json
    identity = signed["act"]["sub"].rpartition("/")[2]
    assert signed["sub"] == f"jitid/jitid.local/user_3Aalice/{identity}/"
    assert signed["jitid"]["delegator"] == "user:alice"
    assert (told["active"], told["sub"], told["jitid"]["subject"]) == (True, "user:alice", signed["sub"])


def test_forward_authentication_names_the_delegator(asked: Asked) -> None:
    token = asked.token(jitid_agent="planner", jitid_task="T-2", scope="http:GET:/x")
    done = asked.served.ask(
        "GET", f"/forward-auth?audience={API}", headers={"authorization": f"Bearer {token}"}
    )
    assert (done.status, done.headers["x-jitid-delegator"]) == (200, "user:alice")


def test_an_opaque_token_has_the_delegator_alone(asked: Asked) -> None:
    told = asked.form("/introspect", token=asked.token(jitid_kind="opaque")).json
    assert (told["sub"], "subject" in told["jitid"]) == ("user:alice", False)


def test_it_gives_no_right_at_the_authority(asked: Asked) -> None:
    """Neither as a parent, nor as an actor, nor as an access token; promise 14."""
    token = asked.token(jitid_agent="planner")
    refused = asked.exchange(token, "access_token", audience="https://other.example")
    assert refused.status == 400
    refused = asked.exchange(id_token(), actor_token=token, actor_token_type=f"{TYPE}access_token")
    assert refused.status == 400
    assert asked.form("/introspect", token=token, bearer=token).status == 401


def test_the_caller_cannot_choose_what_is_proved(asked: Asked) -> None:
    """A delegator that is merely stated is denied, by the name of the rule."""
    parent = asked.identity("planner", task="T-3")
    refused = asked.exchange(parent, "access_token")
    assert (refused.status, refused.json["error"]) == (400, "access_denied"), refused.body
    assert "subject-proved" in refused.json["error_description"]


def test_a_revocation_by_the_delegator_finds_it(asked: Asked) -> None:
    token = asked.token(jitid_agent="planner", jitid_task="T-4")
    remote = ("--remote", f"unix://{asked.served.socket}")
    listed = asked.shell.good(
        *remote, "list", "--delegator", "alice", "--task", "user:alice/T-4", "--field", "jti"
    )
    assert listed.split() == [claims(token)["jti"]]
    asked.shell.good(*remote, "revoke", "--task", "user:alice/T-4", "--yes")
    assert asked.form("/introspect", token=token).json == {"active": False}
