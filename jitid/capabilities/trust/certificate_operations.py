"""Operations on the X.509 authority of a ledger: each with the type of its answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitid.operation.base import CertificateOperation

if TYPE_CHECKING:
    from jitid.capabilities.trust.x509_authority import Bundle, Imported, Requested, RevocationList


class RequestAuthority(CertificateOperation["Requested"]):
    """Make a key, and ask for a certificate that makes it an authority under a root."""

    accept_clock: bool = False


class ImportAuthority(CertificateOperation["Imported"]):
    """Certify from now on as an authority under a root."""

    chain: str
    """The key's own certificate and those above it up to the root, in PEM."""
    accept_clock: bool = False


class PublishBundle(CertificateOperation["Bundle"]):
    """Return what verifiers of SVIDs trust."""


class PublishRevocations(CertificateOperation["list[RevocationList]"]):
    """Return which certificates are revoked, signed by the authority of each."""

    lifetime: int | None = None
    """Seconds for which the lists count; more than a day only for the role admin."""
