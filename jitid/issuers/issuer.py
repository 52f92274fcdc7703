"""Input and output of each kind of credential: drafts, orders, secrets; the text and the properties of each kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

from jitid.keys.keyring import Signer
from jitid.model.credential import PARTS, TOKENS, Kind, base_kind
from jitid.model.ledger_rows import SigningKey
from jitid.values.record import Record
from jitid.values.secret import Secret
from jitid.values.text import with_final_newline

if TYPE_CHECKING:
    from jitid.issuers.target_issuer import AdoptedReference, KindOptions, OutsideIssuer, TargetCall
    from jitid.model.target import Target


class Draft(Record):
    """The common contents of the credentials of one issue. Times are seconds since the epoch."""

    issuer: str
    trust_domain: str
    delegator: str
    """The root delegator: the `sub` of a token."""
    delegator_proof: str
    actors: tuple[str, ...]
    """SPIFFE ids of the agents that the delegation went through, the latest first."""
    agent: str
    task: str
    purpose: str | None
    sensitivity: str
    depth: int
    scopes: tuple[str, ...]
    audiences: tuple[str, ...]
    details: str | None
    """Canonical JSON text of `authorization_details` (RFC 9396)."""
    issued_at: int
    expires_at: int
    template: str | None = None
    """The own name of the template that it is made from; None without one."""
    options: Mapping[str, Any] = {}
    """The table of that template; empty without one."""
    public_key: str | None = None
    """The caller's key for a certificate, as unchecked text; None if jitid makes a key pair."""
    registered: bool = False
    """Whether the agent is registered, which reserves its name."""
    may_audience: tuple[str, ...] = ()
    """The audiences for which the holder may obtain tokens."""
    may_act: str | None = None
    """The parties that may exchange it (RFC 8693, section 4.4), as canonical JSON."""
    may_kind: tuple[str, ...] | None = None
    """The kinds that its holder may obtain, with their templates; None means any."""
    subject: str | None = None
    """The template of a token's `sub`; None: the root delegator."""
    exchange_life: int | None = None
    """The longest lifetime, in seconds, of a token that a vendor exchanges for it."""

    @property
    def is_identity(self) -> bool:
        """Whether its token is an identity token: only the authority accepts it."""
        return self.audiences == (self.issuer,)

    def recorded_reach(self, kind: str) -> str | None:
        """Return `may_audience` as the ledger records it; None for a kind with which nothing can be obtained."""
        return " ".join(self.may_audience) if kind in TOKENS else None


class Listed(Record):
    """The place of a signed token in a published status list (draft-ietf-oauth-status-list, section 6)."""

    list: int
    """The day on which the token expires, counted from the epoch."""
    place: int
    uri: str

    def claim(self) -> dict[str, Any]:
        """Return the token's claim `status`."""
        return {"status_list": {"idx": self.place, "uri": self.uri}}


class Ids(Record):
    """The names of one credential and of the identity that it belongs to."""

    id: str
    jti: str
    listed: Listed | None = None
    """None for an unsigned credential, and if no status list is published."""


class Order(Record):
    """Credentials that differ only in their names."""

    draft: Draft
    names: Sequence[Ids]
    """At least one."""


class Minted(Record):
    """A secret that was just made, with the hashes that the ledger records."""

    secret: Secret
    fingerprint: bytes | None
    """SHA-256 of the canonical text; None if a target must still make the secret."""
    claims_hash: bytes | None
    """SHA-256 of the signed claims as bytes; None for an unsigned credential."""
    public: bytes | None = None
    """SHA-256 of the key that a certificate is for (SubjectPublicKeyInfo, DER); None without a certificate."""


class Issuer(Protocol):
    """One kind of credential."""

    def mint(self, orders: Sequence[Order]) -> list[Minted]:
        """Make one secret for each name of each order, in their order.

        No secret is accepted before its ledger row is committed.

        Raises:
            JitidError: an order cannot be met; `position` is its index.

        """


class Signing(Record):
    """The signing key that a kind of credential needs."""

    use: str
    algorithm: str


class KindSpec:
    """How credentials of a kind are made and delivered. With `target`, a target makes them."""

    def __init__(
        self,
        *,
        signing: Callable[[str], Signing] | None = None,
        signed: Callable[[Signer, SigningKey], Issuer] | None = None,
        unsigned: Callable[[], Issuer] | None = None,
        target: Callable[[Target, TargetCall], OutsideIssuer] | None = None,
        options: Callable[[], KindOptions] | None = None,
        adopted: AdoptedReference | None = None,
        text: Callable[[Secret, int], str] | None = None,
        separate_certificate: bool = False,
        serial_of: Callable[[str], int] | None = None,
        revocation_list: str | None = None,
        delivery: str | None = None,
        delivery_fact: str | None = None,
    ) -> None:
        """Take the properties of a kind.

        Args:
            signing: returns the key that signs, from the algorithm for the audience; None for unsigned credentials.
            signed: returns the issuer of signed credentials.
            unsigned: returns the issuer of credentials that jitid makes without a signing key.
            target: returns the issuer at a target. Raises ConfigurationError if the target's table is invalid.
            options: returns the options in the configuration; None if there are none.
            adopted: set if a target of this kind can end standing secrets that jitid did not make.
            text: returns a secret of several parts as text; the int is its expiry in seconds since the epoch. None:
                JSON.
            separate_certificate: whether the certificate gets a separate file beside that of the key.
            serial_of: returns the serial number of a certificate from its `jti`.
            revocation_list: the verb that prints the list of revoked certificates.
            delivery: the module of `capabilities/run/delivery/` that delivers secrets to a run, besides files.
            delivery_fact: the fact of a credential without which that module is not used.

        """
        self.signing = signing
        self.signed = signed
        self.unsigned = unsigned
        self.target = target
        self.options = options
        self.adopted = adopted
        self.text = text
        self.separate_certificate = separate_certificate
        self.serial_of = serial_of
        self.revocation_list = revocation_list
        self.delivery = delivery
        self.delivery_fact = delivery_fact


def token_options() -> KindOptions:
    """Return the options of templates for tokens: the Kubernetes cluster that accepts them."""
    from jitid.issuers.target_issuer import CLUSTER_OPTIONS, KindOptions

    return KindOptions({}, CLUSTER_OPTIONS)


def spec_of(kind: Kind) -> KindSpec:
    """Return the spec of a kind: `KIND` in the file of `issuers/` that has the name of the enum member."""
    if kind is Kind.ADOPTED:
        # jitid makes none of them.
        return KindSpec()
    spec: KindSpec = import_module(f"jitid.issuers.{kind.name.lower()}").KIND
    return spec


CERTIFICATE_SUFFIX = "-cert.pub"
"""The end of the name under which ssh(1) looks for a certificate beside its private key."""


def usable_until(expires_at: int, facts: Mapping[str, Any]) -> int:
    """Return until when a secret works: its own end, as its target reports it, or that of its credential if earlier."""
    until = facts.get("usable_until")
    return min(expires_at, until) if isinstance(until, int) else expires_at


def text_of(kind: str, secret: Secret, expires_at: int) -> str:
    """Return a secret of a kind (`jwt`, `exec:NAME`) as text that ends with a newline.

    A token is printed without any other text. Other kinds have the form of their `KindSpec`; without one they are one
    JSON object with the parts by name.
    """
    if secret.names == ("token",):
        return with_final_newline(secret.reveal())
    if kind in PARTS:
        as_text = spec_of(base_kind(kind)).text
        assert as_text is not None
        return with_final_newline(as_text(secret, expires_at))
    from jitid.formats.json import dumps

    return with_final_newline(dumps({name: secret.reveal(name) for name in secret.names}))


def files_of(kind: str, secret: Secret, expires_at: int, path: str) -> dict[str, str]:
    """Return the texts of the files that keep a secret, by path. The caller named `path` for it.

    An SSH certificate gets a separate file beside its key.
    """
    if (
        kind in PARTS
        and set(secret.names) == {"certificate", "key"}
        and spec_of(base_kind(kind)).separate_certificate
    ):
        # The key comes last: a program that waits for the key finds the certificate.
        return {
            path + CERTIFICATE_SUFFIX: with_final_newline(secret.reveal("certificate")),
            path: with_final_newline(secret.reveal("key")),
        }
    return {path: text_of(kind, secret, expires_at)}


def paths_of(kind: str, path: str, *, key: bool) -> tuple[str, ...]:
    """Return the paths of `files_of` for a secret that is not made yet; `key` says whether jitid makes its key."""
    if key and kind in PARTS and spec_of(base_kind(kind)).separate_certificate:
        return (path, path + CERTIFICATE_SUFFIX)
    return (path,)
