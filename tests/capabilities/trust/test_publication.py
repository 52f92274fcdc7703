"""Publication, document by document: its order keeps a folder valid, and an untrusted authority cannot abuse it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jitid.capabilities.issue.operations import Renew
from jitid.capabilities.trust import offline, publication
from jitid.capabilities.trust.operations import (
    MakePublication,
    MakeStatusList,
    PublishKeys,
    RevokeKey,
    RotateKey,
)
from jitid.capabilities.trust.publication import Document
from jitid.capabilities.trust.publish_folder import publish
from jitid.crypto import jws, status_list
from jitid.errors import ConfigurationError, IntegrityError, InvalidCredentialError, NotFoundError
from jitid.ledger.signing_keys import KeyChanges, KeyStore
from jitid.model.request import RenewRequest
from jitid.values.secret import Secret
from tests.builders import NOW, PERMIT_ALL, World

URL = "https://tokens.example"
DAY = 86_400
TODAY = NOW // DAY


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Return a new ledger that publishes."""
    with World(tmp_path / "ledger", policy=PERMIT_ALL, publish_url=URL) as world:
        yield world


def made(world: World, *kids: str) -> list[Document]:
    """Return the documents in their order."""
    found: Iterator[Document] = world.authority.perform(MakePublication(kids=kids))
    return list(found)


def kids(document: Document) -> list[str]:
    """Return the ids of the keys in a key set."""
    return [key["kid"] for key in json.loads(document.data)["keys"]]


def listing(document: Document, world: World) -> status_list.SignedStatusList:
    """Return a published list, verified by the keys that are published with it."""
    keys = offline.read_keys(next(one.data for one in made(world) if one.name == "jwks.json"))
    return status_list.read(document.data.decode(), keys, world.clock.now)


@pytest.mark.usefixtures("kept_in")
def test_a_key_goes_only_after_the_lists_that_name_it(world: World) -> None:
    """The first key set has the keys of old and of new lists. The last one has only the keys that are still needed."""
    world.issue()
    (old,) = kids(made(world)[1])
    world.authority.perform(RevokeKey(kid=old, most=None))
    documents = made(world, old, "kid-of-somebody-else")
    names = [one.name for one in documents]
    assert names[:3] == ["jitid.json", "jwks.json", "jwks.eddsa.json"]
    assert names[-2:] == ["jwks.json", "jwks.eddsa.json"]
    (new,) = kids(documents[-1])
    assert kids(documents[-2]) == [new]
    assert kids(documents[2]) == [new, old]
    assert kids(documents[1]) == [new, old]
    lists = [one for one in documents if one.name.startswith("status/")]
    types = status_list.TYPES
    assert {jws.parse(one.data, types=types, most=1 << 22).kid for one in lists} == {new}
    # If no list names the key, it is removed at once.
    assert kids(made(world)[1]) == [new]
    assert [one.name for one in made(world)].count("jwks.json") == 1


def test_each_algorithm_has_a_set_of_its_own(world: World) -> None:
    """A set stays when its last key is gone: a verifier must not keep a former one."""
    world.terms = world.terms._replace(algorithms={"urn:rsa": "RS256", "urn:ec": "ES256"})
    for audience in ("urn:rsa", "urn:ec"):
        world.issue(kind="jwt", audiences=(audience,))

    def sets() -> dict[str, list[str]]:
        found = {one.name: one.data for one in made(world) if one.name.startswith("jwks")}
        return {name: [key["alg"] for key in json.loads(data)["keys"]] for name, data in found.items()}

    assert sets() == {
        "jwks.json": ["EdDSA", "RS256", "ES256"],
        "jwks.eddsa.json": ["EdDSA"],
        "jwks.es256.json": ["ES256"],
        "jwks.rs256.json": ["RS256"],
    }
    with world.ledger.write() as transaction:
        (key,) = [key for key in KeyStore(transaction).signing_keys() if key.algorithm == "RS256"]
        KeyChanges(transaction).end_key(key.key, revoked=True)
        transaction.append("key-revoke", {"kid": key.kid})
    assert sets()["jwks.rs256.json"] == []
    assert sets()["jwks.json"] == ["EdDSA", "ES256"]
    for algorithm in ("EdDSA", "ES256", "RS256"):
        keys = world.authority.perform(PublishKeys(algorithm=algorithm))["keys"]
        assert [key["alg"] for key in keys] == sets()[f"jwks.{algorithm.lower()}.json"]


def test_a_rotated_key_is_published_while_it_is_needed(world: World) -> None:
    world.issue(ttl=900)
    (old,) = kids(made(world)[1])
    world.authority.perform(RotateKey(algorithm="EdDSA"))
    assert old in kids(made(world)[1])
    world.clock.now += 901
    assert old not in kids(made(world)[1])


@pytest.mark.usefixtures("kept_in")
def test_each_list_says_which_of_its_tokens_were_ended(world: World) -> None:
    world.issue(task="T1", ttl=900)
    far = world.issue(task="T2", ttl=30 * DAY, deadline_after=40 * DAY)
    ended = world.issue(task="T3", ttl=900)
    world.revoke(ended.id)
    documents = {one.name: one for one in made(world)}
    days = {int(name[7:].partition(".")[0]) for name in documents if name.startswith("status/")}
    assert days == {*range(TODAY, TODAY + 8), TODAY + 30}
    today = listing(documents[f"status/{TODAY}.jwt"], world)
    assert (today.uri, today.issued_at) == (f"{URL}/status/{TODAY}.jwt", world.clock.now)
    assert today.expires_at == world.clock.now + 900
    place = jws.parse(ended.token, types=jws.TOKENS).claims["status"]["status_list"]["idx"]
    assert today.statuses.at(place) == status_list.INVALID
    assert sum(byte.bit_count() for byte in today.statuses.data) == 1
    assert status_list.check(
        jws.parse(far.token, types=jws.TOKENS).claims, [listing(documents[f"status/{TODAY + 30}.jwt"], world)]
    )


@pytest.mark.usefixtures("kept_in")
def test_a_list_names_what_rests_on_a_line_that_expired_early(world: World) -> None:
    parent = world.issue(task="T1", ttl=900)
    child = world.issue(parent=parent.token, ttl=900)
    world.authority.perform(Renew(request=RenewRequest(Secret.single(parent.token), 60)))
    place = jws.parse(child.token, types=jws.TOKENS).claims["status"]["status_list"]["idx"]

    def told() -> int:
        (today,) = [one for one in made(world) if one.name == f"status/{TODAY}.jwt"]
        return listing(today, world).statuses.at(place)

    world.clock.now += 59
    assert told() == status_list.VALID
    world.clock.now += 1
    # First, no transaction has written since the expiry; then one has.
    assert told() == status_list.INVALID
    world.issue(task="T2")
    assert told() == status_list.INVALID


def test_a_list_stays_for_an_hour_after_its_day(world: World) -> None:
    """A verifier with a slow clock still finds the list."""
    world.clock.now = (TODAY + 1) * DAY + 3_599
    assert f"status/{TODAY}.jwt" in [one.name for one in made(world)]
    world.clock.now += 1
    assert f"status/{TODAY}.jwt" not in [one.name for one in made(world)]


def test_a_single_list_is_made_for_whoever_serves_it(world: World) -> None:
    text = world.authority.perform(MakeStatusList(number=TODAY, algorithm="EdDSA"))
    keys = offline.read_keys(made(world)[1].data)
    assert status_list.read(text, keys, world.clock.now).uri == f"{URL}/status/{TODAY}.jwt"
    for number, algorithm in ((TODAY, "ES256"), (TODAY - 2, "EdDSA"), (TODAY + 9, "EdDSA")):
        with pytest.raises(NotFoundError):
            world.authority.perform(MakeStatusList(number=number, algorithm=algorithm))


def test_discovery_has_what_federations_require(world: World) -> None:
    keys = json.loads(made(world)[1].data)
    found = publication.discovery(URL, f"{URL}/jwks.json", keys)
    assert {"issuer", "jwks_uri", "response_types_supported", "subject_types_supported"} <= found.keys()
    assert found["id_token_signing_alg_values_supported"] == ["EdDSA"]
    # The issuer of this ledger is not a URL, so that no client could fetch the document.
    assert not [one for one in made(world) if one.name.startswith(".well-known")]


class Strange:
    """An authority elsewhere, which must not control the files of this host."""

    def __init__(self, *documents: Document) -> None:
        self._documents = documents

    def perform(self, _operation: object) -> Any:
        """Return the documents, for any operation."""
        return iter(self._documents)


@pytest.mark.parametrize(
    "name",
    ["../x", "status/../x", "/tmp/x", "status/.x", "x", "x/y", "", ".", "status/", "status/a/b", "status/\0"],
)
def test_an_authority_elsewhere_writes_nothing_but_what_is_published(tmp_path: Path, name: str) -> None:
    index = Document("jitid.json", json.dumps(_index()).encode())
    strange: Any = Strange(index, Document(name, b"mine"))
    with pytest.raises(IntegrityError, match="unknown file names"):
        publish(strange, str(tmp_path / "out"), 1)
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "jitid.json"]
    for documents in ((), (Document("jwks.json", b"{}"),)):
        nothing: Any = Strange(*documents)
        with pytest.raises(IntegrityError):
            publish(nothing, str(tmp_path / "other"), 1)
    assert not (tmp_path / "other").exists()


def _index() -> dict[str, Any]:
    return {"schema": publication.SCHEMA, "ledger": "x", "issuer": URL, "url": URL, "trust_domain": "t"}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b'{"keys": {}}',
        b'{"keys": [1]}',
        b'{"keys": [], "keys": []}',
        b" " * (offline.MAX_KEYS + 1),
    ],
)
def test_what_is_no_key_set_is_refused(data: bytes) -> None:
    with pytest.raises(ConfigurationError):
        offline.read_keys(data)


def test_of_a_key_set_only_our_sort_of_key_is_taken(world: World) -> None:
    """A key with another use, form or length verifies nothing. Two keys with one id are ambiguous."""
    (key,) = json.loads(made(world)[1].data)["keys"]
    token = world.issue().token
    lists = [one.data.decode() for one in made(world) if one.name == f"status/{TODAY}.jwt"]
    issuer = world.ledger.names.issuer

    def check(*keys: dict[str, Any]) -> None:
        found = offline.read_keys(json.dumps({"keys": keys}).encode())
        offline.verify(token, found, issuer, [issuer], lists, world.clock.now)

    check(key)
    check({"kty": "oct", "k": "AA", "kid": key["kid"]}, key)
    for change in (
        {"use": "enc"},
        {"kty": "EC"},
        {"crv": "X25519"},
        {"alg": "ES256"},
        {"x": key["x"][:-4]},
        {"x": key["x"] + "="},
        {"x": 1},
        {"kid": 1},
    ):
        with pytest.raises(InvalidCredentialError, match="no published key"):
            check({**key, **change})
    with pytest.raises(ConfigurationError, match="two keys with the same `kid`"):
        check(key, key)
