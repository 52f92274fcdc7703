"""Replay of decisions: the outcome of past requests, and of live credentials, under another policy."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from jitid.capabilities.decisions.store import DecidedAlike, Distinctions, RequestStore
from jitid.capabilities.directory.governance import directory_facts, read_directory_facts
from jitid.capabilities.directory.ownership import owner_for_policy
from jitid.capabilities.directory.store import DirectoryStore
from jitid.capabilities.identity.store import CredentialStore
from jitid.capabilities.identity.task_store import TaskStore
from jitid.capabilities.identity.validity import root_of, root_proof
from jitid.ledger.view import View
from jitid.model.credential import FORMER_PROOF, Credential, judged_kinds, read_kinds
from jitid.policy.decision import PolicyLooks, PolicyOutcome, outcome
from jitid.policy.evaluate import Policy
from jitid.policy.policy_request import PolicyRequest
from jitid.system.time_zones import load, offsets
from jitid.values.record import Record

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
"""Rules outside the policy that refuse requests: another policy would not change the outcome."""

DECISIONS = ("issue", "renew", "attach", "denial")
"""The operations of events that record a decision."""
TIMES = frozenset({"hour", "minute", "weekday"})
"""The facts that depend on a time zone."""
_REQUEST_MEMBERS = {"agent", "delegator", "proof", "task", "sensitivity", "kind"}


class DecisionChange(Record):
    """Requests that two policies decide differently; each policy gives all of them the same decision."""

    event: int
    """The number of the first request's audit event."""
    document: Mapping[str, Any]
    """The content of that event."""
    credentials: int
    """The number of requested credentials; for denials, the number of denials."""
    old: PolicyOutcome
    new: PolicyOutcome

    @property
    def denied(self) -> bool:
        """Whether the requests were denied originally."""
        return bool(self.document["op"] == "denial")


class Replayed(Record):
    """The result of replaying all decisions with two policies."""

    changes: list[DecisionChange]
    """The changes, those with the most credentials first."""
    requests: int
    """The number of requests that the policies distinguish."""
    credentials: int
    denials: int


def is_whole(document: Mapping[str, Any]) -> bool:
    """Return whether the audit event of a decision contains the whole request.

    Other denials are about other operations, or about an invalid token.
    """
    return document.keys() >= _REQUEST_MEMBERS


def is_narrowed(document: Mapping[str, Any]) -> bool:
    """Return whether the policy left something out of the request that an issue event records."""
    return "refused" in document or "refused_kinds" in document


def request_of(document: Mapping[str, Any], issuer: str) -> PolicyRequest:
    """Return the request to the policy, as the audit event of an issue, a renewal or a denial records it."""
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
        read_directory_facts(document.get("standing")),
        load(document["zone"]) if "zone" in document else None,
        template=document.get("template", ""),
        may_kind=_may_kind(document),
    )


def _may_kind(document: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return the other kinds that the policy judged; an attached credential inherits kinds without a decision."""
    if document.get("op") == "attach":
        return ()
    return judged_kinds((*(read_kinds(document.get("may_kind")) or ()), *document.get("refused_kinds", ())))


def replay(snapshot: View, issuer: str, old: Policy, new: Policy, since: int | None = None) -> Replayed:
    """Decide every recorded issue, renewal and denial with two policies, each distinct request once.

    The directory's facts are taken from the event; a recorded approval counts as given.
    """
    decided, looks = RequestStore(snapshot), old.looks.with_(new.looks)
    groups, documents = _recorded(decided, looks, since, snapshot.now)
    rule_names = {rule.name for policy in (old, new) for rule in policy.rules}
    changes = []
    requests = credentials = denials = 0
    for first_event, count in groups:
        document = documents[first_event]
        if document["op"] not in DECISIONS or not is_whole(document):
            continue
        if document["op"] == "denial":
            denials += count
            if not set(document.get("rules", ())) - (BEYOND_POLICY - rule_names):
                continue
        else:
            credentials += count
        requests += 1
        request = request_of(document, issuer)
        approved, narrow = frozenset(document.get("approvers", ())), is_narrowed(document)
        old_outcome, new_outcome = (
            outcome(policy.decide(request, narrow=narrow, explain=False, approved=approved), request.lifetime)
            for policy in (old, new)
        )
        if old_outcome.effect != new_outcome.effect:
            changes.append(DecisionChange(first_event, document, count, old_outcome, new_outcome))
    changes.sort(key=lambda change: (-change.credentials, change.event))
    return Replayed(changes, requests, credentials, denials)


def _recorded(
    decided: RequestStore, looks: PolicyLooks, since: int | None, now: int
) -> tuple[list[DecidedAlike], dict[int, dict[str, Any]]]:
    """Return the groups of requests, and the documents of their first events."""
    reads_times = not looks.facts.isdisjoint(TIMES)
    latest = decided.latest_zone() if reads_times else None
    zone_names = {latest} - {None}
    while True:
        zones = {name: offsets(load(name), now) for name in sorted(filter(None, zone_names))}
        groups = decided.recorded(Distinctions(looks, zones), since)
        documents = decided.documents(first for first, _ in groups)
        missing_zones = {document.get("zone") for document in documents.values()} - zones.keys() - {None}
        if not reads_times or not missing_zones:
            return groups, documents
        # The zone hardly ever changes, and listing all zones first would cost as much as a second query.
        zone_names |= missing_zones


_AT_ONCE = 5_000


class Drifted(Record):
    """Live credentials that a policy would not issue, all with the same decision."""

    credential: Credential
    """The first of these credentials."""
    credentials: int
    new: PolicyOutcome


def drift(snapshot: View, policy: Policy, zone: tzinfo | None = None) -> Iterator[Drifted]:
    """Yield the live credentials that a policy would not issue, each distinct request decided once.

    The request is for exactly the rights of the credential, at its time of issue, with the current directory. `zone`
    is the time zone of its hours. An approved credential counts as approved by the same groups.
    """
    decided, looks = RequestStore(snapshot), policy.looks
    groups = [(first_key, count) for first_key, count in decided.live(*_today(policy, zone, snapshot.now))]
    approvals: Mapping[int, frozenset[str]] = decided.approved_live() if looks.approvals else {}
    groups += [(key, 1) for key in approvals]
    # Only some credentials are in memory at a time, even with many distinct requests.
    for start in range(0, len(groups), _AT_ONCE):
        chunk = groups[start : start + _AT_ONCE]
        credentials = CredentialStore(snapshot).credentials_numbered(first_key for first_key, _ in chunk)
        for first_key, count in chunk:
            credential = credentials[first_key]
            request = _held(snapshot, credential, zone, whole=reads_directory(looks))
            decision = policy.decide(request, explain=False, approved=approvals.get(first_key, frozenset()))
            if not decision.permit:
                yield Drifted(credential, count, outcome(decision, request.lifetime))


def drifted(snapshot: View, policy: Policy, zone: tzinfo | None, credentials: Iterable[int]) -> list[bytes]:
    """Return the identities of the credentials in the groups of `drift` that begin with these credentials."""
    return RequestStore(snapshot).live_alike(*_today(policy, zone, snapshot.now), credentials)


def _today(policy: Policy, zone: tzinfo | None, now: int) -> tuple[Distinctions, str | None]:
    """Return the properties that distinguish live credentials, and the time zone for their times of issue."""
    if zone is None or policy.looks.facts.isdisjoint(TIMES):
        return Distinctions(policy.looks, {}), None
    return Distinctions(policy.looks, {str(zone): offsets(zone, now)}), str(zone)


def reads_directory(looks: PolicyLooks) -> bool:
    """Return whether a policy reads facts of the directory."""
    return looks.reads_directory_facts or not looks.facts.isdisjoint(_OF_DIRECTORY)


_OF_DIRECTORY = frozenset({"delegator_known", "agent_registered"})


def _held(snapshot: View, credential: Credential, zone: tzinfo | None, *, whole: bool) -> PolicyRequest:
    """Return the request for the rights of a credential; with `whole`, including the directory's facts."""
    task = TaskStore(snapshot).task_numbered(credential.task_key)
    given_away = task is not None and bool(task.given_event)
    lineage = (
        CredentialStore(snapshot).lineage(credential.identity_key)
        if given_away or credential.delegator_proof == FORMER_PROOF
        else []
    )
    request = PolicyRequest(
        credential.agent,
        credential.delegator,
        root_proof(credential, lineage),
        credential.task,
        credential.task_opener
        if task is None
        else owner_for_policy(snapshot, task, credential.delegator, root_of(credential, lineage)),
        credential.purpose,
        credential.sensitivity,
        credential.kind,
        credential.depth,
        credential.scopes,
        credential.audiences,
        credential.expires_at - credential.issued_at,
        credential.issued_at,
        zone=zone,
        template=credential.template or "",
        may_kind=() if credential.attached_from else judged_kinds(credential.may_kind),
    )
    return (
        request._replace(
            standing=directory_facts(DirectoryStore(snapshot).entry(credential.delegator, credential.agent))
        )
        if whole
        else request
    )
