"""The X.509 authority of a ledger: its root, the trust bundle for verifiers, and the revocation lists."""

from __future__ import annotations

import warnings
from base64 import b64encode
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.utils import CryptographyDeprecationWarning

from jitid.capabilities.trust import rotation
from jitid.capabilities.trust.signing import key_facts, machine_for
from jitid.crypto import jws
from jitid.crypto.der import from_pem, split
from jitid.crypto.x509 import UNREADABLE, check_chain, ends_at, request
from jitid.errors import NotFoundError, UsageError
from jitid.keys.keyring import Keyring
from jitid.ledger.signing_keys import KeyChanges, KeyStore
from jitid.model.ledger_rows import Names, SigningKey, WithdrawnCredential
from jitid.values import strict_json
from jitid.values.record import Record

if TYPE_CHECKING:
    from jitid.ledger.transaction import Transaction
    from jitid.ledger.view import View

REFRESH = 300
"""Seconds after which a verifier should fetch the bundle again: a new authority signs at once."""
LIFETIME = 86_400
"""Default seconds for which a revocation list is valid."""

_EVENTS = 10**8
"""The factor of the time in a list's number: with ten digits of time it has eighteen, the maximum in jitid's JSON."""
_REASONS = {
    "retired": x509.ReasonFlags.cessation_of_operation,
    "superseded": x509.ReasonFlags.superseded,
}
"""Why a certificate is on the list (RFC 5280, section 5.3.1); a revoked certificate has no reason there."""


class Requested(Record):
    """A key that waits for the certificate of an authority."""

    kid: str
    request: str
    """PKCS#10, as text."""
    event: int | None
    """None if the key waited already."""


JWT_USE = "jwt-svid"
"""The use of a key in a bundle that signs JWT-SVIDs (SPIFFE Trust Domain and Bundle, section 4.2.2)."""


class Imported(Record):
    """A key that is an authority under a root from now on."""

    kid: str
    retired: tuple[str, ...]
    """The keys of the authorities that certified until now."""
    expires_at: int
    """When the first of the certificates expires; seconds since the epoch."""
    event: int


class Bundle(Record):
    """The trust data for verifiers: the SPIFFE bundle of the ledger's trust domain."""

    trust_domain: str
    document: dict[str, Any]
    """The bundle in the form of SPIFFE (SPIFFE Trust Domain and Bundle, section 4)."""
    roots: tuple[bytes, ...]
    """The same roots in DER."""

    @property
    def for_tokens(self) -> dict[str, Any]:
        """The same document with only the keys for JWT-SVIDs.

        Roots have no `kid`, and libraries that read a JWT bundle require one for each key (SPIFFE Workload API,
        section 6.2.2; RFC 7517).
        """
        keys = [key for key in self.document["keys"] if key["use"] == JWT_USE]
        return {**self.document, "keys": keys}


class RevocationList(Record):
    """A certificate revocation list (RFC 5280, section 5). Times are seconds since the epoch."""

    kid: str
    """The authority that signed it."""
    number: int
    revoked: int
    """The number of certificates on it."""
    this_update: int
    next_update: int
    der: bytes


def request_certificate(transaction: Transaction, names: Names, keyring: Keyring) -> Requested:
    """Make a key, if none waits already, and return the request for its certificate as an authority.

    The present authority stays in use until the certificate is imported.

    Raises:
        IntegrityError: the keys of another ledger are there; nothing was changed.
        StorageError: the key cannot be written; nothing was changed.

    """
    for key in KeyStore(transaction).signing_keys():
        waits = key.use == "x509" and key.certificates is None and key.retired_at is None
        if waits and keyring.holds(key.kid):
            signer = keyring.load(key.kid, key.algorithm, key.public, key.use)
            return Requested(key.kid, request(signer.kid, signer.private, names.trust_domain), None)
    keyring.must_be_for({key.kid for key in KeyStore(transaction).signing_keys()})
    signer = keyring.create("ES256")
    key = KeyChanges(transaction).add_key(
        signer.kid, signer.algorithm, signer.public, "x509", machine=machine_for(transaction, keyring, signer)
    )
    event = transaction.append("key-create", key_facts(key))
    return Requested(key.kid, request(signer.kid, signer.private, names.trust_domain), event.seq)


def import_certificate(transaction: Transaction, keyring: Keyring, pem: str) -> Imported:
    """Make the key of the first certificate an authority; retire the keys that certified until now.

    Raises:
        NotFoundError: no key of this ledger waits for the certificate, or certifies with an earlier one.
        UsageError: the certificates do not make the key an authority.

    """
    try:
        chain = from_pem(pem)
    except ValueError:
        raise UsageError(
            "expected only certificates in PEM; nothing was changed",
            "order: the key's certificate, the intermediates, the root",
        ) from None
    live = [
        key
        for key in KeyStore(transaction).signing_keys()
        if key.use == "x509" and key.retired_at is None and key.revoked_at is None
    ]
    key = next((key for key in live if _is_for(chain[0], key)), None)
    if key is None:
        raise NotFoundError(
            "no waiting key of this ledger matches the first certificate; nothing was changed",
            "to make a key and a request: jitid keys ca request",
        )
    check_chain(chain, key.public, transaction.now)
    certificates = b"".join(chain)
    KeyChanges(transaction).certify_key(key.key, certificates)
    retired = []
    for other in live:
        if other.key != key.key and other.signs and keyring.holds(other.kid):
            KeyChanges(transaction).end_key(other.key, revoked=False)
            retired.append(other.kid)
    event = transaction.append(
        "key-certify", {**key_facts(key._replace(certificates=certificates)), "retired": retired or None}
    )
    return Imported(key.kid, tuple(retired), ends_at(chain), event.seq)


def _is_for(der: bytes, key: SigningKey) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", CryptographyDeprecationWarning)
            public = x509.load_der_x509_certificate(der).public_key()
    except UNREADABLE:
        raise UsageError("the file has an unreadable certificate; nothing was changed") from None
    return (
        isinstance(public, ec.EllipticCurvePublicKey)
        and isinstance(public.curve, ec.SECP256R1)
        and public == ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), key.public)
    )


def bundle(snapshot: View, names: Names) -> Bundle:
    """Return the trust bundle: the roots of all authorities, and the keys for JWT-SVIDs, that may be needed.

    A rotated authority stays until no certificate by it can be live; a revoked authority is removed.
    """
    store = KeyStore(snapshot)
    keys = store.signing_keys()
    trusted = [key for key in keys if key.certificates is not None and store.is_needed(key)]
    roots = dict.fromkeys(split(key.certificates or b"")[-1] for key in trusted)
    token_keys = [
        jws.public_jwk(key.algorithm, key.public, key.kid) | {"use": JWT_USE}
        for key in keys
        if key.use == "jws" and key.algorithm in jws.SVID_ALGORITHMS and store.is_needed(key)
    ]
    published = {key.kid for key in trusted} | {jwk["kid"] for jwk in token_keys}
    # A key is added once, certified once and removed once: each change of the bundle increases this number.
    sequence = sum(
        1 + (key.certificates is not None) + (key.kid not in published)
        for key in keys
        if key.use == "x509" or (key.use == "jws" and key.algorithm in jws.SVID_ALGORITHMS)
    )
    document = {
        "keys": [*map(_root_jwk, roots), *token_keys],
        "spiffe_sequence": sequence,
        "spiffe_refresh_hint": REFRESH,
    }
    return Bundle(names.trust_domain, document, tuple(roots))


def _root_jwk(der: bytes) -> dict[str, Any]:
    """Return a root as SPIFFE has it: a key with its certificate (X509-SVID, section 6.1)."""
    public = x509.load_der_x509_certificate(der).public_key()
    members: Mapping[str, str]
    if isinstance(public, ec.EllipticCurvePublicKey):
        numbers = public.public_numbers()
        size = (public.curve.key_size + 7) // 8
        members = {
            "kty": "EC",
            "crv": f"P-{public.curve.key_size}",
            "x": strict_json.b64url(numbers.x.to_bytes(size, "big")),
            "y": strict_json.b64url(numbers.y.to_bytes(size, "big")),
        }
    elif isinstance(public, rsa.RSAPublicKey):
        rsa_numbers = public.public_numbers()
        members = {
            "kty": "RSA",
            "n": strict_json.b64url(rsa_numbers.n.to_bytes((rsa_numbers.n.bit_length() + 7) // 8, "big")),
            "e": strict_json.b64url(rsa_numbers.e.to_bytes((rsa_numbers.e.bit_length() + 7) // 8, "big")),
        }
    else:
        raise UsageError(
            "a root has a key type that SPIFFE bundles do not allow", "use a root with an ECDSA or RSA key"
        )
    return {**members, "use": "x509-svid", "x5c": [b64encode(der).decode("ascii")]}


def revocation_lists(snapshot: View, keyring: Keyring, lifetime: int = LIFETIME) -> list[RevocationList]:
    """Return a revocation list of each authority whose certificates may be live, the latest authority first.

    Authorities with keys on other machines are left out.

    Raises:
        IntegrityError: a key is missing or damaged.

    """
    return [
        _listed(snapshot, keyring, key, lifetime)
        for key in reversed(KeyStore(snapshot).signing_keys())
        if rotation.signs_revocation_list(snapshot, key) and keyring.holds(key.kid)
    ]


def _listed(snapshot: View, keyring: Keyring, key: SigningKey, lifetime: int) -> RevocationList:
    signer = keyring.load(key.kid, key.algorithm, key.public, key.use)
    authority = x509.load_der_x509_certificate(split(key.certificates or b"")[0])
    withdrawn = KeyStore(snapshot).withdrawn_by(key.key)
    now = snapshot.now
    # The number grows with time, and within a second with the audit log (RFC 5280, section 5.2.3).
    number = now * _EVENTS + snapshot.head().seq % _EVENTS
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority.subject)
        .last_update(_moment(now))
        .next_update(_moment(now + lifetime))
        .add_extension(x509.CRLNumber(number), critical=False)
        .add_extension(_key_id(authority), critical=False)
    )
    for credential in withdrawn:
        builder = builder.add_revoked_certificate(_entry(credential))
    der = builder.sign(signer.private, SHA256()).public_bytes(Encoding.DER)
    return RevocationList(key.kid, number, len(withdrawn), now, now + lifetime, der)


def _entry(credential: WithdrawnCredential) -> x509.RevokedCertificate:
    builder = (
        x509.RevokedCertificateBuilder()
        .serial_number(int.from_bytes(credential.jti, "big"))
        .revocation_date(_moment(credential.ended_at))
    )
    reason = _REASONS.get(credential.ended_as)
    if reason is not None:
        builder = builder.add_extension(x509.CRLReason(reason), critical=False)
    return builder.build()


def _key_id(authority: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    try:
        identifier = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        identifier = x509.SubjectKeyIdentifier.from_public_key(authority.public_key())
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)


def _moment(timestamp: int) -> datetime:
    return datetime.fromtimestamp(timestamp, UTC)
