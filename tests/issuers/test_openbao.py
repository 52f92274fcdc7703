"""OpenBao beyond the contract of outside issuers: lifetimes, leases, logins, and failures."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from jitid.errors import (
    ConfigurationError,
    IntegrityError,
    JitidError,
    RefusedError,
    StorageError,
    UsageError,
)
from jitid.issuers.openbao.lease import OpenbaoLeaseIssuer
from jitid.issuers.openbao.make_secret import SecretReference
from jitid.issuers.targets import reference_of
from jitid.model.target import Life, Settlement, TargetRecord
from jitid.values.times import NO_EXPIRY
from tests.issuers.openbaoplace import BARE_SECRET, TEMPLATES, OpenBaoPlace
from tests.issuers.places import make, try_to_make
from tests.openbao import certify, write_secret
from tests.real import until


@pytest.fixture
def issuer(openbao: OpenBaoPlace) -> Iterator[OpenbaoLeaseIssuer]:
    issuer = openbao.open()
    yield issuer
    issuer.close()


def settled(issuer: OpenbaoLeaseIssuer, record: TargetRecord) -> tuple[Settlement, str]:
    """Revoke a credential, and return the settlement with its proof."""
    (outcome,) = issuer.revoke([record])
    return outcome.settlement, outcome.proof


def lease_of(record: TargetRecord) -> str:
    """Return the id of a record's lease."""
    reference = SecretReference.parse(str(record.reference))
    assert reference is not None
    assert reference.lease is not None
    return reference.lease


def lookup(openbao: OpenBaoPlace, record: TargetRecord) -> dict[str, Any]:
    """Return the server's data about a record's lease."""
    found: dict[str, Any] = openbao.server.ask("PUT", "sys/leases/lookup", {"lease_id": lease_of(record)})[
        "data"
    ]
    return found


def test_lease_and_token_live_as_long_as_the_credential(
    openbao: OpenBaoPlace, issuer: OpenbaoLeaseIssuer
) -> None:
    """The role's default is five minutes; the credentials last fifteen minutes and one."""
    for lifetime in (900, 60):
        record = openbao.record(expires_at=int(time.time()) + lifetime)
        record, made = make(issuer, record)
        assert lifetime - 30 < lookup(openbao, record)["ttl"] <= lifetime
        assert lifetime - 30 < made.facts["lease_until"] - time.time() <= lifetime
        accessor = made.facts["accessor"]
        token = openbao.server.ask("POST", "auth/token/lookup-accessor", {"accessor": accessor})["data"]
        assert lifetime - 30 < token["ttl"] <= lifetime
        assert token["explicit_max_ttl"] <= lifetime
        assert token["meta"] == {"jitid_jti": record.jti, "jitid_iss": "urn:jitid:test"}
        assert token["policies"] == ["reader"]
        assert settled(issuer, record)[0] is Settlement.DONE


def test_the_accessor_is_remembered_before_anything_is_read(
    openbao: OpenBaoPlace, issuer: OpenbaoLeaseIssuer
) -> None:
    """A crash at this point leaves a token that expires within a minute, and no secret."""
    seen: list[int] = []

    def remember(accessor: str) -> None:
        token = openbao.server.ask("POST", "auth/token/lookup-accessor", {"accessor": accessor})["data"]
        seen.append(token["ttl"])
        raise StorageError("the ledger is away")

    record = openbao.record()
    with pytest.raises(StorageError, match="the ledger is away"):
        issuer.mint(record, remember)
    assert [ttl <= 60 for ttl in seen] == [True]
    assert not openbao.database.ask(f"SELECT 1 FROM pg_roles WHERE rolname LIKE '%{record.jti[4:]}%'")
    assert settled(issuer, record)[0] is Settlement.DONE
    assert not openbao.exists(record)


@pytest.mark.parametrize("forwarded", [True, False], ids=["done", "never there"])
@pytest.mark.parametrize(
    "path",
    ["auth/token/create/jitid", "auth/token/renew-accessor", "database/creds/reader", "sys/leases/renew"],
)
def test_nothing_is_left_wherever_the_connection_broke(
    openbao: OpenBaoPlace, path: str, forwarded: bool
) -> None:
    with openbao.losing(path, forwarded=forwarded) as losing:
        record, raised = try_to_make(losing, openbao.record())
    assert isinstance(raised, StorageError), raised
    issuer = openbao.issuer()
    assert settled(issuer, record)[0] is Settlement.DONE
    assert not openbao.exists(record)
    issuer.expect(())
    assert not [each for each in issuer.inventory() if each.jti == record.jti]
    issuer.close()


def test_without_a_template_it_is_a_token_that_may_do_nothing(
    openbao: OpenBaoPlace, issuer: OpenbaoLeaseIssuer
) -> None:
    record, made = make(issuer, openbao.record(template=None))
    token = made.secret.reveal()
    assert openbao.server.status("GET", "database/creds/reader", token=token) == 403
    assert openbao.server.status("LIST", "auth/token/accessors", token=token) == 403
    assert issuer.probe(record, made.secret).life is Life.LIVE
    assert settled(issuer, record)[0] is Settlement.DONE
    assert openbao.server.status("GET", "auth/token/lookup-self", token=token) == 403
    assert issuer.probe(record, made.secret).life is Life.DEAD


def test_a_template_without_a_path_gives_the_token_itself(
    openbao: OpenBaoPlace, issuer: OpenbaoLeaseIssuer
) -> None:
    record, made = make(issuer, openbao.record(template="token"))
    token = made.secret.reveal()
    assert made.secret.names == ("token",)
    role = openbao.server.ask("GET", "database/creds/reader", token=token)["data"]["username"]
    assert settled(issuer, record)[0] is Settlement.DONE
    assert openbao.server.status("GET", "database/creds/reader", token=token) == 403
    # The server itself revokes the secrets that were read with the token.
    until(
        lambda: not openbao.database.ask(f"SELECT 1 FROM pg_roles WHERE rolname = '{role}'"),
        "the role is left",
    )


def test_a_certificate_with_a_lease_is_revoked_with_it(
    openbao: OpenBaoPlace, issuer: OpenbaoLeaseIssuer
) -> None:
    record, made = make(issuer, openbao.record(template="leased"))
    serial = made.secret.reveal("serial_number")
    assert made.secret.reveal("certificate").startswith("-----BEGIN CERTIFICATE-----")
    assert settled(issuer, record)[0] is Settlement.DONE
    assert openbao.server.ask("GET", f"pki/cert/{serial}")["data"]["revocation_time"] > 0


def test_a_certificate_without_a_lease_is_revoked_by_its_serial_number(
    openbao: OpenBaoPlace, issuer: OpenbaoLeaseIssuer
) -> None:
    record, made = make(issuer, openbao.record(template="unleased"))
    serial = made.secret.reveal("serial_number")
    assert issuer.probe(record).life is Life.LIVE
    settlement, proof = settled(issuer, record)
    assert settlement is Settlement.DONE
    assert serial in proof
    assert issuer.probe(record).life is Life.DEAD
    assert openbao.server.ask("GET", f"pki/cert/{serial}")["data"]["revocation_time"] > 0


def test_the_token_of_a_secret_without_a_lease_is_tried_until_it_is_revoked(openbao: OpenBaoPlace) -> None:
    templates = {"unleased": {**TEMPLATES["unleased"], **BARE_SECRET}}
    with closing(openbao.open(templates=templates)) as issuer:
        record, _ = make(issuer, openbao.record(template="unleased"))
        with openbao.refusing("auth/token/revoke-accessor") as refused:
            assert settled(refused, record)[0] is Settlement.UNAVAILABLE
        assert record.jti in dict(openbao.tokens())
        assert settled(issuer, record)[0] is Settlement.UNSUPPORTED
        assert record.jti not in dict(openbao.tokens())


def test_what_has_no_lease_is_refused_unless_the_template_says_so(openbao: OpenBaoPlace) -> None:
    issuer = openbao.open(templates={"unleased": {**TEMPLATES["unleased"], "unleased": False}})
    record, raised = try_to_make(issuer, openbao.record(template="unleased"))
    assert isinstance(raised, ConfigurationError)
    assert "has no lease" in raised.message
    assert settled(issuer, record)[0] is Settlement.DONE
    assert not openbao.exists(record)
    issuer.close()


def test_a_certificate_that_outlives_the_credential_is_refused(openbao: OpenBaoPlace) -> None:
    long = {**TEMPLATES["unleased"], "parameters": {"common_name": "a.example", "ttl": "2h"}}
    issuer = openbao.open(templates={"unleased": long})
    record, raised = try_to_make(issuer, openbao.record(template="unleased"))
    assert isinstance(raised, ConfigurationError)
    assert "outlives" in raised.message
    assert settled(issuer, record)[0] is Settlement.DONE
    issuer.close()


def test_a_role_that_owns_something_is_not_called_ended(
    openbao: OpenBaoPlace, issuer: OpenbaoLeaseIssuer
) -> None:
    record, made = make(issuer, openbao.record())
    role = made.secret.reveal("username")
    openbao.database.execute("CREATE TABLE owned ()", f'ALTER TABLE owned OWNER TO "{role}"')
    try:
        settlement, proof = settled(issuer, record)
        assert settlement is Settlement.UNAVAILABLE
        assert "depend on it" in proof
        assert issuer.probe(record).life is Life.LIVE
        assert openbao.exists(record)
    finally:
        openbao.database.execute("DROP TABLE owned")
    assert settled(issuer, record)[0] is Settlement.DONE
    assert issuer.probe(record).life is Life.DEAD


def test_a_lease_that_the_server_has_given_up_is_stuck(
    openbao: OpenBaoPlace, issuer: OpenbaoLeaseIssuer
) -> None:
    """The server gives up after six attempts in ten minutes. The test writes the resulting lease entry itself."""
    record, made = make(issuer, openbao.record())
    role, server = made.secret.reveal("username"), openbao.server
    openbao.database.execute("CREATE TABLE kept ()", f'ALTER TABLE kept OWNER TO "{role}"')
    place = f"sys/raw/sys/expire/id/{lease_of(record)}"
    entry = json.loads(server.ask("GET", place)["data"]["value"])
    server.ask(
        "PUT", place, {"value": json.dumps({**entry, "revokeErr": "lease has consumed all retry attempts"})}
    )
    server.seal()
    server.unseal()
    try:
        settlement, proof = settled(issuer, record)
        assert settlement is Settlement.STUCK
        assert "consumed all retry attempts" in proof
        assert issuer.probe(record).life is Life.LIVE
        issuer.expect(issuer.names_of(record.name, record.reference))
        (there,) = [each for each in issuer.inventory() if each.name == record.reference]
        assert there.live
        assert "irrevocable: `lease has consumed" in there.detail
    finally:
        openbao.database.execute("DROP TABLE kept")
    assert settled(issuer, record)[0] is Settlement.DONE


def test_a_sealed_server_is_unavailable(openbao: OpenBaoPlace, issuer: OpenbaoLeaseIssuer) -> None:
    record, _ = make(issuer, openbao.record())
    openbao.server.seal()
    try:
        _, raised = try_to_make(issuer, openbao.record())
        assert isinstance(raised, StorageError)
        assert "is sealed" in raised.message
        assert settled(issuer, record)[0] is Settlement.UNAVAILABLE
        with pytest.raises(StorageError):
            issuer.probe(record)
    finally:
        openbao.server.unseal()
    assert settled(issuer, record)[0] is Settlement.DONE


def test_the_inventory_tells_what_the_ledger_does_not_know(
    openbao: OpenBaoPlace, issuer: OpenbaoLeaseIssuer
) -> None:
    known, _ = make(issuer, openbao.record())
    unknown, _ = make(issuer, openbao.record())
    token, _ = make(issuer, openbao.record(template=None))
    issuer.expect(issuer.names_of(known.name, known.reference))
    found = {each.name: each for each in issuer.inventory()}
    assert found[str(known.reference)].live
    assert lease_of(known) not in found
    assert found[lease_of(unknown)].jti is None
    assert {each.jti for each in found.values()} >= {unknown.jti, token.jti}
    assert known.jti not in {each.jti for each in found.values()}
    shared = openbao.open(shared=True)
    shared.expect(issuer.names_of(known.name, known.reference))
    assert lease_of(unknown) not in {each.name for each in shared.inventory()}
    # An operator revokes the lease by hand: the remaining token is not a credential.
    openbao.server.ask("PUT", "sys/leases/revoke", {"lease_id": lease_of(known), "sync": True})
    assert [each.live for each in shared.inventory() if each.name == known.reference] == [False]
    assert issuer.probe(known).life is Life.DEAD
    for each in (known, unknown, token):
        assert settled(issuer, each)[0] is Settlement.DONE
    shared.close()


def test_a_token_that_was_there_before_is_ended_by_its_accessor(
    openbao: OpenBaoPlace, issuer: OpenbaoLeaseIssuer
) -> None:
    made = openbao.server.ask("POST", "auth/token/create", {"policies": ["reader"], "ttl": "1h"})["auth"]
    reference = reference_of("openbao-lease", made["accessor"])
    record = openbao.record(template=None)._replace(
        name=made["accessor"], reference=reference, kind="adopted", expires_at=NO_EXPIRY
    )
    issuer.expect(issuer.names_of(record.name, record.reference))
    assert reference in {one.name for one in issuer.inventory() if one.live}
    assert issuer.probe(record).life is Life.LIVE
    assert settled(issuer, record)[0] is Settlement.DONE
    assert issuer.probe(record).life is Life.DEAD
    assert reference not in {one.name for one in issuer.inventory()}
    with pytest.raises(UsageError):
        reference_of("openbao-lease", "an accessor of blanks")


def test_what_another_ledger_made_is_not_taken_for_ours(
    openbao: OpenBaoPlace, issuer: OpenbaoLeaseIssuer
) -> None:
    other = openbao.open(issuer="urn:jitid:other")
    record, _ = make(other, openbao.record(template=None))
    issuer.expect(())
    assert record.jti not in {each.jti for each in issuer.inventory()}
    assert settled(other, record)[0] is Settlement.DONE
    other.close()


def logins(openbao: OpenBaoPlace) -> int:
    """Return the number of valid logins by AppRole."""
    status, text = openbao.server._answer("LIST", "sys/leases/lookup/auth/approle/login", None, None)
    return len(json.loads(text)["data"]["keys"]) if status == 200 else 0


def test_a_login_is_given_back_and_made_anew_when_it_ends(openbao: OpenBaoPlace) -> None:
    before = logins(openbao)
    issuer = openbao.open()
    record, _ = make(issuer, openbao.record())
    assert logins(openbao) == before + 1
    openbao.server.ask("PUT", "sys/leases/revoke-prefix/auth/approle/login", {"sync": True})
    # The secret does not depend on jitid's own login, and the next call logs in again.
    assert openbao.exists(record)
    assert settled(issuer, record)[0] is Settlement.DONE
    assert logins(openbao) == 1
    issuer.close()
    assert logins(openbao) == 0


def test_what_would_end_with_a_login_is_not_made_for_longer(openbao: OpenBaoPlace) -> None:
    """Without a token role, a child token is revoked together with its parent, so jitid keeps the parent."""
    server = openbao.server
    server.ask(
        "PUT",
        "sys/policies/acl/maker",
        {"policy": 'path "auth/token/*" { capabilities = ["create", "update"] }'},
    )
    server.ask(
        "POST", "auth/approle/role/jitid", {"token_policies": ["jitid", "maker", "reader"], "token_ttl": "5m"}
    )
    try:
        issuer = openbao.open(without=("token_role",))
        record, raised = try_to_make(issuer, openbao.record())
        assert isinstance(raised, RefusedError), raised
        assert "before the credential expires" in raised.message
        assert settled(issuer, record)[0] is Settlement.DONE
        short, _ = make(issuer, openbao.record(expires_at=int(time.time()) + 60))
        issuer.close()
        assert openbao.exists(short)
        again = openbao.open()
        assert settled(again, short)[0] is Settlement.DONE
        again.close()
    finally:
        server.ask("POST", "auth/approle/role/jitid", {"token_policies": ["jitid"], "token_ttl": "20m"})
        server.ask("PUT", "sys/leases/revoke-prefix/auth/approle/login", {"sync": True})


def test_a_refused_login_tells_no_secret(openbao: OpenBaoPlace, tmp_path: Path) -> None:
    write_secret(tmp_path / "wrong", "not-the-secret-id")
    issuer = openbao.open(secret_id_file=str(tmp_path / "wrong"))
    _, raised = try_to_make(issuer, openbao.record())
    assert isinstance(raised, RefusedError)
    assert "not-the-secret-id" not in f"{raised.message} {raised.hint}"
    issuer.close()


def test_a_secret_that_others_may_read_is_not_used(openbao: OpenBaoPlace, tmp_path: Path) -> None:
    write_secret(tmp_path / "open", "x")
    (tmp_path / "open").chmod(0o640)
    issuer = openbao.open(secret_id_file=str(tmp_path / "open"))
    _, raised = try_to_make(issuer, openbao.record())
    assert isinstance(raised, IntegrityError)
    assert raised.hint == f"chmod 600 {tmp_path / 'open'}"


def test_a_token_of_a_file_is_enough(openbao: OpenBaoPlace, tmp_path: Path) -> None:
    write_secret(tmp_path / "token", openbao.server.root)
    issuer = openbao.open(
        token_file=str(tmp_path / "token"), without=("role_id", "secret_id_file", "token_role")
    )
    record, _ = make(issuer, openbao.record())
    assert settled(issuer, record)[0] is Settlement.DONE
    issuer.close()
    assert openbao.server.status("GET", "auth/token/lookup-self") == 200


def test_a_login_by_a_jwt_is_enough(openbao: OpenBaoPlace, tmp_path: Path) -> None:
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    openbao.server.ask("POST", "auth/jwt/config", {"jwt_validation_pubkeys": [public]})
    openbao.server.ask(
        "POST",
        "auth/jwt/role/runner",
        {
            "role_type": "jwt",
            "user_claim": "sub",
            "bound_audiences": ["vault"],
            "token_policies": ["jitid"],
            "token_ttl": "20m",
        },
    )
    claims = {"sub": "runner", "aud": "vault", "iat": int(time.time()), "exp": int(time.time()) + 300}
    # The file of a service account's token is readable by every process of the container.
    (tmp_path / "jwt").write_text(jwt.encode(claims, key, "EdDSA"))
    (tmp_path / "jwt").chmod(0o644)
    issuer = openbao.open(
        login_role="runner",
        jwt_file=str(tmp_path / "jwt"),
        login_mount="jwt",
        without=("role_id", "secret_id_file"),
    )
    record, _ = make(issuer, openbao.record())
    assert settled(issuer, record)[0] is Settlement.DONE
    issuer.close()


@pytest.mark.parametrize(
    "options",
    [
        {"without": ("secret_id_file",)},
        {"without": ("role_id", "secret_id_file")},
        {"token_file": "/etc/token"},
        {"address": "ftp://127.0.0.1"},
        {"address": "http://vault.example:8200"},
        {"token_role": "../root"},
        {"namespace": "a b"},
        {
            "login_mount": "x?y",
            "login_role": "x",
            "jwt_file": "/dev/null",
            "without": ("role_id", "secret_id_file"),
        },
    ],
)
def test_a_table_that_cannot_be_meant_is_refused(openbao: OpenBaoPlace, options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        try_and_raise(openbao, options)


def try_and_raise(openbao: OpenBaoPlace, options: dict[str, Any]) -> None:
    """Open an issuer with these options and make a credential; the caller expects an error from either step."""
    issuer = openbao.open(**options)
    try:
        issuer.mint(openbao.record(), lambda _: None)
    finally:
        issuer.close()


def test_what_the_login_may_not_do_is_named(openbao: OpenBaoPlace) -> None:
    issuer = openbao.open(token_role="nothing")
    _, raised = try_to_make(issuer, openbao.record())
    assert isinstance(raised, RefusedError)
    assert raised.hint == 'its policy needs: path "auth/token/create/nothing" { capabilities = ["update"] }'
    issuer.close()


def test_a_wrong_certificate_ends_it_before_anything_is_sent(openbao: OpenBaoPlace, tmp_path: Path) -> None:
    certify(tmp_path)
    issuer = openbao.open(ca_file=str(tmp_path / "cert.pem"))
    record, raised = try_to_make(issuer, openbao.record())
    assert isinstance(raised, IntegrityError)
    assert settled(issuer, record)[0] is not Settlement.DONE


@pytest.mark.parametrize(
    ("template", "table", "words"),
    [
        ("none", {}, "no template"),
        ("reader", {"reader": {"path": "database/creds/reader"}}, "no `policies`"),
        ("reader", {"reader": {"path": "../sys/seal", "policies": ["reader"]}}, "not a valid path"),
        ("reader", {"reader": {"path": "a/b?list=true", "policies": ["reader"]}}, "not a valid path"),
        ("reader", {"reader": {"path": "a/b", "policies": ["reader"], "method": "DELETE"}}, "method"),
        (
            "reader",
            {"reader": {"path": "a/b", "policies": ["reader"], "parameters": {"x": ["{secret}"]}}},
            "unknown placeholder",
        ),
        (
            "reader",
            {"reader": {"path": "a/b", "policies": ["reader"], "parameters": {"x": "{"}}},
            "unknown placeholder",
        ),
    ],
)
def test_a_template_that_cannot_be_meant_makes_nothing(
    openbao: OpenBaoPlace, template: str, table: dict[str, Any], words: str
) -> None:
    issuer = openbao.open(templates=table)
    kept: list[str] = []
    with pytest.raises(ConfigurationError, match=words):
        issuer.mint(openbao.record(template=template), kept.append)
    assert not kept
    issuer.close()


def test_no_certificate_bears_the_name_of_an_agent_that_is_not_registered(openbao: OpenBaoPlace) -> None:
    """The caller chose that name; it must not gain the rights that the server's clients grant to the name."""
    issuer = openbao.open()
    kept: list[str] = []
    with pytest.raises(UsageError, match="is not registered"):
        issuer.mint(openbao.record(template="unleased", under_agent=False), kept.append)
    assert not kept
    issuer.close()


def test_a_certificate_bears_an_id_where_the_role_takes_what_is_no_host(openbao: OpenBaoPlace) -> None:
    parameters = {"common_name": "{id}.example", "ttl": "{ttl}s"}
    table = {**TEMPLATES["unleased"], "path": "pki/issue/any", "parameters": parameters}
    issuer = openbao.open(templates={"any": table})
    _, made = make(issuer, openbao.record(template="any", under_agent=False))
    assert "certificate" in made.secret.names
    issuer.close()


def test_what_the_server_does_not_have_is_a_matter_of_the_configuration(openbao: OpenBaoPlace) -> None:
    issuer = openbao.open(templates={"reader": {"path": "database/creds/absent", "policies": ["reader"]}})
    record, raised = try_to_make(issuer, openbao.record())
    assert isinstance(raised, JitidError)
    assert not isinstance(raised, StorageError)
    assert settled(issuer, record)[0] is Settlement.DONE
    issuer.close()
