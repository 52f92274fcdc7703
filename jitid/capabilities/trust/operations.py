"""Operations on signing keys, the X.509 authority of a ledger, and publications."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jitid.formats.columns import Columns
from jitid.operation.base import READS, Operation, public_out_opt
from jitid.values.declaration import computed, local, opt, optional_arg, value, values
from jitid.values.field_types import (
    ALGORITHM,
    COUNT,
    DURATION,
    FILE,
    FILTER,
    KEY_USE,
    MAX_CHAIN,
    REASON,
    TEXT,
    number,
    pattern,
    text,
    typed_as,
)
from jitid.values.record import Record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jitid.capabilities.trust.publication import Document, SshAuthority, SshRevocations
    from jitid.capabilities.trust.rotation import KeyChange
    from jitid.capabilities.trust.x509_authority import Bundle, Imported, Requested, RevocationList
    from jitid.model.ledger_rows import SigningKey


_TRANSIT = typed_as(
    pattern("none|[A-Za-z0-9._-]{1,64}/[A-Za-z0-9._-]{1,64}", "TARGET/KEY, or none"),
    "TARGET/KEY",
    parse=TEXT.parse,
)
"""`TARGET/KEY` of the transit engine that keeps a key, or `none` for a file."""


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
    """Sign with a new key from now on.

    What older keys signed stays valid; their private halves are removed. With --transit the private half of the new
    one is made and kept by the transit engine of an OpenBao, and never leaves it; so are its successors.
    """

    roles = ("admin",)
    verb = "keys rotate"
    function = "ledger.keys_verbs:rotate"
    view = Columns("jitid.keys-rotate/1", "kid use algorithm retired event", single=True)

    algorithm: str = opt(ALGORITHM, "--algorithm", help="EdDSA (default) or ES256.", absent="")
    use: str = opt(KEY_USE, "--use", help="What the key signs: jws (default), x509 or ssh.", default="jws")
    transit: str | None = opt(
        _TRANSIT,
        "--transit",
        help="Let a transit engine keep the key; `none`: a file (default: as the key before).",
        default=None,
    )
    accept_clock: bool = False


class RevokeKey(Operation["KeyChange"]):
    """End a leaked key with all that it signed."""

    roles = ("admin",)

    kid: str = value(FILTER)
    reason: str | None = value(REASON, default=None)
    most: int | None = value(COUNT)
    accept_clock: bool = False


class PublishKeys(Operation["dict[str, Any]"]):
    """Print the public keys that verifiers need (RFC 7517).

    A key that was rotated stays until nothing that it signed can be alive; one that was revoked is gone.
    """

    summary = "Return the JWKS (RFC 7517) that verifiers need."
    for_anybody = True
    effect = READS
    verb = "keys export jwks"
    function = "ledger.keys_verbs:jwks"
    only_formats = ("json",)

    out: str | None = local(public_out_opt())

    def fits(self, answer: dict[str, Any]) -> bool:
        """Return whether there is a list of keys."""
        return type(answer.get("keys")) is list


class PublishSshAuthorities(Operation["list[SshAuthority]"]):
    """Print the keys whose certificates SSH hosts are to take (TrustedUserCAKeys).

    A key that was rotated stays until nothing that it signed can be alive; one that was revoked is gone. Whom a
    certificate lets in, the host says itself: by AuthorizedPrincipalsFile, or by logins that a template names.
    """

    summary = "Return the keys whose certificates SSH hosts accept."
    for_anybody = True
    effect = READS
    verb = "keys export ssh"
    function = "ledger.keys_verbs:ssh"
    only_formats = ()

    out: str | None = local(public_out_opt())


class PublishSshRevocations(Operation["SshRevocations"]):
    """Write the list of SSH certificates that ended before their expiry (RevokedKeys).

    Hosts do not ask: a certificate that was revoked works at each host until that host has fetched the list.
    Sessions that are open stay open. A key that `jitid keys revoke` ended is on it, with all that it signed.
    """

    summary = "Return the key revocation list that SSH hosts read."
    for_anybody = True
    effect = READS
    verb = "keys export krl"
    function = "ledger.keys_verbs:krl"
    only_formats = ()

    out: str | None = local(public_out_opt())


class RequestAuthority(Operation["Requested"]):
    """Ask for a certificate that makes a key an X.509 authority.

    A key is made, unless one waits already, and a request in PEM (PKCS#10) written for whoever has the root. Until
    the certificate is imported, whatever authority there is goes on.
    """

    roles = ("admin",)
    verb = "keys ca request"
    function = "ledger.keys_verbs:request"
    only_formats = ()

    out: str | None = local(public_out_opt())
    accept_clock: bool = False


class ImportAuthority(Operation["Imported"]):
    """Certify under a root, with the certificate that was asked for.

    FILE has the certificate of the key, those above it, and the root as the last, in PEM. The authority that
    certified until now is retired: what it certified stays valid.
    """

    roles = ("admin",)
    verb = "keys ca import"
    function = "ledger.keys_verbs:import_"
    view = Columns("jitid.keys-import/1", "kid retired expires_at event", single=True)

    file: str | None = local(
        optional_arg(
            FILE, "[FILE]", help="A file with the certificates in PEM; standard input if absent or `-`."
        )
    )
    chain: str = computed(text(MAX_CHAIN, "the certificates"), absent="")
    accept_clock: bool = False


class PublishBundle(Operation["Bundle"]):
    """Print what verifiers of SVIDs trust.

    It is the SPIFFE bundle of the trust domain: the roots of X.509-SVIDs, and the keys of JWT-SVIDs. --format jwt
    prints the keys of JWT-SVIDs alone, --format pem the roots alone. A rotated authority stays until all that it
    certified has expired. A revoked one is gone.
    """

    summary = "Return what verifiers of SVIDs trust."
    for_anybody = True
    effect = READS
    verb = "keys export bundle"
    function = "ledger.keys_verbs:bundle"
    only_formats = ("spiffe", "jwt", "pem", "json")

    out: str | None = local(public_out_opt())


class PublishRevocations(Operation["list[RevocationList]"]):
    """Print which certificates are revoked.

    Each authority whose certificates may be alive signs a list (RFC 5280), which counts for --lifetime (24h). Whoever
    checks certificates must fetch it again before that, and learns of a revocation no sooner than they do. --format
    der is for a single authority, and for a file.
    """

    summary = "Return which certificates are revoked, signed by the authority of each."
    for_anybody = True
    effect = READS
    verb = "keys export crl"
    function = "ledger.keys_verbs:crl"
    only_formats = ("pem", "der")

    lifetime: int | None = opt(
        DURATION, "--lifetime", help="How long the list counts (default: 24h).", default=None
    )
    """Seconds for which the lists are valid; more than a day requires the role admin."""
    out: str | None = local(public_out_opt())


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
