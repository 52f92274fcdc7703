"""X.509-SVIDs: certificates for mutual TLS whose only URI is the SPIFFE id of the agent on its task."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_public_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from jitid.certificates import TOLERANCE, from_pem, key_usage, split, to_pem
from jitid.errors import ConfigurationError, IntegrityError, UsageError
from jitid.identifier import parse_id
from jitid.issuers.outside import Option
from jitid.issuers.protocol import MAX_PUBLIC_KEY, Draft, Ids, Minted, Order
from jitid.keyring import Signer
from jitid.lifetime import format_time
from jitid.name import spiffe_id
from jitid.secret import Secret
from jitid.text import quote

OPTIONS: Mapping[str, Option] = {}
TEMPLATE_OPTIONS: Mapping[str, Option] = {
    "dns_names": Option("texts", "the names under which servers of the agent are reached"),
}

_MIN_RSA, _MAX_RSA = 2048, 8192
_CURVES = ("secp256r1", "secp384r1", "secp521r1")
_LABEL = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")
_MAX_NAMES = 64


class X509SvidIssuer:
    """Makes certificates with the key of one authority."""

    def __init__(self, signer: Signer, certificates: bytes) -> None:
        """Take the key, and its certificate with those above it in DER, one after the other."""
        self._private = signer.private
        self._authority, self._above, self._key_id = _opened(certificates)

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
                spell = self._spell(order.draft)
            except UsageError as error:
                error.position = position
                raise
            minted += [spell(ids) for ids in order.names]
        return minted

    def _spell(self, draft: Draft) -> Callable[[Ids], Minted]:
        """Return what makes one certificate of an order; all that its certificates have in common is made once."""
        end = datetime.fromtimestamp(draft.expires_at, UTC)
        if end > self._authority.not_valid_after_utc:
            raise IntegrityError(
                "the certificate of the authority ends before the credential would, at "
                f"{format_time(int(self._authority.not_valid_after_utc.timestamp()))}",
                "make another authority: jitid keys rotate --use x509, or jitid keys request",
            )
        theirs = None if draft.public_key is None else callers_key(draft.public_key)
        names = [x509.DNSName(name) for name in _dns_names(draft.options.get("dns_names", ()))]
        begun = (
            x509.CertificateBuilder()
            .issuer_name(self._authority.subject)
            .not_valid_before(datetime.fromtimestamp(draft.issued_at - TOLERANCE, UTC))
            # The last second of a certificate still counts (RFC 5280, section 4.1.2.5), and of an expiry not.
            .not_valid_after(datetime.fromtimestamp(draft.expires_at - 1, UTC))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(key_usage(certificates=False), critical=True)
            .add_extension(_USAGES, critical=False)
            .add_extension(self._key_id, critical=False)
        )

        def make(ids: Ids) -> Minted:
            own = None if theirs else ec.generate_private_key(ec.SECP256R1())
            public = theirs or (own and own.public_key())
            uri = spiffe_id(draft.trust_domain, draft.agent, draft.task, ids.id)
            certificate = (
                begun.subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, ids.jti)]))
                .public_key(public)  # type: ignore[arg-type]  # one of the two is there
                .serial_number(serial_of(ids.jti))
                .add_extension(
                    x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri), *names]),
                    critical=False,
                )
                .sign(self._private, SHA256())
            )
            der = certificate.public_bytes(Encoding.DER)
            parts = {"certificate": to_pem(der) + self._above}
            if own is not None:
                parts["key"] = own.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(
                    "ascii"
                )
            return Minted(
                Secret(parts), sha256(der).digest(), sha256(certificate.tbs_certificate_bytes).digest()
            )

        return make


_USAGES = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])


@lru_cache(maxsize=4)
def _opened(certificates: bytes) -> tuple[x509.Certificate, str, x509.AuthorityKeyIdentifier]:
    """Return an authority's certificate, those between it and the root as text, and how what it signs names its key."""
    chain = split(certificates)
    authority = x509.load_der_x509_certificate(chain[0])
    # The root is what verifiers have already.
    above = "".join(map(to_pem, chain[:-1]))
    try:
        named = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        named = x509.SubjectKeyIdentifier.from_public_key(authority.public_key())
    return authority, above, x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(named)


def serial_of(jti: str) -> int:
    """Return the serial number of a credential's certificate: its jti, as a number of 128 bits."""
    return int.from_bytes(parse_id(jti)[1], "big")


def callers_key(text: str) -> Any:  # noqa: ANN401 - of several classes of `cryptography`
    """Return the public key that a caller sends, as PEM: SubjectPublicKeyInfo, or a PKCS#10 request.

    Of a request the key is taken, once its signature has proved that the caller holds it; the names it asks for are
    not: those are the ledger's to give.

    Raises:
        UsageError: it is no such key, or too weak a one.

    """
    if len(text) > MAX_PUBLIC_KEY:
        raise UsageError(f"the public key has more than {MAX_PUBLIC_KEY} characters")
    try:
        key = _proved(text) if "CERTIFICATE REQUEST" in text[:64] else _stated(text)
    except (ValueError, UnsupportedAlgorithm):
        raise UsageError(
            "the public key is none that certificates are made for",
            "write it in PEM: openssl pkey -pubout, or openssl req -new",
        ) from None
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in _CURVES:
        return key
    if isinstance(key, rsa.RSAPublicKey) and _MIN_RSA <= key.key_size <= _MAX_RSA:
        return key
    if isinstance(key, ed25519.Ed25519PublicKey):
        return key
    raise UsageError(
        "the public key is too weak, too long, or of a sort that certificates are not made for",
        f"take P-256, P-384, P-521, Ed25519, or RSA of {_MIN_RSA} to {_MAX_RSA} bits",
    )


def _stated(text: str) -> object:
    (der,) = from_pem(text, "PUBLIC KEY")
    return load_der_public_key(der)


def _proved(text: str) -> object:
    (der,) = from_pem(text, "CERTIFICATE REQUEST")
    asked = x509.load_der_x509_csr(der)
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
