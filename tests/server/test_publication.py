"""Publications for offline verifiers: single lists for every client, all of them for verifiers."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import pytest

from jitid.authority.local import LocalAuthority
from jitid.capabilities.trust import offline
from jitid.crypto import jws, status_list
from jitid.errors import InvalidCredentialError
from jitid.server.discovery import _Lists
from jitid.server.service import Service
from tests.builders import PERMIT_ALL, World
from tests.real import Shell
from tests.server.asking import API, ISSUER, Asked, asking

MORE = f'publish_url = "{ISSUER}"\n'


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    """Serve this user as issuer, verifier and responder; tokens name lists that the same service publishes."""
    with asking(tmp_path_factory.mktemp("publishing"), "issuer", "verifier", "responder", more=MORE) as asked:
        yield asked


def path_of(token: str) -> str:
    """Return the path of the list that a token names."""
    return offline.named_list(token).removeprefix(ISSUER)


def test_anybody_fetches_the_list_that_a_token_names(asked: Asked) -> None:
    token = asked.token()
    found = asked.served.ask("GET", path_of(token))
    assert found.status == 200
    assert found.headers["content-type"] == status_list.MEDIA_TYPE
    assert found.headers["cache-control"] == "public, max-age=60"
    keys = offline.read_keys(asked.served.ask("GET", "/jwks").body)
    text = found.body.decode()
    assert offline.verify(token, keys, ISSUER, [API], [text], int(time.time())).claims["sub"] == "user:alice"
    # A client that has the current list gets 304.
    etag = found.headers["etag"]
    for known in (etag, f'"other", W/{etag}'):
        again = asked.served.ask("GET", path_of(token), headers={"if-none-match": known})
        assert (again.status, again.body) == (304, b"")
    assert asked.served.ask("GET", path_of(token), headers={"if-none-match": '"x"'}).status == 200


def test_the_keys_of_one_algorithm_are_fetched_alone(asked: Asked) -> None:
    """For a verifier that fails on a key of another kind; no algorithm means all keys."""
    asked.token()
    everything = asked.served.ask("GET", "/jwks")
    algorithms = {key["alg"] for key in everything.json["keys"]}
    assert algorithms == {"EdDSA", "ES256"}
    etags = {everything.headers["etag"]}
    for algorithm in (*sorted(algorithms), "RS256"):
        found = asked.served.ask("GET", f"/jwks?alg={algorithm}")
        assert found.status == 200
        assert found.headers["content-type"] == "application/jwk-set+json"
        assert found.headers["cache-control"] == "public, max-age=60"
        keys = [key for key in everything.json["keys"] if key["alg"] == algorithm]
        assert found.json == {"keys": keys}
        etags.add(found.headers["etag"])
        again = asked.served.ask(
            "GET", f"/jwks?alg={algorithm}", headers={"if-none-match": found.headers["etag"]}
        )
        assert (again.status, again.body) == (304, b"")
    assert len(etags) == 4
    other = asked.served.ask("GET", "/jwks", headers={"if-none-match": found.headers["etag"]})
    assert other.status == 200


@pytest.mark.parametrize(
    "query", ["alg=", "alg=none", "alg=HS256", "alg=es256", "alg=ES256&alg=EdDSA", "alg=%00"]
)
def test_an_unknown_algorithm_is_a_bad_request(asked: Asked, query: str) -> None:
    found = asked.served.ask("GET", f"/jwks?{query}")
    assert found.status == 400
    assert found.json["error"] == "invalid_request"
    assert "ES256, EdDSA, RS256" in found.json["error_description"]


def test_the_metadata_name_the_algorithms_in_use(asked: Asked) -> None:
    found = asked.served.ask("GET", "/.well-known/openid-configuration").json
    assert found["id_token_signing_alg_values_supported"] == ["ES256", "EdDSA"]


@pytest.mark.parametrize(
    "name",
    [
        "1.jwt",
        f"{int(time.time()) // 86_400 + 400}.jwt",
        f"{int(time.time()) // 86_400}.rs256.jwt",
        f"0{int(time.time()) // 86_400}.jwt",
        "99999999999999999999.jwt",
        "x",
        "%2e%2e",
    ],
)
def test_what_is_no_list_is_not_found(asked: Asked, name: str) -> None:
    assert asked.served.ask("GET", f"/status/{name}").status == 404


def test_a_list_is_made_once_a_minute_however_many_there_are(tmp_path: Path) -> None:
    """Making a list may read the tokens of a whole day."""
    made = []

    class Authority:
        async def within(self, work: Callable[[LocalAuthority], str], *, long: bool) -> str:
            assert long
            made.append(work)
            return work(world.authority)

    async def get_all_twice(names: list[str]) -> None:
        lists = _Lists(cast("Service", Authority()))
        first = [await lists.get(name) for name in names]
        assert len(made) == len(names)
        assert [await lists.get(name) for name in names] == first
        assert len(made) == len(names)

    with World(tmp_path / "ledger", policy=PERMIT_ALL, publish_url=ISSUER) as world:
        days = range(2, 42)
        tokens = [
            world.issue(ttl=day * 86_400, deadline_after=99 * 86_400, task=f"T{day}").token for day in days
        ]
        names = [offline.named_list(token).rpartition("/")[2] for token in tokens]
        assert len(set(names)) == len(days)
        asyncio.run(get_all_twice(names))


def test_without_an_address_there_are_no_lists(tmp_path: Path) -> None:
    with asking(tmp_path / "plain", "issuer") as plain:
        assert "status" not in jws.parse(plain.token(), types=jws.TOKENS).claims
        assert plain.served.ask("GET", f"/status/{int(time.time()) // 86_400}.jwt").status == 404


def remote(asked: Asked, folder: Path) -> Shell:
    """Return a shell on a separate host that uses the service."""
    folder.mkdir()
    shell = Shell(folder)
    del shell.environment["JITID_LEDGER"]
    shell.environment["JITID_REMOTE"] = f"unix://{asked.served.socket}"
    return shell


def test_a_verifier_publishes_elsewhere_what_the_authority_knows(asked: Asked, tmp_path: Path) -> None:
    token = asked.token()
    host = remote(asked, tmp_path / "host")
    (host.home / "token").write_text(token)
    rows = json.loads(host.good("publish", "out", "--format", "json"))["items"]
    assert {row["state"] for row in rows} == {"written"}
    verified = ("verify", "token", "--published", "out", "--audience", API)
    assert host.run(*verified).returncode == 0
    jti = jws.parse(token, types=jws.TOKENS).claims["jti"]
    host.good("revoke", jti)
    host.good("publish", "out")
    done = host.run(*verified)
    assert done.returncode == 8
    assert "was revoked" in done.stderr
    # The authority publishes the same list itself, once its previous list is a minute old.
    keys = offline.read_keys((host.home / "out/jwks.json").read_bytes())
    text = (host.home / "out" / path_of(token).lstrip("/")).read_text()
    with pytest.raises(InvalidCredentialError, match="was revoked"):
        offline.verify(token, keys, ISSUER, [API], [text], int(time.time()))


def test_nobody_else_makes_the_authority_make_all_of_it(tmp_path: Path) -> None:
    with asking(tmp_path / "issuing", "issuer", more=MORE) as issuing:
        host = remote(issuing, tmp_path / "host")
        done = host.run("publish", "out")
        assert done.returncode == 6, done.stderr
        assert not (host.home / "out").exists()
