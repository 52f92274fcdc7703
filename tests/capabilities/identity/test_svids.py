"""SVIDs: verified as strictly as all credentials, and never accepted as another kind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jitid.capabilities.access.operations import Authenticate
from jitid.capabilities.decisions.operations import Explain
from jitid.capabilities.identity.operations import HandBack
from jitid.capabilities.inventory.operations import Inspect, Revoke
from jitid.capabilities.issue.operations import Attach, Issue, Renew
from jitid.capabilities.issue.token_operations import Exchange, Introspect
from jitid.capabilities.leak.operations import Trace
from jitid.capabilities.trust.operations import (
    ImportAuthority,
    ListKeys,
    RequestAuthority,
    RevokeKey,
    RotateKey,
)
from jitid.capabilities.use.authorization import UseRequest, check_action
from jitid.capabilities.use.operations import Authorize
from jitid.crypto.der import from_pem, split, to_pem
from jitid.crypto.x509 import self_signed
from jitid.errors import (
    IntegrityError,
    InvalidCredentialError,
    JitidError,
    NotFoundError,
    UsageError,
)
from jitid.issuers.issuer import Ids, Order
from jitid.issuers.x509_svid import X509SvidIssuer
from jitid.keys.keyring import Keyring, Signer
from jitid.model.ledger_rows import Selection, SigningKey
from jitid.model.request import AttachRequest, RenewRequest
from jitid.operation.base import Operation
from jitid.search.find import Finds
from jitid.search.pasted import search_pasted
from jitid.search.strings import search
from jitid.values import strict_json
from jitid.values.ids import credential_id
from jitid.values.names import spiffe_id
from jitid.values.secret import Secret
from tests.builders import NAMES, Made, World, edit, request
from tests.capabilities.identity.test_validity import refused
from tests.crypto.signed import encode
from tests.offlineroot import certified

KINDS = ("jwt-svid", "x509-svid")


def loaded(made: Made) -> x509.Certificate:
    """Return the issued certificate."""
    return x509.load_pem_x509_certificate(made.token.encode())


def key_of(world: World, use: str) -> SigningKey:
    """Return the latest key for a use."""
    return [row.key for row in world.authority.perform(ListKeys()) if row.key.use == use][-1]


def signer_of(world: World, use: str) -> Signer:
    """Return the signer of that key, as a thief would have it."""
    key = key_of(world, use)
    return Keyring(str(world.path / "keys")).load(key.kid, key.algorithm, key.public)


@pytest.mark.parametrize("kind", KINDS)
def test_an_svid_verifies_until_it_expires_or_is_revoked(world: World, kind: str) -> None:
    kept, ended = world.issue(kind=kind), world.issue(kind=kind)
    assert world.verify(kept.token).jti == kept.jti
    world.revoke(ended.jti)
    assert "revoked" in refused(world, ended.token)
    world.clock.now += 900
    assert "expired" in refused(world, kept.token)
    world.check()


@pytest.mark.parametrize("kind", KINDS)
def test_what_descends_from_a_revoked_identity_is_refused(world: World, kind: str) -> None:
    parent = world.issue(may_kind=(kind,))
    child = world.issue(parent=parent.token, agent="child", kind=kind)
    world.verify(child.token)
    world.revoke(parent.id)
    assert "revoked" in refused(world, child.token)


def test_a_jwt_svid_says_who_acts_and_nothing_else(world: World) -> None:
    made = world.issue(kind="jwt-svid", audiences=("urn:cloud",), purpose="to look")
    header, payload, _ = made.token.split(".")
    assert json.loads(strict_json.b64url_decode(header)).keys() == {"alg", "kid", "typ"}
    assert json.loads(strict_json.b64url_decode(header))["typ"] == "JWT"
    assert json.loads(strict_json.b64url_decode(payload)) == {
        "jti": made.jti,
        "iss": NAMES.issuer,
        "sub": spiffe_id(NAMES.trust_domain, "planner", "T1", made.id, registered=False),
        "aud": "urn:cloud",
        "exp": world.clock.now + 900,
        "iat": world.clock.now,
    }
    assert "audience" in refused(world, made.token)
    world.verify(made.token, "urn:cloud")


def retyped(world: World, made: Made, typ: str, claims: dict[str, Any] | None = None) -> str:
    """Return a token with another type or other claims, as a thief of its signing key could make it."""
    header, payload, _ = made.token.split(".")
    kid = json.loads(strict_json.b64url_decode(header))["kid"]
    (key,) = [row.key for row in world.authority.perform(ListKeys()) if row.key.kid == kid]
    signer = Keyring(str(world.path / "keys")).load(kid, key.algorithm, key.public)
    body = strict_json.b64url_decode(payload) if claims is None else json.dumps(claims).encode()
    head = json.dumps({"alg": signer.algorithm, "kid": kid, "typ": typ})
    text = f"{encode(head.encode())}.{encode(body)}"
    return f"{text}.{encode(signer.sign(text.encode()))}"


@pytest.mark.parametrize(("kind", "typ"), [("jwt", "JWT"), ("jwt-svid", "at+jwt")])
def test_an_access_token_is_no_jwt_svid_and_a_jwt_svid_no_access_token(
    world: World, kind: str, typ: str
) -> None:
    """This holds even for a thief of the key, and after an edit that adapts the row."""
    made = world.issue(kind=kind)
    token = retyped(world, made, typ)
    assert "differs from the recorded one" in refused(world, token)
    edit(world.path, f"UPDATE credential SET fingerprint = x'{_print(token)}'")
    assert "row differs from the signed" in refused(world, token)
    other = "jwt-svid" if kind == "jwt" else "jwt"
    edit(world.path, f"UPDATE credential SET kind = '{other}'")
    assert "row differs from the signed" in refused(world, token)


def _print(token: str) -> str:
    from jitid.values.secret import fingerprint

    return fingerprint(token).hex()


@pytest.mark.parametrize("kind", ["jwt-svid", "x509-svid", "ssh-cert"])
def test_what_proves_an_identity_carries_no_scope(world: World, kind: str) -> None:
    with pytest.raises(UsageError, match="cannot have scopes"):
        world.issue(kind=kind, scopes=["db:read"])


def test_a_jwt_svid_is_verified_as_an_identity_and_gives_no_right(world: World) -> None:
    """An older JWT-SVID gives no right either, though its row contains scopes."""
    made = world.issue(kind="jwt-svid")
    edit(world.path, "UPDATE credential SET scopes = 'db:read'")
    assert world.verify(made.token).scopes == ()
    token = Secret.single(made.token)
    operations: tuple[Operation[Any], ...] = (
        Issue(requests=(request(parent=made.token),)),
        Renew(request=RenewRequest(token)),
        Attach(request=AttachRequest(token, "opaque", audiences=("urn:a",))),
        HandBack(token=token, id=made.id),
        Introspect(token=token),
    )
    for operation in operations:
        with pytest.raises(InvalidCredentialError, match="grants no right"):
            world.authority.perform(operation)
    (verdict,) = world.authority.perform(
        Authorize(asked=(UseRequest(token, check_action("db:read"), "x"),))
    ).verdicts
    assert (verdict.allowed, verdict.reason) == (
        False,
        "a JWT-SVID proves an identity only: it grants no right",
    )
    assert world.authority.perform(Revoke(selection=Selection(), tokens=(token,), most=None)).credentials == 1


def test_a_certificate_names_the_agent_on_its_task_and_nothing_else(world: World) -> None:
    made = world.issue(kind="x509-svid", agent="team/planner@1", task="INC-4821")
    certificate = loaded(made)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [name.value for name in names] == [
        spiffe_id(NAMES.trust_domain, "team/planner@1", "INC-4821", made.id, registered=False)
    ]
    assert credential_id(certificate.serial_number.to_bytes(16, "big")) == made.jti
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical
    assert usage.value.digital_signature
    assert not usage.value.key_cert_sign
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_the_last_second_of_a_certificate_is_before_its_expiry(world: World) -> None:
    certificate = loaded(world.issue(kind="x509-svid", ttl=300))
    assert int(certificate.not_valid_after_utc.timestamp()) == world.clock.now + 299
    assert int(certificate.not_valid_before_utc.timestamp()) == world.clock.now - 60


def test_the_private_key_is_that_of_the_certificate(world: World) -> None:
    (one,) = world.issue(kind="x509-svid").issued.credentials
    assert one.secret.names == ("certificate", "key")
    key = load_pem_private_key(one.secret.reveal("key").encode(), None)
    certificate = x509.load_pem_x509_certificate(one.secret.reveal("certificate").encode())
    assert key.public_key() == certificate.public_key()


def public_pem(key: Any) -> str:
    """Return the public half of a caller's key."""
    return str(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode())


def request_pem(key: Any) -> str:
    """Return a certificate request for rights that no caller gets."""
    builder = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "root.example")]))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("root.example")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    )
    return builder.sign(key, SHA256()).public_bytes(Encoding.PEM).decode()


@pytest.mark.parametrize("write", [public_pem, request_pem])
def test_a_callers_key_is_certified_and_nothing_that_was_asked_for_besides(world: World, write: Any) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    made = world.issue(kind="x509-svid", public_key=write(key))
    (one,) = made.issued.credentials
    assert one.secret.names == ("certificate",)
    certificate = loaded(made)
    assert certificate.public_key() == key.public_key()
    assert "root.example" not in certificate.subject.rfc4514_string()
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == []
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    world.verify(made.token)


def damaged_request() -> str:
    """Return a certificate request with another public key than its signature requires."""
    one, other = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    der = from_pem(request_pem(one), "CERTIFICATE REQUEST")[0]
    mine, its = (
        key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint) for key in (one, other)
    )
    return to_pem(der.replace(mine, its), "CERTIFICATE REQUEST")


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda: public_pem(rsa.generate_private_key(65537, 1024)), "weak"),
        (lambda: public_pem(ec.generate_private_key(ec.SECP192R1())), "weak"),
        (lambda: public_pem(ec.generate_private_key(ec.SECP256K1())), "weak"),
        (damaged_request, "not signed"),
        (lambda: "ssh-ed25519 AAAA", "PEM"),
        (lambda: "", "PEM"),
        (lambda: public_pem(ed25519.Ed25519PrivateKey.generate()) * 2, "PEM"),
        (lambda: "-----BEGIN PUBLIC KEY-----\n" + "A" * 20_000, "characters"),
    ],
)
def test_what_is_no_key_to_be_certified_is_refused(world: World, make: Any, word: str) -> None:
    with pytest.raises(UsageError) as caught:
        world.issue(kind="x509-svid", public_key=make())
    assert word in f"{caught.value.message} {caught.value.hint}"


def test_a_certificate_that_is_merely_shown_gives_no_right(world: World) -> None:
    made = world.issue(kind="x509-svid")
    token = Secret.single(made.token)
    operations: tuple[Operation[Any], ...] = (
        Renew(request=RenewRequest(token)),
        HandBack(token=token, id=made.id),
        Authenticate(bearer=token),
        Exchange(request=request(task=None, delegator=None), subject=token),
        Introspect(token=token),
        Revoke(selection=Selection(), tokens=(token,), most=None),
    )
    for operation in operations:
        with pytest.raises(JitidError) as caught:
            world.authority.perform(operation)
        assert not isinstance(caught.value, IntegrityError)
    with pytest.raises(InvalidCredentialError, match="a certificate is public"):
        world.issue(parent=made.token, agent="child")
    world.verify(made.token)


def test_whoever_holds_a_certificate_may_be_told_what_it_is(world: World) -> None:
    made = world.issue(kind="x509-svid")
    told = world.authority.perform(Inspect(token=Secret.single(made.token)))
    assert told.credential.jti == made.jti
    assert told.active
    explained = world.authority.perform(Explain(token=Secret.single(made.token)))
    assert explained.credential is not None
    assert explained.credential.jti == made.jti


def forged(world: World, signer: Signer, certificates: bytes, made: Made, **changes: Any) -> str:
    """Return a certificate with the names of an issued one, signed by any signer."""
    from jitid.capabilities.issue.plan import plan

    with world.ledger.read() as snapshot:
        draft = plan(snapshot, NAMES, request(kind="x509-svid"), world.terms).draft
    ((secret, *_),) = X509SvidIssuer(signer, certificates).mint(
        [Order(draft._replace(**changes), [Ids(made.id, made.jti)])]
    )
    return secret.reveal("certificate")


def test_a_forged_certificate_is_refused(world: World) -> None:
    made = world.issue(kind="x509-svid")
    thief = Keyring(str(world.path)).create("ES256")
    theirs = self_signed(thief.kid, thief.private, NAMES.trust_domain, world.clock.now)
    assert "not signed" in refused(world, forged(world, thief, theirs, made))


def test_a_stolen_authority_cannot_widen_or_repeat_what_the_ledger_has(world: World) -> None:
    made = world.issue(kind="x509-svid")
    certificates = key_of(world, "x509").certificates
    assert certificates
    signer = signer_of(world, "x509")
    longer = forged(world, signer, certificates, made, expires_at=world.clock.now + 86_400)
    assert "differs from the recorded one" in refused(world, longer)
    assert "differs from the recorded one" in refused(world, forged(world, signer, certificates, made))
    unknown = made._replace(jti=credential_id(b"\1" * 16))
    assert "does not know" in refused(world, forged(world, signer, certificates, unknown))


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE credential SET expires_at = expires_at + 3600",
        "UPDATE credential SET issued_at = issued_at - 1",
        "INSERT INTO term VALUES (99, 'another'); UPDATE identity SET agent = 99",
        "UPDATE task SET name = 'T2'",
    ],
)
def test_a_row_that_is_not_what_was_certified_is_found(world: World, change: str) -> None:
    made = world.issue(kind="x509-svid")
    for statement in change.split("; "):
        edit(world.path, statement)
    assert "row differs from the signed" in refused(world, made.token)


def _spoilt(pem: str) -> list[str]:
    lines = pem.strip().split("\n")
    body = "".join(lines[1:-1])
    head, tail = lines[0], lines[-1]
    return [
        "\n".join([head, body[:-4] + "AAA=", tail]),
        "\n".join([head, body + "AAAA", tail]),
        "\n".join([head, body]),
        "\n".join([head, tail]),
        "\n".join([head, "!", tail]),
        pem + "more",
        pem + "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        pem * 9,
        head * 1000,
        head + "A" * 20_000,
        "\n".join([head, "é" * 40, tail]),
        to_pem(b"0\x82\x00\x01\x00"),
        to_pem(b"0\x84\xff\xff\xff\xff"),
    ]


@pytest.mark.parametrize("position", range(13))
def test_what_is_no_certificate_of_ours_is_refused_without_being_echoed(world: World, position: int) -> None:
    refused(world, _spoilt(world.issue(kind="x509-svid").token)[position])


def test_a_certificate_is_known_in_lines_of_any_length_and_with_those_above_it(world: World) -> None:
    made = world.issue(kind="x509-svid")
    der = from_pem(made.token)[0]
    body = "".join(made.token.split("\n")[1:-2])
    assert world.verify(f"-----BEGIN CERTIFICATE-----\r\n{body}\r\n-----END CERTIFICATE-----").jti == made.jti
    certificates = key_of(world, "x509").certificates
    assert certificates
    assert world.verify(to_pem(der) + to_pem(split(certificates)[0])).jti == made.jti


def test_revoking_the_authority_ends_all_that_it_certified(world: World) -> None:
    made, token = world.issue(kind="x509-svid"), world.issue()
    change = world.authority.perform(RevokeKey(kid=key_of(world, "x509").kid, most=None))
    assert "revoked" in refused(world, made.token)
    world.verify(token.token)
    assert world.verify(world.issue(kind="x509-svid").token).signed_by == change.successor
    world.check()


def test_a_retired_authority_vouches_for_what_it_certified_and_keeps_its_key_that_long(world: World) -> None:
    made = world.issue(kind="x509-svid")
    old = key_of(world, "x509").kid
    change = world.authority.perform(RotateKey(algorithm="ES256", use="x509"))
    assert world.verify(made.token).signed_by == old
    assert world.verify(world.issue(kind="x509-svid").token).signed_by == change.kid
    # The old key still signs the revocation list of its certificates.
    assert (world.path / "keys" / old).exists()
    world.clock.now += 900
    world.authority.perform(RotateKey(algorithm="EdDSA"))
    assert not (world.path / "keys" / old).exists()
    world.check()


def test_no_authority_is_made_in_place_of_one_that_is_gone(world: World) -> None:
    world.issue(kind="x509-svid")
    edit(world.path, "UPDATE signing_key SET retired_at = 1 WHERE use = 'x509'")
    with pytest.raises(IntegrityError, match=r"no active X\.509 authority"):
        world.issue(kind="x509-svid")


def test_no_certificate_outlives_its_authority(world: World) -> None:
    world.issue(kind="x509-svid")
    key = key_of(world, "x509")
    signer = signer_of(world, "x509")
    early = self_signed(signer.kid, signer.private, NAMES.trust_domain, world.clock.now - 86_400 * 3653)
    edit(world.path, f"UPDATE signing_key SET certificates = x'{early.hex()}' WHERE kid = '{key.kid}'")
    with pytest.raises(IntegrityError, match="expires before the credential would"):
        world.issue(kind="x509-svid")


@pytest.mark.parametrize(
    "write",
    [
        str,
        json.dumps,
        lambda pem: pem.replace("\n", "\r\n"),
        lambda pem: "".join(f"> {line}\n" for line in pem.splitlines()),
        lambda pem: f"some text\n{pem}{pem}and more",
    ],
)
@pytest.mark.parametrize("look", ["pasted", "large"])
def test_a_certificate_is_traced_to_its_agent(world: World, write: Any, look: str) -> None:
    made = world.issue(kind="x509-svid")
    data = write(made.token).encode()
    finds = search_pasted(data) if look == "pasted" else Finds()
    if look == "large":
        search(data, 0, len(data), finds)
    (found,) = world.authority.perform(Trace(finds=finds)).matches
    assert found.credential.jti == made.jti
    assert (found.evidence.match, found.evidence.proof) == ("fingerprint", "fingerprint")


def test_a_certificate_in_der_is_traced_and_a_foreign_one_is_not(world: World) -> None:
    made = world.issue(kind="x509-svid")
    (found,) = world.authority.perform(Trace(finds=search_pasted(from_pem(made.token)[0]))).matches
    assert found.credential.jti == made.jti
    thief = Keyring(str(world.path)).create("ES256")
    foreign = to_pem(self_signed(thief.kid, thief.private, "a.test", world.clock.now)).encode()
    assert not world.authority.perform(Trace(finds=search_pasted(foreign))).matches


def test_where_a_root_is_waited_for_no_other_authority_is_made(world: World) -> None:
    asked = world.authority.perform(RequestAuthority())
    with pytest.raises(IntegrityError, match=r"no active X\.509 authority"):
        world.issue(kind="x509-svid")
    world.authority.perform(ImportAuthority(chain=certified(asked.request, world.clock.now)))
    made = world.issue(kind="x509-svid")
    assert world.verify(made.token).signed_by == asked.kid
    # The operator has to act on the end of a certified authority: jitid does not create a root to replace it.
    change = world.authority.perform(RevokeKey(kid=asked.kid, most=None))
    assert change.successor is None
    with pytest.raises(IntegrityError, match=r"no active X\.509 authority"):
        world.issue(kind="x509-svid")
    world.check()


@pytest.mark.filterwarnings("error")
def test_a_name_that_cannot_be_written_makes_no_authority(world: World) -> None:
    """The library raises a separate type of error for a name that is a bit string."""
    asked = world.authority.perform(RequestAuthority())
    own, root = from_pem(certified(asked.request, world.clock.now))
    name = b"\x05jitid"
    changed = own.replace(b"\x0c" + name, b"\x03" + name)
    assert changed != own
    with pytest.raises(UsageError, match="has an invalid certificate"):
        world.authority.perform(ImportAuthority(chain="".join(map(to_pem, (changed, root)))))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None)
@given(
    at=st.floats(0, 1, exclude_max=True),
    gone=st.integers(0, 4),
    put=st.binary(max_size=3),
)
def test_whatever_was_changed_in_a_certificate_is_refused_in_one_way(
    world: World, at: float, gone: int, put: bytes
) -> None:
    """The library raises errors and warnings of several types for certificates that it cannot read."""
    der = from_pem(_kept(world))[0]
    start = int(at * len(der))
    changed = der[:start] + put + der[start + gone :]
    if changed != der:
        refused(world, to_pem(changed))


def _kept(world: World) -> str:
    """Return the certificate of this world; the first call issues it."""
    if world.path not in _KEPT:
        _KEPT[world.path] = world.issue(kind="x509-svid").token
    return _KEPT[world.path]


_KEPT: dict[Path, str] = {}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None)
@given(
    which=st.sampled_from(["own", "root"]),
    at=st.floats(0, 1, exclude_max=True),
    gone=st.integers(0, 4),
    put=st.binary(max_size=3),
)
def test_whatever_was_changed_in_a_chain_makes_no_authority(
    world: World, which: str, at: float, gone: int, put: bytes
) -> None:
    asked = world.authority.perform(RequestAuthority())
    own, root = from_pem(certified(asked.request, world.clock.now))
    der = own if which == "own" else root
    start = int(at * len(der))
    changed = der[:start] + put + der[start + gone :]
    if changed == der:
        return
    pair = (changed, root) if which == "own" else (own, changed)
    with pytest.raises((UsageError, NotFoundError)):
        world.authority.perform(ImportAuthority(chain="".join(map(to_pem, pair))))
