"""X.509-SVIDs: certificates for mutual TLS whose only URI is the SPIFFE id of the agent on its task."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from hashlib import sha256

from jitid.crypto.der import (
    IssuerFields,
    authority,
    certificate,
    form,
    from_pem,
    private_pem,
    public_info,
    split,
    to_pem,
)
from jitid.errors import ConfigurationError, IntegrityError, UsageError
from jitid.issuers.issuer import Draft, Ids, KindSpec, Minted, Order, Signing
from jitid.issuers.target_issuer import CLUSTER_OPTIONS, KindOptions, TargetOption
from jitid.keys.keyring import Signer, uncompressed
from jitid.model.ledger_rows import SigningKey
from jitid.values.field_types import MAX_PUBLIC_KEY
from jitid.values.ids import parse_id
from jitid.values.names import spiffe_id
from jitid.values.secret import Secret
from jitid.values.text import quote, with_final_newline
from jitid.values.times import format_time

TEMPLATE_OPTIONS: Mapping[str, TargetOption] = {
    "dns_names": TargetOption("texts", "the DNS names of the agent's servers"),
}
_MIN_RSA, _MAX_RSA = 2048, 8192
_CURVES = ("secp256r1", "secp384r1", "secp521r1")
_LABEL = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")
_MAX_NAMES = 64


class X509SvidIssuer:
    """An issuer that signs certificates with the key of one authority."""

    def __init__(self, signer: Signer, certificates: bytes) -> None:
        """Set the key, and its certificate followed by the certificates above it, in DER."""
        self._private = signer.private
        self._authority, self._above = _opened(certificates)

    def mint(self, orders: Sequence[Order]) -> list[Minted]:
        """Make one certificate for each name of each order, and a key for it unless the caller has one.

        Raises:
            UsageError: the caller's key is invalid or too weak; `position` is the order's index.
            ConfigurationError: a template has an invalid DNS name.
            IntegrityError: the authority's own certificate expires earlier.

        """
        minted: list[Minted] = []
        for position, order in enumerate(orders):
            try:
                make = self._maker(order.draft)
            except UsageError as error:
                error.position = position
                raise
            minted += [make(ids) for ids in order.names]
        return minted

    def _maker(self, draft: Draft) -> Callable[[Ids], Minted]:
        """Return a function that makes one certificate of an order; the common parts are made once."""
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.hashes import SHA256

        if draft.expires_at > self._authority.ends_at:
            raise IntegrityError(
                "the CA certificate expires before the credential would, at "
                f"{format_time(self._authority.ends_at)}",
                "make another CA: jitid keys rotate --use x509, or jitid keys ca request",
            )
        caller_key = None if draft.public_key is None else callers_key(draft.public_key)
        common = form(
            self._authority,
            draft.issued_at,
            draft.expires_at,
            _dns_names(draft.options.get("dns_names", ())),
        )
        curve, scheme, sign = ec.SECP256R1(), ec.ECDSA(SHA256()), self._private.sign

        def make(ids: Ids) -> Minted:
            key = caller_key
            key_pem = None
            if key is None:
                private = ec.generate_private_key(curve)
                point = uncompressed(private.public_key())
                key = public_info(point)
                key_pem = private_pem(private.private_numbers().private_value, point)
            uri = spiffe_id(draft.trust_domain, draft.agent, draft.task, ids.id, registered=draft.registered)
            signed = common.to_be_signed(serial_of(ids.jti), ids.jti, key, uri)
            der = certificate(signed, sign(signed, scheme))
            secret = {"certificate": to_pem(der) + self._above}
            if key_pem is not None:
                secret["key"] = key_pem
            return Minted(Secret(secret), sha256(der).digest(), sha256(signed).digest(), sha256(key).digest())

        return make


@lru_cache(maxsize=4)
def _opened(certificates: bytes) -> tuple[IssuerFields, str]:
    """Return an authority, and as text its certificate and the certificates above it, except the root."""
    chain = split(certificates)
    # Verifiers have the root already.
    return authority(chain[0]), "".join(map(to_pem, chain[:-1]))


def serial_of(jti: str) -> int:
    """Return the serial number of a credential's certificate: its jti, as a number of 128 bits."""
    return int.from_bytes(parse_id(jti)[1], "big")


def callers_key(text: str) -> bytes:
    """Return, in DER, the public key that a caller sends as PEM: SubjectPublicKeyInfo or a PKCS#10 request.

    The signature of a request must prove that the caller holds the key. The names in it are ignored: the ledger
    assigns them.

    Raises:
        UsageError: it is not such a key, or it is too weak.

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
            "the public key is invalid",
            "write it as PEM, with: openssl pkey -pubout, or openssl req -new",
        ) from None
    if (
        isinstance(key, ed25519.Ed25519PublicKey)
        or (isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in _CURVES)
        or (isinstance(key, rsa.RSAPublicKey) and _MIN_RSA <= key.key_size <= _MAX_RSA)
    ):
        return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    raise UsageError(
        "the public key is too weak, too long, or of an unsupported type",
        f"use P-256, P-384, P-521, Ed25519, or RSA of {_MIN_RSA} to {_MAX_RSA} bits",
    )


def _stated(text: str) -> object:
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    (der,) = from_pem(text, "PUBLIC KEY")
    return load_der_public_key(der)


def _proved(text: str) -> object:
    from cryptography import x509

    (der,) = from_pem(text, "CERTIFICATE REQUEST")
    try:
        request = x509.load_der_x509_csr(der)
    except x509.InvalidVersion:
        raise ValueError("version") from None
    if not request.is_signature_valid:
        raise UsageError(
            "the certificate request is not signed by its own key",
            "sign the request with the private key of its public key",
        )
    return request.public_key()


def _dns_names(names: Sequence[str]) -> Sequence[str]:
    for name in names:
        labels = name.removeprefix("*.").split(".")
        if len(name) > 253 or not all(
            0 < len(label) < 64 and _LABEL.issuperset(label) and "-" not in (label[0], label[-1])
            for label in labels
        ):
            raise ConfigurationError(
                f"{quote(name)} is not a DNS name",
                "write `dns_names` of the template in lower case, such as db.example",
            )
    if len(names) > _MAX_NAMES:
        raise ConfigurationError(f"the template's `dns_names` has more than {_MAX_NAMES} names")
    return names


def _issuer(signer: Signer, key: SigningKey) -> X509SvidIssuer:
    assert key.certificates is not None
    return X509SvidIssuer(signer, key.certificates)


def _options() -> KindOptions:
    return KindOptions({}, {**TEMPLATE_OPTIONS, **CLUSTER_OPTIONS})


def _text(secret: Secret, _: int) -> str:
    """Return certificate and key as `openssl s_server -cert` and Python's `load_cert_chain` read them from one file."""
    return "".join(
        with_final_newline(secret.reveal(name)) for name in ("certificate", "key") if name in secret.names
    )


KIND = KindSpec(
    signing=lambda _: Signing("x509", "ES256"),
    signed=_issuer,
    options=_options,
    text=_text,
    serial_of=serial_of,
    revocation_list="keys export crl",
    delivery="kube_config",
    delivery_fact="kube_server",
)
