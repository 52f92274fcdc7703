"""What every kind of credential is made from, and what comes out."""

# Without `from __future__ import annotations`, which has the annotation of each field compiled at every start.
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from jitid.model.credential import TOKENS
from jitid.values.secret import Secret

MAX_PUBLIC_KEY = 16_384
"""Characters of the text of a public key: the longest RSA keys have a tenth of it."""

MAX_CHAIN = 65_535
"""Characters of the certificates of an authority as text, its own and those above it."""


class Draft(NamedTuple):
    """What the credentials of one issue have in common. Times are seconds since the epoch."""

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
    """What it is made from, as it was asked for."""
    options: Mapping[str, Any] = {}
    """The table of that template; empty without one."""
    public_key: str | None = None
    """The key of whoever asked, for a certificate; None where a pair is made for them. Text, not checked yet."""
    registered: bool = False
    """Whether the agent is registered, so that nobody else has its name."""
    may_audience: tuple[str, ...] = ()
    """The audiences for which the holder may obtain tokens."""
    may_act: str | None = None
    """Who may exchange it (RFC 8693, section 4.4), as canonical JSON."""
    may_kind: tuple[str, ...] | None = None
    """The kinds that its holder may obtain, with their templates; None means any."""

    @property
    def is_identity(self) -> bool:
        """Whether a token of it is an identity token: for the authority, and for nothing else."""
        return self.audiences == (self.issuer,)

    def recorded_reach(self, kind: str) -> str | None:
        """Return what the ledger keeps of `may_audience`; None for a kind by which nothing is obtained."""
        return " ".join(self.may_audience) if kind in TOKENS else None


class Listed(NamedTuple):
    """Where the state of a signed token is published (draft-ietf-oauth-status-list, section 6)."""

    list: int
    """The day on which it expires, counted from the epoch."""
    place: int
    uri: str

    def claim(self) -> dict[str, Any]:
        """Return the token's claim `status`."""
        return {"status_list": {"idx": self.place, "uri": self.uri}}


class Ids(NamedTuple):
    """The names of one credential and of the identity that it belongs to."""

    id: str
    jti: str
    listed: Listed | None = None
    """None for what is not signed, and where nothing is published."""


class Order(NamedTuple):
    """Credentials that are alike but for their names."""

    draft: Draft
    names: Sequence[Ids]
    """At least one."""


class Minted(NamedTuple):
    """A secret that was just made, with what the ledger keeps of it."""

    secret: Secret
    fingerprint: bytes | None
    """SHA-256 of the canonical text; None for what a target is still to make."""
    claims_hash: bytes | None
    """SHA-256 of the signed claims as bytes; none for what is not signed."""
    public: bytes | None = None
    """SHA-256 of the key that a certificate is for (SubjectPublicKeyInfo, DER); none for what is no certificate."""


class Issuer(Protocol):
    """One kind of credential."""

    def mint(self, orders: Sequence[Order]) -> list[Minted]:
        """Make one secret for each name of each order, in their order.

        Nothing works before its ledger row is committed.

        Raises:
            JitidError: an order cannot be met; `position` says which.

        """
