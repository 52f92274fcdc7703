"""Token status: any presented token is reported as valid or not, and the holder of access may revoke it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from jitid.server import discovery
from tests.server.asking import Asked, asking, grant


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    """Serve this user as issuer and responder."""
    with asking(tmp_path_factory.mktemp("status"), "issuer", "responder") as made:
        yield made


def works(asked: Asked, token: str) -> bool:
    """Return the status of a token, and assert that the answer contains only that."""
    done = asked.served.ask("GET", discovery.PLACE, headers={"authorization": f"Bearer {token}"})
    assert done.headers["cache-control"] == "no-store"
    assert done.json.keys() == {"active"}
    assert (done.status, done.json["active"]) in ((200, True), (401, False))
    return bool(done.json["active"])


def test_a_token_works_whoever_it_is_meant_for_until_it_is_ended(asked: Asked) -> None:
    """A token for an API is valid, although this service is not that API."""
    token = asked.token()
    assert works(asked, token)
    assert asked.form("/revoke", token=token).status == 200
    assert not works(asked, token)


@pytest.mark.parametrize("token", ["nonsense", "jitid_" + "0" * 38, "a.b.c"])
def test_what_is_no_token_does_not_work(asked: Asked, token: str) -> None:
    assert not works(asked, token)


@pytest.mark.parametrize("said", [None, "Basic YTpi", "Bearer"])
def test_without_a_token_nothing_is_told(asked: Asked, said: str | None) -> None:
    headers = {} if said is None else {"authorization": said}
    done = asked.served.ask("GET", discovery.PLACE, headers=headers)
    assert (done.status, done.body) == (401, b"")
    assert done.headers["www-authenticate"] == 'Bearer realm="jitid"'


def test_access_to_the_authority_is_told_and_ends_by_its_own_right(asked: Asked) -> None:
    """RFC 7009: after an answer of 200 the token is no longer valid."""
    bearer, other = (grant(asked.shell, name, "verifier") for name in ("system:found", "system:other"))
    assert works(asked, bearer)
    # A caller cannot revoke another caller's access by presenting its token.
    assert asked.form("/revoke", bearer=other, token=bearer).status == 200
    assert works(asked, bearer)
    assert asked.form("/revoke", bearer=bearer, token=bearer).status == 200
    assert not works(asked, bearer)
    assert works(asked, other)
    told = asked.shell.good("audit", "log", "--operation", "access-revoke", "--format", "jsonl")
    assert json.loads(told)["reason"] == "revoked by its client"
