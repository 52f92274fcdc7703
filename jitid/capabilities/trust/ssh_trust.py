"""Trust data for SSH hosts: the authorities of a ledger, and the revoked certificates."""

from __future__ import annotations

from collections.abc import Sequence

from jitid.crypto import openssh
from jitid.crypto.openssh import RevokedCertificate
from jitid.ledger.signing_keys import KeyStore
from jitid.ledger.view import View
from jitid.model.ledger_rows import Names, SigningKey
from jitid.values.ids import credential_id
from jitid.values.record import Record

SLACK = 3600
"""Seconds that a certificate stays on the list after its expiry: a host's clock may be that late."""


class SshAuthority(Record):
    """A key whose certificates hosts accept."""

    kid: str
    line: str
    """Its line in the file for TrustedUserCAKeys."""
    signs: bool
    """False for a key that signs no more, while a certificate that it signed may be live."""


class SshRevocations(Record):
    """The certificates and keys that hosts must refuse."""

    krl: bytes
    """The content of the file for RevokedKeys."""
    certificates: int
    keys: int
    """The number of revoked keys of authorities, each with all certificates that it signed."""


def authorities(snapshot: View, names: Names) -> list[SshAuthority]:
    """Return the keys that hosts need: each key that may have signed a live certificate, without revoked keys."""
    return [
        SshAuthority(
            key.kid,
            openssh.line(openssh.ED25519, openssh.public_blob(key.public), f"{names.issuer} {key.kid}"),
            key.retired_at is None,
        )
        for key in _keys(snapshot)
        if KeyStore(snapshot).is_needed(key)
    ]


def revocations(snapshot: View, names: Names) -> SshRevocations:
    """Return the list of certificates that ended before their expiry, and of authorities whose key was revoked."""
    keys = {key.key: key for key in _keys(snapshot)}
    revoked = [openssh.public_blob(key.public) for key in keys.values() if key.revoked_at is not None]
    by_authority: dict[bytes, list[RevokedCertificate]] = {
        openssh.public_blob(key.public): [] for key in keys.values()
    }
    count = 0
    # If no key ever signed certificates, the query over all credentials is not needed.
    ended = KeyStore(snapshot).ended_ssh_certificates(snapshot.now - SLACK) if keys else ()
    for jti, signed_by in ended:
        key = keys.get(signed_by)
        raw = bytes(jti)
        # A row without a known signer is damaged: its certificate is refused for every authority.
        authority = openssh.ANY if key is None else openssh.public_blob(key.public)
        by_authority.setdefault(authority, []).append(
            RevokedCertificate(int.from_bytes(raw[8:]), credential_id(raw))
        )
        count += 1
    return SshRevocations(
        openssh.encode_krl(by_authority, revoked, snapshot.now, names.issuer), count, len(revoked)
    )


def _keys(snapshot: View) -> Sequence[SigningKey]:
    return [key for key in KeyStore(snapshot).signing_keys() if key.use == "ssh"]
