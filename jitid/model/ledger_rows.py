"""The rows of a ledger, and the parameters of queries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Literal, Self

from jitid.model.types import TASK
from jitid.values.declaration import Bounds
from jitid.values.field_types import AGENT, ALGORITHM, DELEGATOR, FILTER, FINGERPRINT, ID
from jitid.values.record import Record

FOREVER = (1 << 53) - 1
"""A time that is never reached."""


class Names(Record):
    """The names that the creation of a ledger fixes; only the issuer can change."""

    uuid: str
    issuer: str
    """The `iss` of its tokens, and their default audience."""
    trust_domain: str
    former: tuple[str, ...] = ()
    """Its former issuer names: tokens that were issued under them are still its own."""
    former_until: tuple[int, ...] = ()
    """For each former name, when the last credential that was issued under it expires."""
    named_at: int = 0
    """The audit event that last changed the issuer or the service algorithm; 0 without such a change."""

    restored_at: int | None = None
    """When the ledger was last restored, or its clock set back: it accepts no older ID token or assertion."""
    agents_until: int = 0
    """The highest number of an identity whose SPIFFE id is under `/agent/` even if its agent is not registered."""
    service_algorithm: str | None = None
    """The signature algorithm of service tokens; None in a ledger of an earlier version that was not changed since."""

    @property
    def issuers(self) -> tuple[str, ...]:
        """Every `iss` that its tokens can have, the current one first. It shows who issued a token, valid or not."""
        return (self.issuer, *self.former)

    def accepted(self, now: int) -> tuple[str, ...]:
        """Return the names that the ledger accepts as an audience for itself at `now`, the current one first."""
        if not self.former:
            return (self.issuer,)
        return (self.issuer, *(name for name, until in self.lasting() if now < until))

    def lasting(self) -> tuple[tuple[str, int], ...]:
        """Return the former names, each with when the last credential under it expires."""
        return tuple(zip(self.former, self.former_until, strict=True))

    def current(self, audiences: tuple[str, ...]) -> tuple[str, ...]:
        """Return audiences with former issuer names replaced by the current one."""
        if not self.former or set(self.former).isdisjoint(audiences):
            return audiences
        return tuple(
            dict.fromkeys(self.issuer if audience in self.former else audience for audience in audiences)
        )

    def renamed(self, issuer: str, until: int) -> Self:
        """Return the names with another issuer; all credentials under the previous one have expired at `until`."""
        former = {**dict(self.lasting()), self.issuer: until}
        former.pop(issuer, None)
        return self._replace(issuer=issuer, former=tuple(former), former_until=tuple(former.values()))

    def facts(self, kid: str) -> dict[str, str | int]:
        """Return the facts of the event `init` of a ledger whose first signing key is `kid`."""
        return {
            "ledger": self.uuid,
            "issuer": self.issuer,
            "trust_domain": self.trust_domain,
            "kid": kid,
            "agents_until": self.agents_until,
            **({} if self.service_algorithm is None else {SERVICE_ALGORITHM: self.service_algorithm}),
        }

    def settings(self) -> dict[str, str]:
        """Return the names as rows of the ledger's table of settings."""
        settings = {"uuid": self.uuid, "issuer": self.issuer, "trust_domain": self.trust_domain}
        if self.agents_until:
            settings[_AGENTS_UNTIL] = str(self.agents_until)
        if self.former:
            settings |= {_FORMER: " ".join(self.former), _UNTIL: " ".join(map(str, self.former_until))}
        if self.restored_at is not None:
            settings[RESTORED] = str(self.restored_at)
        if self.service_algorithm is not None:
            settings[SERVICE_ALGORITHM] = self.service_algorithm
        return {**settings, _NAMED_AT: str(self.named_at)} if self.named_at else settings

    @classmethod
    def of(cls, settings: Mapping[str, str]) -> Self:
        """Return the names from a ledger's table of settings. Raises KeyError for a missing or invalid setting."""
        former = tuple(settings.get(_FORMER, "").split())
        former_until = [int(text) if text.isdecimal() else 0 for text in settings.get(_UNTIL, "").split()]
        # A ledger of an older schema has no such times; the upgrade adds a single time for all former names.
        missing = [former_until[-1] if former_until else FOREVER] * (len(former) - len(former_until))
        named_at = settings.get(_NAMED_AT, "")
        restored_at = settings.get(RESTORED)
        agents_until = settings.get(_AGENTS_UNTIL, "0")
        for name, text in ((RESTORED, restored_at or "0"), (_AGENTS_UNTIL, agents_until)):
            if not (text.isascii() and text.isdigit()):
                raise KeyError(name)
        service_algorithm = settings.get(SERVICE_ALGORITHM)
        if service_algorithm is not None and service_algorithm not in ALGORITHM.words:
            raise KeyError(SERVICE_ALGORITHM)
        return cls(
            settings["uuid"],
            settings["issuer"],
            settings["trust_domain"],
            former,
            (*former_until, *missing)[: len(former)],
            int(named_at) if named_at.isdecimal() else 0,
            None if restored_at is None else int(restored_at),
            int(agents_until),
            service_algorithm,
        )


_FORMER, _UNTIL, _NAMED_AT = "former_issuers", "former_until", "named_at"
SERVICE_ALGORITHM = "service_algorithm"
CHANGEABLE = ("issuer", _FORMER, _UNTIL, _NAMED_AT, SERVICE_ALGORITHM)
"""The rows of the table of settings that a change of the names may write."""
RESTORED = "restored_at"
_AGENTS_UNTIL = "agents_until"
OF_NAMES = frozenset({"uuid", "trust_domain", *CHANGEABLE, RESTORED, _AGENTS_UNTIL})
"""The names of all settings in `Names`."""


class IdentityRow(Record):
    """The row of a new identity; names are numbers of the ledger's terms."""

    key: int
    uid: bytes
    parent: int | None
    depth: int
    delegator: int
    proof: str
    agent: int
    task: int
    sensitivity: str
    source: int | None = None
    """The credential of the parent that it was delegated from; None for a root."""


IDENTITY_COLUMNS = ("id", *IdentityRow._fields[1:])


class CredentialRow(Record):
    """The row of a new credential."""

    key: int
    jti: bytes
    identity: int
    kind: str
    scopes: str
    audiences: int
    details: str | None
    issued_at: int
    expires_at: int
    fingerprint: bytes | None
    claims_hash: bytes | None
    signed_by: int | None
    event: int
    task: int
    delegator: int
    recurring: int | None = None
    """The record of a registered agent."""
    template: str | None = None
    """The template that it is made from: `TARGET/TEMPLATE`."""
    public: bytes | None = None
    """SHA-256 of the certified public key (SubjectPublicKeyInfo, DER)."""
    line: int | None = None
    """The first credential of its line; None for the first one itself."""
    source: int | None = None
    """The credential of the same identity that authorized the attachment."""
    may_audience: str | None = None
    """The audiences for which its holder may obtain tokens, separated by spaces."""
    may_kind: str | None = None
    """The kinds that its holder may obtain, separated by spaces: see `credential.kept_kinds`."""
    may_act: str | None = None
    """The callers that may exchange it (RFC 8693, section 4.4), as canonical JSON."""
    proved_subject: int | None = None
    """The subject of the ID token that proved the root delegator, if the directory did not know it then."""
    subject: int | None = None
    """The template of the token's `sub`; None: the root delegator."""
    exchange_life: int | None = None
    """The longest lifetime, in seconds, of a token that a vendor exchanges for it; None without a vendor."""


CREDENTIAL_COLUMNS = ("id", *CredentialRow._fields[1:])


class SigningKey(Record):
    """The public side of a signing key; kept forever, since old audit heads need it."""

    key: int
    kid: str
    algorithm: str
    public: bytes
    created_at: int
    retired_at: int | None
    """The time from which it signs nothing more."""
    revoked_at: int | None
    """The time from which all its signatures are invalid."""
    use: str = "jws"
    """Its only use: `jws` (tokens and audit heads), `x509` or `ssh` (certificates)."""
    certificates: bytes | None = None
    """For an X.509 authority: its certificate and those above it up to a root, concatenated in DER."""
    machine: str | None = None
    """The machine that made it; None if that was not recorded: see `machines_of` in `signing.py`."""

    @property
    def signs(self) -> bool:
        """Whether it signs now; an X.509 authority needs a certificate for that."""
        ended = self.retired_at is not None or self.revoked_at is not None
        return not ended and (self.use != "x509" or self.certificates is not None)


class WithdrawnCredential(Record):
    """A signed credential that has ended before its signed expiry. Times are seconds since the epoch."""

    jti: bytes
    ended_at: int
    ended_as: str
    expires_at: int


class TokenReach(Record):
    """The audiences of a live credential, and those of the tokens that its holder may obtain."""

    audiences: tuple[str, ...]
    may_audience: tuple[str, ...]
    may_act: str | None
    token_use: str | None
    """As in `Credential`."""


class Ancestor(Record):
    """One hop of a delegation chain: an identity above another."""

    id: str
    agent: str
    task: str
    depth: int
    proof: str
    """How the root delegator was proved."""
    sensitivity: str
    """The higher sensitivity of its identity and its task."""
    under_agent: bool = False
    """Whether its SPIFFE id is under `/agent/`, as in `Credential`."""


class Maker(Record):
    """The caller that had a credential made, by these members of its audit event."""

    by: str | None
    acts_as: str | None
    """The delegator that the caller's login stands for."""
    bearer: str | None
    """The `jti` of the caller's token, if the caller is an agent."""
    of: str | None
    """The `jti` of the renewed credential."""
    made_from: str | None
    """The `jti` of the credential that this was attached to or delegated from."""
    acting: str | None
    """The actor with a separate token: the id of an identity, or a delegator."""
    subject: str | None
    """The subject that an ID token proved and the directory did not know."""


class Ground(Record):
    """A credential that another one rests on: the head of the line it was renewed, attached or delegated from."""

    id: str
    """The id of its identity."""
    agent: str
    task: str
    depth: int
    how: Literal["renewed", "attached", "delegated"]
    """Whether it superseded the credential below it, authorized its attachment, or delegated it."""
    task_ended_at: int | None
    task_deadline: int
    proof: str
    """How the root delegator was proved."""
    sensitivity: str
    """The higher sensitivity of its identity and its task."""
    scopes: tuple[str, ...] = ()
    audiences: tuple[str, ...] = ()
    details: tuple[str, ...] = ()
    """JSON texts, each a list of `authorization_details`."""
    expires_at: int | None = None
    """None if the line has no live head."""
    may_audience: tuple[str, ...] = ()
    may_kind: tuple[str, ...] | None = ()
    """None, in older rows, means any."""
    under_agent: bool = False
    """Whether its SPIFFE id is under `/agent/`, as in `Credential`."""
    made: str | None = None
    """The kind and template of the credential; None if the ledger does not record which credential it is."""

    @property
    def is_live(self) -> bool:
        """Whether the line has a live head; without one, a credential that rests on the line is not valid."""
        return self.expires_at is not None


def ancestors(grounds: Iterable[Ground]) -> list[Ancestor]:
    """Return the identities above a credential that rests on `grounds`, the nearest first."""
    # Both records begin with the id, the agent, the task and the depth.
    return [
        Ancestor(*ground[:4], ground.proof, ground.sensitivity, ground.under_agent)
        for ground in grounds
        if ground.how == "delegated"
    ]


class Family(Record):
    """An identity with its descendants."""

    live: bool
    """Whether the identity itself holds a live credential."""
    below: int
    """The number of its descendants."""
    live_below: int
    """How many of the descendants hold a live credential."""


class Selection(Record):
    """A selection of identities: values of one field are alternatives, different fields must all match."""

    ids: Annotated[tuple[str, ...], ID, Bounds(most=100_000)] = ()
    """`jid_…` and `jti_…`; either names the whole identity."""
    fingerprints: Annotated[tuple[bytes, ...], FINGERPRINT] = ()
    tasks: Annotated[tuple[str, ...], TASK] = ()
    """`OWNER/NAME`; a bare name matches the tasks of all openers."""
    delegators: Annotated[tuple[str, ...], DELEGATOR] = ()
    """Root delegators, by name or by the subject of an ID token; or `agent:NAME`, for identities that it delegated."""
    agents: Annotated[tuple[str, ...], AGENT] = ()
    trees: Annotated[tuple[str, ...], ID] = ()
    """Ids of identities: each selects its whole delegation tree from the root on."""
    kids: Annotated[tuple[str, ...], FILTER] = ()
    """Signing keys: each selects the identities with a credential that it signed."""


class Radius(Record):
    """The extent of a selection with all its descendants."""

    matched: int
    """The number of identities that match the selection itself, live or not."""
    identities: int
    """The number of these identities and all their descendants."""
    credentials: int
    """The number of their live credentials."""
    tasks: int
    delegators: int
    offline_until: int | None
    """The latest expiry of the live signed credentials; `acceptance` computes until when verifiers accept them."""
    signed: int
    """The number of live signed credentials."""
    refused_since: int | None = None
    """The time from which the ledger refuses all credentials of the extent; None while any of them is live."""
    accepted_until: int | None = None
    """The time until which a verifier may accept any of them, live or not; None if none was signed.

    It is the latest signed expiry and the leeway. Acceptance by targets is not included.
    """
    at: int = 0
    """The ledger's time of the measurement."""
    at_targets: int | None = None
    """The time until which targets may accept any of them, as far as targets have answered; None without an answer."""
    exchanged_until: int | None = None
    """The time until which vendors may accept tokens that they exchanged for any of them; None without a vendor."""


class ClosedByEvent(Record):
    """The number of ended credentials that one event records as ended."""

    event: int
    credentials: int
