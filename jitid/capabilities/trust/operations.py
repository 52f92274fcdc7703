"""Operations on signing keys, the X.509 authority of a ledger, and publications."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jitid.formats.columns import Columns
from jitid.operation.base import READS, Operation
from jitid.values.declaration import value, values
from jitid.values.field_types import (
    ALGORITHM,
    COUNT,
    DURATION,
    FILTER,
    KEY_USE,
    MAX_CHAIN,
    REASON,
    number,
    pattern,
    text,
)
from jitid.values.record import Record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jitid.capabilities.trust.publication import Document
    from jitid.capabilities.trust.rotation import KeyChange
    from jitid.capabilities.trust.ssh_trust import SshAuthority, SshRevocations
    from jitid.capabilities.trust.x509_authority import Bundle, Imported, Requested, RevocationList
    from jitid.model.ledger_rows import SigningKey


class KeyRow(Record):
    """A signing key, with the time until which a credential that it signed is live."""

    key: SigningKey
    needed_until: int | None

    @property
    def state(self) -> str:
        """`revoked`, `retired`, `signing` or `waiting`: without the certificate that it needs."""
        if self.key.revoked_at or self.key.retired_at:
            return "revoked" if self.key.revoked_at else "retired"
        return "signing" if self.key.signs else "waiting"


class ListKeys(Operation["list[KeyRow]"]):
    """List the signing keys that there ever were.

    A retired key signs nothing more, and still verifies what it signed, until `needed_until` at the latest. One that
    is waiting was made by `jitid keys request`.
    """

    roles = ("auditor", "admin")
    verb = "keys list"
    effect = READS
    view = Columns(
        "jitid.keys/1",
        "kid use algorithm state created_at retired_at revoked_at needed_until",
        brief="kid use algorithm state",
    )


class RotateKey(Operation["KeyChange"]):
    """Sign with a new key from now on."""

    roles = ("admin",)

    algorithm: str = value(ALGORITHM)
    use: str = value(KEY_USE, default="jws")
    transit: str | None = value(
        pattern("none|[A-Za-z0-9._-]{1,64}/[A-Za-z0-9._-]{1,64}", "TARGET/KEY, or none"), default=None
    )
    """`TARGET/KEY` of the transit engine that keeps it, or `none` for a file; by default, where its predecessor is."""
    accept_clock: bool = False


class RevokeKey(Operation["KeyChange"]):
    """End a leaked key with all that it signed."""

    roles = ("admin",)

    kid: str = value(FILTER)
    reason: str | None = value(REASON, default=None)
    most: int | None = value(COUNT)
    accept_clock: bool = False


class PublishKeys(Operation["dict[str, Any]"]):
    """Return the JWKS (RFC 7517) that verifiers need."""

    for_anybody = True
    effect = READS

    def fits(self, answer: dict[str, Any]) -> bool:
        """Return whether there is a list of keys."""
        return type(answer.get("keys")) is list


class PublishSshAuthorities(Operation["list[SshAuthority]"]):
    """Return the keys whose certificates SSH hosts are to take."""

    for_anybody = True
    effect = READS


class PublishSshRevocations(Operation["SshRevocations"]):
    """Return the key revocation list that SSH hosts are to read."""

    for_anybody = True
    effect = READS


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


class MakePublication(Operation["Iterator[Document]"]):
    """Make the documents that verifiers go by who ask nobody; they come in the order in which they must appear."""

    roles = ("verifier", "admin")
    effect = READS
    slow = True

    kids: tuple[str, ...] = values(FILTER, default=())
    """The keys that published status lists name at present."""


class MakeStatusList(Operation["str"]):
    """Make one status list."""

    roles = ("verifier", "admin")
    effect = READS
    slow = True

    number: int = value(number(0, 1 << 24))
    """The day on which its tokens expire, counted from the epoch."""
    algorithm: str = value(ALGORITHM)
    """The algorithm of its signature."""
