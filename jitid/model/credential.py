"""A credential with the identity that it belongs to, and its state at a given time.

Of a credential that ended: since when the ledger refuses it, and until when a verifier may accept it.

A verifier that holds the published keys accepts a signed credential until its expiry, even if the ledger refuses it.
No ledger knows all verifiers of an audience, nor whether each of them reads the status list. So a list or a revocation
never makes the second fact earlier than the latest signed expiry.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from enum import StrEnum
from typing import Protocol

from jitid.errors import UsageError
from jitid.model.process import Process
from jitid.values.record import Record
from jitid.values.text import quote
from jitid.values.times import format_duration, format_time

FORMER_PROOF = "parent"
"""The proof of a delegated identity from before the root's proof was kept at every depth; old rows have it."""


class Kind(StrEnum):
    """The kinds of credential; each is made by one file of `issuers/`."""

    JWT = "jwt"
    OPAQUE = "opaque"
    JWT_SVID = "jwt-svid"
    X509_SVID = "x509-svid"
    SSH_CERT = "ssh-cert"
    AWS_STS = "aws-sts"
    POSTGRES_ROLE = "postgres-role"
    OPENBAO_LEASE = "openbao-lease"
    EXEC = "exec"
    """Made by a user's program: the full kind is `exec:NAME`, with the name of the target of the program."""
    ADOPTED = "adopted"
    """An existing standing secret: jitid records it and does not make it."""


MADE = tuple(kind for kind in Kind if kind is not Kind.ADOPTED)
"""The kinds that can be issued."""

OUTSIDE = frozenset({Kind.POSTGRES_ROLE, Kind.OPENBAO_LEASE, Kind.AWS_STS, Kind.EXEC})
"""The kinds that an external target makes and must end."""

_NAME = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")
_LONGEST = 64


class RequestedKind(Record):
    """A kind as stated in a request."""

    kind: str
    """In the form of the ledger: `jwt`, `exec:vault`."""
    template: str | None
    """The name of a template of a target, or `TARGET/TEMPLATE`."""


def base_kind(kind: str) -> Kind:
    """Return the `Kind` of a kind in the form of the ledger. Raise UsageError for an invalid kind."""
    base, colon, name = kind.partition(":")
    if base not in _ALL or (colon == ":") is not (base == Kind.EXEC) or (colon and not is_target_name(name)):
        raise _invalid_kind(kind, _WRITTEN)
    return Kind(base)


def _invalid_kind(kind: str, written: Sequence[str]) -> UsageError:
    return UsageError(f"{quote(kind)} is not a kind of credential", f"the kinds are: {', '.join(written)}")


_ALL = frozenset(kind.value for kind in Kind)
_WRITTEN = tuple("exec:NAME" if kind is Kind.EXEC else kind.value for kind in Kind)
_MADE = tuple(written for written in _WRITTEN if written != Kind.ADOPTED)
"""The kinds that can be issued, as users write them."""


def check_issuable(kind: str) -> str:
    """Return the kind unchanged if it can be issued. Raises UsageError for an invalid kind, and for adopted secrets."""
    try:
        parsed = base_kind(kind)
    except UsageError:
        raise _invalid_kind(kind, _MADE) from None
    if parsed is Kind.ADOPTED:
        raise not_issuable()
    return kind


def not_issuable() -> UsageError:
    """Return the error for a request to issue an adopted secret."""
    return UsageError(
        "adopted secrets cannot be issued: they exist already",
        "to record one: jitid adopt add; to replace one: jitid adopt suggest",
    )


def is_outside(kind: str) -> bool:
    """Return whether an external target makes credentials of a kind in the form of the ledger."""
    return kind.partition(":")[0] in OUTSIDE


def is_accepted_elsewhere(kind: str) -> bool:
    """Return whether something other than this ledger decides how long a credential of a kind works."""
    return kind == Kind.ADOPTED or is_outside(kind)


def parse_kind(text: str) -> RequestedKind:
    """Return a kind from `KIND`, `KIND:TEMPLATE` or `KIND:TARGET/TEMPLATE`.

    In `exec:NAME` the colon is part of the kind; a template follows a second colon. Raises UsageError.
    """
    prefix, _, rest = text.partition(":")
    kind, template = prefix, rest
    if prefix == Kind.EXEC:
        name, _, template = rest.partition(":")
        kind = f"{prefix}:{name}"
    check_issuable(kind)
    if text.count(":") == kind.count(":"):
        return RequestedKind(kind, None)
    target, slash, template_name = template.rpartition("/")
    if not is_target_name(template_name) or (slash and not is_target_name(target)):
        raise UsageError(
            f"{quote(text)} is not a valid KIND:TEMPLATE",
            "write KIND:TEMPLATE, or KIND:TARGET/TEMPLATE if two targets have it",
        )
    return RequestedKind(kind, template)


USUAL_KIND = RequestedKind(Kind.JWT.value, None)
"""The kind of a request that states none."""

USUAL_KINDS = (Kind.JWT.value, Kind.OPAQUE.value)
"""The kinds that the holder of a credential may obtain if its grant names none."""

MOST_KINDS = 32
"""The maximum number of kinds in a grant: the policy judges each of them."""

ANY_KIND = "*"
"""The value in audit events for a credential that is older than kinds in grants: its holder may obtain any kind."""
_NO_KIND = "-"


def named_kind(kind: str, template: str | None) -> str:
    """Return a kind and its template in the form of a grant: `kind` or `kind:TARGET/TEMPLATE`."""
    return f"{kind}:{template}" if template else kind


def bare_kind(entry: str) -> str:
    """Return the kind in an entry of a grant, without the template."""
    kind, *rest = entry.split(":")
    return f"{kind}:{rest[0]}" if kind == Kind.EXEC and rest else kind


def kept_kinds(kinds: Iterable[str]) -> str:
    """Return the kinds of a grant in the form of the ledger: sorted, and empty for the usual ones."""
    if kinds == USUAL_KINDS:
        return ""
    distinct = sorted(set(kinds))
    if distinct == sorted(USUAL_KINDS):
        return ""
    # Empty text means the usual kinds, so an empty grant needs a separate value.
    return " ".join(distinct) or _NO_KIND


def read_kinds(text: str | None) -> tuple[str, ...] | None:
    """Return the kinds of a grant from a row or an audit event; None, for older ones, means any kind."""
    if text is None or text == ANY_KIND:
        return None
    if not text:
        return USUAL_KINDS
    return () if text == _NO_KIND else tuple(text.split())


def recorded_kinds(kinds: Sequence[str] | None) -> str:
    """Return the kinds of a grant in the form of audit events."""
    return ANY_KIND if kinds is None else kept_kinds(kinds)


def claimed_kinds(kinds: Sequence[str] | None) -> list[str] | None:
    """Return the kinds of a grant in the form of a token claim; None for the usual kinds, and for older credentials."""
    return None if kinds is None or not kept_kinds(kinds) else sorted(set(kinds))


def judged_kinds(kinds: Iterable[str] | None) -> tuple[tuple[str, str], ...]:
    """Return the kinds of a grant that the policy judges, each with its template: all except the usual ones."""
    if kinds is None or kinds == USUAL_KINDS:
        return ()
    requested = [parse_kind(kind) for kind in kinds if kind not in USUAL_KINDS]
    return tuple((kind, template or "") for kind, template in requested)


def is_target_name(text: str) -> bool:
    """Return whether a target or template may have this name: 1 to 64 letters, digits, `_.-`, not `.` or `-` first."""
    return 0 < len(text) <= _LONGEST and _NAME.issuperset(text) and text[0] not in ".-"


TOKENS = frozenset({Kind.JWT, Kind.OPAQUE})
"""The kinds of token that give rights to their presenter."""
SIGNED_TOKENS = frozenset({Kind.JWT, Kind.JWT_SVID})
"""The kinds of token that a service can verify, or exchange, without this ledger."""

PARTS = {
    "x509-svid": ("certificate", "key"),
    "ssh-cert": ("key", "certificate"),
    "aws-sts": ("access_key_id", "secret_access_key", "session_token"),
    "postgres-role": ("username", "password", "url"),
}
"""The parts of secrets with several parts, by kind; for other kinds, the maker decides."""

PROOFS = frozenset({Kind.JWT_SVID, Kind.X509_SVID, Kind.SSH_CERT})
"""The kinds that prove an identity and have no jitid scope."""

UNSIGNED = frozenset({Kind.OPAQUE})
"""The tokens that the ledger recognises by their fingerprint alone."""

SIGNED = frozenset({Kind.JWT, Kind.JWT_SVID})
"""The tokens that are signed. Where a status list is published, each names its place in it."""

SHOWN = UNSIGNED | SIGNED
"""The kinds whose holder shows one text, to an audience. Every other kind has several parts, or goes to a target."""


class TokenUse(StrEnum):
    """The purpose of a token."""

    IDENTITY = "identity"
    """For the authority alone: with it the holder renews, delegates, and obtains service tokens."""
    SERVICE = "service"
    """For presentation to the services that it names."""
    UNDIVIDED = "undivided"
    """Issued before these two uses were separated."""


class State(StrEnum):
    """The state of a credential at a given time."""

    PENDING = "pending"
    """Recorded, but its secret is not confirmed."""
    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"
    RETIRED = "retired"
    """Ended with its task."""
    SUPERSEDED = "superseded"
    """Replaced by a later credential of the same identity."""


class Credential(Record):
    """One credential in the ledger, without its secret. Times are seconds since the epoch."""

    key: int
    """The ledger's own number for the credential."""
    jti: str
    id: str
    """The identity: one agent on one task for one delegator."""
    identity_key: int
    parent: str | None
    """The identity that delegated to this one; None for the root of a chain."""
    parent_key: int | None
    depth: int
    delegator: str
    """The root delegator, at the start of the delegation chain, such as `user:alice`."""
    delegated_by: str
    """The root delegator, or the parent's agent as `agent:NAME`."""
    delegator_proof: str
    agent: str
    task: str
    purpose: str | None
    sensitivity: str
    kind: str
    scopes: tuple[str, ...]
    audiences: tuple[str, ...]
    details: str | None
    """The canonical JSON text of `authorization_details` (RFC 9396), if any were given."""
    issued_at: int
    expires_at: int
    ended_at: int | None
    ended_as: str | None
    fingerprint: bytes | None
    claims_hash: bytes | None
    """SHA-256 of the signed claims as bytes; None for an unsigned kind."""
    signed_by: str | None
    """The `kid` of the key that signed it."""
    event: int
    """The audit event that issued it."""
    ended_event: int | None
    superseded_at: int | None
    """The time from which its successor replaces it; it may be in the future."""
    process: Process | None
    """The process that the identity was given to, if it is bound to one."""
    delegator_state: str = "unverified"
    """The state of the delegator in the directory now: `known`, `disabled`, or `unverified` if it is not there."""
    template: str | None = None
    """The template that it was made from: `TARGET/TEMPLATE`."""
    line: int = 0
    """The ledger's number for the first credential of its line, which may be itself."""
    source: int | None = None
    """The ledger's number for the credential that it was delegated or attached from; None for a root."""
    attached_from: int | None = None
    """The same number if it was attached: then both belong to one identity."""
    may_audience: tuple[str, ...] = ()
    """The audiences for which its holder may obtain tokens."""
    may_kind: tuple[str, ...] | None = ()
    """The kinds that its holder may obtain and delegate; None, in an older row, means any."""
    may_act: str | None = None
    """The callers that may exchange it (RFC 8693, section 4.4), as canonical JSON."""
    task_key: int = 0
    """The ledger's own number for the task."""
    task_opener: str = ""
    """The delegator that owns the task."""
    task_until: int = 0
    """The task's deadline; 0 once the task has ended."""
    recurring: int | None = None
    """The ledger's number for the record of its agent; None if the agent is not registered."""
    under_agent: bool = False
    """Whether its SPIFFE id is under `/agent/`: its agent is registered, or it is older than `/ephemeral/`."""
    proved_subject: str | None = None
    """The subject of the ID token that proved the root delegator, as `ISSUER SUB`, if the directory did not know it."""
    subject: str | None = None
    """The template of the token's `sub` (`model/subject_template.py`); None: the root delegator."""
    exchange_life: int | None = None
    """The longest lifetime, in seconds, of a token that a vendor exchanges for it; None without a vendor."""
    token_use: str | None = None
    """Its use, as in `TokenUse`; None if it is not a token of jitid."""

    def names_authority(self, issuers: Collection[str]) -> bool:
        """Return whether it is a token for the authority with these names; no other token gives rights there."""
        if self.token_use == TokenUse.UNDIVIDED:
            return not set(issuers).isdisjoint(self.audiences)
        return (
            self.token_use == TokenUse.IDENTITY
            and bool(self.audiences)
            and set(issuers).issuperset(self.audiences)
        )

    @property
    def delegated(self) -> bool:
        """Whether another identity delegated it."""
        return self.depth > 0

    @property
    def ends_at(self) -> int:
        """When it ends at the latest: at the end of the overlap if it was renewed, otherwise at its expiry."""
        return self.expires_at if self.superseded_at is None else min(self.superseded_at, self.expires_at)

    def state_at(self, now: int) -> State:
        """Return the state at `now`; this module reads no clock."""
        # Revocation outranks expiry: next year's incident report must still say "revoked".
        if self.ended_as is not None:
            return State(self.ended_as)
        if self.superseded_at is not None and now >= self.superseded_at:
            return State.SUPERSEDED
        if now >= self.expires_at:
            return State.EXPIRED
        return State.PENDING if self.fingerprint is None else State.ACTIVE


LEEWAY = 300
"""Seconds after the expiry for which a verifier may still accept a credential, because clocks differ.

Five minutes is the largest default of a widely used library, `TokenValidationParameters.ClockSkew` of .NET; others
have 0 or 60 seconds.
"""
LEEWAY_TEXT = format_duration(LEEWAY)


def accepted_until(expires_at: int) -> int:
    """Return the time from which no verifier accepts a signed credential that expires at `expires_at`."""
    return expires_at + LEEWAY


def exchanged_until(expires_at: int, exchange_life: int | None) -> int | None:
    """Return until when a vendor may accept a token that it exchanged for another one; None without a vendor.

    A vendor may exchange the token up to the last moment at which it accepts it.
    """
    return None if exchange_life is None else accepted_until(expires_at) + exchange_life


class TwoFacts(Protocol):
    """A record that has both facts."""

    @property
    def refused_since(self) -> int | None:
        """Since when the ledger refuses all of it; None while it accepts any of it."""

    @property
    def accepted_until(self) -> int | None:
        """The time from which no verifier accepts any of it; None while nothing bounds that."""


def sentence(facts: TwoFacts, now: int, subject: str = "it") -> str:
    """Return both facts in words, for something that the ledger refuses."""
    since, until = facts.refused_since, facts.accepted_until
    if since is None:
        return "not refused by the ledger yet"
    refused = f"refused by the ledger since {format_time(since)}"
    if until is None:
        return f"{refused}; the target has not confirmed the end, and may accept {subject}"
    if until > now:
        return f"{refused}; offline verifiers accept {subject} until {format_time(until)}"
    return f"{refused}; accepted by no verifier since {format_time(until)}"
