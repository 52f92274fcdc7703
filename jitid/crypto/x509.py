"""X.509 certificates by `cryptography`: certificates that callers present, chains, and an authority's own certificate.

`jitid issue` does not load this module, except to make an authority: see `x509_form`.

And the comparison of certificate revocation lists (RFC 5280, section 5).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509.oid import NameOID

from jitid.crypto.der import INTEGER, SIGNATURE, TOLERANCE, VERSION_3, from_pem, parts
from jitid.errors import InvalidCredentialError, UsageError
from jitid.redaction.token_format import MAX_TOKEN
from jitid.values.ids import credential_id
from jitid.values.record import Record
from jitid.values.text import quote
from jitid.values.times import format_time

AUTHORITY_YEARS = 10
"""The validity of an authority's own certificate, in years; in practice, rotation ends it."""

UNREADABLE = (
    ValueError,
    CryptographyDeprecationWarning,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.ExtensionNotFound,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
"""The errors of the library for a certificate that it cannot read."""

_JTI_BYTES = 16


class PresentedCertificate(Record):
    """A parsed certificate that a caller presents; its contents are untrusted until the signature is verified."""

    jti: str
    uri: str
    """Its only URI, a SPIFFE id."""
    not_before: int
    not_after: int
    """The last second at which it is valid."""
    fingerprint: bytes
    """SHA-256 of its DER."""
    signed: bytes
    """The signed bytes (RFC 5280, section 4.1.1.1)."""
    signature: bytes


def parse(text: str) -> PresentedCertificate:
    """Return a parsed certificate from PEM, with or without its chain, if it has the form of jitid's certificates.

    Raises InvalidCredentialError, which never repeats any of it.
    """
    if len(text) > MAX_TOKEN or not text.isascii():
        raise InvalidCredentialError(f"not a certificate: expected PEM of at most {MAX_TOKEN} bytes")
    try:
        der = from_pem(text)[0]
        _must_have_jitid_form(der)
        certificate = x509.load_der_x509_certificate(der)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        uris = names.get_values_for_type(x509.UniformResourceIdentifier)
        algorithm = certificate.signature_algorithm_oid
        serial = certificate.serial_number
    except UNREADABLE:
        raise InvalidCredentialError("the certificate is damaged, or was not issued by jitid") from None
    if (
        len(uris) != 1
        or algorithm != x509.SignatureAlgorithmOID.ECDSA_WITH_SHA256
        or not 0 < serial < 1 << 8 * _JTI_BYTES
    ):
        raise InvalidCredentialError("the certificate was not issued by jitid")
    return PresentedCertificate(
        credential_id(serial.to_bytes(_JTI_BYTES, "big")),
        uris[0],
        int(certificate.not_valid_before_utc.timestamp()),
        int(certificate.not_valid_after_utc.timestamp()),
        sha256(der).digest(),
        certificate.tbs_certificate_bytes,
        certificate.signature,
    )


def _must_have_jitid_form(der: bytes) -> None:
    """Refuse certificates that the library reads with a warning or in its own interpretation. Raises ValueError."""
    ((_, body, _),) = parts(der)
    (_, signed, _), (_, _, algorithm), _ = parts(body)
    (_, _, version), (tag, serial, _), (_, _, inner), *_ = parts(signed)
    if version != VERSION_3 or inner != SIGNATURE or algorithm != SIGNATURE:
        raise ValueError("not ours")
    if tag != INTEGER or not serial or serial[0] & 0x80:
        raise ValueError("not positive")


def is_signed_by(presented: PresentedCertificate, public: bytes) -> bool:
    """Return whether a key of jitid, an uncompressed point of P-256, signed a certificate."""
    key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), public)
    try:
        key.verify(presented.signature, presented.signed, ec.ECDSA(SHA256()))
    except InvalidSignature:
        return False
    return True


def authority_name(kid: str) -> x509.Name:
    """Return the name of an authority. Each key has a separate name, which leads to its revocation list."""
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "jitid"),
            x509.NameAttribute(NameOID.COMMON_NAME, f"jitid {kid}"),
        ]
    )


def self_signed(kid: str, private: ec.EllipticCurvePrivateKey, trust_domain: str, now: int) -> bytes:
    """Return the certificate of an authority that is its own root (X509-SVID, section 3; RFC 5280, section 4.2)."""
    start = datetime.fromtimestamp(now, UTC)
    public = private.public_key()
    name = authority_name(kid)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start - timedelta(seconds=TOLERANCE))
        .not_valid_after(start.replace(year=start.year + AUTHORITY_YEARS, day=min(start.day, 28)))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )
    for extension, critical in _of_authority(trust_domain):
        builder = builder.add_extension(extension, critical)
    return builder.sign(private, SHA256()).public_bytes(Encoding.DER)


def request(kid: str, private: ec.EllipticCurvePrivateKey, trust_domain: str) -> str:
    """Return a request, as text, for a certificate that makes the key an authority under a root (RFC 2986)."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(authority_name(kid))
    for extension, critical in _of_authority(trust_domain):
        builder = builder.add_extension(extension, critical)
    return builder.sign(private, SHA256()).public_bytes(Encoding.PEM).decode("ascii")


def _of_authority(trust_domain: str) -> Iterable[tuple[x509.ExtensionType, bool]]:
    # An authority signs credentials and their revocation list, but no other authority.
    yield x509.BasicConstraints(ca=True, path_length=0), True
    yield key_usage(certificates=True), True
    yield (
        x509.SubjectAlternativeName([x509.UniformResourceIdentifier(f"spiffe://{trust_domain}")]),
        False,
    )


def key_usage(*, certificates: bool) -> x509.KeyUsage:
    """Return the uses of a key: signing certificates and revocation lists, or else the handshake of its holder."""
    return x509.KeyUsage(
        digital_signature=not certificates,
        key_cert_sign=certificates,
        crl_sign=certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def ends_at(chain: Iterable[bytes]) -> int:
    """Return the earliest end of these certificates, in seconds since the epoch."""
    return min(int(x509.load_der_x509_certificate(der).not_valid_after_utc.timestamp()) for der in chain)


def check_chain(chain: Sequence[bytes], public: bytes, now: int) -> None:
    """Refuse certificates that do not make the key `public` an authority under a root.

    The first is the key's own certificate, each is signed by the next, and the last by itself.

    Raises:
        UsageError: the certificates are not such a chain.

    """
    try:
        with warnings.catch_warnings():
            # Forms that the library will stop reading are not acceptable for an authority.
            warnings.simplefilter("error", CryptographyDeprecationWarning)
            _check_chain([x509.load_der_x509_certificate(der) for der in chain], public, now)
    except UNREADABLE:
        # The library parses some parts only on access.
        raise UsageError("the file has an invalid certificate; nothing was changed") from None


def _check_chain(certificates: Sequence[x509.Certificate], public: bytes, now: int) -> None:
    certified_key = certificates[0].public_key()
    if (
        not isinstance(certified_key, ec.EllipticCurvePublicKey)
        or certified_key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint) != public
    ):
        raise UsageError(
            "the first certificate is not for the requested key; nothing was changed",
            "put the certificate of the key first, then the CA certificates above it, the root last",
        )
    for below, above in zip(certificates, [*certificates[1:], certificates[-1]], strict=True):
        try:
            below.verify_directly_issued_by(above)
        except (*UNREADABLE, TypeError, InvalidSignature):
            raise UsageError(
                f"the certificate of {_subject(below)} is not signed by the next certificate; nothing was changed",
                "append all CA certificates above it, up to the root",
            ) from None
    for depth, certificate in enumerate(certificates):
        _check_authority(certificate, depth, now)


def _check_authority(certificate: x509.Certificate, depth: int, now: int) -> None:
    """Refuse a certificate that may not sign certificates with `depth` authorities below it. Raises UsageError."""
    name = _subject(certificate)
    moment = datetime.fromtimestamp(now, UTC)
    # The clock of the signing authority may be ahead.
    begun = certificate.not_valid_before_utc - timedelta(seconds=TOLERANCE)
    if not begun <= moment < certificate.not_valid_after_utc:
        raise UsageError(
            f"the certificate of {name} is not valid now; nothing was changed",
            f"it is valid from {_time(certificate.not_valid_before_utc)} to {_time(certificate.not_valid_after_utc)}; "
            "to request another: jitid keys ca request",
        )
    try:
        extensions = certificate.extensions
        basic = extensions.get_extension_for_class(x509.BasicConstraints).value
    except UNREADABLE:
        raise _no_authority(name) from None
    try:
        usage = extensions.get_extension_for_class(x509.KeyUsage).value
        may_sign = usage.key_cert_sign and (depth > 0 or usage.crl_sign)
    except x509.ExtensionNotFound:
        # Old roots have no key usage, which permits every use (RFC 5280, section 4.2.1.3).
        may_sign = depth > 0
    if not basic.ca or not may_sign:
        raise _no_authority(name)
    if basic.path_length is not None and basic.path_length < depth:
        raise UsageError(
            f"the certificate of {name} permits fewer CA certificates below it; nothing was changed"
        )


def _time(moment: datetime) -> str:
    return format_time(int(moment.timestamp()))


def _no_authority(name: str) -> UsageError:
    return UsageError(
        f"the certificate of {name} is not a CA certificate; nothing was changed",
        "CA:TRUE, keyCertSign and cRLSign are required",
    )


def _subject(certificate: x509.Certificate) -> str:
    try:
        return quote(certificate.subject.rfc4514_string(), 200)
    except TypeError as error:
        # A name as a BIT STRING, which the library supports for a single type of attribute.
        raise ValueError("a name that cannot be written") from error


_AGAIN = 3
"""A list is replaced after its lifetime divided by this number."""
_PEM = b"-----BEGIN"


def as_good(existing: bytes, new: bytes) -> bool:
    """Return whether existing lists are equivalent to newly made ones, and recent enough to keep.

    Each is in DER, or any number of them in PEM.
    """
    try:
        old_lists, new_lists = _read(existing), _read(new)
    except ValueError:
        return False
    return len(old_lists) == len(new_lists) and all(
        _is_as_good(old_list, new_list) for old_list, new_list in zip(old_lists, new_lists, strict=True)
    )


def _read(data: bytes) -> list[x509.CertificateRevocationList]:
    if not data.startswith(_PEM):
        return [x509.load_der_x509_crl(data)] if data else []
    end_line = b"-----END X509 CRL-----\n"
    return [x509.load_pem_x509_crl(part + end_line) for part in data.split(end_line) if part.strip()]


def _is_as_good(existing: x509.CertificateRevocationList, new: x509.CertificateRevocationList) -> bool:
    next_update = new.next_update_utc
    if next_update is None or existing.next_update_utc is None:
        return False
    age = new.last_update_utc - existing.last_update_utc
    lifetime = next_update - new.last_update_utc
    return (
        _content(existing) == _content(new)
        and existing.next_update_utc - existing.last_update_utc == lifetime
        and 0 <= age.total_seconds() < lifetime.total_seconds() / _AGAIN
    )


def _content(revocation_list: x509.CertificateRevocationList) -> tuple[object, ...]:
    key = revocation_list.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    return revocation_list.issuer, key, {revoked.serial_number for revoked in revocation_list}
