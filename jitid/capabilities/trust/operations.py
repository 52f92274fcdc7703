"""Operations on signing keys, the X.509 authority of a ledger, and publications."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jitid.formats.columns import Columns
from jitid.operation.base import IDEMPOTENT, READS, Operation, public_out_opt
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

    @property
    def machine(self) -> str:
        """The machine that made it, named by its first key. A key of an unknown machine stands for itself."""
        return self.key.machine or self.key.kid


class ListKeys(Operation["list[KeyRow]"]):
    """List all signing keys, present and past.

    A retired key no longer signs; its signatures stay valid, until `needed_until` at the latest. A waiting key was
    made by `jitid keys ca request` and has no certificate yet. `machine` is the first key of the machine that made it.
    """

    roles = ("auditor", "admin")
    verb = "keys list"
    effect = READS
    view = Columns(
        "jitid.keys/1",
        "kid use algorithm state created_at retired_at revoked_at needed_until machine",
        brief="kid use algorithm state",
    )


class RotateKey(Operation["KeyChange"]):
    """Replace a signing key with a new one.

    Signatures of older keys stay valid; their private keys are removed. With --transit, the transit engine of an
    OpenBao makes and keeps the new private key. The key never leaves it, and its successors are kept there too.
    """

    roles = ("admin",)
    verb = "keys rotate"
    function = "ledger.keys_verbs:rotate"
    view = Columns("jitid.keys-rotate/1", "kid use algorithm retired event", single=True)

    algorithm: str = opt(ALGORITHM, "--algorithm", help="EdDSA (default), ES256 or RS256.", absent="")
    use: str = opt(KEY_USE, "--use", help="Use of the key: jws (default), x509 or ssh.", default="jws")
    transit: str | None = opt(
        _TRANSIT,
        "--transit",
        help="Key of a transit engine; `none`: a file (default: as before).",
        default=None,
    )
    accept_clock: bool = False


class AlgorithmRow(Record):
    """The signature algorithm of the tokens for an audience."""

    audience: str
    """An audience; with `*` at its end, each audience that begins so."""
    algorithm: str
    origin: str
    """`ledger`, `configuration`, or `table`: the algorithms that the audience's verifier accepts."""
    reason: str | None


class ListAlgorithms(Operation["list[AlgorithmRow]"]):
    """List the signature algorithms of tokens, by audience."""

    roles = ("auditor", "admin")
    effect = READS


class AlgorithmChange(Record):
    """A change of the algorithm of service tokens."""

    algorithm: str
    was: str | None
    """None in a ledger of an earlier version, which signs with EdDSA."""
    event: int | None
    """None if it was so already."""


class SetAlgorithm(Operation["AlgorithmChange"]):
    """Set the signature algorithm of service tokens."""

    roles = ("admin",)
    effect = IDEMPOTENT

    algorithm: str = value(ALGORITHM)
    accept_clock: bool = False


class RevokeKey(Operation["KeyChange"]):
    """Revoke a leaked key and all that it signed."""

    roles = ("admin",)

    kid: str = value(FILTER)
    reason: str | None = value(REASON, default=None)
    most: int | None = value(COUNT)
    accept_clock: bool = False


class PublishKeys(Operation["dict[str, Any]"]):
    """Print the public keys for verifiers (JWKS, RFC 7517).

    A rotated key stays while a credential that it signed may be valid. A revoked key is removed at once.
    With --algorithm, the set has only keys of that algorithm, for verifiers that fail on keys of other kinds.
    """

    summary = "Return the JWKS (RFC 7517) for verifiers."
    for_anybody = True
    effect = READS
    verb = "keys export jwks"
    function = "ledger.keys_verbs:jwks"
    only_formats = ("json",)

    algorithm: str | None = opt(ALGORITHM, "--algorithm", help="Only keys of this algorithm.", default=None)
    out: str | None = local(public_out_opt())

    def fits(self, answer: dict[str, Any]) -> bool:
        """Return whether there is a list of keys."""
        return type(answer.get("keys")) is list


class PublishSshAuthorities(Operation["list[SshAuthority]"]):
    """Print the SSH keys for TrustedUserCAKeys of hosts.

    A rotated key stays while a certificate that it signed may be valid. A revoked key is removed at once. The host
    decides which principals may log in: by AuthorizedPrincipalsFile, or by logins that a template names.
    """

    summary = "Return the keys whose certificates SSH hosts accept."
    for_anybody = True
    effect = READS
    verb = "keys export ssh"
    function = "ledger.keys_verbs:ssh"
    only_formats = ()

    out: str | None = local(public_out_opt())


class PublishSshRevocations(Operation["SshRevocations"]):
    """Write the list of revoked SSH certificates (RevokedKeys).

    Hosts do not query jitid: a revoked certificate works at a host until that host fetches the list. Open sessions
    stay open. A key revoked with `jitid keys revoke` is on the list, with all its certificates.
    """

    summary = "Return the key revocation list that SSH hosts read."
    for_anybody = True
    effect = READS
    verb = "keys export krl"
    function = "ledger.keys_verbs:krl"
    only_formats = ()

    out: str | None = local(public_out_opt())


class RequestAuthority(Operation["Requested"]):
    """Request a certificate for an X.509 authority under a root.

    This makes a key, unless one waits already. It writes a request (PKCS#10 in PEM) for the operator of the root.
    The present authority continues until the certificate is imported.
    """

    roles = ("admin",)
    verb = "keys ca request"
    function = "ledger.keys_verbs:request"
    only_formats = ()

    out: str | None = local(public_out_opt())
    accept_clock: bool = False


class ImportAuthority(Operation["Imported"]):
    """Import the requested certificate of an X.509 authority.

    FILE has, in PEM, the certificate of the key, then the intermediates, and the root last. The former authority is
    retired; its certificates stay valid.
    """

    roles = ("admin",)
    verb = "keys ca import"
    function = "ledger.keys_verbs:import_"
    view = Columns("jitid.keys-import/1", "kid retired expires_at event", single=True)

    file: str | None = local(
        optional_arg(FILE, "[FILE]", help="Certificates in PEM; default or `-`: standard input.")
    )
    chain: str = computed(text(MAX_CHAIN, "the certificates"), absent="")
    accept_clock: bool = False


class PublishBundle(Operation["Bundle"]):
    """Print the SPIFFE bundle for verifiers of SVIDs.

    It has the roots of X.509-SVIDs and the keys of JWT-SVIDs of the trust domain. --format jwt prints only the keys,
    --format pem only the roots. A rotated authority stays until all its certificates have expired. A revoked
    authority is removed at once.
    """

    summary = "Return the SPIFFE bundle that verifiers of SVIDs trust."
    for_anybody = True
    effect = READS
    verb = "keys export bundle"
    function = "ledger.keys_verbs:bundle"
    only_formats = ("spiffe", "jwt", "pem", "json")

    out: str | None = local(public_out_opt())


class PublishRevocations(Operation["list[RevocationList]"]):
    """Print the list of revoked X.509 certificates (CRL).

    Each authority with certificates that may be valid signs a list (RFC 5280). A list is valid for --lifetime.
    Verifiers must fetch a new list before that, and learn of revocations only then. --format der requires a single
    authority and --out FILE.
    """

    summary = "Return the revoked certificates, in a list signed by each authority."
    for_anybody = True
    effect = READS
    verb = "keys export crl"
    function = "ledger.keys_verbs:crl"
    only_formats = ("pem", "der")

    lifetime: int | None = opt(
        DURATION, "--lifetime", help="Validity of the list (default: 24h).", default=None
    )
    """Seconds for which the lists are valid; more than a day requires the role admin."""
    out: str | None = local(public_out_opt())


class MakePublication(Operation["Iterator[Document]"]):
    """Make the documents for offline verifiers, in the order in which they must be written."""

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
