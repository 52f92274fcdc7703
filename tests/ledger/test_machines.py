"""Machines over one PostgreSQL ledger: each has a separate key of each algorithm, and fails closed without it."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest

from jitid.authority.local import LocalAuthority
from jitid.capabilities.identity.operations import Verify
from jitid.capabilities.integrity.operations import Examine
from jitid.capabilities.inventory.operations import Revoke
from jitid.capabilities.issue.operations import Issue
from jitid.capabilities.trust.operations import ListKeys, MakeStatusList, RevokeKey, RotateKey
from jitid.capabilities.trust.publish_folder import publish
from jitid.crypto import status_list
from jitid.errors import IntegrityError, NotFoundError, PartialError
from jitid.ledger.postgres import ledger_database
from jitid.model.ledger_condition import Status
from jitid.model.ledger_rows import Selection
from jitid.values import strict_json
from jitid.values.secret import Secret
from tests.builders import World, make_database, open_postgres, request

API = "https://api.example"
AZURE = "api://AzureADTokenExchange"
URL = "https://keys.example"
BY_AUDIENCE = {API: "ES256", AZURE: "RS256"}

Machine = Callable[[], LocalAuthority]
"""A function that opens the ledger on a machine once more, as another process there would."""


class Machines:
    """Two machines, `one` and `other`, each with a separate key for the ledger."""

    def __init__(self, address: str, path: Path, terms: Any) -> None:
        self._address, self._path, self._terms = address, path, terms
        self._opened: list[LocalAuthority] = []
        make_database(address, path / "one")
        (path / "other" / "keys").mkdir(parents=True, mode=0o700)
        self.other().perform(RotateKey(algorithm="EdDSA"))

    def one(self) -> LocalAuthority:
        return self._open("one")

    def other(self) -> LocalAuthority:
        return self._open("other")

    def _open(self, name: str) -> LocalAuthority:
        keyring = ledger_database.home_keyring(str(self._path / name))
        ledger = open_postgres(self._address, None, timeout=10)
        self._opened.append(LocalAuthority(ledger, keyring, terms=lambda: self._terms))
        return self._opened[-1]

    def file(self, name: str, kid: str) -> Path:
        return self._path / name / "keys" / kid

    def files(self, name: str) -> set[str]:
        return {path.name for path in (self._path / name / "keys").iterdir()}

    def close(self) -> None:
        for authority in self._opened:
            authority.close()


@pytest.fixture
def machines(postgres_url: str, tmp_path: Path) -> Iterator[Machines]:
    with World(tmp_path / "terms") as world:
        terms = world.terms._replace(publish_url=URL, algorithms=BY_AUDIENCE)
        found = Machines(postgres_url, tmp_path, terms)
        yield found
        found.close()


def token(machine: Machine, *audiences: str) -> str:
    (issued,) = machine().perform(Issue(requests=(request(kind="jwt", audiences=audiences),)))
    return issued.credentials[0].secret.reveal()


def kid(machine: Machine, *audiences: str) -> str:
    """Return the key that signs on a machine for that audience."""
    found: str = jwt.get_unverified_header(token(machine, *audiences))["kid"]
    return found


def works(machine: Machine, text: str, audience: str) -> bool:
    return machine().perform(Verify(token=Secret.single(text), audiences=(audience,))) is not None


def failures(machine: Machine) -> list[str]:
    return [
        check.detail
        for check in machine().perform(Examine(stated={}))
        if check.status is Status.FAILURE and check.name == "keys"
    ]


def test_each_machine_makes_its_first_key_of_an_algorithm(machines: Machines) -> None:
    for audience in (API, AZURE):
        keys = [kid(machines.one, audience), kid(machines.other, audience)]
        assert keys[0] != keys[1]
        assert keys == [kid(machines.one, audience), kid(machines.other, audience)]
    rows = machines.one().perform(ListKeys())
    assert {row.key.kid for row in rows} == machines.files("one") | machines.files("other")
    # The first key of a ledger has no machine; all others name the first key of their machine.
    first = rows[0].key.kid
    assert [row.key.machine for row in rows] == [None, rows[1].key.kid, *(2 * [first, rows[1].key.kid])]


@pytest.mark.parametrize(("algorithm", "audience"), [("ES256", API), ("RS256", AZURE), ("EdDSA", None)])
@pytest.mark.parametrize("name", ["one", "other"])
@pytest.mark.parametrize("happened", ["lost", "revoked"])
def test_a_key_that_is_gone_gets_no_other_in_its_place(
    machines: Machines, algorithm: str, audience: str | None, name: str, happened: str
) -> None:
    """The machine still has keys of the other algorithms, and so has the other machine of this one."""
    here, there = (machines.one, machines.other) if name == "one" else (machines.other, machines.one)
    audiences = () if audience is None else (audience,)
    for machine in (here, there):
        for each in ((), (API,), (AZURE,)):
            token(machine, *each)
    gone = kid(here, *audiences)
    if happened == "lost":
        machines.file(name, gone).unlink()
    else:
        there().perform(RevokeKey(kid=gone, most=None))
    # Another key was replaced meanwhile, which also removes private keys that are no longer needed.
    if algorithm != "ES256":
        here().perform(RotateKey(algorithm="ES256"))
    before = machines.files(name), there().perform(ListKeys())
    for _ in range(2):
        with pytest.raises(IntegrityError, match=gone) as refused:
            token(here, *audiences)
        command = "jitid keys rotate" + ("" if algorithm == "EdDSA" else f" --algorithm {algorithm}")
        assert str(refused.value.hint).endswith(command)
    assert before == (machines.files(name), there().perform(ListKeys()))
    assert any(gone in each for each in failures(here))
    # The other machine goes on.
    token(there, *audiences)
    assert failures(there) == []
    change = here().perform(RotateKey(algorithm=algorithm))
    assert change.retired == ((gone,) if happened == "lost" else ())
    assert kid(here, *audiences) == change.kid
    assert failures(here) == []


def test_a_machine_whose_keys_are_revoked_one_by_one_makes_none_between(machines: Machines) -> None:
    keys = [kid(machines.one), kid(machines.one, API), kid(machines.one, AZURE)]
    for number, each in enumerate(keys):
        machines.other().perform(RevokeKey(kid=each, most=None))
        for audiences in ((), (API,), (AZURE,))[: number + 1]:
            with pytest.raises(IntegrityError):
                token(machines.one, *audiences)
    assert len(machines.one().perform(ListKeys())) == 4


def test_a_key_of_an_unknown_machine_may_have_been_this_ones(machines: Machines) -> None:
    """The ledger is from before machines were recorded."""
    other = kid(machines.other, API)
    with machines.other()._ledger.write() as transaction:
        transaction.db.execute("UPDATE signing_key SET machine = NULL WHERE kid = :kid", {"kid": other})
    with pytest.raises(IntegrityError, match=other):
        token(machines.one, API)
    machines.one().perform(RotateKey(algorithm="ES256"))
    assert kid(machines.one, API) != other == kid(machines.other, API)


def lists_of(folder: Path) -> dict[str, int]:
    """Return the number of published status lists by algorithm."""
    found: dict[str, int] = {}
    for file in (folder / "status").iterdir():
        header = json.loads(strict_json.b64url_decode(file.read_text().partition(".")[0]))
        found[header["alg"]] = found.get(header["alg"], 0) + 1
    return found


def test_each_machine_publishes_the_lists_of_all_algorithms(machines: Machines, tmp_path: Path) -> None:
    """The tokens of each machine name lists that the other one publishes and serves too."""
    shown = {audience: token(machines.one, audience) for audience in (API, AZURE)}
    for name, machine in (("first", machines.other), ("second", machines.one)):
        publish(machine(), str(tmp_path / name), 1.0)
        counts = lists_of(tmp_path / name)
        assert set(counts) == {"EdDSA", "ES256", "RS256"}
        assert len(set(counts.values())) == 1
    for audience, text in shown.items():
        assert works(machines.other, text, audience)
        claims = jwt.decode(text, options={"verify_signature": False})
        place = claims["status"]["status_list"]
        folder = tmp_path / "first"
        published = folder / place["uri"].removeprefix(f"{URL}/")
        assert bit(published.read_text(), place["idx"]) == 0
        machines.other().perform(Revoke(selection=Selection(ids=(claims["jti"],)), most=None))
        publish(machines.other(), str(folder), 1.0)
        assert bit(published.read_text(), place["idx"]) == 1
        wanted = MakeStatusList(number=status_list.number(claims["exp"]), algorithm=BY_AUDIENCE[audience])
        served = machines.other().perform(wanted)
        assert bit(served, place["idx"]) == 1


def bit(text: str, index: int) -> int:
    claims = jwt.decode(text, options={"verify_signature": False})
    raw = zlib.decompress(strict_json.b64url_decode(claims["status_list"]["lst"]))
    return raw[index >> 3] >> (index & 7) & 1


def test_lists_that_a_machine_cannot_sign_are_named_and_all_others_published(
    machines: Machines, tmp_path: Path
) -> None:
    token(machines.one, API)
    machines.file("other", kid(machines.other, API)).unlink()
    with pytest.raises(PartialError, match="the status lists with ES256 were not renewed") as failed:
        publish(machines.other(), str(tmp_path / "folder"), 1.0)
    assert failed.value.hint == "to make another: jitid keys rotate --algorithm ES256"
    assert set(lists_of(tmp_path / "folder")) == {"EdDSA"}
    number = status_list.number(
        int(jwt.decode(token(machines.one), options={"verify_signature": False})["exp"])
    )
    with pytest.raises(IntegrityError):
        machines.other().perform(MakeStatusList(number=number, algorithm="ES256"))
    # No token was ever signed with RS256.
    with pytest.raises(NotFoundError):
        machines.other().perform(MakeStatusList(number=number, algorithm="RS256"))
    machines.other().perform(RotateKey(algorithm="ES256"))
    publish(machines.other(), str(tmp_path / "folder"), 1.0)
    assert set(lists_of(tmp_path / "folder")) == {"EdDSA", "ES256"}
