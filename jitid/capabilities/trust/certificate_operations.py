"""Operations on the X.509 authority of a ledger: each with the type of its answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitid.operation.base import Operation
from jitid.operation.verb import READS
from jitid.values.declaration import value
from jitid.values.field_types import DURATION, MAX_CHAIN, text

if TYPE_CHECKING:
    from jitid.capabilities.trust.x509_authority import Bundle, Imported, Requested, RevocationList


class RequestAuthority(Operation["Requested"]):
    """Make a key, and ask for a certificate that makes it an authority under a root."""

    roles = ("admin",)

    accept_clock: bool = False


class ImportAuthority(Operation["Imported"]):
    """Certify from now on as an authority under a root."""

    roles = ("admin",)

    chain: str = value(text(MAX_CHAIN, "the certificates"))
    """The key's own certificate and the certificates above it up to the root, in PEM."""
    accept_clock: bool = False


class PublishBundle(Operation["Bundle"]):
    """Return what verifiers of SVIDs trust."""

    for_anybody = True
    effect = READS


class PublishRevocations(Operation["list[RevocationList]"]):
    """Return which certificates are revoked, signed by the authority of each."""

    for_anybody = True
    effect = READS

    lifetime: int | None = value(DURATION, default=None)
    """Seconds for which the lists are valid; more than a day requires the role admin."""
