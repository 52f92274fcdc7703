"""Step-up approval: what exactly has to be approved, by whom, and whether it was."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Any

from jitid import strictjson
from jitid.credential import USUAL_KINDS, named_kind
from jitid.delegator import Delegator
from jitid.errors import (
    ApprovalNeededError,
    IntegrityError,
    NotFoundError,
)
from jitid.governance import Objection
from jitid.identifier import IDENTITY, approval_id, new_uuid7, parse_approval_id, parse_id
from jitid.ledger.approval import Approval, Word
from jitid.ledger.protocol import Snapshot, Transaction
from jitid.policy.decision import Decision, PolicyRequest
from jitid.reach import Reach
from jitid.request import IssueRequest, Terms, named
from jitid.task import Task
from jitid.text import quote


def exact(
    asked: PolicyRequest,
    request: IssueRequest,
    task: Task,
    parent: str | None,
    chain: Sequence[str],
    within: Reach,
    acting: str | None = None,
) -> bytes:
    """Return the exact request as canonical JSON: an approval of it is an approval of nothing else.

    It holds every dimension of the grant, and no field that is left at its default, so that a field which is added
    later leaves the digest of other requests as it is.

    `within` is what it is for and what its holder may obtain; `parent` is the id of the identity that delegates;
    `chain` are the agents above, the nearest first; `acting` is the actor whose own token was presented. The task's
    deadline counts from its opening unless a time was stated: the same command a minute later is the same request, also
    if somebody else has opened the task meanwhile with the same values.
    """
    stated = request.deadline is not None
    told = {
        "acting": acting,
        "agent": asked.agent,
        "audiences": list(asked.audiences),
        "chain": list(chain) or None,
        "copies": request.copies,
        "deadline": task.deadline if stated else None,
        "deadline_after": None if stated else task.deadline - task.opened_at,
        "delegator": asked.delegator,
        "depth": asked.depth,
        "details": list(request.details) or None,
        "exchanged": request.exchanged or None,
        "kind": asked.kind,
        "may_act": within.may_act,
        "may_audience": list(within.later) or None,
        "may_kind": sorted(
            {named_kind(*pair) for pair in asked.may_kind}.union(
                kind for kind in request.may_kind if kind in USUAL_KINDS
            )
        )
        or None,
        "narrower": request.allow_narrower or None,
        "opener": None if asked.task_owner == asked.delegator else asked.task_owner,
        "parent": parent,
        # Another run of the same command is another process; what counts is whether the identity ends with it.
        "process": None if request.process is None else "kept" if request.process.kept else "ends",
        "proof": asked.delegator_proof,
        "public_key": None if request.public_key is None else request.public_key.strip(),
        "purpose": asked.purpose,
        "scopes": list(asked.scopes) or None,
        "sensitivity": asked.sensitivity,
        # Whoever the directory does not know yet may turn out to be the approver.
        "subject": None if asked.standing.known else request.proved_subject,
        "task": asked.task,
        # Scopes may raise the sensitivity of the credential above that of the task that it opens.
        "task_sensitivity": None if task.sensitivity == asked.sensitivity else task.sensitivity,
        "template": asked.template or None,
        "ttl": asked.lifetime,
    }
    return strictjson.dumps({name: value for name, value in told.items() if value is not None}).encode()


def decide(
    snapshot: Snapshot,
    terms: Terms,
    asked: PolicyRequest,
    exactly: bytes,
    decision: Decision,
    facts: dict[str, Any],
    notes: list[str],
    *,
    narrow: bool,
) -> tuple[Approval, Decision]:
    """Return the approval of exactly this request, which `decision` says it needs, and what the policy says with it.

    Raises:
        ApprovalNeededError: there is none that can be used now.
        IntegrityError: a row says that somebody has granted it, and no audit event does.

    """
    groups = frozenset(decision.needs)
    known = _alike(snapshot, exactly, groups, terms.requester)
    missing = [_missing(snapshot, one, terms.requester) for one in known]
    found = next((one for one, lacks in zip(known, missing, strict=True) if not lacks), None)
    if found is None:
        raise ApprovalNeededError(
            f"denied: {decision.reason}",
            f"ask {a_member(missing[0])}: jitid approve grant {known[0].id}"
            if known
            else f"asked in earnest it makes a request, which {a_member(decision.needs)} can grant",
            {**facts, "rules": list(decision.rules), "reason": decision.reason},
            exact=exactly,
            groups=decision.needs,
            asking=terms.policy.asking(asked, groups),
        )
    facts |= {"approval": found.id, "approvers": {word.group: word.approver for word in found.words}}
    who = ", ".join(f"{quote(str(word.approver))} for {quote(word.group)}" for word in found.words)
    notes.append(f"approved by {who} ({found.id}), for this once: it is not renewed")
    return found, terms.policy.decide(asked, narrow=narrow, approved=groups)


def _alike(snapshot: Snapshot, exactly: bytes, groups: Iterable[str], requester: str) -> list[Approval]:
    """Return the requests of exactly this by a requester that need the approval of these groups, the newest first.

    An approval is for its requester alone: the same request by another caller neither uses nor shares it.
    """
    return [
        one
        for one in snapshot.approvals.alike(sha256(exactly).digest())
        if set(one.groups) == set(groups) and is_requester(snapshot, one, requester)
    ]


def is_requester(snapshot: Snapshot, approval: Approval, requester: str) -> bool:
    """Tell whether a requester, as `Terms.requester` names it, is the one that made a request.

    Raises:
        IntegrityError: the row names a requester that the audit event of the request does not.

    """
    made_by = _requester(snapshot, approval)
    return made_by == requester or (
        not _is_identity(made_by)
        and not _is_identity(requester)
        # A person is the same one under each name that the directory has of them.
        and snapshot.own_name(made_by) == snapshot.own_name(requester)
    )


def _requester(snapshot: Snapshot, approval: Approval) -> str:
    """Return who made a request: the id of an identity, or a name with its kind. Raises IntegrityError."""
    event = snapshot.event(approval.event)
    document = {} if event is None else event.document()
    if (
        document.get("op") != "approval-request"
        or document["approval"] != approval.id
        or document["digest"] != approval.digest.hex()
        or document["asked_by"] != approval.asked_by
    ):
        raise IntegrityError(
            f"the ledger says that {quote(approval.asked_by)} made request {approval.id}, and its audit log does not",
            "run: jitid audit verify",
        )
    if _is_identity(approval.asked_by):
        return approval.asked_by
    if approval.asked_by.startswith("agent:"):
        # A row from before names the agent; agents of one name are many, and the event tells which of them it was.
        bearer = document.get("bearer")
        made = None if bearer is None else snapshot.find_credential("jti", parse_id(bearer)[1])
        return approval.asked_by if made is None else made.id
    return named(approval.asked_by)


def _is_identity(requester: str) -> bool:
    return requester.startswith(IDENTITY)


def ask(transaction: Transaction, denial: ApprovalNeededError, terms: Terms) -> None:
    """Record a denial, and the requests for what it lacks; one that is open already is not recorded twice.

    The error then says under which ids, and what to do.
    """
    approvals = transaction.approvals
    approvals.close_expired()
    ids = []
    for one in (denial, *denial.others):
        found = _alike(transaction, one.exact, one.groups, terms.requester)
        if found:
            # None is missing if the last one has spoken since the denial.
            one.missing = _missing(transaction, found[0], terms.requester) or one.groups
        ids.append(found[0].id if found else _record(transaction, one, terms))
    ids = list(dict.fromkeys(ids))
    transaction.keep_policy(terms.policy.digest, terms.policy_text)
    transaction.append("denial", {**denial.facts, "approval": ids[0]})
    denial.requests = tuple(ids)
    more = f" (and {len(ids) - 1} more: jitid approve list)" if len(ids) > 1 else ""
    denial.message += f"; request {ids[0]}{more}"
    spoken = [group for group in denial.groups if group not in denial.missing]
    if spoken:
        granted, missing = (" and ".join(map(quote, groups)) for groups in (spoken, denial.missing))
        denial.message += f", granted for {granted} and not yet for {missing}"
    denial.hint = f"ask {a_member(denial.missing)}: jitid approve grant {ids[0]}; then ask for the same again"


def _missing(snapshot: Snapshot, approval: Approval, requester: str) -> tuple[str, ...]:
    """Return the groups of whom nobody has granted a request so that it counts now."""
    return tuple([word.group for word in approval.words if not _counts(snapshot, approval, word, requester)])


def _record(transaction: Transaction, denial: ApprovalNeededError, terms: Terms) -> str:
    uid = new_uuid7(time.time_ns() // 1_000_000, os.urandom(10))
    request = _read(denial.exact)
    until = transaction.now + terms.approval_patience
    requester = terms.requester if terms.identity else transaction.own_name(terms.requester)
    transaction.approvals.ask(uid, denial.exact, request["delegator"], requester, until, denial.groups)
    transaction.append(
        "approval-request",
        {
            **about(approval_id(uid), denial.exact),
            "groups": list(denial.groups),
            "asked_by": requester,
            "until": until,
            "asking": list(denial.asking),
            "reason": denial.facts["reason"],
            "policy": terms.policy.digest,
        },
    )
    return approval_id(uid)


def find(snapshot: Snapshot, id_: str) -> Approval:
    """Return a request by its id.

    Raises:
        UsageError: it is no such id.
        NotFoundError: there is no such request.

    """
    found = snapshot.approvals.find(parse_approval_id(id_))
    if found is None:
        raise NotFoundError(f"the ledger knows no request {quote(id_)}", "see: jitid approve list")
    return found


def requested(approval: Approval) -> dict[str, Any]:
    """Return the exact request by its names, as `exact` has them. Raises IntegrityError for what is none."""
    return _read(approval.request)


def objections(
    snapshot: Snapshot, approval: Approval, person: Delegator, *requesters: str, presenter: str | None = None
) -> list[Objection]:
    """Return why a delegator cannot grant a request at all: who requests something does not approve of it.

    These are everybody up the chain of delegation, by any of their names; the requester and those for whom it acts; the
    `requesters` that would use the approval; and the actor whose own token was presented. None of them may present the
    token that proves the approver, either.
    """
    request = requested(approval)
    itself = {person.name, *person.aliases}
    made_by = _requester(snapshot, approval)
    acting = [request["acting"]] if "acting" in request else []
    behind = {name for one in (made_by, *requesters) for name in _behind(snapshot, one)}
    behind_actor = {name for one in acting for name in _behind(snapshot, one)}
    agents = [f"agent:{agent}" for agent in (request["agent"], *request.get("chain", ()))]
    if not itself.isdisjoint((request["delegator"], request.get("subject"))):
        why = "is the one for whom it is asked"
    elif not itself.isdisjoint(agents):
        why = "is one of the agents that it is for"
    elif not itself.isdisjoint(behind):
        how = "by the identity" if _is_identity(made_by) else "as"
        why = f"requested it, {how} {quote(made_by)}"
    elif not itself.isdisjoint(behind_actor):
        why = f"is behind the agent that acts in it, {quote(acting[0])}"
    elif presenter is not None:
        return _presenting(snapshot, presenter, person, request, (made_by, *requesters, *acting))
    else:
        return []
    return [
        Objection(
            "approver-requester", f"{quote(person.name)} {why}", "somebody else of the group has to decide"
        )
    ]


def _presenting(
    snapshot: Snapshot,
    presenter: str,
    person: Delegator,
    request: Mapping[str, Any],
    requesters: Iterable[str],
) -> list[Objection]:
    """Return why a caller cannot present the token of an approver: agents cannot, nor who has a part in the request.

    The parties are the requesters, the delegator of the request, and those who had a requester issued.
    """
    parties = {snapshot.own_name(request["delegator"])}
    for one in requesters:
        parties |= _answering(snapshot, one)
    if _is_identity(presenter):
        why = f"an agent presents the token of {quote(person.name)}, and may act for a party to the request"
    elif snapshot.own_name(presenter) in parties:
        why = f"{quote(presenter)} presents the token of {quote(person.name)}, and the request is its own"
    else:
        return []
    return [
        Objection(
            "approver-requester",
            why,
            "the approver has to grant it in person, or by a caller that has no part in the request",
        )
    ]


def _answering(snapshot: Snapshot, requester: str) -> set[str]:
    """Return the persons and services behind a requester: for an agent also those that had it issued.

    They may have kept its token. Where an agent had it issued, they are those behind that agent.
    """
    if not _is_identity(requester):
        return {snapshot.own_name(requester)}
    names: set[str] = set()
    waiting, seen = [requester], {requester}
    while waiting:
        raw = parse_id(waiting.pop())[1]
        made = snapshot.first_of(raw)
        if made is None:
            continue
        names.add(made.delegator)
        nearer = [one.id for one in snapshot.lineage(made.identity_key)]
        event = snapshot.event(made.event)
        told = {} if event is None else event.document()
        by, bearer = str(told.get("by", "")), told.get("bearer")
        if by.startswith("agent:"):
            found = None if bearer is None else snapshot.find_credential("jti", parse_id(bearer)[1])
            nearer += [] if found is None else [found.id]
        elif by:
            names.add(named(str(told.get("acts_as", by))))
        waiting += [one for one in nearer if one not in seen]
        seen.update(nearer)
    return {snapshot.own_name(name) for name in names}


def _behind(snapshot: Snapshot, requester: str) -> set[str]:
    """Return the names, each with its kind, of a requester and of everybody for whom it acts."""
    if not _is_identity(requester):
        return {requester}
    found = snapshot.first_of(parse_id(requester)[1])
    if found is None:
        return set()
    lineage = snapshot.lineage(found.identity_key)
    agents = {f"agent:{agent}" for agent in (found.agent, *(one.agent for one in lineage))}
    return {found.delegator, *agents}


def _counts(snapshot: Snapshot, approval: Approval, word: Word, requester: str) -> bool:
    """Tell whether what was granted for a group counts now."""
    if not word.holds_at(snapshot.now):
        return False
    assert word.approver is not None
    presenter = _told(snapshot, approval, word).get("presenter")
    person = snapshot.find_delegator(word.approver)
    # They may have got a name since that is the requester's.
    return person is not None and not objections(snapshot, approval, person, requester, presenter=presenter)


def _told(snapshot: Snapshot, approval: Approval, word: Word) -> dict[str, Any]:
    """Return what the audit log tells of a grant. Raises IntegrityError if it tells nothing: a row is written fast."""
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
            f"the ledger says that request {approval.id} was granted, and its audit log does not",
            "run: jitid audit verify",
        )
    return document


def about(id_: str, request: bytes) -> dict[str, Any]:
    """Return what each event about a request says of it."""
    asked = _read(request)
    return {
        "approval": id_,
        "digest": sha256(request).hexdigest(),
        **{name: asked[name] for name in ("task", "agent", "delegator")},
    }


def _read(request: bytes) -> dict[str, Any]:
    try:
        found: dict[str, Any] = strictjson.loads(request, "request")
        if not found.keys() >= {"task", "agent", "delegator", "copies"}:
            raise strictjson.StrictJSONError("the request lacks what each has")
    except (strictjson.StrictJSONError, AttributeError) as error:
        raise IntegrityError(
            "a request for approval in the ledger is none", "run: jitid audit verify"
        ) from error
    return found


def a_member(groups: Sequence[str]) -> str:
    """Return the words for a member of each of these groups."""
    return " and ".join(f"a member of {quote(group)}" for group in groups)
