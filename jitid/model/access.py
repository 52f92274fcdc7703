"""The callers of an authority: their proved identities, roles and access credentials, and the issuers of ID tokens.

Also the answer of an authority about its caller, and the confinement of the caller's process.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final, Literal

from jitid.values.field_types import choice
from jitid.values.record import Record
from jitid.values.scope import Scope

ASSERTION_LEEWAY = 300
"""Seconds for which the use of a client's assertion is remembered after the assertion has expired."""
ALL_AUDIENCES = ("*",)
"""The value for all audiences, if they were registered explicitly."""


class AccessState(StrEnum):
    """The state of an access credential at a given time."""

    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"
    ROTATED = "rotated"
    """Replaced by another access credential."""
    DISABLED = "disabled"
    """Ended because its delegator was disabled."""
    SPENT = "spent"
    """Ended because it is a bootstrap credential that was used for its only purpose."""


class Access(Record):
    """A credential, or the public key of a client, that authenticates a caller at an authority.

    Times are seconds since the epoch.
    """

    id: str
    """`acc_` and 26 characters."""
    name: str
    """Its owner, with the kind: `user:alice`, `system:ci`."""
    roles: tuple[str, ...]
    """Sorted."""
    fingerprint: bytes | None
    """SHA-256 of the access token; None if the caller has a key instead."""
    public: str | None
    """The public key (JWK, RFC 7517) that verifies the client's assertions (RFC 7523), as canonical JSON."""
    issued_at: int
    expires_at: int
    superseded_at: int | None
    """The time from which it is refused because another replaces it."""
    ended_at: int | None
    ended_as: str | None
    bootstrap: int
    """1 for a bootstrap credential, which can only grant the first administrator access."""
    predecessor: str | None
    """The id of the access credential that it replaced."""
    event: int
    """The audit event that granted it."""
    ended_event: int | None
    audiences: tuple[str, ...] | None = None
    """The audiences that are registered for the caller; `*` means all. None, if none were stated, means all as well."""
    subject: str | None = None
    """The `iss` and `sub` of the ID token that proved its owner, with a space between; None unless it is a login."""
    proved_at: int | None = None
    """When that ID token was issued or its subject authenticated, whichever is earlier."""
    holder: str | None = None
    """The system user of a login beside the ledger, as `LOGIN+HASH@HOST`; None for a caller of an authority."""

    @property
    def by(self) -> str:
        """Its proof: `bearer`, `key`, or `oidc` for a login."""
        if self.subject is not None:
            return "oidc"
        return "bearer" if self.public is None else "key"

    @property
    def login(self) -> LoginProof | None:
        """The proof that it gives of its owner; None unless it is a login."""
        if self.subject is None or self.proved_at is None:
            return None
        return LoginProof(self.id, self.name, self.subject, self.proved_at, self.expires_at)

    @property
    def ends_at(self) -> int:
        """When it ends at the latest: once it is replaced, or at its expiry."""
        return self.expires_at if self.superseded_at is None else min(self.superseded_at, self.expires_at)

    @property
    def shown_roles(self) -> tuple[str, ...]:
        """The roles for people: `bootstrap` for a bootstrap credential."""
        return ("bootstrap",) if self.bootstrap else self.roles

    @property
    def shown_audiences(self) -> tuple[str, ...]:
        """The audiences of the tokens that the caller may see, for people.

        If no audience is registered, a verifier, responder, auditor or admin sees the tokens of all audiences. Any
        other caller sees none.
        """
        unrestricted = {"verifier", "responder", "auditor", "admin"} & set(self.roles)
        if self.audiences == ALL_AUDIENCES or (self.audiences is None and unrestricted):
            return ("all audiences",)
        return self.audiences or ()

    def state_at(self, now: int) -> AccessState:
        """Return the state at `now`."""
        if self.ended_as is not None:
            return AccessState(self.ended_as)
        if self.superseded_at is not None and self.superseded_at <= now:
            return AccessState.ROTATED
        return AccessState.EXPIRED if self.expires_at <= now else AccessState.ACTIVE


class LoginProof(Record):
    """The proof of a person's identity by a login. Times are seconds since the epoch."""

    id: str
    """The id of the access credential."""
    delegator: str
    """The person, with the kind: `user:alice@example.com`."""
    subject: str
    """The `iss` and `sub` of the ID token, with a space between."""
    proved_at: int
    expires_at: int

    @property
    def issuer(self) -> str:
        """The issuer of the ID token."""
        return self.subject.partition(" ")[0]


class PresentedAccess(Record):
    """An access credential as presented by a caller."""

    access: Access
    departed: int
    """1 if the delegator of that name is disabled."""
    event: bytes | None
    """The body of the audit event that granted it."""


Role = Literal["issuer", "verifier", "responder", "sweeper", "auditor", "admin", "bootstrap"]
"""For the type checker, which refuses an operation with any other role."""
ROLES: tuple[Role, ...] = ("issuer", "verifier", "responder", "sweeper", "auditor", "admin")
"""The duties that can be given to a caller; each is separate, and none includes another."""
ROLE = choice(*ROLES, metavar="ROLE", label="role")
BOOTSTRAP: Final = "bootstrap"
"""The role of a bootstrap credential: it grants the first administrator access, once."""


class Caller(Record):
    """The caller of an operation."""

    name: str
    """For the audit log (`by`): `user:alice`, `system:ci`, `agent:planner`, a login."""
    roles: frozenset[str] | None
    """None: the caller has direct access to the ledger's files and may do anything."""
    delegator: str | None = None
    """The delegator that the caller is proved to be, such as `user:alice`; None for an agent."""
    proof: str | None = None
    """The method of that proof: `os-user`, `credential` or `oidc`."""
    credential: str | None = None
    """The id of the access credential, or the `jti` of the agent's credential, that authenticated the caller."""
    agent: str | None = None
    """The agent's name, if an agent's own credential authenticated the caller."""
    trace: str | None = None
    """The `traceparent` (W3C Trace Context, section 3.2) of the request."""
    identity: str | None = None
    """The id of the agent's identity, if its own credential authenticated it: the same after each renewal."""
    key: str | None = None
    """The idempotency key that identifies a repeated request after a lost answer (the header `Idempotency-Key`)."""
    audiences: tuple[str, ...] | None = None
    """The audiences registered for the caller, which learns nothing about tokens for others. None: all audiences."""
    login: LoginProof | None = None
    """The login that authenticated the caller."""

    def visible_audiences(self, stated: Collection[str]) -> Collection[str] | None:
        """Return the audiences whose tokens the caller sees: of those `stated`, or else its own.

        None means tokens for any audience: the caller sees all of them and states no audience.
        """
        if self.audiences is None:
            return stated or None
        return [audience for audience in stated if audience in self.audiences] if stated else self.audiences

    def may_exchange(self, audiences: Collection[str]) -> bool:
        """Return whether the caller may exchange a token for these audiences: one of them must be registered for it."""
        return self.audiences is not None and not set(self.audiences).isdisjoint(audiences)


UNAUTHENTICATED = Caller("anonymous", frozenset())
"""The caller of an operation that authenticates its caller itself."""


class OidcIssuer(Record):
    """One configured issuer whose ID tokens prove a delegator."""

    issuer: str
    jwks: str
    """The location of its keys: an absolute path, or an https address (http on the loopback interface only)."""
    audience: str
    """The `aud` value that the issuer uses for jitid; empty if it issues no tokens for delegators, only for logins."""
    claim: str = "sub"
    """The claim whose value names the delegator; `email` counts only with `email_verified`."""
    kind: str = "user"
    """The kind of name in the claim: `user` or `system`."""
    algorithms: tuple[str, ...] = ("RS256", "ES256", "EdDSA", "PS256")
    names: tuple[str, ...] | None = None
    """Patterns of the names, without their kind, that it may prove; None: all, if no other issuer proves this kind."""
    clients: tuple[tuple[str, str], ...] = ()
    """Pairs of a client id at the issuer and the name of that client as a caller of the authority."""
    client_id: str | None = None
    """The client that people log in with: the `aud` of their ID tokens. None: no logins."""
    client_secret_file: str | None = None
    """The file of the client's secret; None for a public client."""
    device: bool = False
    """Whether the device flow (RFC 8628) is permitted."""
    scopes: tuple[str, ...] = ("openid", "email", "profile")
    """The scopes that a login requests."""
    ca: str | None = None
    """The file of CA certificates (PEM) for the issuer's servers, instead of the system's."""
    id_jag: bool = True
    """Whether its assertions (ID-JAG) count. An issuer for logins must say so."""
    from_environment: bool = False
    """Whether an environment variable has chosen the file of these settings: no login beside a ledger is by them."""


class GrantBounds(Record):
    """The rights that an identity provider permits for one use of its assertion (ID-JAG)."""

    scopes: tuple[Scope, ...]
    audiences: tuple[str, ...]
    details: tuple[str, ...]
    """Each of the `authorization_details` as canonical JSON text."""


class Proof(Record):
    """The identity of a caller, as an issuer has proved it."""

    delegator: str
    issuer: str
    subject: str
    expires_at: int
    mark: bytes
    """SHA-256 that identifies the token, in any spelling of its signature."""
    proved_at: int | None = None
    """When the token was issued or the subject logged in, whichever is earlier; None if the token states neither."""
    may_act: Mapping[str, Any] | None = None
    """The only parties that may act for the subject, if the token limits them (RFC 8693, section 4.4)."""
    clients: tuple[str, ...] = ()
    """The clients that the token was issued to (`azp`, `client_id`), by the issuer's names; not jitid itself."""
    cnf: Mapping[str, Any] | None = None
    """The key whose possession the presenter must prove, if the token names one (RFC 7800)."""
    callers: Mapping[str, str] = MappingProxyType({})
    """Client id at the issuer -> the caller of the authority that has it."""
    bounds: GrantBounds | None = None
    """The bounds of an ID-JAG, which counts once; None for other tokens."""

    def caller(self, client: str) -> str:
        """Return the caller name of a client of the issuer."""
        return self.callers.get(client, client)


TokenType = Literal["id_token", "access_token", "jwt"]
"""The stated type of a token (RFC 8693, section 3); a `jwt` may be either of the other two."""

ProofType = TokenType | Literal["id_jag"]
"""The type of a token that proves a delegator.

An `id_jag` is an assertion of an identity provider for one client (RFC 7523, section 2.1), and is accepted once.
"""


# The form of a key for each algorithm: its type, its curve and its public members.
_FORMS: dict[str, tuple[str, str | None, tuple[str, ...]]] = {
    "RS256": ("RSA", None, ("n", "e")),
    "PS256": ("RSA", None, ("n", "e")),
    "ES256": ("EC", "P-256", ("x", "y")),
    "EdDSA": ("OKP", "Ed25519", ("x",)),
}


ALGORITHMS = tuple(_FORMS)


KINDS = ("user", "system")
"""The kinds of names that an issuer may prove."""


class Confinement(StrEnum):
    """The rights of a process beyond its own credential, because of the user that it runs under."""

    KEY_READABLE = "key-readable"
    """It can read the signing key or write the ledger: every right and every role."""
    PERSON_IMPERSONABLE = "person-impersonable"
    """It can act as a person or a service, with all their rights."""
    CONFINED = "confined"
    """It has only its own credential."""


class WhoAmI(Record):
    """The authority's answer about its caller and itself."""

    caller: str
    """The caller's name in the audit log."""
    roles: tuple[str, ...]
    """Sorted; empty for a caller who may see only their own records."""
    delegator: str | None
    """The delegator that the caller is proved to be; None if the caller cannot delegate as a person or service."""
    proof: str | None
    agent: str | None
    """The agent's name, if the caller authenticated with an agent's own credential."""
    issuer: str
    now: int
    """The authority's time, in seconds since the epoch."""
    version: str
    confinement: Confinement | None = None
    """The confinement, as far as the authority knows: it cannot see the caller's files on another machine."""
    login: LoginProof | None = None
    """The login that authenticated the caller; None for another credential."""
