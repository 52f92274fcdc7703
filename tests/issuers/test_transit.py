"""Signing keys that stay in a real OpenBao: the life cycle of a key, and all failures of its requests."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import jwt
import pytest

from jitid.capabilities.trust.rotation import rotate
from jitid.capabilities.trust.signing import key_facts, make_key
from jitid.crypto import jws
from jitid.errors import ConfigurationError, IntegrityError, RefusedError, StorageError
from jitid.issuers.openbao.transit import Transit
from jitid.keys.keyring import Elsewhere, Engine, Keyring, Version
from jitid.ledger.signing_keys import KeyChanges
from jitid.model.target import Target
from tests.authority.remote.peer import answering
from tests.builders import World
from tests.issuers.openbaoplace import OpenBaoPlace
from tests.issuers.test_openbaoanswers import http
from tests.openbao import write_secret
from tests.real import Shell

_TABLE = """
[target.vault]
kind = "openbao-lease"
address = "{address}"
ca_file = "{ca_file}"
role_id = "{role_id}"
secret_id_file = "{secret_id_file}"
token_role = "jitid"
"""


@pytest.fixture
def shell(openbao: OpenBaoPlace, tmp_path: Path) -> Shell:
    """Return a shell whose jitid has OpenBao in its configuration."""
    configure(tmp_path, openbao, openbao.server.address)
    return Shell(tmp_path)


def configure(home: Path, openbao: OpenBaoPlace, address: str) -> None:
    """Write the server into a user's configuration."""
    server = openbao.server
    place = home / ".config/jitid"
    place.mkdir(parents=True, exist_ok=True)
    (place / "config.toml").write_text(
        _TABLE.format(
            address=address,
            ca_file=server.ca_file,
            role_id=server.role_id,
            secret_id_file=server.secret_id_file,
        )
    )


def version(file: Path, key: str) -> int:
    """Return the version of the engine's key that a key file names."""
    *words, number = file.read_text().split()
    assert words == ["transit", "1", f"vault/{key}"]
    return int(number)


def issue(shell: Shell, *more: str) -> str:
    return shell.good("issue", "--task", "T1", "--delegator", "alice", *more).strip()


@pytest.mark.parametrize("algorithm", ["EdDSA", "ES256", "RS256"])
def test_a_key_signs_that_never_was_here(openbao: OpenBaoPlace, shell: Shell, algorithm: str) -> None:
    issue(shell)
    audience = ("--audience", "urn:example:api")
    key = f"life-{algorithm}"
    shell.good("config", "set", "algorithm.audience.urn:example:api", algorithm)
    kid = shell.good("keys", "rotate", "--algorithm", algorithm, "--transit", f"vault/{key}").strip()
    file = shell.ledger / "keys" / kid
    versions = [version(file, key)]
    assert file.stat().st_mode & 0o777 == 0o600
    token = issue(shell, *audience)
    assert jwt.get_unverified_header(token)["kid"] == kid
    (public,) = [each for each in json.loads(shell.good("keys", "jwks"))["keys"] if each["kid"] == kid]
    jwt.decode(token, jwt.PyJWK(public).key, algorithms=[algorithm], audience="urn:example:api")
    shell.good("verify", *audience, stdin=token)
    shell.good("audit", "verify")
    assert f"kept by vault/{key}" in shell.good("doctor")
    (event,) = [
        json.loads(line)
        for line in shell.good("audit", "log", "--format", "jsonl").splitlines()
        if kid in line and "key-rotate" in line
    ]
    assert event["kept_by"] == f"vault/{key}"
    # The successor stays in OpenBao too, and tokens signed by the old key still verify.
    successor = shell.good("keys", "rotate", "--algorithm", algorithm).strip()
    versions.append(version(shell.ledger / "keys" / successor, key))
    assert not file.exists()
    shell.good("verify", *audience, stdin=token)
    shell.good("keys", "revoke", successor, "--yes")
    (third,) = [path for path in (shell.ledger / "keys").iterdir() if path.stat().st_size != 32]
    versions.append(version(third, key))
    # jitid skips a version whose key id would begin with a dash, so the numbers may have gaps.
    assert versions == sorted(set(versions))
    shell.good("keys", "rotate", "--algorithm", algorithm, "--transit", "none")
    assert not [
        path for path in (shell.ledger / "keys").iterdir() if path.read_bytes().startswith(b"transit")
    ]
    assert openbao.server.ask("GET", f"transit/keys/{key}")["data"]["exportable"] is False


@pytest.mark.parametrize("algorithm", ["ES256", "RS256"])
@pytest.mark.parametrize("by", ["issue", "rotate"])
def test_further_keys_are_where_the_first_one_is(
    openbao: OpenBaoPlace, shell: Shell, algorithm: str, by: str
) -> None:
    """A key in a file would sign tokens for services, although its administrator keeps all of them at the server."""
    issue(shell)
    name = f"first-{algorithm}-{by}"
    shell.good("keys", "rotate", "--transit", f"vault/{name}")
    shell.good("config", "set", "algorithm.audience.urn:example:api", algorithm)
    audience = ("--audience", "urn:example:api")
    if by == "rotate":
        shell.good("keys", "rotate", "--algorithm", algorithm)
    token = issue(shell, *audience)
    kid = jwt.get_unverified_header(token)["kid"]
    assert version(shell.ledger / "keys" / kid, f"{name}-{algorithm.lower()}") >= 1
    assert all(file.read_bytes().startswith(b"transit") for file in (shell.ledger / "keys").iterdir())
    shell.good("verify", *audience, stdin=token)
    # In a file, only if an administrator says so.
    kid = shell.good("keys", "rotate", "--algorithm", algorithm, "--transit", "none").strip()
    assert not (shell.ledger / "keys" / kid).read_bytes().startswith(b"transit")
    assert jwt.get_unverified_header(issue(shell, *audience))["kid"] == kid
    shell.good("audit", "verify")
    assert "leftover" not in shell.good("doctor")


def test_a_further_key_is_in_no_file_while_its_server_is_away(openbao: OpenBaoPlace, shell: Shell) -> None:
    shell.good("config", "set", "algorithm.audience.urn:example:api", "ES256")
    issue(shell)
    shell.good("keys", "rotate", "--transit", "vault/sealed")
    held = issue(shell, "--may-audience", "urn:example:api")
    before = shell.good("audit", "log", "--format", "jsonl"), sorted((shell.ledger / "keys").iterdir())
    openbao.server.seal()
    try:
        failed = shell.run("issue", "--parent-file", "-", "--audience", "urn:example:api", stdin=held)
        assert (failed.returncode, failed.stdout, "is sealed" in failed.stderr) == (5, "", True), (
            failed.stderr
        )
    finally:
        openbao.server.unseal()
    assert before == (
        shell.good("audit", "log", "--format", "jsonl"),
        sorted((shell.ledger / "keys").iterdir()),
    )


def test_many_are_signed_by_one_request(openbao: OpenBaoPlace, shell: Shell) -> None:
    issue(shell)
    shell.good("keys", "rotate", "--transit", "vault/many")
    tokens = [json.loads(line)["token"] for line in issue(shell, "--count", "600").splitlines()]
    assert len(set(tokens)) == 600
    for token in (tokens[0], tokens[199], tokens[200], tokens[-1]):
        shell.good("verify", stdin=token)


def test_without_its_key_nothing_is_issued_and_nothing_recorded(openbao: OpenBaoPlace, shell: Shell) -> None:
    issue(shell)
    shell.good("keys", "rotate", "--transit", "vault/away")
    before = shell.good("audit", "log", "--format", "jsonl")
    openbao.server.seal()
    try:
        failed = shell.run("issue", "--task", "T1", "--delegator", "alice")
        assert (failed.returncode, failed.stdout) == (5, "")
        assert "is sealed" in failed.stderr
        told = shell.run("doctor")
        assert "is sealed" in told.stdout
        # A credential without a signature can still be issued.
        shell.good("issue", "--kind", "opaque", "--task", "T1", "--delegator", "alice")
    finally:
        openbao.server.unseal()
    after = shell.good("audit", "log", "--format", "jsonl")
    assert len(after.splitlines()) == len(before.splitlines()) + 1
    issue(shell)


def test_a_leaked_key_is_revoked_though_its_server_is_away(openbao: OpenBaoPlace, shell: Shell) -> None:
    issue(shell)
    kid = shell.good("keys", "rotate", "--transit", "vault/leaked").strip()
    token = issue(shell)
    openbao.server.seal()
    try:
        shell.good("keys", "revoke", kid, "--yes")
        assert shell.run("verify", stdin=token).returncode == 8
        refused = shell.run("keys", "rotate", "--transit", "vault/leaked")
        assert (refused.returncode, "is sealed" in refused.stderr) == (5, True)
    finally:
        openbao.server.unseal()
    shell.good("keys", "rotate", "--transit", "vault/leaked")
    issue(shell)
    shell.good("audit", "verify")


def test_a_target_that_is_gone_from_the_configuration_is_named(openbao: OpenBaoPlace, shell: Shell) -> None:
    issue(shell)
    shell.good("keys", "rotate", "--transit", "vault/gone")
    (shell.home / ".config/jitid/config.toml").write_text("")
    failed = shell.run("issue", "--task", "T1", "--delegator", "alice")
    assert failed.returncode == 2
    assert "no target `vault`" in failed.stderr


@pytest.fixture
def transit(openbao: OpenBaoPlace) -> Iterator[Transit]:
    server = openbao.server
    options = {
        "address": server.address,
        "ca_file": str(server.ca_file),
        "role_id": server.role_id,
        "secret_id_file": str(server.secret_id_file),
    }
    found = Transit(Target("vault", "openbao-lease", options, {}), 10.0)
    yield found
    found.close()


def test_a_version_that_another_machine_has_recorded_meanwhile_is_not_recorded_twice(
    openbao: OpenBaoPlace, transit: Transit, tmp_path: Path
) -> None:
    """Two machines of one ledger choose the same version before either has recorded it."""
    chosen: list[bytes] = []

    def choose(key: str, algorithm: str, taken: Callable[[bytes], bool]) -> Version:
        version = transit.choose(key, algorithm, taken)
        if len(chosen) == 1:
            kid = jws.thumbprint(algorithm, version.public)
            with world.ledger.write() as transaction:
                key_of_other = KeyChanges(transaction).add_key(kid, algorithm, version.public, "jws", None)
                transaction.append("key-create", key_facts(key_of_other))
        chosen.append(version.public)
        return version

    world = World(tmp_path / "ledger")
    keyring = Keyring(str(world.path / "keys"), others=True)
    keyring.transit = lambda _: Engine(choose, transit.sign)
    with world.ledger.write() as transaction:
        rotate(transaction, world.ledger.names, keyring, "EdDSA", transit="vault/both")
    key = make_key(world.ledger, keyring, "ES256")
    (_, first, second) = chosen
    assert first != second == key.public
    assert keyring.elsewhere(key.kid) == "vault/both-es256"
    assert make_key(world.ledger, keyring, "ES256") == key


def test_a_key_that_may_leave_is_refused(openbao: OpenBaoPlace, transit: Transit) -> None:
    openbao.server.ask("POST", "transit/keys/leaving", {"type": "ed25519", "exportable": True})
    with pytest.raises(ConfigurationError, match="can be exported"):
        transit.choose("leaving", "EdDSA", lambda _: False)


def test_a_key_of_another_sort_is_refused(openbao: OpenBaoPlace, transit: Transit) -> None:
    openbao.server.ask("POST", "transit/keys/another", {"type": "rsa-2048"})
    openbao.server.ask("POST", "transit/keys/longer", {"type": "rsa-3072"})
    for key, algorithm in (("another", "EdDSA"), ("another", "ES256"), ("longer", "RS256")):
        with pytest.raises(ConfigurationError, match="not a key for"):
            transit.choose(key, algorithm, lambda _: False)


def test_a_key_under_the_same_name_is_not_the_key(openbao: OpenBaoPlace, transit: Transit) -> None:
    """An operator deletes the key and makes another of the same name."""
    version = transit.choose("replaced", "EdDSA", lambda _: False)
    (good,) = transit.sign("replaced", version.number, "EdDSA", version.public, [b"a"])
    assert len(good) == 64
    openbao.server.ask("POST", "transit/keys/replaced/config", {"deletion_allowed": True})
    openbao.server.ask("DELETE", "transit/keys/replaced")
    openbao.server.ask("POST", "transit/keys/replaced", {"type": "ed25519"})
    with pytest.raises(IntegrityError, match="does not match the ledger's public key"):
        transit.sign("replaced", version.number, "EdDSA", version.public, [b"a"])
    openbao.server.ask("POST", "transit/keys/replaced/config", {"deletion_allowed": True})
    openbao.server.ask("DELETE", "transit/keys/replaced")
    with pytest.raises((RefusedError, ConfigurationError)):
        transit.sign("replaced", version.number, "EdDSA", version.public, [b"a"])


@pytest.mark.parametrize(
    "results",
    [
        None,
        [],
        [{"signature": "vault:v1:AAAA"}, {"signature": "vault:v1:AAAA"}],
        [{"signature": "vault:v2:AAAA"}],
        [{"signature": "vault:v1:****"}],
        [{"signature": None, "error": "no"}],
        ["vault:v1:AAAA"],
    ],
)
def test_an_answer_that_is_no_signature_is_none(tmp_path: Path, results: object) -> None:
    write_secret(tmp_path / "token", "s.token")
    with answering(http(200, {"data": {"batch_results": results}})) as peer:
        options = {"address": peer.url, "token_file": str(tmp_path / "token")}
        transit = Transit(Target("vault", "openbao-lease", options, {}), 5.0)
        with pytest.raises(StorageError, match="unexpected answer"):
            transit.sign("key", 1, "EdDSA", bytes(32), [b"a"])
        transit.close()


@pytest.mark.parametrize("length", range(1, 40))
def test_where_a_key_is_is_never_taken_for_a_key(length: int) -> None:
    where = Elsewhere(f"t/{'k' * length}", 7)
    assert len(where.text) != 32
    assert Elsewhere.parse(where.text) == where


@pytest.mark.parametrize(
    "text", [b"", b"transit 1 a/b", b"transit 2 a/b 1", b"transit 1 a/b x", b"transit 1 \xff 1"]
)
def test_a_damaged_place_is_none(text: bytes) -> None:
    assert Elsewhere.parse(text) is None
