"""The rows that go into a ledger and come out of it, and what its questions are asked with."""

# Without `from __future__ import annotations`, which has the annotation of each field compiled at every start.
from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple, Self

FOREVER = (1 << 53) - 1
"""A time that never comes."""


class Names(NamedTuple):
    """What the first use fixed for the life of a ledger; of these only the issuer can change."""

    uuid: str
    issuer: str
    """The `iss` of its tokens, and their audience unless another is asked for."""
    trust_domain: str
    former: tuple[str, ...] = ()
    """The names of issuers that it had before: what was issued under them is still its own."""
    former_until: tuple[int, ...] = ()
    """For each of these, when the last credential that was issued under it expires."""
    named_at: int = 0
    """The audit event that changed the issuer last; 0 if none has."""

    restored_at: int | None = None
    """When the ledger was last restored, or its clock set back: it accepts no ID token or assertion from before."""
    agents_until: int = 0
    """The number of the last identity that stands under `/agent/` in SPIFFE ids though its agent is not registered."""

    @property
    def issuers(self) -> tuple[str, ...]:
        """Every `iss` that its tokens can have, the one of new tokens first. It says whose a token is, alive or not."""
        return (self.issuer, *self.former)

    def accepted(self, now: int) -> tuple[str, ...]:
        """Return the names under which the ledger can be meant as an audience at `now`, the current one first."""
        if not self.former:
            return (self.issuer,)
        return (self.issuer, *(name for name, until in self.lasting() if now < until))

    def lasting(self) -> tuple[tuple[str, int], ...]:
        """Return the former names, each with when the last credential under it expires."""
        return tuple(zip(self.former, self.former_until, strict=True))

    def current(self, audiences: tuple[str, ...]) -> tuple[str, ...]:
        """Return audiences with the current issuer in the place of former ones."""
        if not self.former or set(self.former).isdisjoint(audiences):
            return audiences
        return tuple(dict.fromkeys(self.issuer if one in self.former else one for one in audiences))

    def renamed(self, issuer: str, until: int) -> Self:
        """Return the names with another issuer; what was issued under the one before has expired at `until`."""
        former = {**dict(self.lasting()), self.issuer: until}
        former.pop(issuer, None)
        return self._replace(issuer=issuer, former=tuple(former), former_until=tuple(former.values()))

    def settings(self) -> dict[str, str]:
        """Return what the ledger's table of settings says of them."""
        told = {"uuid": self.uuid, "issuer": self.issuer, "trust_domain": self.trust_domain}
        if self.agents_until:
            told[_AGENTS_UNTIL] = str(self.agents_until)
        if self.former:
            told |= {_FORMER: " ".join(self.former), _UNTIL: " ".join(map(str, self.former_until))}
        if self.restored_at is not None:
            told[RESTORED] = str(self.restored_at)
        return {**told, _NAMED_AT: str(self.named_at)} if self.named_at else told

    @classmethod
    def of(cls, settings: Mapping[str, str]) -> Self:
        """Return what a ledger's table of settings says. Raises KeyError for what it lacks."""
        former = tuple(settings.get(_FORMER, "").split())
        until = [int(text) if text.isdecimal() else 0 for text in settings.get(_UNTIL, "").split()]
        # A ledger of an older schema does not say until when; what brings it up to date says so once for all names.
        missing = [until[-1] if until else FOREVER] * (len(former) - len(until))
        named_at = settings.get(_NAMED_AT, "")
        restored_at = settings.get(RESTORED)
        until_agents = settings.get(_AGENTS_UNTIL, "0")
        for name, text in ((RESTORED, restored_at or "0"), (_AGENTS_UNTIL, until_agents)):
            if not (text.isascii() and text.isdigit()):
                raise KeyError(name)
        return cls(
            settings["uuid"],
            settings["issuer"],
            settings["trust_domain"],
            former,
            (*until, *missing)[: len(former)],
            int(named_at) if named_at.isdecimal() else 0,
            None if restored_at is None else int(restored_at),
            int(until_agents),
        )


_FORMER, _UNTIL, _NAMED_AT = "former_issuers", "former_until", "named_at"
CHANGEABLE = ("issuer", _FORMER, _UNTIL, _NAMED_AT)
"""The rows of the table of settings that a change of the issuer concerns."""
RESTORED = "restored_at"
_AGENTS_UNTIL = "agents_until"
OF_NAMES = frozenset({"uuid", "issuer", "trust_domain", _FORMER, _UNTIL, _NAMED_AT, RESTORED, _AGENTS_UNTIL})
"""All names of settings that `Names` has."""


class IdentityRow(NamedTuple):
    """A new identity, as it is stored; names are numbers of the ledger's terms."""

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
    """The credential of the parent that it was made from; none for a root."""


IDENTITY_COLUMNS = ("id", *IdentityRow._fields[1:])


class CredentialRow(NamedTuple):
    """A new credential, as it is stored."""

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
    """What it is made from: `TARGET/TEMPLATE`."""
    public: bytes | None = None
    """SHA-256 of the key that a certificate is for (SubjectPublicKeyInfo, DER)."""
    line: int | None = None
    """The first credential of its line; none for that one itself."""
    source: int | None = None
    """The credential of the same identity by right of which it was attached."""
    may_audience: str | None = None
    """The audiences for which its holder may obtain tokens, separated by spaces."""
    may_kind: str | None = None
    """The kinds that its holder may obtain, separated by spaces: see `credential.kept_kinds`."""
    may_act: str | None = None
    """Who may exchange it (RFC 8693, section 4.4), as canonical JSON."""
    proved_subject: int | None = None
    """The subject of the ID token that proved the root delegator, if the directory did not know it then."""


CREDENTIAL_COLUMNS = ("id", *CredentialRow._fields[1:])


class SigningKey(NamedTuple):
    """The public side of a signing key; kept for ever, since old audit heads need it."""

    key: int
    kid: str
    algorithm: str
    public: bytes
    created_at: int
    retired_at: int | None
    """Since when it signs nothing more."""
    revoked_at: int | None
    """Since when nothing that it signed is valid."""
    use: str = "jws"
    """What it signs: `jws` (tokens and audit heads), `x509` or `ssh` (certificates). It never signs anything else."""
    certificates: bytes | None = None
    """Of an X.509 authority: its certificate and those above it up to a root, in DER, one after the other."""

    @property
    def signs(self) -> bool:
        """Tell whether it signs now: an authority needs a certificate for that."""
        ended = self.retired_at is not None or self.revoked_at is not None
        return not ended and (self.use != "x509" or self.certificates is not None)


class WithdrawnCredential(NamedTuple):
    """A signed credential that has ended and would be valid by what is written in it; times since the epoch."""

    jti: bytes
    ended_at: int
    ended_as: str
    expires_at: int


class TokenReach(NamedTuple):
    """For what a live credential is, and for what tokens are obtained by it."""

    audiences: tuple[str, ...]
    may_audience: tuple[str, ...]
    may_act: str | None
    token_use: str | None
    """As a `Credential` has it."""


class Ancestor(NamedTuple):
    """One hop of a delegation chain: an identity above another."""

    id: str
    agent: str
    task: str
    depth: int
    proof: str
    """How the root delegator was proved."""
    sensitivity: str
    """The higher one of the identity's and its task's."""
    under_agent: bool = False
    """Whether it stands under `/agent/` in SPIFFE ids; those whose agent is not registered do not."""


class Maker(NamedTuple):
    """Who had a credential made, as its audit event tells by these members."""

    by: str | None
    acts_as: str | None
    """Whom the caller's login stands for."""
    bearer: str | None
    """The `jti` of the caller's token, if that is an agent."""
    of: str | None
    """The `jti` of the credential that was renewed."""
    made_from: str | None
    """The `jti` of the credential that this was attached to or delegated from."""
    acting: str | None
    """Who acted by a token of their own: the id of an identity, or a delegator."""
    subject: str | None
    """Whom an ID token proved that the directory did not know."""


class Ground(NamedTuple):
    """One credential that another rests on: the head of the line that it was renewed, attached or delegated from."""

    id: str
    """Its identity."""
    agent: str
    task: str
    depth: int
    how: Literal["renewed", "attached", "delegated"]
    """Whether the credential below it was superseded by it, attached by right of it, or delegated from it."""
    task_ended_at: int | None
    task_deadline: int
    proof: str
    """How the root delegator was proved."""
    sensitivity: str
    """The higher one of the identity's and its task's."""
    scopes: tuple[str, ...] = ()
    audiences: tuple[str, ...] = ()
    details: tuple[str, ...] = ()
    """JSON texts, each a list of `authorization_details`."""
    expires_at: int | None = None
    """None if the line has no live head."""
    may_audience: tuple[str, ...] = ()
    may_kind: tuple[str, ...] | None = ()
    """None, for rows from before, means any."""
    under_agent: bool = False
    """Whether it stands under `/agent/` in SPIFFE ids; those whose agent is not registered do not."""
    made: str | None = None
    """The kind and template of the credential; None where the ledger does not tell which credential it is."""


def ancestors(grounds: Iterable[Ground]) -> list[Ancestor]:
    """Return the identities above a credential that rests on these, the nearest first."""
    return [
        Ancestor(one.id, one.agent, one.task, one.depth, one.proof, one.sensitivity, one.under_agent)
        for one in grounds
        if one.how == "delegated"
    ]


class Family(NamedTuple):
    """An identity with what hangs below it."""

    live: bool
    """Whether it holds a live credential itself."""
    below: int
    """How many identities hang below it."""
    live_below: int
    """How many of those hold a live credential."""


class Selection(NamedTuple):
    """Which identities are meant: values of one sort are alternatives, sorts narrow one another."""

    ids: tuple[str, ...] = ()
    """`jid_…` and `jti_…`; either names the whole identity."""
    fingerprints: tuple[bytes, ...] = ()
    tasks: tuple[str, ...] = ()
    """`OWNER/NAME`; a bare name is that of every opener."""
    delegators: tuple[str, ...] = ()
    """Root delegators, by name or by the subject of an ID token; or `agent:NAME` for what that agent delegated."""
    agents: tuple[str, ...] = ()
    trees: tuple[str, ...] = ()
    """Ids: all that hangs under the root of their delegation tree, the root included."""
    kids: tuple[str, ...] = ()
    """Signing keys: whatever holds a credential that one of them signed."""


class Radius(NamedTuple):
    """What a selection and all that descends from it comes to."""

    matched: int
    """Identities that the selection itself names, dead or alive."""
    identities: int
    """Those and all below them."""
    credentials: int
    """The live credentials among them."""
    tasks: int
    delegators: int
    offline_until: int | None
    """The latest expiry of the live ones that are signed; `acceptance` says until when verifiers accept them."""
    signed: int
    """How many of the live credentials such a verifier honours."""
    refused_since: int | None = None
    """Since when the ledger refuses all of it, dead or alive before; None while any of it is live."""
    accepted_until: int | None = None
    """Until when a verifier may accept any of it, dead or alive: the latest signed expiry and the leeway. None where
    nothing of it was signed. What targets accept is not in it."""
    at: int = 0
    """The ledger's time of the measurement."""
    at_targets: int | None = None
    """Until when targets may accept any of it, as far as they have answered; None where none has."""


class ClosedByEvent(NamedTuple):
    """What was dead, and is recorded so by one event."""

    event: int
    credentials: int


class Filter(NamedTuple):
    """Which credentials `list` shows; every given condition must hold."""

    task: str | None = None
    """`OWNER/NAME`; a bare name is that of every opener."""
    agent: str | None = None
    delegator: str | None = None
    kind: str | None = None
    sensitivity: str | None = None
    delegator_proof: str | None = None
    scope: str | None = None
    audience: str | None = None
    purpose: str | None = None
    state: str | None = None
    id: str | None = None
    parent: str | None = None
    under: str | None = None
    """The id of an identity: that one and all that descends from it."""
    depth: int | None = None
    signed_by: str | None = None
    live: bool = False
    bound: bool = False
    """Given to a process, and to end with it."""
    unsettled: bool = False
    """Dead here, and not known to have ended at its target."""
    issued_since: int | None = None
    issued_until: int | None = None
    expires_before: int | None = None
    expires_after: int | None = None
