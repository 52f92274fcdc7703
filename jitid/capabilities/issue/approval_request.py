"""Step-up approval: the exact request to approve, the groups that must approve it, and whether they did."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Any
from weakref import WeakKeyDictionary

from jitid.capabilities.directory.governance import Objection
from jitid.capabilities.directory.store import DirectoryStore
from jitid.capabilities.identity.store import CredentialStore
from jitid.capabilities.issue.approval_store import ApprovalChanges, ApprovalStore
from jitid.errors import (
    ApprovalNeededError,
    IntegrityError,
    NotFoundError,
    PolicyDeniedError,
)
from jitid.ledger import expiry, policies
from jitid.ledger.transaction import Transaction
from jitid.ledger.view import View
from jitid.model.approval import Approval, Word
from jitid.model.credential import USUAL_KINDS, named_kind
from jitid.model.directory import Delegator
from jitid.model.ledger_rows import Maker
from jitid.model.request import IssueRequest, named
from jitid.model.task import Task
from jitid.operation.context import Terms
from jitid.operation.reach import Reach
from jitid.policy.decision import Decision
from jitid.policy.policy_request import PolicyRequest
from jitid.values import strict_json
from jitid.values.ids import IDENTITY, approval_id, new_uuid7, parse_approval_id, parse_id
from jitid.values.text import label, quote

_MOST_OPEN = 1_000
"""The maximum number of open requests for one delegator: for agents, and separately for all other requesters."""
_MOST_IDENTITIES = 32
"""The maximum number of identities that are followed to find the parties behind a party."""
_MOST_BYTES = 1 << 22
"""The maximum number of bytes of audit events that are read for this: each poll for an approval reads them."""

_WALKED: WeakKeyDictionary[View, dict[str, set[str] | None]] = WeakKeyDictionary()
"""The names behind each party, by view: many requests of one batch have the same parties."""


def exact(
    policy_request: PolicyRequest,
    request: IssueRequest,
    task: Task,
    parent: str | None,
    chain: Sequence[str],
    within: Reach,
    acting: str | None = None,
) -> bytes:
    """Return the exact request as canonical JSON: an approval permits this request only.

    It holds every dimension of the grant. It leaves out fields at their default, so that a field that is added later
    does not change the digest of other requests.

    `within` holds the audiences of the request and the audiences that its holder may obtain; `parent` is the id of the
    identity that delegates; `chain` holds the agents above, the nearest first; `acting` is the actor whose own token
    was presented. The task's deadline counts from its opening unless a time was stated: the same command a minute
    later is the same request, also if another caller has opened the task meanwhile with the same values.
    """
    has_deadline = request.deadline is not None
    members = {
        "acting": acting,
        "agent": policy_request.agent,
        "audiences": list(policy_request.audiences),
        "chain": list(chain) or None,
        "copies": request.copies,
        "deadline": task.deadline if has_deadline else None,
        "deadline_after": None if has_deadline else task.deadline - task.opened_at,
        "delegator": policy_request.delegator,
        "depth": policy_request.depth,
        "details": list(request.details) or None,
        "exchanged": request.exchanged or None,
        "kind": policy_request.kind,
        "may_act": within.may_act,
        "may_audience": list(within.later) or None,
        "may_kind": sorted(
            {named_kind(*pair) for pair in policy_request.may_kind}.union(
                kind for kind in request.may_kind if kind in USUAL_KINDS
            )
        )
        or None,
        "narrower": request.allow_narrower or None,
        "opener": None
        if policy_request.task_owner == policy_request.delegator
        else policy_request.task_owner,
        "parent": parent,
        # Each run of the same command is another process; only whether the identity ends with the process counts.
        "process": None if request.process is None else "kept" if request.process.kept else "ends",
        "proof": policy_request.delegator_proof,
        "public_key": None if request.public_key is None else request.public_key.strip(),
        "purpose": policy_request.purpose,
        "scopes": list(policy_request.scopes) or None,
        "sensitivity": policy_request.sensitivity,
        # A delegator that the directory does not know yet may turn out to be the approver.
        "subject": None if policy_request.standing.known else request.proved_subject,
        "task": policy_request.task,
        # Scopes may raise the sensitivity of the credential above that of the task that it opens.
        "task_sensitivity": None if task.sensitivity == policy_request.sensitivity else task.sensitivity,
        "template": policy_request.template or None,
        "ttl": policy_request.lifetime,
    }
    return strict_json.dumps({name: value for name, value in members.items() if value is not None}).encode()


def decide(
    snapshot: View,
    terms: Terms,
    policy_request: PolicyRequest,
    exact_request: bytes,
    decision: Decision,
    facts: dict[str, Any],
    notes: list[str],
    *,
    narrow: bool,
) -> tuple[Approval, Decision]:
    """Return the approval that `decision` requires for exactly this request, and the policy's decision with it.

    Raises:
        ApprovalNeededError: no approval can be used now.
        IntegrityError: a row contains a request or a grant that no audit event confirms.

    """
    groups = frozenset(decision.needs)
    approvals = _alike(snapshot, exact_request, groups, terms.requester)
    missing = [_missing(snapshot, approval, terms.requester) for approval in approvals]
    usable = next(
        (approval for approval, lacking in zip(approvals, missing, strict=True) if not lacking), None
    )
    if usable is None:
        raise ApprovalNeededError(
            f"denied: {decision.reason}",
            f"required from {a_member(missing[0])}: jitid approve grant {approvals[0].id}"
            if approvals
            else f"without --dry-run it makes a request, which {a_member(decision.needs)} can grant",
            {**facts, "rules": list(decision.rules), "reason": decision.reason},
            exact=exact_request,
            groups=decision.needs,
            approval_rules=terms.policy.approval_rules(policy_request, groups),
        )
    facts |= {"approval": usable.id, "approvers": {word.group: word.approver for word in usable.words}}
    approvers = ", ".join(f"{quote(str(word.approver))} for {quote(word.group)}" for word in usable.words)
    notes.append(f"approved by {approvers} ({usable.id}), for this issue only: no renewal")
    return usable, terms.policy.decide(policy_request, narrow=narrow, explain=False, approved=groups)


def _alike(snapshot: View, exact_request: bytes, groups: Iterable[str], requester: str) -> list[Approval]:
    """Return a requester's live requests of exactly this that need these groups, the newest first.

    An approval is for its requester alone: the same request by another caller neither uses nor shares it.
    """
    return [
        approval
        for approval in ApprovalStore(snapshot).alike(sha256(exact_request).digest(), requester)
        if set(approval.groups) == set(groups) and is_requester(snapshot, approval, requester)
    ]


def is_requester(snapshot: View, approval: Approval, requester: str) -> bool:
    """Return whether a requester, named like `Terms.requester`, made a request.

    Raises:
        IntegrityError: the row names another requester than the audit event of the request.

    """
    made_by = _requester(snapshot, approval)
    return made_by == requester or (
        not _is_identity(made_by)
        and not _is_identity(requester)
        # The directory may have several names of one person.
        and DirectoryStore(snapshot).own_name(made_by) == DirectoryStore(snapshot).own_name(requester)
    )


def _requester(snapshot: View, approval: Approval) -> str:
    """Return the requester: the id of an identity, or a name with its kind. Raises IntegrityError."""
    event = snapshot.event(approval.event)
    document = {} if event is None else event.document()
    if (
        document.get("op") != "approval-request"
        or document["approval"] != approval.id
        or document["digest"] != approval.digest.hex()
        or document["asked_by"] != approval.asked_by
    ):
        raise IntegrityError(
            f"the audit log does not confirm that {quote(approval.asked_by)} made request {approval.id}",
            "run: jitid audit verify",
        )
    if _is_identity(approval.asked_by):
        return approval.asked_by
    if approval.asked_by.startswith("agent:"):
        # An old row names the agent. Several agents may share a name; the event identifies the credential.
        jti = document.get("bearer")
        credential = (
            None if jti is None else CredentialStore(snapshot).find_credential("jti", parse_id(jti)[1])
        )
        return approval.asked_by if credential is None else credential.id
    return named(approval.asked_by)


def _is_identity(requester: str) -> bool:
    return requester.startswith(IDENTITY)


def request_approval(
    transaction: Transaction, denial: ApprovalNeededError, terms: Terms
) -> ApprovalNeededError | PolicyDeniedError:
    """Record a denial and the approval requests that it needs; a request that is open already is not recorded twice.

    Return the denial with the ids of its requests and a hint; or, if too many requests are open, a denial without any.
    The limit is needed because each poll, grant and disabling reads all open requests.
    """
    expiry.close_approvals(transaction)
    denials = (denial, *denial.others)
    open_requests = [_alike(transaction, error.exact, error.groups, terms.requester) for error in denials]
    if not all(open_requests):
        waiting = _waiting(
            transaction, _read(denial.exact)["delegator"], terms.requester, open_requests.count([])
        )
        if waiting + open_requests.count([]) > _MOST_OPEN:
            transaction.append("denial", denial.facts)
            return PolicyDeniedError(
                f"{denial.message}; no request was made: this delegator has {waiting} open requests already",
                "decide on open requests, or wait until they expire: jitid approve list",
                denial.facts,
            )
    ids = []
    for error, requests in zip(denials, open_requests, strict=True):
        # A list may contain the same request twice.
        requests = requests or _alike(transaction, error.exact, error.groups, terms.requester)
        if requests:
            # No group is missing if the last approver has decided since the denial.
            error.missing = _missing(transaction, requests[0], terms.requester) or error.groups
        ids.append(requests[0].id if requests else _record(transaction, error, terms))
    ids = list(dict.fromkeys(ids))
    policies.keep(transaction, terms.policy.digest, terms.policy_text)
    transaction.append("denial", {**denial.facts, "approval": ids[0]})
    denial.requests = tuple(ids)
    suffix = f" (and {len(ids) - 1} more: jitid approve list)" if len(ids) > 1 else ""
    denial.message += f"; request {ids[0]}{suffix}"
    approved = [group for group in denial.groups if group not in denial.missing]
    if approved:
        granted, missing = (" and ".join(map(quote, groups)) for groups in (approved, denial.missing))
        denial.message += f", granted by {granted}, not yet by {missing}"
    denial.hint = (
        f"required from {a_member(denial.missing)}: jitid approve grant {ids[0]}; then repeat the command"
    )
    return denial


def _waiting(transaction: Transaction, delegator: str, requester: str, added: int) -> int:
    """Return the number of open requests that count against the limit: for an agent those of agents, else all others.

    Without the separate limit, one agent could use up the limit of its delegator. If `added` requests exceed the limit,
    the requests of agents without a live credential are withdrawn first: revoking an agent frees its share.
    """
    open_requests = ApprovalChanges(transaction).open_for(delegator, agents=_is_identity(requester))
    waiting = sum(open_requests.values())
    if _is_identity(requester) and waiting + added > _MOST_OPEN:
        live = CredentialStore(transaction).with_live_credentials(
            [parse_id(identity)[1] for identity in open_requests]
        )
        ended = [identity for identity in open_requests if parse_id(identity)[1] not in live]
        if ended:
            requests = ApprovalChanges(transaction).withdraw_of(delegator, ended)
            transaction.append("approval-withdraw", {"delegator": delegator, "requests": requests})
            waiting -= requests
    return waiting


def _missing(snapshot: View, approval: Approval, requester: str) -> tuple[str, ...]:
    """Return the groups whose approval is missing: they have no grant that counts now."""
    return tuple([word.group for word in approval.words if not _counts(snapshot, approval, word, requester)])


def _record(transaction: Transaction, denial: ApprovalNeededError, terms: Terms) -> str:
    uid = new_uuid7(time.time_ns() // 1_000_000, os.urandom(10))
    request = _read(denial.exact)
    expires_at = transaction.now + terms.approval_patience
    requester = terms.requester if terms.identity else DirectoryStore(transaction).own_name(terms.requester)
    ApprovalChanges(transaction).add_request(
        uid, denial.exact, request["delegator"], requester, expires_at, denial.groups
    )
    transaction.append(
        "approval-request",
        {
            **event_members(approval_id(uid), denial.exact),
            "groups": list(denial.groups),
            "asked_by": requester,
            "until": expires_at,
            "asking": list(denial.approval_rules),
            "reason": denial.facts["reason"],
            "policy": terms.policy.digest,
        },
    )
    return approval_id(uid)


def find(snapshot: View, id_: str) -> Approval:
    """Return a request by its id.

    Raises:
        UsageError: the id is not that of a request.
        NotFoundError: there is no such request.

    """
    approval = ApprovalStore(snapshot).find(parse_approval_id(id_))
    if approval is None:
        raise NotFoundError(f"the ledger has no approval request {quote(id_)}", "see: jitid approve list")
    return approval


def requested(approval: Approval) -> dict[str, Any]:
    """Return the exact request as a dictionary with the names of `exact`. Raises IntegrityError if it is malformed."""
    return _read(approval.request)


def objections(
    snapshot: View, approval: Approval, person: Delegator, *requesters: str, presenter: str | None = None
) -> list[Objection]:
    """Return the reasons why a delegator cannot grant a request: no party to a request may approve it.

    Parties are the delegator and the agents that it is for, the requester, the `requesters` that would use the
    approval, the actor whose own token was presented, the parent, and all parties behind these (`_behind`), each by
    any of its names. Neither a party nor an agent may present the token that proves the approver.
    """
    request = requested(approval)
    own_names = {person.name, *person.aliases}
    agents = [f"agent:{agent}" for agent in (request["agent"], *request.get("chain", ()))]
    if not own_names.isdisjoint((request["delegator"], request.get("subject"))):
        return [_party(person, "is the delegator of the request")]
    if not own_names.isdisjoint(agents):
        return [_party(person, "is an agent of the request")]
    made_by = _requester(snapshot, approval)
    parts = dict.fromkeys((made_by, *requesters), "made the request")
    for part, how in (("acting", "is its actor"), ("parent", "is its parent")):
        if part in request:
            parts.setdefault(request[part], how)
    parties = {DirectoryStore(snapshot).own_name(request["delegator"])}
    walked = _WALKED.setdefault(snapshot, {})
    for party, how in parts.items():
        if party not in walked:
            walked[party] = _behind(snapshot, party)
        behind = walked[party]
        if behind is None:
            return [_unclear(party, how)]
        if not own_names.isdisjoint(behind):
            direct = party in own_names
            role = f"{how}, as {quote(party)}" if direct else f"controls {quote(party)}, which {how}"
            return [_party(person, role)]
        parties |= behind
    if presenter is not None and (
        _is_identity(presenter) or DirectoryStore(snapshot).own_name(presenter) in parties
    ):
        return [_presented(person, presenter)]
    return []


def _party(person: Delegator, role: str) -> Objection:
    return Objection(
        "approver-requester", f"{label(person.name)} {role}", "another member of the group must decide"
    )


def _unclear(party: str, how: str) -> Objection:
    return Objection(
        "approver-requester",
        f"cannot find all parties behind {label(party)}, which {how}: its history is too long, or rows were pruned",
        "no approver can grant this request: issue a new identity, and repeat the request with it",
    )


def _presented(person: Delegator, presenter: str) -> Objection:
    token = f"the token of {label(person.name)}"
    return Objection(
        "approver-requester",
        f"an agent presents {token}; it may act for a party to the request"
        if _is_identity(presenter)
        else f"{label(presenter)} presents {token}, and is a party to the request",
        "the approver must grant it directly, or through a caller that is not a party to the request",
    )


def _behind(snapshot: View, party: str) -> set[str] | None:
    """Return the names, each with its kind, of a party to a request and of all parties behind it.

    Behind an identity are its delegator, its agent, the agents above it, and the callers that issued or renewed one
    of its credentials: they may have kept the token. If such a caller or actor is an identity, the parties behind it
    count too.

    None if a limit is exceeded, or if rows that are needed were pruned.
    """
    if not _is_identity(party):
        return {party, DirectoryStore(snapshot).own_name(party)}
    names: set[str] = set()
    waiting, seen, bytes_left = [party], {party}, _MOST_BYTES
    while waiting:
        uid = parse_id(waiting.pop())[1]
        credential = CredentialStore(snapshot).first_of(uid)
        makers, size = CredentialStore(snapshot).makers_of(uid, bytes_left)
        bytes_left -= size
        if credential is None or not makers or bytes_left < 0 or len(seen) > _MOST_IDENTITIES:
            return None
        names |= {credential.delegator, f"agent:{credential.agent}"}
        next_parties = {credential.parent}
        for maker in makers:
            parties = _made_by(snapshot, maker)
            if parties is None:
                return None
            next_parties |= parties
        for other_party in next_parties - seen - {None}:
            assert other_party is not None
            if _is_identity(other_party):
                seen.add(other_party)
                waiting.append(other_party)
            else:
                names.add(other_party)
    return names | {DirectoryStore(snapshot).own_name(name) for name in names}


def _made_by(snapshot: View, maker: Maker) -> set[str | None] | None:
    """Return the caller, the actor and the proved subject of an event: names, subjects, and ids of identities.

    None if the row of the caller's credential was pruned.
    """
    caller, parties = maker.by or "", {maker.acting, maker.subject}
    if not caller.startswith("agent:"):
        return parties | {named(maker.acts_as or caller)} if caller else parties
    parties.add(caller)
    # A credential that renews itself, is attached to, or delegates adds no other party.
    if maker.bearer is not None and maker.bearer not in (maker.of, maker.made_from):
        credential = CredentialStore(snapshot).find_credential("jti", parse_id(maker.bearer)[1])
        if credential is None:
            return None
        parties.add(credential.id)
    return parties


def _counts(snapshot: View, approval: Approval, word: Word, requester: str) -> bool:
    """Return whether the grant for a group counts now."""
    if not word.holds_at(snapshot.now):
        return False
    assert word.approver is not None
    presenter = _grant_document(snapshot, approval, word).get("presenter")
    person = DirectoryStore(snapshot).find_delegator(word.approver)
    # Since the grant, the approver may have got a name of the requester.
    return person is not None and not objections(snapshot, approval, person, requester, presenter=presenter)


def _grant_document(snapshot: View, approval: Approval, word: Word) -> dict[str, Any]:
    """Return the audit event of a grant. Raises IntegrityError if no event matches: the row alone proves no grant."""
    event = None if word.event is None else snapshot.event(word.event)
    document: dict[str, Any] = {} if event is None else event.document()
    if (
        document.get("op") != "approval-grant"
        or document["approval"] != approval.id
        or document["digest"] != approval.digest.hex()
        or word.group not in document["groups"]
        or (document["approver"], document["until"]) != (word.approver, word.expires_at)
    ):
        raise IntegrityError(
            f"the audit log does not confirm that request {approval.id} was granted",
            "run: jitid audit verify",
        )
    return document


def event_members(id_: str, request: bytes) -> dict[str, Any]:
    """Return the members that every event about a request has."""
    members = _read(request)
    return {
        "approval": id_,
        "digest": sha256(request).hexdigest(),
        **{name: members[name] for name in ("task", "agent", "delegator")},
    }


def _read(request: bytes) -> dict[str, Any]:
    try:
        members: dict[str, Any] = strict_json.loads(request, "request")
        if not members.keys() >= {"task", "agent", "delegator", "copies"}:
            raise strict_json.StrictJSONError("the request lacks a required member")
    except (strict_json.StrictJSONError, AttributeError) as error:
        raise IntegrityError(
            "an approval request in the ledger is malformed", "run: jitid audit verify"
        ) from error
    return members


def a_member(groups: Sequence[str]) -> str:
    """Return the words for a member of each of these groups."""
    return " and ".join(f"a member of {quote(group)}" for group in groups)
