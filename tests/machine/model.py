"""A reference model of jitid, derived from the promises alone: which caller has which right at which time.

It follows `design.md` (sections 2, 4 and 6) and uses none of jitid's code: no ledger, no tokens, no queries.
Each step returns its required outcome: `Accepted` with the new credential, or `Refused` with the allowed exit
statuses.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

OVERLAP = 30
"""Seconds for which a superseded credential still counts (setting `overlap`)."""
DEFAULT_TTL = 900
DEFAULT_DEADLINE = 86400
APPROVAL_LIFETIME = 900

LEVELS = ("low", "moderate", "high", "critical")
MAX_TTL = {"low": 28800, "moderate": 3600, "high": 900, "critical": 300}
MAX_DEPTH = {"low": 5, "moderate": 4, "high": 3, "critical": 1}

USAGE, MISSING, DENIED, FORBIDDEN, INVALID = 2, 3, 4, 6, 8
NOT_HELD = frozenset({DENIED, FORBIDDEN, INVALID})
"""Statuses for a token that was only presented to the caller: the promises do not say which of the three is used."""

LEDGER = "beside the ledger"
"""The caller who can read the key: that caller has every right and role (section 4)."""

DEFAULT_KINDS = frozenset({"jwt", "opaque"})
"""The permitted kinds without `--may-kind`."""

IDENTITY, SERVICE = "identity", "service"
APPROVERS = "security"
NEEDS_APPROVAL = "pay"
"""The first segment of scopes that need an approval of the group `APPROVERS`, by the policy of the machine."""


# Coverage of scopes


def covers(holder: str, requested: str) -> bool:
    """Return whether one scope covers another: the same number of segments, each equal or matched by a final `*`."""
    held, needed = holder.split(":"), requested.split(":")
    return len(held) == len(needed) and all(
        (want.startswith(have[:-1]) if have.endswith("*") else want == have)
        for have, want in zip(held, needed, strict=True)
    )


def covered(requested: Iterable[str], holders: Iterable[str]) -> bool:
    """Return whether each requested scope is covered by a scope of the holder."""
    return not set(uncovered(requested, holders))


def uncovered(requested: Iterable[str], holders: Iterable[str]) -> frozenset[str]:
    """Return the requested scopes that no scope of the holder covers."""
    return frozenset(want for want in requested if not any(covers(holder, want) for holder in holders))


def intersection(scopes: Iterable[str], other: Iterable[str]) -> frozenset[str]:
    """Return the scopes that both sides cover: the scopes of each side that the other side covers."""
    left, right = frozenset(scopes), frozenset(other)
    return (left - uncovered(left, right)) | (right - uncovered(right, left))


def audience_covers(allowed: str, audience: str) -> bool:
    """Return whether an entry of `may_audience` covers an audience; `*` matches one whole label of a host."""
    if allowed == audience:
        return True
    if "*" not in allowed:
        return False
    pattern = "".join(r"[^./:]+" if part == "*" else re.escape(part) for part in re.split(r"(\*)", allowed))
    return re.fullmatch(pattern, audience) is not None


def audiences_covered(audiences: Iterable[str], allowed: Iterable[str]) -> bool:
    """Return whether each audience is covered by an entry."""
    entries = tuple(allowed)
    return all(any(audience_covers(entry, audience) for entry in entries) for audience in audiences)


# Records


@dataclass(eq=False)
class Person:
    """A delegator, or a service with access to an authority."""

    name: str
    roles: frozenset[str] = frozenset()
    known: bool = False
    """Whether the directory has this person."""
    groups: frozenset[str] = frozenset()
    entitlements: frozenset[str] | None = None
    """The scopes that the person may delegate; `None` leaves it to the policy."""
    disabled: bool = False
    access: bool = False
    """Whether the person has access to an authority."""
    audiences: frozenset[str] = frozenset()
    """The audiences that are registered for the caller (`access grant --audience`)."""
    proof: str = "asserted"
    """The proof of the delegator when they issue for themselves."""


@dataclass(eq=False)
class Task:
    """A unit of work."""

    name: str
    owner: str
    """The root delegator of the first issue."""
    sensitivity: str
    purpose: bool
    deadline: int
    opener: Identity | None = None
    """The identity of the agent that requested the task."""
    chosen_by: str = ""
    """The root delegator who chose its sensitivity; other issuers on the task are judged by at least "moderate"."""
    retired: bool = False
    shared_with: set[str] = field(default_factory=set)


@dataclass(eq=False)
class Record:
    """A registered agent."""

    name: str
    owner: str
    scopes: frozenset[str]
    max_ttl: int = 3600
    suspended: bool = False
    unregistered: bool = False
    audiences: frozenset[str] = frozenset()
    """The services that its credentials may name; if empty, only the authority."""
    may_use: frozenset[str] = frozenset()
    """The delegators, groups and agents that may use its name, besides its owner (promise 16)."""
    kinds: frozenset[str] = DEFAULT_KINDS
    """The permitted kinds of its credentials, and of credentials obtained with them (promise 18)."""

    @property
    def is_out(self) -> bool:
        """Whether issue to the agent and delegation by it are refused."""
        return self.suspended or self.unregistered


@dataclass(eq=False)
class Identity:
    """One agent on one task for one delegator."""

    parent: Identity | None
    root: str
    proof: str
    agent: str
    record: Record | None
    task: Task
    depth: int
    sensitivity: str
    first_issued: int
    requester: str
    """The caller who requested it."""
    ended: bool = False
    by: str | None = None
    """The delegator whose right permits the use of a registered agent's name (promise 16)."""
    lender: Line | None = None
    """Instead, the line of the credential that lends the name; the loan ends with that line."""

    def chain(self) -> Iterator[Identity]:
        """Yield this identity and its ancestors."""
        here: Identity | None = self
        while here is not None:
            yield here
            here = here.parent


@dataclass(eq=False)
class Line:
    """A credential and its successors."""

    source: Line | None
    """The line whose credential permitted the first one: that of the parent, or of an attachment's source."""
    credentials: list[Credential] = field(default_factory=list)

    @property
    def head(self) -> Credential:
        """The latest credential."""
        return self.credentials[-1]


class MayAct(NamedTuple):
    """A service that may exchange a token presented to it, and the audiences of the new token (promise 14)."""

    service: str
    audiences: frozenset[str]


@dataclass(eq=False)
class Credential:
    """A credential of an agent."""

    key: str
    identity: Identity
    line: Line
    kind: str
    scopes: frozenset[str]
    audiences: frozenset[str]
    """The services that it names; empty for an identity token, which names only the authority."""
    may_audience: frozenset[str]
    issued: int
    expires: int
    may_kind: frozenset[str] = DEFAULT_KINDS
    """The permitted kinds of children and attachments (promise 18)."""
    may_act: tuple[MayAct, ...] = ()
    """The services that may exchange it, in order: each next service may exchange the token of the one before."""
    exchanged: bool = False
    """Whether a service obtained it in exchange for a presented token: it is never renewed."""
    approved: bool = False
    """Whether it was issued with an approval."""
    superseded: int | None = None
    """The time from which it is invalid because it was renewed."""
    ended: bool = False
    taken_back: bool = False
    """Whether this former successor was taken back: its predecessor replaced it again."""

    @property
    def use(self) -> str:
        """Whether it is an identity token or a service token."""
        return SERVICE if self.audiences else IDENTITY

    @property
    def lifetime(self) -> int:
        """The lifetime at issue."""
        return self.expires - self.issued


class Grant(NamedTuple):
    """The rights of a credential at a time, considering the head of its line."""

    scopes: frozenset[str]
    may_audience: frozenset[str]
    expires: int
    may_kind: frozenset[str]


class Rights(NamedTuple):
    """The required answer of every entry point about a token."""

    valid: bool
    """For its own audience: the authority, or the services that the token names."""
    actions: frozenset[str] = frozenset()
    """The actions that `authorize` allows."""


class Request(NamedTuple):
    """A request of an issue."""

    agent: str
    scopes: frozenset[str] = frozenset()
    task: str | None = None
    delegator: str | None = None
    parent: str | None = None
    audiences: frozenset[str] = frozenset()
    may_audience: frozenset[str] | None = None
    kind: str = "jwt"
    may_kind: frozenset[str] | None = None
    may_act: tuple[MayAct, ...] = ()
    ttl: int | None = None
    sensitivity: str | None = None
    purpose: bool = False
    deadline: int | None = None
    allow_narrower: bool = False
    actor: str | None = None
    """The credential of the acting agent, in an exchange."""


class Accepted(NamedTuple):
    """The step must succeed."""

    made: Credential | None = None


class Refused(NamedTuple):
    """The step must be refused, with one of these statuses."""

    statuses: frozenset[int]
    reasons: tuple[str, ...]


Outcome = Accepted | Refused


class _Objections:
    """The collected reasons against a step: jitid may answer with the status of any of them."""

    def __init__(self) -> None:
        self._statuses: set[int] = set()
        self._reasons: list[str] = []

    def add(self, statuses: int | Iterable[int], reason: str) -> None:
        self._statuses |= {statuses} if isinstance(statuses, int) else set(statuses)
        self._reasons.append(reason)

    def __bool__(self) -> bool:
        return bool(self._reasons)

    def refusal(self) -> Refused:
        return Refused(frozenset(self._statuses), tuple(self._reasons))


class Model:
    """The state of a ledger and its authority, as the promises require it."""

    def __init__(self, now: int, *, has_mark: bool = True) -> None:
        self.clock = now
        self.mark = now
        self.has_mark = has_mark
        """Whether decisions use the later of the clock and the time mark (SQLite); PostgreSQL uses the database's
        time.
        """
        self.people: dict[str, Person] = {}
        self.records: dict[str, Record] = {}
        self.tasks: dict[tuple[str, str], Task] = {}
        self.identities: list[Identity] = []
        self.credentials: dict[str, Credential] = {}
        self.approvals: dict[tuple[object, ...], list[int]] = {}
        """The expiries of granted, unused approvals, by their exact request."""
        self.repeatable: dict[str, str] = {}

    # Time

    @property
    def now(self) -> int:
        """The time for decisions."""
        return max(self.clock, self.mark) if self.has_mark else self.clock

    def step_clock(self, seconds: int) -> None:
        """Move the clock, forward or back by less than a day."""
        self.clock += seconds

    def write(self) -> None:
        """Record the effects of a committed event on time: it raises the mark, and closes expired credentials."""
        self.mark = max(self.mark, self.clock)
        for credential in self.credentials.values():
            dead_at = min(credential.expires, credential.superseded or credential.expires)
            if self.now >= dead_at:
                credential.ended = True

    # People and their roles

    def person(self, name: str) -> Person:
        """Return a person; create it on first use."""
        return self.people.setdefault(name, Person(name))

    def _caller(self, caller: str, objections: _Objections) -> Identity | None:
        """Object to a caller without access; return the identity if the caller authenticates with an identity token."""
        if caller == LEDGER:
            return None
        if caller in self.credentials or caller.startswith("c"):
            credential = self.credentials.get(caller)
            if credential is None or credential.use is SERVICE or self.effective(credential) is None:
                objections.add({FORBIDDEN}, "the caller's token is not valid for the authority")
                return None
            return credential.identity
        person = self.person(caller)
        if not person.access or person.disabled:
            objections.add({FORBIDDEN}, "the caller has no access")
        return None

    def _may(self, caller: str, *roles: str) -> bool:
        return caller == LEDGER or bool(self.person(caller).roles & set(roles))

    def _held(self, caller: str, credential: Credential | None, objections: _Objections) -> Grant | None:
        """Object to a token that is invalid or was only presented to the caller; return its rights (promise 14)."""
        grant = self.effective(credential) if credential else None
        if credential is None or grant is None:
            objections.add({INVALID}, "the token is not valid")
            if caller != LEDGER:
                objections.add(NOT_HELD, "the token is not valid")
            return None
        if credential.use is SERVICE and caller != LEDGER:
            objections.add(NOT_HELD, "a service token is shown, not held")
            return None
        return grant

    # Rights of a credential

    def effective(self, credential: Credential) -> Grant | None:
        """Return the current rights of a credential, or `None` if it is invalid (promises 1, 2, 13)."""
        if credential.ended or self.now >= credential.expires or not self._stands(credential.identity):
            return None
        if credential.superseded is not None and self.now >= credential.superseded:
            return None
        scopes, may_audience, expires = credential.scopes, credential.may_audience, credential.expires
        may_kind = credential.may_kind
        head = credential.line.head
        if head is not credential:
            # A superseded credential has at most the rights of its line's head, and none if the head is invalid.
            later = self.effective(head)
            if later is None:
                return None
            held = scopes
            scopes, expires = intersection(scopes, later.scopes), min(expires, later.expires)
            may_audience = frozenset(a for a in may_audience if audiences_covered([a], later.may_audience))
            may_kind &= later.may_kind
            if held and not scopes:
                return None
        source = credential.line.source
        if source is not None:
            above = self.effective(source.head)
            if above is None or not covered(scopes, above.scopes):
                return None
            if not {credential.kind} | may_kind <= above.may_kind:
                return None
            reach = credential.audiences | may_audience
            # `may_act` limits the audiences of an exchanged token; `may_audience` does not.
            if not credential.exchanged and not audiences_covered(reach, above.may_audience):
                return None
            expires = min(expires, above.expires)
        return Grant(scopes, may_audience, expires, may_kind)

    def _stands(self, identity: Identity) -> bool:
        """Return whether an identity, its ancestors and their tasks have not ended."""
        return not any(each.ended or not self._open(each.task) for each in identity.chain())

    def _open(self, task: Task) -> bool:
        return not task.retired and self.now < task.deadline

    def rights(self, key: str, actions: Iterable[str] = ()) -> Rights:
        """Return the answer that every entry point must give about a token now (promise 24)."""
        credential = self.credentials.get(key)
        grant = self.effective(credential) if credential else None
        if credential is None or grant is None:
            return Rights(valid=False)
        return Rights(True, frozenset(a for a in actions if self._allows(credential, grant, a)))

    def _allows(self, credential: Credential, grant: Grant, action: str) -> bool:
        if not covered([action], grant.scopes):
            return False
        person = self.person(credential.identity.root)
        if person.disabled:
            return False
        if person.entitlements is not None and not covered([action], person.entitlements):
            return False
        for identity in credential.identity.chain():
            record = self.records.get(identity.agent)
            if record and record.is_out:
                return False
            if record and not (
                credential.kind in record.kinds
                and audiences_covered(credential.audiences, record.audiences)
                and covered([action], record.scopes)
            ):
                return False
        own = credential.identity
        return own.record is None or self.records.get(own.agent) is None or self._has_right(own)

    # Tasks

    def find_task(self, person: str, name: str) -> Task | None:
        """Return the task to which a name refers for a person (promise 17).

        A bare name is the person's own task, or else a shared task that the person has joined. `OWNER/NAME` is the
        task of another owner, if shared.
        """
        owner, _, bare = name.partition("/")
        if ":" in owner and owner != person:
            task = self.tasks.get((owner, bare))
            return task if task and self._may_join(person, task) else None
        own = self.tasks.get((person, bare if owner == person else name))
        if own is not None:
            return own
        joined = [
            task
            for task in self.tasks.values()
            if task.name == name
            and self._may_join(person, task)
            and any(each.root == person and each.task is task for each in self.identities)
        ]
        return joined[0] if len(joined) == 1 else None

    def _may_join(self, person: str, task: Task) -> bool:
        return person in task.shared_with and self._open(task) and not self.person(task.owner).disabled

    # The steps that issue and delegate

    def issue(self, caller: str, key: str, request: Request, *, dry_run: bool = False) -> Outcome:
        """Issue a root credential, or delegate from a parent."""
        objections = _Objections()
        as_identity = self._caller(caller, objections)
        if request.parent is not None:
            return self._delegate(caller, key, request, objections, dry_run)
        person = self.person(request.delegator or "")
        if as_identity is not None:
            objections.add({DENIED, FORBIDDEN}, "no agent becomes a root")
        elif caller not in (LEDGER, person.name) and not self._may(caller, "issuer"):
            objections.add({DENIED, FORBIDDEN}, "issues for another")
        proof = person.proof if caller in (LEDGER, person.name) else "asserted"
        task = self._task(person.name, request, objections, None)
        sensitivity = self._judged(task, person.name) if task else "moderate"
        return self._decide(
            caller, key, request, objections, dry_run, person, proof, task, sensitivity, None, None, None
        )

    def _judged(self, task: Task, person: str) -> str:
        """Return the sensitivity by which a root delegator is judged on a task: at least "moderate" for joiners."""
        if task.owner == task.chosen_by == person:
            return task.sensitivity
        return max(task.sensitivity, "moderate", key=LEVELS.index)

    def _delegate(
        self, caller: str, key: str, request: Request, objections: _Objections, dry_run: bool
    ) -> Outcome:
        assert request.parent is not None
        parent = self.credentials.get(request.parent)
        grant = self._held(caller, parent, objections)
        if parent is None or grant is None:
            return objections.refusal()
        above = parent.identity
        person = self.person(above.root)
        on_own = request.task in (None, above.task.name)
        # A task of another owner can have no tasks below it.
        below = above.task.owner == person.name and (request.task or "").startswith(f"{above.task.name}/")
        if not on_own and not below:
            objections.add(DENIED, "neither the parent's task nor one below it")
            return objections.refusal()
        task = above.task if on_own else self._task(person.name, request, objections, above)
        if on_own:
            self._must_agree(above.task, request, objections)
        if (
            not on_own
            and task
            and LEVELS.index(self._judged(task, person.name)) > LEVELS.index(above.sensitivity)
        ):
            objections.add({USAGE, DENIED}, "a child is no more sensitive than its parent")
        # The policy decides by the highest sensitivity in the chain, and a child never exceeds its parent's.
        sensitivity = above.sensitivity
        if not request.allow_narrower and not covered(request.scopes, grant.scopes):
            objections.add(DENIED, "scopes beyond the parent's")
        if not audiences_covered(request.audiences, grant.may_audience):
            objections.add(DENIED, "audiences beyond the parent's may_audience")
        if request.may_audience and not audiences_covered(request.may_audience, grant.may_audience):
            objections.add(DENIED, "may_audience beyond the parent's")
        if not self._act_within(request.may_act, grant):
            objections.add(DENIED, "may_act beyond the parent's may_audience")
        if not {request.kind} | (request.may_kind or frozenset()) <= grant.may_kind:
            objections.add(DENIED, "kinds beyond the parent's")
        return self._decide(
            caller,
            key,
            request,
            objections,
            dry_run,
            person,
            above.proof,
            task,
            sensitivity,
            above,
            parent,
            grant,
        )

    @staticmethod
    def _act_within(may_act: tuple[MayAct, ...], grant: Grant) -> bool:
        return all(audiences_covered(each.audiences, grant.may_audience) for each in may_act)

    @staticmethod
    def _must_agree(task: Task, request: Request, objections: _Objections) -> None:
        if request.sensitivity not in (None, task.sensitivity) or request.deadline is not None:
            objections.add(USAGE, "states another value than the task's")
        if request.purpose and not task.purpose:
            objections.add(USAGE, "states another purpose")

    def _task(
        self, person: str, request: Request, objections: _Objections, above: Identity | None
    ) -> Task | None:
        """Return the task of a request, or the new task that it would open, which is not recorded yet."""
        assert request.task is not None
        found = self.find_task(person, request.task)
        if found is not None:
            if not self._open(found):
                objections.add(DENIED, "the task has ended")
            self._must_agree(found, request, objections)
            return found
        if ":" in request.task.partition("/")[0]:
            objections.add({MISSING, DENIED, FORBIDDEN}, "no such task of another, or it is not shared")
            return None
        level = request.sensitivity or "moderate"
        if above:
            # An agent cannot lower the sensitivity: a new task is at least as sensitive as the parent.
            level = max(request.sensitivity or above.sensitivity, above.sensitivity, key=LEVELS.index)
        deadline = self.now + (request.deadline or DEFAULT_DEADLINE)
        return Task(request.task, person, level, request.purpose, deadline, chosen_by=person)

    def _decide(
        self,
        caller: str,
        key: str,
        request: Request,
        objections: _Objections,
        dry_run: bool,
        person: Person,
        proof: str,
        task: Task | None,
        sensitivity: str,
        above: Identity | None,
        parent: Credential | None,
        grant: Grant | None,
        exchanged: bool = False,
    ) -> Outcome:
        if request.audiences and request.may_audience:
            objections.add(USAGE, "a service token obtains no others")
        if request.may_act and not request.audiences:
            objections.add(USAGE, "no service receives an identity token")
        if task is None:
            return objections.refusal()
        depth = above.depth + 1 if above else 0
        record = self.records.get(request.agent)
        # A token that was only presented to the service gives no right to a name: the record must list the service.
        held_by = None if exchanged else parent
        by, lender = self._under_the_name(caller, request.agent, record, held_by, objections)
        for agent in {caller, request.actor or caller}:
            self._must_be_agent(agent, above, objections)
        reach = request.audiences | (request.may_audience or frozenset())
        reach |= {audience for may in request.may_act for audience in may.audiences}
        if record and not audiences_covered(reach, record.audiences):
            objections.add(DENIED, "audiences beyond the agent's record")
        if record and not {request.kind} | (request.may_kind or frozenset()) <= record.kinds:
            objections.add(DENIED, "kinds beyond the agent's record")
        if person.disabled:
            objections.add(DENIED, "the delegator is disabled")
        if above and any((r := self.records.get(i.agent)) and r.is_out for i in above.chain()):
            objections.add(DENIED, "an agent above is suspended")
        if depth > MAX_DEPTH[sensitivity]:
            objections.add(DENIED, "too deep")
        self._by_sensitivity(sensitivity, person, proof, task, objections)
        # Scopes: the parent, the directory and the policy limit them.
        beyond = uncovered(request.scopes, grant.scopes) if grant else frozenset()
        beyond |= self._refused_scopes(request.scopes, person, record, sensitivity)
        approvals = self._approval_needed(request.scopes - beyond)
        scopes = request.scopes - beyond
        if request.allow_narrower:
            left = scopes - self._waiting(scopes)
            if approvals and left:
                scopes, approvals = left, False
        if beyond and (not request.allow_narrower or not scopes):
            objections.add(DENIED, "scopes are refused")
        expires = self._expiry(
            request.ttl or DEFAULT_TTL,
            self.now,
            sensitivity,
            task,
            record,
            grant.expires if grant else None,
            self._lent_until(caller, lender, parent),
        )
        if expires <= self.now:
            objections.add(DENIED, "no life is left")
        approved = False
        if approvals and not objections:
            approved = self._approved(caller, request, person, proof, use=not dry_run)
            if not approved:
                objections.add(DENIED, "an approval is lacking")
        if objections:
            return objections.refusal()
        if dry_run:
            return Accepted()
        self.tasks.setdefault((task.owner, task.name), task)
        identity = Identity(
            above, person.name, proof, request.agent, record, task, depth, sensitivity, self.now, caller
        )
        identity.by, identity.lender = by, lender
        if caller in self.credentials and not any(each.task is task for each in self.identities):
            task.opener = self.credentials[caller].identity
        self.identities.append(identity)
        may = request.audiences if request.may_audience is None else request.may_audience
        may_kind = request.may_kind
        if may_kind is None:
            may_kind = DEFAULT_KINDS & grant.may_kind if grant else DEFAULT_KINDS
            # Without `may_kind`, a request gets the kinds in the record.
            may_kind &= record.kinds if record else may_kind
        credential = Credential(
            key=key,
            identity=identity,
            line=Line(parent.line if parent else None),
            kind=request.kind,
            scopes=scopes,
            audiences=request.audiences,
            may_audience=may,
            issued=self.now,
            expires=expires,
            may_kind=may_kind,
            may_act=request.may_act,
            exchanged=exchanged,
            approved=approved,
        )
        return self._made(credential)

    def _made(self, credential: Credential) -> Accepted:
        credential.line.credentials.append(credential)
        self.credentials[credential.key] = credential
        self.write()
        return Accepted(credential)

    def _under_the_name(
        self,
        caller: str,
        agent: str,
        record: Record | None,
        parent: Credential | None,
        objections: _Objections,
    ) -> tuple[str | None, Line | None]:
        """Object to a suspended agent, and to callers without the right to a registered agent's name (promise 16).

        Return the delegator whose right permits the use, or the line of the credential that lends the name.
        """
        if record is None:
            return None, None
        if record.is_out or self.person(record.owner).disabled:
            objections.add(DENIED, "the agent is suspended or unregistered")
        if record.unregistered or caller == LEDGER:
            return None, None
        holder = self.credentials.get(caller)
        if holder is None and "issuer" in self.person(caller).roles:
            return None, None
        if holder is None and self._may_use(caller, record):
            return caller, None
        for credential in (parent, holder):
            if credential is not None and self._lends(credential.identity, record):
                return None, credential.line
        objections.add({DENIED, FORBIDDEN}, f"`{agent}` is registered for others")
        return None, None

    def _lends(self, identity: Identity, record: Record) -> bool:
        """Return whether an identity lends a name: it has the name, or the record lists its own, which it still has."""
        own = identity.record
        if own is None or (own is not record and f"agent:{own.name}" not in record.may_use):
            return False
        return not own.is_out and self._has_right(identity)

    def _has_right(self, identity: Identity) -> bool:
        """Return whether the right to a registered agent's name, with which the identity was issued, still exists."""
        if identity.by is not None:
            record = self.records.get(identity.agent)
            return not self.person(identity.by).disabled and (
                record is None or self._may_use(identity.by, record)
            )
        if identity.lender is None:
            return True
        above = identity.lender.head.identity
        own = self.records.get(above.agent)
        return (
            self._until(identity.lender) is not None and not (own and own.is_out) and self._has_right(above)
        )

    def _lent_until(self, caller: str, lender: Line | None, parent: Credential | None) -> int | None:
        """Return the expiry that the caller's token sets for a lent name at an issue; `None` if it sets none."""
        if lender is None or (parent is not None and lender is parent.line):
            return None
        grant = self.effective(self.credentials[caller])
        return grant.expires if grant else None

    def _until(self, line: Line | None) -> int | None:
        """Return the latest expiry of a line; `None` for an invalid line."""
        grant = self.effective(line.head) if line else None
        return grant.expires if grant else None

    def _must_be_agent(self, key: str, above: Identity | None, objections: _Objections) -> None:
        """Object to a caller or actor outside of the chain that is out of service or has lost its name."""
        if key not in self.credentials:
            return
        own = self.credentials[key].identity
        record = self.records.get(own.agent)
        if own.record is None or record is None or own is above:
            return
        if record.is_out or not self._has_right(own):
            objections.add(DENIED, "the agent that asks is out of service, or its name is another's")

    def _goes_on(
        self, caller: str, identity: Identity, objections: _Objections
    ) -> tuple[str | None, int | None]:
        """Object to a renewal or attachment under a registered agent's name without the right to it.

        Return the delegator with the right from now on, if it is a different one, and the expiry of the lent name.
        """
        record = self.records.get(identity.agent)
        if identity.record is None or record is None or record.unregistered or caller == LEDGER:
            return None, None
        if caller not in self.credentials and "issuer" in self.person(caller).roles:
            return None, None
        if self._has_right(identity):
            return None, self._until(identity.lender)
        if caller not in self.credentials and self._may_use(caller, record):
            return caller, None
        objections.add(DENIED, "the right to the agent's name is gone")
        return None, None

    def _by_sensitivity(
        self, sensitivity: str, person: Person, proof: str, task: Task, objections: _Objections
    ) -> None:
        if LEVELS.index(sensitivity) < LEVELS.index("high"):
            return
        if not task.purpose:
            objections.add(DENIED, "high needs a purpose")
        if proof == "asserted":
            objections.add(DENIED, "asserted up to moderate")
        if not person.known:
            objections.add(DENIED, "unknown up to moderate")

    def _refused_scopes(
        self, scopes: Iterable[str], person: Person, record: Record | None, sensitivity: str
    ) -> frozenset[str]:
        """Return the scopes that the directory or the policy refuses."""
        refused: set[str] = set()
        if person.entitlements is not None:
            refused |= uncovered(scopes, person.entitlements)
        if record is not None:
            refused |= uncovered(scopes, record.scopes)
        if LEVELS.index(sensitivity) >= LEVELS.index("high"):
            refused |= {scope for scope in scopes if "*" in scope}
        return frozenset(refused)

    def _expiry(
        self,
        ttl: int,
        first: int,
        sensitivity: str,
        task: Task,
        record: Record | None,
        above: int | None,
        lent: int | None = None,
    ) -> int:
        """Return the latest permitted expiry of a credential (promise 1)."""
        bounds = [self.now + ttl, first + MAX_TTL[sensitivity], task.deadline]
        if record is not None:
            bounds.append(self.now + record.max_ttl)
        return min([*bounds, *(bound for bound in (above, lent) if bound is not None)])

    # The steps of an approval

    def _waiting(self, scopes: Iterable[str]) -> frozenset[str]:
        return frozenset(scope for scope in scopes if scope.split(":")[0] == NEEDS_APPROVAL)

    def _approval_needed(self, scopes: Iterable[str]) -> bool:
        return bool(self._waiting(scopes))

    def _exactly(self, caller: str, request: Request, person: Person, proof: str) -> tuple[object, ...]:
        parent = self.credentials[request.parent].identity if request.parent else None
        rest = request._replace(parent=None, delegator=person.name, actor=None)
        return (caller, rest, proof, id(parent) if parent else None)

    def _approved(self, caller: str, request: Request, person: Person, proof: str, *, use: bool) -> bool:
        exact = self._exactly(caller, request, person, proof)
        granted = [until for until in self.approvals.get(exact, ()) if self.now < until]
        if granted and use:
            self.approvals[exact] = granted[1:]
        return bool(granted)

    def approve(self, approver: str, caller: str, request: Request) -> Outcome:
        """Grant the approval request of an issue; an approver is in the group, and never the requester."""
        objections = _Objections()
        self._caller(approver, objections)
        approving_person = self.person(approver)
        root = request.delegator or self.credentials[request.parent or ""].identity.root
        person = self.person(root)
        if (
            APPROVERS not in approving_person.groups
            or not approving_person.known
            or approving_person.disabled
        ):
            objections.add({DENIED, FORBIDDEN}, "not an approver")
        if approver in (root, caller):
            objections.add({DENIED, FORBIDDEN}, "the requester approves nothing of their own")
        if objections:
            return objections.refusal()
        proof = person.proof
        self.approvals.setdefault(self._exactly(caller, request, person, proof), []).append(
            self.now + APPROVAL_LIFETIME
        )
        self.write()
        return Accepted()

    # The steps that use a credential

    def renew(
        self, caller: str, key: str, of: str, *, ttl: int | None = None, allow_narrower: bool = False
    ) -> Outcome:
        """Make the one successor of a credential, with no wider rights and no longer lifetime (promise 13)."""
        objections = _Objections()
        self._caller(caller, objections)
        credential = self.credentials.get(of)
        grant = self._held(caller, credential, objections)
        if credential is not None and credential.superseded is not None:
            objections.add(DENIED, "it has a successor")
        if credential is None or grant is None:
            return objections.refusal()
        if credential.exchanged:
            objections.add({DENIED, INVALID}, "an exchanged token is never renewed")
        identity = credential.identity
        person = self.person(identity.root)
        record = self.records.get(identity.agent)
        if person.disabled:
            objections.add(DENIED, "the delegator is disabled")
        for each in identity.chain():
            agent_record = self.records.get(each.agent)
            if agent_record and agent_record.is_out:
                objections.add(DENIED, "an agent is suspended or unregistered")
        self._within_record(credential.kind, self._reach(credential), record, objections)
        by, lent = self._goes_on(caller, identity, objections)
        refused = self._refused_scopes(credential.scopes, person, record, identity.sensitivity)
        refused |= self._waiting(credential.scopes)
        scopes = credential.scopes - refused
        if refused and (not allow_narrower or not scopes):
            objections.add(DENIED, "scopes are refused now")
        source = credential.line.source
        above = self.effective(source.head) if source else None
        expires = self._expiry(
            min(ttl or credential.lifetime, credential.lifetime),
            identity.first_issued,
            identity.sensitivity,
            identity.task,
            record,
            above.expires if above else None,
            lent,
        )
        if expires <= self.now:
            objections.add(DENIED, "no life is left")
        unlimited = self.now + min(ttl or credential.lifetime, credential.lifetime)
        if expires < unlimited and expires <= credential.expires:
            objections.add(DENIED, "its limits leave nothing to renew")
        if objections:
            return objections.refusal()
        if by is not None:
            identity.by, identity.lender = by, None
        successor = copy.copy(credential)
        successor.key, successor.scopes = key, scopes
        if record:
            successor.may_kind = credential.may_kind & record.kinds
        successor.issued, successor.expires = self.now, expires
        credential.superseded = min(self.now + OVERLAP, credential.expires)
        return self._made(successor)

    @staticmethod
    def _reach(credential: Credential) -> frozenset[str]:
        """Return the services that a credential names, or may name in credentials obtained with it."""
        later = {audience for may in credential.may_act for audience in may.audiences}
        return credential.audiences | credential.may_audience | later

    @staticmethod
    def _within_record(
        kind: str, reach: frozenset[str], record: Record | None, objections: _Objections
    ) -> None:
        if record and not audiences_covered(reach, record.audiences):
            objections.add(DENIED, "audiences beyond the agent's record")
        if record and kind not in record.kinds:
            objections.add(DENIED, "a kind beyond the agent's record")

    def repeat(self, key: str, first: str) -> Outcome:
        """Repeat the request that made `first`, with its idempotency key: `first` ends, and another one replaces it."""
        credential = self.credentials[first]
        credential.ended = True
        line, identity = credential.line, credential.identity
        if len(line.credentials) == 1 and not any(
            c is not credential and c.identity is identity for c in self.credentials.values()
        ):
            # The issue of an identity: that identity ends, and a new one is made.
            identity.ended = True
            again = copy.copy(identity)
            again.ended = False
            again.first_issued = self.now
            self.identities.append(again)
            line = Line(line.source)
        else:
            again = identity
            line.credentials.remove(credential)
            credential.taken_back = bool(line.credentials)
        successor = copy.copy(credential)
        successor.taken_back = False
        successor.key, successor.identity, successor.line = key, again, line
        successor.ended = False
        return self._made(successor)

    def is_successor(self, key: str) -> bool:
        """Return whether a credential was made by a renewal in its line."""
        credential = self.credentials[key]
        return credential in credential.line.credentials[1:]

    def abandon(self, caller: str, of: str) -> Outcome:
        """Take back a successor by its own token: it ends, and its predecessor is valid as before (promise 13)."""
        objections = _Objections()
        self._caller(caller, objections)
        credential = self.credentials[of]
        if credential.use is SERVICE:
            objections.add(NOT_HELD, "a service token is shown, not held")
        line = credential.line
        at = line.credentials.index(credential) if credential in line.credentials else 0
        if at == 0 and not credential.taken_back:
            objections.add({MISSING, INVALID}, "it is the successor of none")
        if objections:
            return objections.refusal()
        self.write()
        if self._lives(credential.identity, credential):
            credential.ended = True
            before = line.credentials[at - 1]
            if credential.superseded is None and self._lives(before.identity, before):
                # The holder of the predecessor gains no right: the predecessor has only its former rights.
                before.superseded = None
                line.credentials.remove(credential)
                credential.taken_back = True
        return Accepted()

    def attach(
        self,
        caller: str,
        key: str,
        to: str,
        *,
        kind: str = "jwt",
        scopes: frozenset[str] | None = None,
        audiences: frozenset[str] = frozenset(),
        ttl: int | None = None,
        may_act: tuple[MayAct, ...] = (),
        names_services: bool = True,
    ) -> Outcome:
        """Make a further credential of an identity, permitted by the presented one; it replaces none."""
        objections = _Objections()
        self._caller(caller, objections)
        credential = self.credentials.get(to)
        grant = self._held(caller, credential, objections)
        if credential is None or grant is None:
            return objections.refusal()
        identity = credential.identity
        person, record = self.person(identity.root), self.records.get(identity.agent)
        requested_scopes = grant.scopes if scopes is None else scopes
        if not covered(requested_scopes, grant.scopes):
            objections.add(DENIED, "scopes beyond those of the credential presented")
        if not audiences_covered(audiences, grant.may_audience):
            objections.add(DENIED, "audiences beyond may_audience")
        if not self._act_within(may_act, grant):
            objections.add(DENIED, "may_act beyond may_audience")
        reach = audiences | {audience for may in may_act for audience in may.audiences}
        self._within_record(kind, reach, record, objections)
        by, lent = self._goes_on(caller, identity, objections)
        if kind not in grant.may_kind:
            objections.add(DENIED, "a kind beyond may_kind")
        if any((r := self.records.get(each.agent)) and r.is_out for each in identity.chain()):
            objections.add(DENIED, "an agent is suspended or unregistered")
        if names_services and not audiences:
            objections.add(USAGE, "an attachment names a service")
        if person.disabled:
            objections.add(DENIED, "the delegator is disabled")
        # The approval of a credential covers its attachments.
        waiting = frozenset() if credential.approved else self._waiting(requested_scopes)
        if self._refused_scopes(requested_scopes, person, record, identity.sensitivity) or waiting:
            objections.add(DENIED, "scopes are refused now")
        expires = self._expiry(
            ttl or DEFAULT_TTL,
            identity.first_issued,
            identity.sensitivity,
            identity.task,
            record,
            grant.expires,
            lent,
        )
        if expires <= self.now:
            objections.add(DENIED, "no life is left")
        if objections:
            return objections.refusal()
        if by is not None:
            identity.by, identity.lender = by, None
        return self._made(
            Credential(
                key=key,
                identity=identity,
                line=Line(credential.line),
                kind=kind,
                scopes=requested_scopes,
                audiences=audiences,
                may_audience=audiences,
                issued=self.now,
                expires=expires,
                may_kind=DEFAULT_KINDS & grant.may_kind & (record.kinds if record else DEFAULT_KINDS),
                may_act=may_act,
            )
        )

    def exchange(
        self,
        caller: str,
        key: str,
        subject: str,
        actor: str,
        audiences: frozenset[str],
        scopes: frozenset[str],
    ) -> Outcome:
        """Exchange a token for a narrower one of the actor (RFC 8693): a child of the subject's identity."""
        objections = _Objections()
        self._caller(caller, objections)
        self._held(caller, self.credentials.get(subject), objections)
        self._held(caller, self.credentials.get(actor), objections)
        if not audiences:
            objections.add(USAGE, "an exchange names a resource")
        if objections:
            return objections.refusal()
        agent = self.credentials[actor].identity.agent
        return self.issue(
            caller, key, Request(agent, scopes, parent=subject, audiences=audiences, actor=actor)
        )

    def exchange_shown(
        self, caller: str, key: str, subject: str, audience: str, scopes: frozenset[str]
    ) -> Outcome:
        """Exchange a token that was presented to a service, if the grant and the token permit it (promise 14)."""
        objections = _Objections()
        self._caller(caller, objections)
        credential = self.credentials.get(subject)
        grant = self.effective(credential) if credential else None
        if credential is None or grant is None:
            objections.add(NOT_HELD, "the token is not valid")
            return objections.refusal()
        agent = self._name_of(caller)
        if credential.use is IDENTITY:
            # The holder of an identity token delegates from it: here to the client that presents it.
            request = Request(agent, scopes, parent=subject, audiences=frozenset({audience}))
            return self.issue(caller, key, request)
        if not self.person(caller).audiences & credential.audiences:
            objections.add(NOT_HELD, "the token is not for an audience of the caller's")
        may = credential.may_act[0] if credential.may_act else None
        if may is None or may.service != caller or not audiences_covered([audience], may.audiences):
            objections.add(NOT_HELD, "may_act does not name the caller and the audience")
        if not covered(scopes, grant.scopes):
            objections.add(DENIED, "scopes beyond the token's")
        if "jwt" not in grant.may_kind:
            objections.add(DENIED, "a kind beyond may_kind")
        above = credential.identity
        return self._decide(
            caller,
            key,
            Request(
                agent, scopes, audiences=frozenset({audience}), may_act=credential.may_act[1:], parent=subject
            ),
            objections,
            False,
            self.person(above.root),
            above.proof,
            above.task,
            above.sensitivity,
            above,
            credential,
            grant,
            exchanged=True,
        )

    def _name_of(self, caller: str) -> str:
        """Return the agent name that a caller uses."""
        credential = self.credentials.get(caller)
        return credential.identity.agent if credential else caller.split(":")[1]

    def answers(self, verifier: str, key: str) -> bool:
        """Return whether introspection by a caller must answer `active`: only for the caller's registered audiences."""
        credential = self.credentials.get(key)
        if credential is None or self.effective(credential) is None:
            return False
        return bool(self.person(verifier).audiences & credential.audiences)

    def hand_back(self, caller: str, token: str, of: str) -> Outcome:
        """End the identity of the holder, or a descendant of it."""
        objections = _Objections()
        self._caller(caller, objections)
        credential = self.credentials.get(token)
        self._held(caller, credential, objections)
        target = self.credentials.get(of)
        if credential and (target is None or credential.identity not in target.identity.chain()):
            objections.add(DENIED, "neither one's own identity nor one that descends from it")
        if objections:
            return objections.refusal()
        assert target is not None
        self._end({id(target.identity)})
        return Accepted()

    # The steps that revoke or retire

    def _end(self, chosen: set[int]) -> None:
        """End identities and all their descendants, even below identities that had ended before (promise 2)."""
        for identity in self.identities:
            if any(id(each) in chosen for each in identity.chain()):
                identity.ended = True
        self.write()

    def revoke(
        self,
        caller: str,
        *,
        credential: str | None = None,
        task: tuple[str, str] | None = None,
        agent: str | None = None,
        delegator: str | None = None,
        tree: str | None = None,
    ) -> Outcome:
        """End the identities that match all selectors, with all their descendants."""
        objections = _Objections()
        by = self._caller(caller, objections)
        chosen = [
            identity
            for identity in self.identities
            if (credential is None or self._is_of(credential, identity))
            and (task is None or (identity.task.owner, identity.task.name) == task)
            and (agent is None or identity.agent == agent)
            and (delegator is None or self._delegated_by(identity, delegator))
            and (tree is None or self._same_tree(tree, identity))
        ]
        if not self._may_revoke(caller, by, chosen):
            objections.add({DENIED, FORBIDDEN}, "revokes what is not one's own")
        if not chosen:
            objections.add(MISSING, "nothing matches")
        if objections:
            return objections.refusal()
        self._end({id(identity) for identity in chosen})
        return Accepted()

    def _may_revoke(self, caller: str, by: Identity | None, chosen: list[Identity]) -> bool:
        if caller == LEDGER or (by is None and self._may(caller, "responder")):
            return True
        if by is not None:
            return all(by in identity.chain() for identity in chosen)
        return bool(chosen) and all(caller in (identity.root, identity.requester) for identity in chosen)

    def _is_of(self, key: str, identity: Identity) -> bool:
        credential = self.credentials.get(key)
        return credential is not None and credential.identity is identity

    def _same_tree(self, key: str, identity: Identity) -> bool:
        credential = self.credentials.get(key)
        return credential is not None and _root(credential.identity) is _root(identity)

    def _delegated_by(self, identity: Identity, delegator: str) -> bool:
        """Return whether a root delegator, or `agent:NAME`, delegated to an identity."""
        if delegator.startswith("agent:"):
            return identity.parent is not None and f"agent:{identity.parent.agent}" == delegator
        return identity.root == delegator

    def retire(self, caller: str, owner: str, name: str) -> Outcome:
        """End a task with all of its identities, as its opener or a responder (promise 17)."""
        objections = _Objections()
        by = self._caller(caller, objections)
        task = self.tasks.get((owner, name))
        if task is None:
            objections.add(MISSING, "no such task")
        elif not self._may_retire(caller, by, task):
            objections.add({MISSING, DENIED, FORBIDDEN}, "retires a task of another")
        if objections:
            return objections.refusal()
        assert task is not None
        task.retired = True
        self._end({id(identity) for identity in self.identities if identity.task is task})
        return Accepted()

    def _may_retire(self, caller: str, by: Identity | None, task: Task) -> bool:
        if by is not None:
            # An agent can end only descendants of itself.
            others = (each for each in self.identities if each.task is task and by not in each.chain())
            return task.opener is by and not any(self._lives(each) for each in others)
        return self._may(caller, "responder") or caller == task.owner

    def _lives(self, identity: Identity, only: Credential | None = None) -> bool:
        """Return whether a credential of an identity, or the credential `only`, is neither ended nor expired."""
        own = (
            each for each in self.credentials.values() if each.identity is identity and only in (None, each)
        )
        return not identity.ended and any(
            not each.ended and self.now < min(each.expires, each.superseded or each.expires) for each in own
        )

    def share(self, caller: str, owner: str, name: str, with_whom: str) -> Outcome:
        """Let another delegator join a task: issue on it, but not retire it."""
        objections = _Objections()
        self._caller(caller, objections)
        task = self.tasks.get((owner, name))
        if task is None or caller not in (LEDGER, owner):
            objections.add({MISSING, DENIED, FORBIDDEN}, "no such task of one's own")
        elif not self._open(task):
            objections.add({USAGE, DENIED}, "the task has ended")
        if objections:
            return objections.refusal()
        assert task is not None
        task.shared_with.add(with_whom)
        self.write()
        return Accepted()

    def give(self, caller: str, owner: str, name: str, to: str) -> Outcome:
        """Give a task to another delegator, its owner from then on."""
        objections = _Objections()
        self._caller(caller, objections)
        task = self.tasks.get((owner, name))
        if task is None or caller not in (LEDGER, owner) or (to, name) in self.tasks:
            objections.add(
                {USAGE, MISSING, DENIED, FORBIDDEN}, "no such task of one's own, or a name that is taken"
            )
        elif not self._open(task):
            objections.add({USAGE, DENIED}, "the task has ended")
        elif caller != LEDGER and not any(i.root == to and i.task is task for i in self.identities):
            objections.add(DENIED, "the new owner has not joined")
        if objections:
            return objections.refusal()
        assert task is not None
        del self.tasks[owner, name]
        task.owner, task.opener = to, None
        # The new owner decides about sharing (jitid-task-give(1)).
        task.shared_with.clear()
        self.tasks[to, name] = task
        self.write()
        return Accepted()

    # The steps of the directory

    def entitle(self, caller: str, name: str, entitlements: frozenset[str] | None) -> Outcome:
        """Change the entitlements of a delegator; credentials that were issued before keep their scopes."""
        return self._administer(caller, lambda: setattr(self.person(name), "entitlements", entitlements))

    def disable(self, caller: str, name: str) -> Outcome:
        """Disable a delegator: the identities that descend from them end, and so does their access."""

        def change() -> None:
            person = self.person(name)
            person.disabled, person.access = True, False
            for record in self.records.values():
                if record.owner == name:
                    record.suspended = True
                    self._end({id(i) for i in self.identities if i.record is record})
            self.approvals = {k: v for k, v in self.approvals.items() if not _concerns(k, name)}
            self._end({id(identity) for identity in self.identities if identity.root == name})

        return self._administer(caller, change)

    def enable(self, caller: str, name: str) -> Outcome:
        """Enable a delegator again; ended identities stay ended (promise 23)."""
        return self._administer(caller, lambda: setattr(self.person(name), "disabled", False))

    def grant_access(self, caller: str, name: str, roles: frozenset[str] = frozenset()) -> Outcome:
        """Grant a person access to the authority."""

        def change() -> None:
            person = self.person(name)
            person.access, person.roles = True, roles

        return self._administer(caller, change)

    def register(
        self,
        caller: str,
        name: str,
        owner: str,
        scopes: frozenset[str],
        audiences: frozenset[str] = frozenset(),
        may_use: frozenset[str] = frozenset(),
        kinds: frozenset[str] = DEFAULT_KINDS,
    ) -> Outcome:
        """Register an agent, and end the live identities of its name that the record does not permit (promise 16).

        Permitted are identities issued under an earlier record of the name for its owner, or for a delegator listed
        now.
        """
        objections = _Objections()
        self._caller(caller, objections)
        person = self.person(owner)
        if not person.known or person.disabled:
            objections.add({USAGE, MISSING, DENIED}, "the owner is not known")
        if person.entitlements is not None and not covered(scopes, person.entitlements):
            objections.add({USAGE, DENIED}, "the owner may not hand out the scopes")
        before = self.records.get(name)
        if before and not before.unregistered:
            objections.add({USAGE, DENIED}, "registered already")
        if not self._may(caller, "admin"):
            objections.add(FORBIDDEN, "needs the role admin")
        if objections:
            return objections.refusal()
        record = Record(name, owner, scopes, audiences=audiences, may_use=may_use, kinds=kinds)
        self.records[name] = record
        here = [identity for identity in self.identities if identity.agent == name]
        self._end(
            {
                id(identity)
                for identity in here
                if identity.record is None or not self._may_use(identity.root, record)
            }
        )
        for identity in here:
            identity.record = record
        return Accepted()

    def _may_use(self, name: str, record: Record) -> bool:
        """Return whether a delegator may use the name of a registered agent."""
        groups = {f"group:{group}" for group in self.person(name).groups}
        return name == record.owner or bool({name, *groups} & record.may_use)

    def unregister(self, caller: str, name: str, *, keep_live: bool) -> Outcome:
        """End the record of an agent, and its identities unless `keep_live`."""
        objections = self._about_agent(caller, name)
        if objections:
            return objections.refusal()
        self.records[name].unregistered = True
        self._end(
            set() if keep_live else {id(identity) for identity in self.identities if identity.agent == name}
        )
        return Accepted()

    def suspend(self, caller: str, name: str) -> Outcome:
        """Suspend an agent: its identities end, with their descendants."""
        objections = self._about_agent(caller, name)
        self._in_service(name, objections)
        if objections:
            return objections.refusal()
        record = self.records[name]
        record.suspended = True
        self._end({id(identity) for identity in self.identities if identity.record is record})
        return Accepted()

    def resume(self, caller: str, name: str) -> Outcome:
        """Resume an agent; ended identities stay ended."""
        objections = self._about_agent(caller, name)
        record = self.records.get(name)
        if record and self.person(record.owner).disabled:
            objections.add({USAGE, DENIED}, "the owner is disabled")
        self._in_service(name, objections)
        if objections:
            return objections.refusal()
        self.records[name].suspended = False
        self.write()
        return Accepted()

    def _in_service(self, name: str, objections: _Objections) -> None:
        if (record := self.records.get(name)) and record.unregistered:
            objections.add(USAGE, "the agent was unregistered")

    def _about_agent(self, caller: str, name: str) -> _Objections:
        objections = _Objections()
        self._caller(caller, objections)
        if not self._may(caller, "admin"):
            objections.add(FORBIDDEN, "needs the role admin")
        if name not in self.records:
            objections.add(MISSING, "no such agent")
        return objections

    def rotate(self, caller: str) -> Outcome:
        """Rotate the signing key: signed tokens stay valid."""
        return self._administer(caller, lambda: None)

    def _administer(self, caller: str, change: object) -> Outcome:
        objections = _Objections()
        self._caller(caller, objections)
        if not self._may(caller, "admin"):
            objections.add(FORBIDDEN, "needs the role admin")
        if objections:
            return objections.refusal()
        assert callable(change)
        change()
        self.write()
        return Accepted()

    # The steps of a backup

    def backup(self) -> Model:
        """Return a copy of the ledger."""
        return copy.deepcopy(self)

    def restore(self, old: Model) -> None:
        """Restore an older ledger: all its live credentials end, and newer ones are unknown (promises 3, 23)."""
        clock, mark = self.clock, old.mark
        for name, value in copy.deepcopy(old).__dict__.items():
            setattr(self, name, value)
        self.clock, self.mark = clock, mark
        for task in self.tasks.values():
            task.retired = True
        for identity in self.identities:
            identity.ended = True
        for person in self.people.values():
            person.access = False
        self.approvals = {}
        self.write()


def _root(identity: Identity) -> Identity:
    return list(identity.chain())[-1]


def _concerns(exact: tuple[object, ...], name: str) -> bool:
    caller, request = exact[0], exact[1]
    return name == caller or (isinstance(request, Request) and request.delegator == name)
