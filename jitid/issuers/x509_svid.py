"""X.509-SVIDs: certificates for mutual TLS whose only URI is the SPIFFE id of the agent on its task."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from hashlib import sha256

from jitid.crypto.der import (
    BITS,
    INTEGER,
    OCTETS,
    SEQUENCE,
    SET,
    UTF8,
    Authority,
    authority,
    from_pem,
    integer,
    oid,
    split,
    subject_key_id,
    time,
    tlv,
    to_pem,
)
from jitid.errors import ConfigurationError, IntegrityError, UsageError
from jitid.issuers.issuer import MAX_PUBLIC_KEY, Draft, Ids, Minted, Order
from jitid.issuers.target_issuer import Option
from jitid.keys.keyring import Signer, uncompressed
from jitid.values.ids import parse_id
from jitid.values.names import spiffe_id
from jitid.values.secret import Secret
from jitid.values.text import quote
from jitid.values.times import format_time

OPTIONS: Mapping[str, Option] = {}
TEMPLATE_OPTIONS: Mapping[str, Option] = {
    "dns_names": Option("texts", "the names under which servers of the agent are reached"),
}
TOLERANCE = 60
"""Seconds that a certificate is valid before its issue, since the clocks of those who check it differ."""

_MIN_RSA, _MAX_RSA = 2048, 8192
_CURVES = ("secp256r1", "secp384r1", "secp521r1")
_LABEL = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")
_MAX_NAMES = 64

_TRUE = b"\x01\x01\xff"
VERSION_3 = tlv(0xA0, integer(2))
SIGNATURE = tlv(SEQUENCE, oid("1.2.840.10045.4.3.2"))  # ecdsa-with-SHA256
_P256 = tlv(SEQUENCE, oid("1.2.840.10045.2.1"), oid("1.2.840.10045.3.1.7"))
_SUBJECT_KEY = "2.5.29.14"
_ALTERNATIVE_NAME = oid("2.5.29.17")
_DNS, _URI = 0x82, 0x86


def _extension(name: str, value: bytes, *, critical: bool) -> bytes:
    return tlv(SEQUENCE, oid(name), _TRUE if critical else b"", tlv(OCTETS, value))


_COMMON = (
    # No authority: an empty list says so.
    _extension("2.5.29.19", tlv(SEQUENCE), critical=True),
    # The first bit alone, digitalSignature.
    _extension("2.5.29.15", tlv(BITS, b"\x07\x80"), critical=True),
    # Servers and clients.
    _extension(
        "2.5.29.37", tlv(SEQUENCE, oid("1.3.6.1.5.5.7.3.1"), oid("1.3.6.1.5.5.7.3.2")), critical=False
    ),
)
"""What each of our certificates says of its key (X509-SVID, section 4)."""

# What has one length for all is written once: its end is what differs.
_JTI = 30
_POINT = 65
_SCALAR = 32
_SUBJECT = tlv(SEQUENCE, tlv(SET, tlv(SEQUENCE, oid("2.5.4.3"), tlv(UTF8, bytes(_JTI)))))[:-_JTI]
"""Of a common name that is the jti, so that logs which have the subject alone join with the ledger."""
_KEY = tlv(SEQUENCE, _P256, tlv(BITS, b"\0", bytes(_POINT)))[:-_POINT]
_BETWEEN = tlv(0xA1, tlv(BITS, b"\0", bytes(_POINT)))[:-_POINT]
_PRIVATE = tlv(
    SEQUENCE,
    tlv(INTEGER, b"\0"),
    _P256,
    tlv(
        OCTETS,
        tlv(SEQUENCE, tlv(INTEGER, b"\1"), tlv(OCTETS, bytes(_SCALAR)), _BETWEEN + bytes(_POINT)),
    ),
)[: -_POINT - len(_BETWEEN) - _SCALAR]


class X509SvidIssuer:
    """Makes certificates with the key of one authority."""

    def __init__(self, signer: Signer, certificates: bytes) -> None:
        """Take the key, and its certificate with those above it in DER, one after the other."""
        self._private = signer.private
        self._authority, self._above, self._common = _opened(certificates)

    def mint(self, orders: Sequence[Order]) -> list[Minted]:
        """Make one certificate for each name of each order, and a key for it unless the caller has one.

        Raises:
            UsageError: the caller's key is none that is certified; `position` says whose.
            ConfigurationError: a template names what is no DNS name.
            IntegrityError: the authority's own certificate ends earlier.

        """
        minted: list[Minted] = []
        for position, order in enumerate(orders):
            try:
                make = self._spell(order.draft)
            except UsageError as error:
                error.position = position
                raise
            minted += [make(ids) for ids in order.names]
        return minted

    def _spell(self, draft: Draft) -> Callable[[Ids], Minted]:
        """Return what makes one certificate of an order; all that its certificates have in common is made once."""
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.hashes import SHA256

        if draft.expires_at > self._authority.ends_at:
            raise IntegrityError(
                "the certificate of the authority ends before the credential would, at "
                f"{format_time(self._authority.ends_at)}",
                "make another authority: jitid keys rotate --use x509, or jitid keys request",
            )
        theirs = None if draft.public_key is None else callers_key(draft.public_key)
        names = [tlv(_DNS, name.encode()) for name in _dns_names(draft.options.get("dns_names", ()))]
        issued = SIGNATURE + self._authority.name + _validity(draft.issued_at, draft.expires_at)
        curve, scheme, sign = ec.SECP256R1(), ec.ECDSA(SHA256()), self._private.sign

        def make(ids: Ids) -> Minted:
            key = theirs
            own = None
            if key is None:
                private = ec.generate_private_key(curve)
                point = uncompressed(private.public_key())
                key = _KEY + point
                own = _private_pem(private.private_numbers().private_value, point)
            uri = tlv(
                _URI,
                spiffe_id(
                    draft.trust_domain, draft.agent, draft.task, ids.id, registered=draft.registered
                ).encode(),
            )
            alternative = tlv(SEQUENCE, _ALTERNATIVE_NAME, tlv(OCTETS, tlv(SEQUENCE, uri, *names)))
            # RFC 5280, section 4.2.1.2: a certificate of an end entity SHOULD name its key too.
            key_id = _extension(_SUBJECT_KEY, tlv(OCTETS, subject_key_id(key)), critical=False)
            signed = tlv(
                SEQUENCE,
                VERSION_3,
                integer(serial_of(ids.jti)),
                issued,
                _SUBJECT + ids.jti.encode(),
                key,
                tlv(0xA3, tlv(SEQUENCE, self._common, key_id, alternative)),
            )
            der = tlv(SEQUENCE, signed, SIGNATURE, tlv(BITS, b"\0", sign(signed, scheme)))
            secret = {"certificate": to_pem(der) + self._above}
            if own is not None:
                secret["key"] = own
            return Minted(Secret(secret), sha256(der).digest(), sha256(signed).digest(), sha256(key).digest())

        return make


@lru_cache(maxsize=4)
def _opened(certificates: bytes) -> tuple[Authority, str, bytes]:
    """Return what an authority's certificate says, those between it and the root as text, and extensions of all."""
    chain = split(certificates)
    found = authority(chain[0])
    key_id = _extension("2.5.29.35", tlv(SEQUENCE, tlv(0x80, found.key_id)), critical=False)
    # The root is what verifiers have already.
    return found, "".join(map(to_pem, chain[:-1])), b"".join((*_COMMON, key_id))


@lru_cache(maxsize=16)
def _validity(issued_at: int, expires_at: int) -> bytes:
    # The last second of a certificate still counts (RFC 5280, section 4.1.2.5), and of an expiry not.
    return tlv(SEQUENCE, time(issued_at - TOLERANCE), time(expires_at - 1))


def _private_pem(value: int, point: bytes) -> str:
    """Return a private key of P-256 as text (RFC 5958; RFC 5915)."""
    return to_pem(_PRIVATE + value.to_bytes(_SCALAR, "big") + _BETWEEN + point, "PRIVATE KEY")


def serial_of(jti: str) -> int:
    """Return the serial number of a credential's certificate: its jti, as a number of 128 bits."""
    return int.from_bytes(parse_id(jti)[1], "big")


def callers_key(text: str) -> bytes:
    """Return the public key that a caller sends as PEM, SubjectPublicKeyInfo or a PKCS#10 request, in DER.

    Of a request the key is taken, once its signature has proved that the caller holds it; the names it asks for are
    not: those are the ledger's to give.

    Raises:
        UsageError: it is no such key, or too weak a one.

    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    if len(text) > MAX_PUBLIC_KEY:
        raise UsageError(f"the public key has more than {MAX_PUBLIC_KEY} characters")
    try:
        key = _proved(text) if "CERTIFICATE REQUEST" in text[:64] else _stated(text)
    except (ValueError, UnsupportedAlgorithm):
        raise UsageError(
            "the public key is none that certificates are made for",
            "write it in PEM: openssl pkey -pubout, or openssl req -new",
        ) from None
    if (
        isinstance(key, ed25519.Ed25519PublicKey)
        or (isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in _CURVES)
        or (isinstance(key, rsa.RSAPublicKey) and _MIN_RSA <= key.key_size <= _MAX_RSA)
    ):
        return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    raise UsageError(
        "the public key is too weak, too long, or of a sort that certificates are not made for",
        f"take P-256, P-384, P-521, Ed25519, or RSA of {_MIN_RSA} to {_MAX_RSA} bits",
    )


def _stated(text: str) -> object:
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    der, *more = from_pem(text, "PUBLIC KEY")
    if more:
        raise ValueError("more than one")
    return load_der_public_key(der)


def _proved(text: str) -> object:
    from cryptography import x509

    der, *more = from_pem(text, "CERTIFICATE REQUEST")
    if more:
        raise ValueError("more than one")
    try:
        asked = x509.load_der_x509_csr(der)
    except x509.InvalidVersion:
        raise ValueError("version") from None
    if not asked.is_signature_valid:
        raise UsageError(
            "the certificate request is not signed by the key that it is for",
            "whoever asks must hold the private key",
        )
    return asked.public_key()


def _dns_names(names: Sequence[str]) -> Sequence[str]:
    for name in names:
        labels = name.removeprefix("*.").split(".")
        if len(name) > 253 or not all(
            0 < len(label) < 64 and _LABEL.issuperset(label) and "-" not in (label[0], label[-1])
            for label in labels
        ):
            raise ConfigurationError(
                f"{quote(name)} is no DNS name",
                "the template's `dns_names` are in lower case, such as db.example",
            )
    if len(names) > _MAX_NAMES:
        raise ConfigurationError(f"the template's `dns_names` has more than {_MAX_NAMES} names")
    return names
