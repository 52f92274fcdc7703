"""Recognition of this ledger's SSH certificates. A certificate is public: it names its holder, but grants no right."""

from __future__ import annotations

from hashlib import sha256

from jitid.capabilities.identity.store import CredentialStore
from jitid.crypto import openssh
from jitid.crypto.openssh import Certificate
from jitid.errors import InvalidCredentialError, UsageError
from jitid.issuers.ssh_cert import TOLERANCE, serial_of
from jitid.ledger.signing_keys import KeyStore
from jitid.ledger.view import View
from jitid.model.credential import Credential, Kind
from jitid.values.ids import parse_id

_UNKNOWN = "the ledger does not know this certificate"


def recognise(snapshot: View, line: str) -> Credential:
    """Return the credential of an SSH certificate line, live or ended, if this ledger issued exactly this certificate.

    Raises:
        InvalidCredentialError: the text is malformed, forged or unknown; the reason never contains it.

    """
    try:
        parsed = openssh.parse_certificate(line)
    except ValueError:
        raise InvalidCredentialError("not an SSH certificate as jitid signs it") from None
    key = next(
        (
            key
            for key in KeyStore(snapshot).signing_keys()
            if key.use == "ssh" and openssh.public_blob(key.public) == parsed.authority
        ),
        None,
    )
    if key is None:
        raise InvalidCredentialError("the certificate is signed by a key that the ledger does not know")
    _verify(parsed, key.public)
    credential = CredentialStore(snapshot).find_credential("jti", _raw(parsed.key_id))
    if credential is None:
        raise InvalidCredentialError(_UNKNOWN)
    # A stolen key can sign another certificate under a known id.
    if (
        credential.claims_hash != sha256(parsed.signed).digest()
        or credential.fingerprint != sha256(parsed.blob).digest()
        or credential.signed_by != key.kid
    ):
        raise InvalidCredentialError("the certificate differs from the recorded one with its id")
    if not _as_signed(credential, parsed):
        raise InvalidCredentialError(
            "the ledger's row differs from the signed certificate: the ledger was changed"
        )
    if key.revoked_at is not None and credential.ended_at is None:
        raise InvalidCredentialError("the key that signed the certificate was revoked")
    return credential


def _verify(parsed: Certificate, public: bytes) -> None:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(public).verify(parsed.signature, parsed.signed)
    except InvalidSignature:
        raise InvalidCredentialError("the signature of the certificate is invalid") from None


def _raw(key_id: str) -> bytes:
    try:
        kind, raw = parse_id(key_id)
    except UsageError:
        raise InvalidCredentialError(_UNKNOWN) from None
    if kind != "jti":
        raise InvalidCredentialError(_UNKNOWN)
    return raw


def _as_signed(credential: Credential, parsed: Certificate) -> bool:
    """Return whether the ledger's row matches the certificate."""
    return (
        credential.kind == Kind.SSH_CERT
        and parsed.sort == openssh.USER_CERTIFICATE
        and parsed.key_id == credential.jti
        and parsed.serial == serial_of(credential.jti)
        and parsed.valid_before == credential.expires_at
        and parsed.valid_after == max(credential.issued_at - TOLERANCE, 0)
    )
