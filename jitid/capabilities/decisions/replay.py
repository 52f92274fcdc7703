"""Decisions made again: what another policy would have said of what was asked, and of what is alive."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from jitid.capabilities.decisions.decided import Apart, DecidedAlike
from jitid.capabilities.decisions.store import RequestStore
from jitid.capabilities.directory.governance import read_standing, standing_of
from jitid.capabilities.directory.ownership import told_owner
from jitid.capabilities.directory.store import DirectoryStore
from jitid.capabilities.identity.introspection import root_of, root_proof
from jitid.capabilities.identity.store import CredentialStore
from jitid.capabilities.identity.task_store import TaskStore
from jitid.ledger.view import View
from jitid.model.credential import FORMER_PROOF, Credential, judged_kinds, read_kinds
from jitid.policy.cedar import Policy
from jitid.policy.decision import PolicyLooks
from jitid.policy.outcome import PolicyOutcome, outcome
from jitid.policy.policy_request import PolicyRequest
from jitid.system.time_zones import load, offsets

if TYPE_CHECKING:
    from datetime import tzinfo

BEYOND_POLICY = frozenset(
    {
        "attenuation",
        "lifetime",
        "approval-once",
        "task-ended",
        "task-deadline",
        "delegator-unknown",
        "delegator-disabled",
        "delegator-sensitivity",
        "delegator-entitlement",
        "agent-suspended",
        "agent-unregistered",
        "agent-overdue",
        "agent-kind",
        "agent-audience",
        "agent-concurrency",
        "agent-scope",
        "detail-type",
    }
)
"""Rules that refuse and are no policy's: another policy would change nothing."""

DECISIONS = ("issue", "renew", "attach", "denial")
"""The operations of events that tell of a decision."""
TIMES = frozenset({"hour", "minute", "weekday"})
"""The facts that a zone tells."""
_ASKED = {"agent", "delegator", "proof", "task", "sensitivity", "kind"}


class DecisionChange(NamedTuple):
    """Requests that two policies decide differently, and alike among themselves."""

    event: int
    """The first of them in the audit log."""
    document: Mapping[str, Any]
    """What that event says."""
    credentials: int
    """How many were asked for; of denials, how many denials there were."""
    old: PolicyOutcome
    new: PolicyOutcome

    @property
    def denied(self) -> bool:
        """Whether they were denied when they were asked."""
        return bool(self.document["op"] == "denial")


class Replayed(NamedTuple):
    """What came out of asking two policies about everything that was decided."""

    changes: list[DecisionChange]
    """Those with the most credentials first."""
    requests: int
    """How many requests there are that the policies can tell apart."""
    credentials: int
    denials: int


def is_whole(document: Mapping[str, Any]) -> bool:
    """Tell whether the audit event of a decision tells all that was asked.

    A denial that does not is of something else, or of a token that is none.
    """
    return document.keys() >= _ASKED


def is_narrowed(document: Mapping[str, Any]) -> bool:
    """Tell whether the policy left something out of what the event of an issue says was requested."""
    return "refused" in document or "refused_kinds" in document


def request_of(document: Mapping[str, Any], issuer: str) -> PolicyRequest:
    """Return what the policy was asked, as the audit event of an issue, a renewal or a denial tells it."""
    return PolicyRequest(
        document["agent"],
        document["delegator"],
        document.get("root_proof", document["proof"]),
        document["task"],
        document.get("opener", document["delegator"]),
        document.get("purpose"),
        document.get("judged", document["sensitivity"]),
        document["kind"],
        document.get("depth", 0),
        tuple(document.get("scopes", ())),
        tuple(document.get("audiences", (issuer,))),
        document.get("ttl", document.get("lifetime", 0)),
        document["at"],
        read_standing(document.get("standing")),
        load(document["zone"]) if "zone" in document else None,
        template=document.get("template", ""),
        may_kind=_may_kind(document),
    )


def _may_kind(document: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return the kinds that the policy was asked about besides its own: what is attached inherits them unasked."""
    if document.get("op") == "attach":
        return ()
    return judged_kinds((*(read_kinds(document.get("may_kind")) or ()), *document.get("refused_kinds", ())))


def replay(snapshot: View, issuer: str, old: Policy, new: Policy, since: int | None = None) -> Replayed:
    """Ask two policies about every issue, renewal and denial that the audit log tells of, each distinct request once.

    The directory counts as the events say that it was; an approval, as it was given.
    """
    decided, looks = RequestStore(snapshot), old.looks.with_(new.looks)
    groups, documents = _recorded(decided, looks, since, snapshot.now)
    known = {rule.name for policy in (old, new) for rule in policy.rules}
    changes = []
    requests = credentials = denials = 0
    for first, count in groups:
        document = documents[first]
        if document["op"] not in DECISIONS or not is_whole(document):
            continue
        if document["op"] == "denial":
            denials += count
            if not set(document.get("rules", ())) - (BEYOND_POLICY - known):
                continue
        else:
            credentials += count
        requests += 1
        asked = request_of(document, issuer)
        approved, narrow = frozenset(document.get("approvers", ())), is_narrowed(document)
        before, after = (
            outcome(policy.decide(asked, narrow=narrow, explain=False, approved=approved), asked.lifetime)
            for policy in (old, new)
        )
        if before.effect != after.effect:
            changes.append(DecisionChange(first, document, count, before, after))
    changes.sort(key=lambda change: (-change.credentials, change.event))
    return Replayed(changes, requests, credentials, denials)


def _recorded(
    decided: RequestStore, looks: PolicyLooks, since: int | None, now: int
) -> tuple[list[DecidedAlike], dict[int, dict[str, Any]]]:
    """Return what was asked, and what the first event of each that is alike says."""
    hours = not looks.facts.isdisjoint(TIMES)
    latest = decided.latest_zone() if hours else None
    names = {latest} - {None}
    while True:
        zones = {name: offsets(load(name), now) for name in sorted(filter(None, names))}
        groups = decided.recorded(Apart(looks, zones), since)
        documents = decided.documents(first for first, _ in groups)
        others = {document.get("zone") for document in documents.values()} - zones.keys() - {None}
        if not hours or not others:
            return groups, documents
        # Zones are changed hardly ever, and finding out which there were would cost as much as asking again.
        names |= others


_AT_ONCE = 5_000


class Drifted(NamedTuple):
    """Live credentials that a policy would not issue, and decides alike."""

    credential: Credential
    """The first of them."""
    credentials: int
    new: PolicyOutcome


def drift(snapshot: View, policy: Policy, zone: tzinfo | None = None) -> Iterator[Drifted]:
    """Yield what is alive and what a policy would not issue, each distinct request decided once.

    It is asked for just what each credential holds, at the time at which it was issued, of the directory as it is now.
    `zone` is where its hours are told. What was approved counts as approved by the same groups.
    """
    decided, looks = RequestStore(snapshot), policy.looks
    groups = [(first, count) for first, count in decided.living(*_today(policy, zone, snapshot.now))]
    approvals: Mapping[int, frozenset[str]] = decided.approved_living() if looks.approvals else {}
    groups += [(key, 1) for key in approvals]
    # Of many distinct requests a few credentials are held at a time.
    for start in range(0, len(groups), _AT_ONCE):
        some = groups[start : start + _AT_ONCE]
        credentials = CredentialStore(snapshot).credentials_numbered(first for first, _ in some)
        for first, count in some:
            one = credentials[first]
            asked = _held(snapshot, one, zone, whole=asks_directory(looks))
            decision = policy.decide(asked, explain=False, approved=approvals.get(first, frozenset()))
            if not decision.permit:
                yield Drifted(one, count, outcome(decision, asked.lifetime))


def drifted(snapshot: View, policy: Policy, zone: tzinfo | None, credentials: Iterable[int]) -> list[bytes]:
    """Return the identities of all that `drift` has told by these credentials, each the first of those like it."""
    return RequestStore(snapshot).living_as(*_today(policy, zone, snapshot.now), credentials)


def _today(policy: Policy, zone: tzinfo | None, now: int) -> tuple[Apart, str | None]:
    """Return what tells live credentials apart, and the zone in which their times of issue are told."""
    if zone is None or policy.looks.facts.isdisjoint(TIMES):
        return Apart(policy.looks, {}), None
    return Apart(policy.looks, {str(zone): offsets(zone, now)}), str(zone)


def asks_directory(looks: PolicyLooks) -> bool:
    """Tell whether a policy looks at something that the directory says."""
    return looks.standing or not looks.facts.isdisjoint(_OF_DIRECTORY)


_OF_DIRECTORY = frozenset({"delegator_known", "agent_registered"})


def _held(snapshot: View, one: Credential, zone: tzinfo | None, *, whole: bool) -> PolicyRequest:
    """Return the request for what a credential holds; with what the directory says, if that is asked."""
    task = TaskStore(snapshot).task_numbered(one.task_key)
    given = task is not None and bool(task.given_event)
    above = (
        CredentialStore(snapshot).lineage(one.identity_key)
        if given or one.delegator_proof == FORMER_PROOF
        else []
    )
    asked = PolicyRequest(
        one.agent,
        one.delegator,
        root_proof(one, above),
        one.task,
        one.task_opener if task is None else told_owner(snapshot, task, one.delegator, root_of(one, above)),
        one.purpose,
        one.sensitivity,
        one.kind,
        one.depth,
        one.scopes,
        one.audiences,
        one.expires_at - one.issued_at,
        one.issued_at,
        zone=zone,
        template=one.template or "",
        may_kind=() if one.attached_from else judged_kinds(one.may_kind),
    )
    return (
        asked._replace(standing=standing_of(DirectoryStore(snapshot).entry(one.delegator, one.agent)))
        if whole
        else asked
    )
