"""Certificates that jitid encodes itself are compared byte by byte with those of `cryptography`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jitid.crypto import der
from jitid.crypto.x509 import key_usage, self_signed
from jitid.errors import ConfigurationError, IntegrityError
from jitid.issuers.issuer import Draft, Ids, Order
from jitid.issuers.x509_svid import X509SvidIssuer
from jitid.keys.keyring import Keyring, Signer
from jitid.values.ids import credential_id, identity_id
from jitid.values.names import spiffe_id

NOW = 1_795_521_600
LAST = 4_000_000_000


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Signer:
    """Return the key of an authority."""
    return Keyring(str(tmp_path_factory.mktemp("keys"))).create("ES256")


def moment(at: int) -> datetime:
    """Return a time in the form of the library."""
    return datetime.fromtimestamp(at, UTC)


def by_the_library(
    signer: Signer, authority: x509.Certificate, draft: Draft, ids: Ids, public: Any, names: list[str]
) -> bytes:
    """Return the signed part of the library's certificate."""
    key_id = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    uri = spiffe_id(draft.trust_domain, draft.agent, draft.task, ids.id, registered=False)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, ids.jti)]))
        .issuer_name(authority.subject)
        .public_key(public)
        .serial_number(int.from_bytes(bytes.fromhex(SERIALS[ids.jti]), "big"))
        .not_valid_before(moment(draft.issued_at - 60))
        .not_valid_after(moment(draft.expires_at - 1))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(key_usage(certificates=False), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
            critical=False,
        )
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(key_id), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(
            x509.SubjectAlternativeName(
                [x509.UniformResourceIdentifier(uri), *[x509.DNSName(name) for name in names]]
            ),
            critical=False,
        )
    )
    return builder.sign(signer.private, SHA256()).tbs_certificate_bytes


def text_of(key: Any) -> str:
    """Return a public key in a caller's form."""
    form = Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
    return str(key.public_key().public_bytes(*form).decode())


CALLERS: dict[str, str | None] = {
    "none": None,
    "ed25519": text_of(ed25519.Ed25519PrivateKey.generate()),
    "p256": text_of(ec.generate_private_key(ec.SECP256R1())),
    "p384": text_of(ec.generate_private_key(ec.SECP384R1())),
    "p521": text_of(ec.generate_private_key(ec.SECP521R1())),
    "rsa": text_of(rsa.generate_private_key(65537, 2048)),
}
"""The caller's key, or None if jitid generates a key pair."""

SERIALS: dict[str, str] = {}
"""The serial number of each jti, in hexadecimal."""


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    jti=st.binary(min_size=16, max_size=16).filter(any),
    expires=st.integers(NOW + 1, LAST),
    names=st.lists(st.sampled_from(["a.example", "*.b.example", "c" * 63 + ".example"]), max_size=20),
    agent=st.text("abc.:/@", min_size=1, max_size=128),
    theirs=st.sampled_from(list(CALLERS)),
)
def test_a_certificate_is_the_one_that_the_library_makes(
    signer: Signer, jti: bytes, expires: int, names: list[str], agent: str, theirs: str
) -> None:
    certificates = self_signed(signer.kid, signer.private, "a.test", NOW)
    authority = x509.load_der_x509_certificate(certificates)
    issuer = X509SvidIssuer(signer, certificates)
    # The authority's end must not limit the certificate in this test.
    issuer._authority = issuer._authority._replace(ends_at=LAST)
    draft = Draft(
        "urn:x", "a.test", "user:a", "asserted", (), agent, "T/1", None, "low", 0, (), ("urn:x",), None, NOW,
        expires, None, {"dns_names": names}, CALLERS[theirs],
    )  # fmt: skip
    ids = Ids(identity_id(b"\1" * 16), credential_id(jti))
    SERIALS[ids.jti] = jti.hex()
    ((secret, *_),) = issuer.mint([Order(draft, [ids])])
    made = x509.load_pem_x509_certificate(secret.reveal("certificate").encode())
    assert made.tbs_certificate_bytes == by_the_library(
        signer, authority, draft, ids, made.public_key(), names
    )
    made.verify_directly_issued_by(authority)
    if CALLERS[theirs] is not None:
        assert secret.names == ("certificate",)
        return
    key = load_pem_private_key(secret.reveal("key").encode(), None)
    assert key.public_key() == made.public_key()
    assert key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode() == secret.reveal(
        "key"
    )


@pytest.mark.parametrize(
    "name", ["", "UPPER.example", "a..b", "-a.example", "a b", "x" * 64, "*", "ä.example"]
)
def test_what_is_no_dns_name_is_refused(signer: Signer, name: str) -> None:
    draft = Draft(
        "urn:x", "a.test", "user:a", "asserted", (), "a", "T", None, "low", 0, (), ("urn:x",), None, NOW,
        NOW + 60, None, {"dns_names": [name]},
    )  # fmt: skip
    ids = Ids(identity_id(b"\1" * 16), credential_id(b"\1" * 16))
    with pytest.raises(ConfigurationError):
        X509SvidIssuer(signer, self_signed(signer.kid, signer.private, "a.test", NOW)).mint(
            [Order(draft, [ids])]
        )


@pytest.mark.parametrize("years", [1, 60])
@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1()])
def test_what_of_an_authority_stands_below_it(years: int, named: bool, curve: ec.EllipticCurve) -> None:
    key = ec.generate_private_key(curve)
    name = x509.Name(
        [
            x509.NameAttribute(x509.NameOID.COUNTRY_NAME, "DE"),
            x509.NameAttribute(x509.NameOID.COMMON_NAME, "Wurzel ß"),
        ]
    )
    end = moment(NOW) + timedelta(days=365 * years)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "above")]))
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(moment(NOW))
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    )
    key_id = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    if named:
        key_id = x509.SubjectKeyIdentifier(b"\5" * 20)
        builder = builder.add_extension(key_id, critical=False)
    certificate = builder.sign(key, SHA256()).public_bytes(Encoding.DER)
    assert der.authority(certificate) == (name.public_bytes(), key_id.digest, int(end.timestamp()))
    assert der.split(certificate * 3) == [certificate] * 3
    for cut in range(0, len(certificate), 7):
        with pytest.raises(IntegrityError):
            der.split(certificate + certificate[:cut] if cut else b"")


@given(st.binary(max_size=200))
def test_whatever_stands_in_the_place_of_an_authority_is_an_integrity_error_at_most(data: bytes) -> None:
    try:
        der.authority(data)
    except IntegrityError:
        return


@given(st.binary(min_size=1, max_size=300), st.sampled_from(["CERTIFICATE", "X509 CRL"]))
def test_what_is_written_as_text_is_read_again(data: bytes, label: str) -> None:
    text = der.to_pem(data, label)
    assert der.from_pem(text, label) == [data]
    assert der.from_pem(text * 2, label) == [data] * 2
    with pytest.raises(ValueError, match="not"):
        der.from_pem(text + "x", label)
